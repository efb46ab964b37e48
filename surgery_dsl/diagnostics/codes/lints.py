"""Codes SD7xx: a plan that works but says less than it seems to."""

from surgery_dsl.diagnostics.code import Code, Severity

VACUOUS_GATE = Code("SD701", "vacuous-gate", "a gate that no outcome could fail", Severity.WARNING)
FAR_FROM_ASKED = Code(
    "SD702", "far-from-asked", "round, floor or cap decides how much is taken, not the plan's amount", Severity.WARNING
)
LAYER_COLLAPSE = Code(
    "SD703", "layer-collapse", "a ranking over all layers can leave a single unit of some of them", Severity.WARNING
)
