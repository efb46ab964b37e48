"""Codes SD2xx: axes and shapes do not fit."""

from surgery_dsl.diagnostics.code import Code

FORWARD_FAILS = Code("SD200", "forward-fails", "the forward does not run at input sizes that the plan allows")
PATH_DEPENDS_ON_SIZE = Code("SD201", "path-depends-on-size", "the forward does something else at another input size")
UNKNOWN_SIZE = Code("SD202", "unknown-size", "a size follows from the inputs in a way that is not understood")
VALUES_NEEDED = Code("SD203", "values-needed", "the forward looks at values, and the model has none")
INPUT_MISFIT = Code("SD204", "input-misfit", "an input of the plan is none that the forward takes")
OUTPUT_MISFIT = Code("SD205", "output-misfit", "the outputs of the plan are not those of the forward")
WRONG_OPERATOR_RULE = Code("SD206", "wrong-operator-rule", "a rule that was registered for an operator does not hold")

# Counts, groups, the contract, ties: what excising and replacing may not break.
UNTRUE_ARROW = Code("SD220", "untrue-arrow", "the left side of an arrow is not what the network has")
EMPTIED_SITE = Code("SD221", "emptied-site", "a step would take every unit there is")
ROUNDS_TO_NOTHING = Code("SD222", "rounds-to-nothing", "after rounding, nothing is taken")
COUNT_FORBIDDEN = Code("SD223", "count-forbidden", "round, floor or cap forbids the count that the plan asks for")
GROUP_INDIVISIBLE = Code("SD224", "group-indivisible", "units stand in groups that must stay equally large")
SUMMED_AXIS = Code("SD225", "summed-axis", "a site's units are several parts behind one another")
FIXED_AXIS = Code("SD226", "fixed-axis", "an axis must keep its size")
OUTPUT_CONTRACT = Code("SD227", "output-contract", "a step changes the network's outputs, and the plan does not say so")
INPUT_CONTRACT = Code("SD228", "input-contract", "a step changes the network's inputs, and the plan does not say so")
WEIGHTS_STAY = Code("SD229", "weights-stay", "single weights can become zero, but cannot be removed")
TIED_TENSOR = Code("SD230", "tied-tensor", "a tensor is tied to another, and the step does not say if it stays so")
WIDTH_MISMATCH = Code("SD231", "width-mismatch", "two widths that must be equal differ")
NOT_A_LIST_ENTRY = Code("SD232", "not-a-list-entry", "only entries of a ModuleList or Sequential can be removed")
OPEN_STRUCTURE = Code("SD233", "open-structure", "the structure after a step is not known before weights are read")
LIST_IS_COUNTED = Code("SD234", "list-is-counted", "the forward pairs a list with another one, or counts its entries")
SIZE_TIE = Code("SD235", "size-tie", "sizes that one integer of the forward serves would differ")
SIZE_BRANCH = Code(
    "SD236", "size-branch", "at the new size the forward would go another way than the one that was traced"
)

# What transforms need of the place where they stand.
FUNCTIONAL_SITE = Code("SD240", "functional-site", "a call in a forward is no module that could be exchanged")
NEVER_RUNS = Code("SD241", "never-runs", "the forward never runs a module that a step would change")
NOT_ONE_TENSOR = Code("SD242", "not-one-tensor", "a transform needs a module that makes one tensor of one")
READ_ELSEWHERE = Code("SD243", "read-elsewhere", "a tensor that a step would replace is read by another module")
SITE_DOES_NOT_FIT = Code("SD244", "site-does-not-fit", "a transform does not fit what stands at a site")
RANK_TOO_HIGH = Code("SD245", "rank-too-high", "two factors of this rank hold no fewer weights than the matrix")
UNITS_ARE_MIXED = Code("SD246", "units-are-mixed", "what reads an axis would notice that units were duplicated")
NAME_TAKEN = Code("SD247", "name-taken", "a module already has something of the name that a step would give")
SIZE_IS_FREE = Code("SD248", "size-is-free", "a new layer needs a size that is a number, and this one is free")
