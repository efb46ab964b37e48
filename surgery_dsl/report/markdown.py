"""Writes a document as Markdown. Plots become tables: what they show is numbers, and a bar is a run of blocks."""

from collections.abc import Iterable, Iterator, Sequence

from surgery_dsl.report.document import (
    CODE,
    Code,
    Column,
    Document,
    Fold,
    Items,
    Part,
    Plot,
    Section,
    Table,
    Text,
)
from surgery_dsl.report.plot_data import data_of


def markdown(document: Document) -> str:
    """Return the report as CommonMark with tables; nothing of a plan is markup in it."""
    blocks = [f"# {plain(document.title)}"]
    for warning in document.warnings:
        lines = [f"> **{plain(warning.title)}**", ">", *(f"> - {plain(item)}" for item in warning.items)]
        blocks.append("\n".join(lines))
    blocks += _parts(document.lead)
    for section in document.sections:
        blocks += _section(section, 2)
    return "\n\n".join(blocks) + "\n"


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {plain(section.title)}"
    yield from _parts(section.parts)
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _parts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Text):
            yield plain(part.text)
        elif isinstance(part, Items):
            yield "\n".join(f"- {plain(item)}" for item in part.items)
        elif isinstance(part, Code):
            yield _code(part.text)
        elif isinstance(part, Table):
            yield from _table(part)
        elif isinstance(part, Fold):
            yield f"**{plain(part.summary)}**"
            yield from _parts(part.parts)
        else:
            yield from _plot(part)


def _plot(plot: Plot) -> Iterator[str]:
    yield f"**{plain(plot.title)}.** {plain(plot.description)}"
    yield from _table(data_of(plot), caption=False)


def _code(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _table(part: Table, caption: bool = True) -> Iterator[str]:
    if caption and part.caption:
        yield f"{plain(part.caption)}:"
    lines = [_row([plain(column.title) for column in part.columns]), _row([_rule(column) for column in part.columns])]
    lines += [_row([plain(cell) for cell in row]) for row in part.rows]
    yield "\n".join(lines)
    if part.left_out:
        yield f"… and {part.left_out:,} rows more: `certificate.json` has them."


def _rule(column: Column) -> str:
    return "---:" if column.kind == "number" else "---"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Return text, in one line, in which nothing is markup but what stands between backticks, which is code."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    parts = CODE.split(shown)  # prose and code by turns
    return "".join(
        f"`{part.replace('|', chr(92) + '|')}`" if at % 2 else _escaped(part) for at, part in enumerate(parts)
    )


def _escaped(found: str) -> str:
    for character in "\\`*_[]<>|#&~":
        found = found.replace(character, "\\" + character)
    return found
