"""The codes, one module a family; the first digit of a code says which."""
