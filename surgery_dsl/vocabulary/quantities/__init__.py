"""Numbers that gates read (``prove params <= …``, ``measure accuracy(test) >= …``).

Counts have a static rule, a pair of polynomials that bound them, and are counted again on the live network; the
others are measured alone, through :mod:`surgery_dsl.evidence`.
"""
