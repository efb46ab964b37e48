"""How a stranger checks a result: command lines, and what each of them finds again."""

from surgery_dsl.report.document import Code, Section, Text

COMMANDS = """\
# form, schema, digests, proofs, stored evidence; runs no code of the network
surgery-dsl verify .
# and the signature, by a key that you trust
surgery-dsl verify . --key KEY.pub --require-signature
# and measures again: runs the network's code, with the base's weights and the data from FOLDER
surgery-dsl verify . --reproduce --from FOLDER --allow-code 'MODULE:*'
# what a kind of claim says, and what it does not
surgery-dsl explain claim:certified
# this report again, from the result alone
surgery-dsl report . -o ../report.html"""


def section() -> Section:
    """Return the section."""
    said = (
        "This report is made from the certificate, the plan, the lock and the evidence files, and proves nothing "
        "itself: check the result, in its own folder."
    )
    return Section("verify", "How to check this", (Text(said), Code(COMMANDS)))
