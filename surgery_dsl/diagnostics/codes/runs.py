"""Codes SD5xx: what went wrong while a plan ran."""

from surgery_dsl.diagnostics.code import Code

UNDECIDED = 3

LABELS_DO_NOT_FIT = Code("SD501", "labels-do-not-fit", "the labels of a data set do not fit the network's classes")
TARGETS_DO_NOT_FIT = Code("SD502", "targets-do-not-fit", "the targets of a data set do not fit the network's output")
EVERYTHING_FROZEN = Code("SD503", "everything-frozen", "a recover step has nothing that it may train")
LOSS_NOT_FINITE = Code("SD504", "loss-not-finite", "the training loss became NaN or infinite")
NOTHING_CHANGED = Code("SD505", "nothing-changed", "a step changed nothing")
OUTPUTS_NOT_FINITE = Code("SD506", "outputs-not-finite", "the network's outputs hold NaN or infinity")
OUT_OF_MEMORY = Code("SD507", "out-of-memory", "a phase of the run needs more memory than there is")
NETWORK_FAILED = Code("SD508", "network-failed", "the network raised an error while it ran")
NO_LENGTH = Code("SD509", "no-length", "a recover step does not say how long it trains")
GATE_FAILED = Code("SD510", "gate-failed", "a measured obligation does not hold")
GATE_TOO_WEAK = Code(
    "SD511", "gate-too-weak", "the data cannot resolve the limit of an obligation", exit_code=UNDECIDED
)
NOT_CERTIFIED = Code(
    "SD512", "not-certified", "a certify line leads through an operator that no bound reaches", exit_code=UNDECIDED
)
POINT_NOT_KEPT = Code("SD513", "point-not-kept", "an obligation reads a point of the run that is not kept")
ZERO_BASELINE = Code("SD514", "zero-baseline", "a relative limit stands on a baseline of zero")
NOT_RUNNABLE = Code("SD515", "not-runnable", "a plan holds something that apply does not execute")
FROZEN_CHANGED = Code("SD516", "frozen-changed", "a tensor that training must not touch changed")
NOT_OUT_OF_CORE = Code("SD517", "not-out-of-core", "a plan that needs the whole network was asked to run out of core")
INPUT_CHANGED = Code("SD518", "input-changed", "a file changed while it was read")
CONSTANT_LEAK = Code("SD519", "bn-leak", "a removed channel gives a constant that nothing left can hold")
OUTPUT_EXISTS = Code("SD520", "output-exists", "the output directory exists and is not empty")
NOT_WRITTEN = Code("SD521", "not-written", "the result could not be written")
OUTPUT_IN_THE_WAY = Code("SD522", "output-in-the-way", "the output directory holds what must not be overwritten")
NO_SUCH_DEVICE = Code("SD523", "no-such-device", "the device that was asked for is not there")
ASSERTION_FAILED = Code(
    "SD525", "assertion-failed", "what check left undecided does not hold for the outcome that identify found"
)
CHOSEN_BY_VALUES = Code("SD524", "chosen-by-values", "the forward chooses by values, and goes another way after a step")
BOUND_TOO_WIDE = Code(
    "SD526",
    "bound-too-wide",
    "a bound over a region lies above the limit, and no input was found that breaks it",
    exit_code=UNDECIDED,
)
WITNESS_FOUND = Code("SD527", "witness-found", "an input of the region breaks the limit of a certify line")
EVIDENCE_OVERLAPS = Code("SD531", "evidence-overlaps", "examples of the evidence had a part in making the network")
SEARCH_OPEN = Code("SD532", "search-open", "a plan with a search that has not been made cannot be applied")
NO_CANDIDATE = Code("SD533", "no-candidate", "no candidate of a search passes what the plan asks for")
