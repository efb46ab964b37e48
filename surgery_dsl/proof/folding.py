"""What repeats in many blocks of a network, told once: paths that differ in a number alone, and findings about them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.folding import Folded, fold, fold_paths

_NUMBER = re.compile(r"(?<=[.`/\"])\d+(?=[.`/\[\"]|$)|^\d+(?=\.|$)")
_BRACES = re.compile(r"\{[^}]*\}")
MOST_LISTED = 8
LONGEST = 60
"""Characters of a folded path from which on its numbers are not listed."""


def pattern(path: str) -> str:
    """Return a path with a star for each segment that is a number: what the blocks of a network have in common."""
    return _NUMBER.sub("*", path)


def folded_items(items: Iterable[tuple[str, str]], most: int) -> str:
    """Write (path, text) pairs, those that differ in a block's number alone together, at most so many groups."""
    shown = [_short(one) for one in fold((path, (text,)) for path, text in items)]
    more = f" and {len(shown) - most} more kinds" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def _short(one: Folded) -> str:
    """Write what is said of some paths; where they are many and lie apart, how many there are."""
    if len(one.path) <= LONGEST:
        return f"`{one.path}` {one.texts[0]}"
    return f"`{_BRACES.sub('*', one.path)}` {one.texts[0]} ({one.count} of them)"


def folded(found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Join findings that say the same of many blocks: one of them, with the count and the list.

    Findings are the same where code, place and weight are, and message and fix but for numbers of blocks in paths.
    """
    groups: dict[object, list[Diagnostic]] = {}
    for finding in found:
        key = (
            finding.code.id,
            finding.severity,
            finding.file,
            finding.span,
            pattern(finding.path),
            pattern(finding.message),
            pattern(finding.help),
            tuple(map(pattern, finding.notes)),
        )
        groups.setdefault(key if finding.span is not None else id(finding), []).append(finding)
    return tuple(group[0] if len(group) == 1 else _joined(group) for group in groups.values())


def _joined(group: Sequence[Diagnostic]) -> Diagnostic:
    first = group[0]
    paths = list(dict.fromkeys(finding.path or _first_path(finding.message) for finding in group))
    common = fold_paths(paths)
    listed = ", ".join(f"`{path}`" for path in common[:MOST_LISTED])
    more = f" and {len(common) - MOST_LISTED} more" if len(common) > MOST_LISTED else ""
    note = f"the same in {len(group)} places: {listed}{more}"
    return replace(
        first, notes=(*first.notes, note), facts={**first.facts, "places": len(group)}, help=pattern(first.help)
    )


def _first_path(message: str) -> str:
    quoted = message.split("`")
    return next((text for text in quoted[1::2] if pattern(text) != text), quoted[1] if len(quoted) > 1 else "")
