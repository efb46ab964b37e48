"""Writing what a search found into the text of its plan. No torch."""

from collections.abc import Mapping

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.format import format_source
from surgery_dsl.language.parse import parse


def resolved(text: str, search: str, values: Mapping[str, str], record: str, source: str) -> str:
    """Return a plan with other defaults of its params, and the record of its search named; all else stays as it is.

    Args:
        text: The plan, which reads without findings.
        search: The block that was resolved.
        values: Defaults as a plan writes them, by param.
        record: File name of the record.
        source: File name of the plan that was searched, for those who read the text.
    """
    text = format_source(text)[0]
    edits: list[tuple[Span, str]] = []
    for block in parse(text)[0].blocks:
        attributes = {
            one.name.text: one
            for one in (block.body.statements if block.body else ())
            if isinstance(one, tree.Attribute)
        }
        if block.kind.text == "param" and block.name.text in values:
            edits.append((attributes["default"].value.span, values[block.name.text]))
        elif block.kind.text == "search" and block.name.text == search:
            head = attributes["over"].name.span
            edits.append((Span(head.line, head.column, head.line, head.column), f'record = "{record}"\n  '))
    for span, written in sorted(edits, key=lambda edit: (edit[0].line, edit[0].column), reverse=True):
        text = _replaced(text, span, written)
    first, _, rest = text.partition("\n")
    note = f"# Found by `surgery-dsl search {source}`, from whose folder files are read."
    return format_source(f"{first}\n\n{note}\n{rest}")[0]


def _replaced(text: str, span: Span, written: str) -> str:
    """Return a text with what stands at a span, on one line, replaced."""
    lines = text.split("\n")
    line = lines[span.line - 1]
    lines[span.line - 1] = line[: span.column - 1] + written + line[span.end_column - 1 :]
    return "\n".join(lines)
