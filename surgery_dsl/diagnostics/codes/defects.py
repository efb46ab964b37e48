"""Codes SD9xx: defects of this program."""

from surgery_dsl.diagnostics.code import Code

INTERNAL = Code("SD900", "internal-error", "the program failed where it should not", exit_code=2)
PREDICTION = Code("SD901", "prediction-differs", "a changed network is not what its static rule predicted", exit_code=2)
FORMATTER = Code("SD902", "formatter-not-faithful", "formatting would have changed what the plan says", exit_code=2)
