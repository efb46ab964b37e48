"""Folding what is said of repeated blocks: ``layers.{0..31}.mlp.up_proj`` for 32 sentences that differ by a number.

A path that has a number as one of its segments belongs to an entry of a list. What is said of several entries is
folded where it is word for word the same once the entry's own number is left out, also in the texts beside the path
(``coupled with layers.3.mlp.gate_proj``); or, where nothing is found so, once numbers of the same list are counted from
the entry's own (``coupled with`` the layer before).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_HERE = re.compile("\0(-?[0-9]+)\0")
"""Stands for the number of an entry, counted from the own one; occurs in no path."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What is said of one path, or of several that differ by numbers of list entries.

    Attributes:
        path: The path; numbers that vary stand in braces.
        texts: What is said; numbers that vary with the path's stand in the same braces.
        count: How many paths are meant.
        first: Position of the first of them among the items.
    """

    path: str
    texts: tuple[str, ...] = ()
    count: int = 1
    first: int = 0


def fold(items: Iterable[tuple[str, Sequence[str]]]) -> tuple[Folded, ...]:
    """Fold what is said of paths, in the order in which each kind was first said.

    Args:
        items: Paths with what is said of each, in words. Outer lists are folded before inner ones.
    """
    given = list(items)
    if len(given) == 1:
        return (Folded(given[0][0], tuple(given[0][1])),)
    found = [_Item(tuple(path.split(".")), tuple(texts), 1, at) for at, (path, texts) in enumerate(given)]
    for position in range(max((len(item.segments) for item in found), default=0)):
        found = _fold_at(found, position)
    return tuple(Folded(".".join(item.segments), item.texts, item.count, item.first) for item in found)


def fold_paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Fold paths alone."""
    return tuple(item.path for item in fold((path, ()) for path in paths))


@dataclass(frozen=True, slots=True)
class _Item:
    segments: tuple[str, ...]
    texts: tuple[str, ...]
    count: int
    first: int


def _fold_at(items: Sequence[_Item], position: int) -> list[_Item]:
    """Fold over the numbers that stand at one segment of the paths."""
    numbered = [len(item.segments) > position and item.segments[position].isdecimal() for item in items]
    found = [item for item, has in zip(items, numbered, strict=True) if not has]
    once: list[_Item] = []
    for group in _grouped((item for item, has in zip(items, numbered, strict=True) if has), position, False):
        if len(group) > 1:
            found.append(_joined(group, position))
        else:
            once += group
    for group in _grouped((_joined([item], position) for item in once), position, True):
        found.append(_joined(group, position))
    return sorted(found, key=lambda item: item.first)


def _grouped(items: Iterable[_Item], position: int, counted: bool) -> Iterable[list[_Item]]:
    """Group what is said alike; ``counted`` counts other entries' numbers from the own one."""
    groups: dict[object, list[_Item]] = {}
    for item in items:
        head, rest = item.segments[:position], item.segments[position + 1 :]
        number = int(item.segments[position])
        texts = tuple(_relative(text, ".".join(head), number, counted) for text in item.texts)
        groups.setdefault((head, rest, texts, item.count), []).append(replace(item, texts=texts))
    return groups.values()


def _relative(text: str, prefix: str, number: int, counted: bool) -> str:
    """Put placeholders where a text names entries of the same list: the same entry, or any."""
    head = f"{prefix}." if prefix else ""
    if head not in text:
        return text
    meant = "[0-9]+" if counted else str(number)
    after = r"(?!\w)" if head else r"(?=\.[^\W\d])"  # a bare number in a text is no entry of the outermost list
    form = rf"(?<![\w.]){re.escape(head)}({meant}){after}"
    return re.sub(form, lambda found: f"{head}\0{int(found[1]) - number}\0", text)


def _joined(group: Sequence[_Item], position: int) -> _Item:
    first = group[0]
    numbers = [int(item.segments[position]) for item in group]

    def shown(found: re.Match[str]) -> str:
        return numbers_text([number + int(found[1]) for number in numbers])

    segments = (*first.segments[:position], numbers_text(numbers), *first.segments[position + 1 :])
    texts = tuple(_HERE.sub(shown, text) for text in first.texts)
    return _Item(segments, texts, sum(item.count for item in group), first.first)


def numbers_text(numbers: Sequence[int]) -> str:
    """Write numbers as briefly as they can be read: ``3``, ``{0..31}``, ``{0,3,6}``, ``{0..3,7}``."""
    ordered = sorted(set(numbers))
    if len(ordered) == 1:
        return str(ordered[0])
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [text for run in runs for text in ([f"{run[0]}..{run[-1]}"] if len(run) > 2 else map(str, run))]
    return f"{{{','.join(texts)}}}"
