"""Codes SD6xx: certificates and their verification."""

from surgery_dsl.diagnostics.code import Code

DRIFT = 4

UNREADABLE = Code("SD601", "certificate-unreadable", "the certificate is missing or cannot be read", exit_code=DRIFT)
SCHEMA = Code("SD602", "certificate-schema", "the certificate does not fit its JSON Schema", exit_code=DRIFT)
TAMPERED = Code("SD603", "file-tampered", "a certified file was changed", exit_code=DRIFT)
FILE_MISSING = Code("SD604", "certified-file-missing", "a certified file is missing", exit_code=DRIFT)
FILE_EXTRA = Code("SD605", "file-not-certified", "a file in the directory is not certified", exit_code=DRIFT)
NOT_PROVED_AGAIN = Code(
    "SD606", "not-proved-again", "a claim certified as proved could not be proved again", exit_code=DRIFT
)
VERDICT = Code("SD607", "verdict-contradicts-claims", "the verdict does not follow from the claims", exit_code=DRIFT)
NO_SIGNATURE = Code(
    "SD608", "signature-missing", "the certificate is not signed by the key that was given", exit_code=DRIFT
)
KEY_UNREADABLE = Code("SD609", "key-unreadable", "a key file cannot be used")
KEY_EXISTS = Code("SD610", "key-not-written", "a key file cannot be written, or would be overwritten")
INPUTS = Code(
    "SD611", "inputs-contradict-lock", "what the certificate says was read is not what the lock says", exit_code=DRIFT
)
EVIDENCE = Code(
    "SD612", "evidence-does-not-show-claim", "stored evidence does not show what a claim says", exit_code=DRIFT
)
NOT_REPRODUCED = Code("SD613", "not-reproduced", "measured again, a number came out otherwise", exit_code=DRIFT)
WEIGHTS = Code(
    "SD614", "weights-not-predicted", "the weights are not those of the network that the plan gives", exit_code=DRIFT
)
REPORT = Code("SD615", "report-says-otherwise", "a report says other than the certificate", exit_code=DRIFT)
