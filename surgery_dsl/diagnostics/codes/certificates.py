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
