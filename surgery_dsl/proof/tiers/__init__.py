"""Who decides a question: one module a tier, asked in :mod:`order`, the cheapest first.

0 ``intervals``, 1 ``normal_forms``, 2 ``congruences``, 3 ``corner`` of the box, 5 ``solver`` (z3). A tier answers with
its name, or passes the question on.
"""
