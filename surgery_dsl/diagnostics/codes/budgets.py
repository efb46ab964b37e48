"""Codes SD3xx: proofs and budgets."""

from surgery_dsl.diagnostics.code import Code

UNDECIDED_EXIT = 3

REFUTED = Code("SD301", "refuted", "an obligation does not hold for every outcome")
UNDECIDED = Code("SD302", "undecided", "an obligation could be neither proved nor refuted", exit_code=UNDECIDED_EXIT)
NEEDS_MEASURE = Code("SD303", "needs-measure", "a quantity that only data can tell cannot be proved")
WRONG_VERB = Code("SD304", "wrong-verb", "an obligation's verb does not fit what it claims")
IMPOSSIBLE_GATE = Code("SD305", "impossible-gate", "a gate that no outcome could pass")
CHANGES_NOTHING = Code("SD306", "changes-nothing", "a step would change nothing")
SIZES_DO_NOT_FIT = Code("SD307", "sizes-do-not-fit", "a relation of sizes that the forward needs does not always hold")
STALE_SELECTION = Code("SD308", "stale-selection", "a selection was made before another step changed what it counts")
PLACE_DOES_NOT_FIT = Code("SD309", "place-does-not-fit", "a transform cannot stand at this place")
SHARED_MODULE = Code(
    "SD310", "shared-module", "a module runs at several places, and the step does not say if all change"
)
DATA_SHAPE_MISMATCH = Code("SD312", "data-shape-mismatch", "a data set's examples do not fit the network's input")
DATA_DTYPE_MISMATCH = Code("SD313", "data-dtype-mismatch", "a data set's dtype does not fit the network's input")
SCHEDULE_TOO_LONG = Code("SD314", "schedule-too-long", "a schedule needs more steps than the training has")
TWO_AMOUNTS = Code("SD315", "two-amounts", "take and schedule both say how many units are taken")
CONTRADICTORY = Code("SD316", "contradictory", "lines of a plan exclude each other: no outcome keeps all of them")
NOT_A_BOUND = Code("SD317", "not-a-bound", "a certify line asks for something that no bound over a region says")
REGION_DOES_NOT_FIT = Code("SD318", "region-does-not-fit", "a region has no meaning for the network's input")
TOUCHED_EVIDENCE = Code(
    "SD321", "touched-evidence", "data that made or chose the network is no evidence of what it does"
)
NEEDS_CLIP = Code("SD322", "needs-clip", "a mean without a greatest value has no bound with confidence")
NEEDS_EXCEEDED = Code("SD323", "needs-exceeded", "the largest of a sample is no bound of the largest there is")
NO_STATISTICAL_FORM = Code("SD324", "no-statistical-form", "a line with confidence claims what no examples can show")
NOT_INDEPENDENT = Code("SD325", "not-independent", "examples that are no independent draws speak of no population")
SEARCH_DOES_NOT_FIT = Code(
    "SD326", "search-does-not-fit", "a search method cannot choose by what the plan gives, and keep its risk"
)
