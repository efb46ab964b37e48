"""Codes SD4xx: files, locks, grants and weights that cannot be trusted."""

from surgery_dsl.diagnostics.code import Code

DRIFT = 4

CODE_NOT_GRANTED = Code("SD401", "code-not-granted", "a plan asks to run code that nobody outside the plan has granted")
PICKLE_REFUSED = Code("SD402", "pickle-refused", "reading a pickle can run any code, so pickles are refused")
MODULE_NOT_FOUND = Code("SD403", "module-not-found", "the Python module that a plan names is not there")
FUNCTION_NOT_FOUND = Code("SD404", "function-not-found", "a module has no function of that name")
USER_CODE_FAILED = Code("SD405", "user-code-failed", "code that the plan names raised an error")
NOT_A_NETWORK = Code("SD406", "wrong-result", "code that the plan names returned something of the wrong kind")
GRANTS_UNREADABLE = Code("SD407", "grants-unreadable", "the grants in pyproject.toml cannot be read")
PLAN_UNREADABLE = Code("SD408", "plan-unreadable", "the plan file cannot be read")
FILE_MISSING = Code("SD410", "file-missing", "a file that the plan names is not there")
WEIGHTS_MALFORMED = Code("SD411", "weights-malformed", "a weights file is truncated or damaged")
HEADER_TOO_LARGE = Code("SD412", "header-too-large", "the header of a weights file is larger than a header may be")
TENSOR_MISSING = Code("SD413", "tensor-missing", "the weights lack a tensor that the network has")
TENSOR_EXTRA = Code("SD414", "tensor-extra", "the weights hold a tensor that the network does not have")
TENSOR_SHAPE = Code("SD415", "tensor-shape", "a tensor of the weights has another shape than the network's")
TENSOR_DTYPE = Code("SD416", "tensor-dtype", "a tensor of the weights has another dtype than the network's")
TENSOR_NOT_FINITE = Code("SD417", "tensor-not-finite", "a tensor of the weights holds NaN or infinity")
TIED_TWICE = Code("SD418", "tied-twice", "the weights hold tied tensors more than once")
CONFIG_UNREADABLE = Code("SD419", "config-unreadable", "a config or a name describes no network that can be built")
STALE_LOCK = Code("SD420", "stale-lock", "the lock describes another state than the one at hand", exit_code=DRIFT)
LOCK_UNREADABLE = Code("SD421", "lock-unreadable", "the lock file cannot be read", exit_code=DRIFT)
LOCK_MISSING = Code("SD422", "lock-missing", "a plan has no lock file, and none may be made")
SAVED_PLAN_UNREADABLE = Code("SD423", "saved-plan-unreadable", "a file is no saved plan of this release")
SAVED_PLAN_CHANGED = Code(
    "SD424", "saved-plan-changed", "a saved plan does not say what its plan does", exit_code=DRIFT
)
RESULT_UNREADABLE = Code("SD425", "result-unreadable", "a directory is not a readable result of apply")
RESULT_CHANGED = Code("SD426", "result-changed", "a file of a result was changed after it was written", exit_code=DRIFT)
SAVED_PLAN_STALE = Code(
    "SD427", "saved-plan-stale", "what a saved plan was made from has changed since", exit_code=DRIFT
)
SAVED_PLAN_FIXED = Code("SD428", "saved-plan-fixed", "a saved plan runs as it was reviewed", exit_code=2)
REVISION_UNREADABLE = Code("SD429", "revision-unreadable", "a plan cannot be read from that revision", exit_code=2)
DATA_UNREADABLE = Code("SD430", "data-unreadable", "a data set cannot be read")
DATA_MALFORMED = Code("SD431", "data-malformed", "a data set does not hold what a data set must hold")
DATA_NOT_FINITE = Code("SD432", "data-not-finite", "a data set holds NaN or infinity")
DATA_DIFFERS = Code("SD433", "data-differs", "a data set is not the one that the lock saw", exit_code=DRIFT)
SEARCH_UNREADABLE = Code("SD434", "search-unreadable", "the record of a search cannot be read")
SEARCH_CHANGED = Code(
    "SD435", "search-changed", "the record of a search is not of what the plan now does", exit_code=DRIFT
)
