"""z3, in a child process: the only modules that know it.

``process`` starts the child (``python -m surgery_dsl.proof.smt.child``) and reads what it says; ``messages`` is what
goes between them. The child asks z3: ``sizes`` about symbolic sizes, ``budgets`` and ``certificates`` about counts.
"""
