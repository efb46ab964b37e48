"""How a stranger checks a result: command lines, and what each of them finds again."""

from surgery_dsl.report.document import Code, Section, Text

COMMANDS = """\
surgery-dsl verify .                       # form, schema, digests, proofs, stored evidence; runs no code of the network
surgery-dsl verify . --key KEY.pub         # and the signature, by a key that you trust
surgery-dsl verify . --reproduce --allow-code 'MODULE:*'   # and measures again: runs the network's code
surgery-dsl report . --format html -o FILE # makes this report again, from the result alone"""


def section() -> Section:
    """Return the section."""
    said = (
        "This report is made from the certificate, the plan, the lock and the evidence files, and proves nothing "
        "itself: check the result, in its own folder."
    )
    return Section("verify", "How to check this", (Text(said), Code(COMMANDS)))
