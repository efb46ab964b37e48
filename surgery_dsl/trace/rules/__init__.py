"""How axes flow through operators: one file for each family, found by its being here.

A rule gets a :class:`~surgery_dsl.trace.step.Step` and returns an :class:`~surgery_dsl.trace.registry.Outcome`.
An operator without a rule freezes the axes that flow through it.
"""
