"""Writes a document as one HTML file: no script, nothing fetched, every text escaped, equal bytes for equal input.

The page forbids itself whatever it does not need (a Content-Security-Policy in the head): even a text that escaped
escaping could neither run nor load anything.
"""

from collections.abc import Iterable, Iterator
from html import escape

from surgery_dsl.report.document import (
    CODE,
    LONG,
    SHORT,
    Code,
    Document,
    Fold,
    Items,
    Part,
    Plot,
    Section,
    Table,
    Text,
    Warn,
)
from surgery_dsl.report.plot_data import data_of
from surgery_dsl.report.style import STYLE
from surgery_dsl.report.svg import svg

GOOD = frozenset({"proved", "passed", "certified", "accepted", "yes"})
BAD = frozenset({"failed", "refuted", "refused", "no"})
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html(document: Document) -> str:
    """Return the report as one page."""
    return "".join(_Page().lines(document))


class _Page:
    """One page; counts what needs a name of its own."""

    def __init__(self) -> None:
        self._plots = 0

    def lines(self, document: Document) -> Iterator[str]:
        title = plain(document.title)
        yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        yield f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
        yield f'<p><span class="verdict {_tone(document.verdict)}">{plain(document.verdict)}</span></p>\n</header>\n'
        yield from map(_warning, document.warnings)
        yield "<main>\n"
        yield from self._parts(document.lead)
        links = (f'<li><a href="#{plain(one.name)}">{plain(one.title)}</a></li>' for one in document.sections)
        yield f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>\n'
        for section in document.sections:
            yield from self._section(section, 2)
        yield "</main>\n</body>\n</html>\n"

    def _section(self, section: Section, level: int) -> Iterator[str]:
        name = plain(section.name)
        yield f'<section id="{name}" aria-labelledby="{name}-h">\n'
        yield f'<h{level} id="{name}-h">{plain(section.title)}</h{level}>\n'
        yield from self._parts(section.parts)
        for inner in section.sections:
            yield from self._section(inner, level + 1)
        yield "</section>\n"

    def _parts(self, parts: Iterable[Part]) -> Iterator[str]:
        for part in parts:
            if isinstance(part, Text):
                yield f"<p>{_prose(part.text)}</p>\n"
            elif isinstance(part, Items):
                yield f"<ul>{''.join(f'<li>{_prose(item)}</li>' for item in part.items)}</ul>\n"
            elif isinstance(part, Code):
                yield f"<pre>{'<br>'.join(plain(line) for line in part.text.split(chr(10)))}</pre>\n"
            elif isinstance(part, Table):
                yield from _table(part)
            elif isinstance(part, Fold):
                yield f"<details><summary>{plain(part.summary)}</summary>\n"
                yield from self._parts(part.parts)
                yield "</details>\n"
            else:
                yield from self._plot(part)

    def _plot(self, plot: Plot) -> Iterator[str]:
        self._plots += 1
        yield f"<figure>\n<figcaption>{plain(plot.title)}</figcaption>\n<p>{plain(plot.description)}</p>\n"
        yield f"{svg(plot, f'plot{self._plots}')}\n<details><summary>The numbers of this plot</summary>\n"
        yield from _table(data_of(plot))
        yield "</details>\n</figure>\n"


def _warning(warning: Warn) -> str:
    items = "".join(f"<li>{_prose(item)}</li>" for item in warning.items)
    return f'<div class="warn" role="alert"><strong>{plain(warning.title)}</strong><ul>{items}</ul></div>\n'


def _table(part: Table) -> Iterator[str]:
    caption = plain(part.caption)
    yield f'<div class="wide" role="region" aria-label="{caption}" tabindex="0">\n'
    yield f"<table>\n<caption>{caption}</caption>\n"
    heads = "".join(
        f'<th scope="col"{_class(column.kind if column.kind == "number" else "")}>{plain(column.title)}</th>'
        for column in part.columns
    )
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>\n"
    kinds = [column.kind for column in part.columns]
    for row in part.rows:
        cells = "".join(_cell(cell, kind, first=not at) for at, (cell, kind) in enumerate(zip(row, kinds, strict=True)))
        yield f"<tr>{cells}</tr>\n"
    yield "</tbody>\n</table>\n</div>\n"
    if part.left_out:
        yield f'<p class="left">… and {part.left_out:,} rows more: certificate.json has them.</p>\n'


def _cell(text: str, kind: str, first: bool) -> str:
    styles = [] if kind == "text" else [kind]
    if kind == "status":
        styles.append(_tone(text))
    elif len(text) <= SHORT:
        styles.append("short")
    elif len(text) >= LONG:
        styles.append("long")
    style = _class(" ".join(styles))
    return f'<th scope="row"{style}>{_prose(text)}</th>' if first else f"<td{style}>{_prose(text)}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _tone(word: str) -> str:
    return "good" if word in GOOD else "bad" if word in BAD else "open"


def _prose(text: str) -> str:
    """Return text in which nothing is markup but what stands between backticks, which is code."""
    return CODE.sub(r"<code>\1</code>", plain(text))


def plain(text: str) -> str:
    """Return text in which nothing is markup, in one line; what cannot be shown is a space."""
    return escape("".join(one if one.isprintable() else " " for one in text))
