"""Codes SD9xx: defects of this program."""

from surgery_dsl.diagnostics.code import Code

INTERNAL = Code("SD900", "internal-error", "the program failed where it should not", exit_code=2)
PREDICTION = Code("SD901", "prediction-differs", "a changed network is not what its static rule predicted", exit_code=2)
FORMATTER = Code("SD902", "formatter-not-faithful", "formatting would have changed what the plan says", exit_code=2)
UNDECLARED_WRITE = Code(
    "SD903", "undeclared-write", "a step changed a tensor that it did not say it would", exit_code=2
)
RELOAD_DIFFERS = Code("SD904", "reload-differs", "the written result does not reload to the same outputs", exit_code=2)
EDIT_MISFIT = Code("SD905", "edit-misfit", "a change that a rule asked for does not fit the network", exit_code=2)
CROSS_CHECK = Code("SD907", "cross-check-differs", "z3 says otherwise than the tier that decided", exit_code=2)
COUNTEREXAMPLE = Code(
    "SD908", "counterexample-differs", "a counterexample does not break what it was found for", exit_code=2
)
NOT_EXACT = Code(
    "SD909", "exact-step-differs", "a step that an identity calls exact has changed the function", exit_code=2
)
COUPLING = Code("SD906", "coupling-differs", "what was taken for one axis is not one on these weights", exit_code=2)
