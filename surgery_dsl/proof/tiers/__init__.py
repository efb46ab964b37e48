"""Who decides a question: one module a tier, asked in :mod:`order`, the cheapest first.

0 ``intervals``, 1 ``normal_forms``, 2 ``congruences``, 3 ``corner`` of the box, 4 ``ranking`` (budgets under the sums
that global rankings fix, before the corner where there are any), 5 ``solver`` (z3). A tier answers with its name, or
passes the question on.

``ranking`` is a Lagrangian dual in small parts: ``chords`` writes a polynomial over the unit cube, ``elimination``
(Viterbi on chains) and ``min_cut`` find its least value at a vertex, ``multipliers`` the price of what is removed,
``regions`` bounds by parts, and ``witness`` the outcomes that exist.
"""
