"""Proof: what a plan can do to a network, decided from the lock alone.

``sequence`` gives the order of runs, ``state`` and ``steps`` the static rule of every block, ``check`` the whole
report. An obligation becomes a *question* (:mod:`surgery_dsl.proof.questions`), and the tiers of
:mod:`surgery_dsl.proof.tiers` answer it, the cheapest first: intervals, normal forms, congruences, the corner of the
box, z3. What no tier decides is ``undecided``, never a success.
"""
