"""What a report says, one module a section; each turns a result into parts of a document and formats nothing.

``order`` puts the sections together. Grade words are kept apart throughout: *proved*, *certified*, *statistical*,
*measured* and *assumed* never stand in one table.
"""
