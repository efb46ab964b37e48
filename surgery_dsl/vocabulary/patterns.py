"""Path patterns: globs over the segments of module paths.

A path is a sequence of segments: names separated by dots, and, for a call in a module's forward, a last one
that starts with a slash (``blocks.0/relu#0``). In a pattern, ``*`` alone is one named segment, ``**`` any number of
segments, ``{a,b}`` stands for alternatives (each of which must match something), and within a segment ``*``, ``?``
and ``[abc]``, ``[a-z]``, ``[!a]`` mean what they mean in file names. ``"."`` is the root.

Matching keeps one place to return to, so it takes at most (length of pattern) × (length of path) comparisons: no
pattern, however it is written, makes it exponential. No regular expression is built from user text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, final

MAX_ALTERNATIVES = 256

_T = TypeVar("_T")
_P = TypeVar("_P")


class BadPattern(ValueError):
    """A text that is no pattern; the message says why."""


def segments(path: str) -> tuple[str, ...]:
    """Split a path into segments; the root has none. A call's segment keeps its slash.

    >>> segments("blocks.0/relu#0")
    ('blocks', '0', '/relu#0')
    """
    module, slash, call = path.partition("/")
    names = tuple(module.split(".")) if module else ()
    return (*names, "/" + call) if slash else names


@final
@dataclass(frozen=True)
class Glob:
    """A pattern without alternatives.

    Attributes:
        text: As the plan has it, alternatives put in.
    """

    text: str

    @cached_property
    def _segments(self) -> tuple[tuple[str, "tuple[_Unit, ...]"], ...]:
        if self.text == ".":
            return ()
        parts = segments(self.text)
        if not parts or any(part in ("", "/") for part in parts):
            raise BadPattern("a segment is empty")
        return tuple((part, () if part == "**" else _units(part)) for part in parts)

    def matches(self, path: str) -> bool:
        """Whether the pattern covers the whole path."""
        return _match(self._segments, segments(path), lambda segment: segment[0] == "**", _covers)

    def check(self) -> None:
        """Raise :class:`BadPattern` where the text is no pattern."""
        _ = self._segments


@final
@dataclass(frozen=True)
class Pattern:
    """A pattern as a plan has it.

    Attributes:
        text: The text.
        globs: Its alternatives, all braces put in.
    """

    text: str
    globs: tuple[Glob, ...]

    @staticmethod
    def of(text: str) -> "Pattern":
        """Read a pattern.

        Raises:
            BadPattern: The text is empty, a brace is not closed, a segment is empty, or there are more
                than :data:`MAX_ALTERNATIVES` alternatives.
        """
        if not text:
            raise BadPattern("it is empty")
        globs = tuple(dict.fromkeys(Glob(each) for each in _expand(text)))
        for glob in globs:
            glob.check()
        return Pattern(text, globs)

    def matches(self, path: str) -> bool:
        """Whether one of the alternatives covers the path."""
        return any(glob.matches(path) for glob in self.globs)


# ---- alternatives ------------------------------------------------------------------------------------------------


def _expand(text: str) -> list[str]:
    """Put in the alternatives of all braces, the first brace slowest."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        if len(done) + len(waiting) > MAX_ALTERNATIVES:
            raise BadPattern(f"it has more than {MAX_ALTERNATIVES} alternatives")
        current = waiting.pop()
        start = current.find("{")
        if start < 0:
            if "}" in current:
                raise BadPattern("a `}` closes nothing")
            done.append(current)
            continue
        if "}" in current[:start]:
            raise BadPattern("a `}` closes nothing")
        choices, end = _choices(current, start)
        waiting += [current[:start] + choice + current[end:] for choice in reversed(choices)]
    return done


def _choices(text: str, start: int) -> tuple[list[str], int]:
    """Return the alternatives of the brace at ``start``, and where it ends."""
    depth, begin, choices = 0, start + 1, list[str]()
    for position in range(start, len(text)):
        character = text[position]
        if character == "{":
            depth += 1
        elif character == "," and depth == 1:
            choices.append(text[begin:position])
            begin = position + 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return [*choices, text[begin:position]], position + 1
    raise BadPattern("a `{` is not closed")


# ---- matching ----------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class _Unit:
    """One unit of a segment pattern: a star, or the ranges of characters it accepts or refuses."""

    star: bool = False
    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = False

    def accepts(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


def _units(part: str) -> tuple[_Unit, ...]:
    units, position = list[_Unit](), 0
    while position < len(part):
        character = part[position]
        position += 1
        if character == "*":
            units.append(_Unit(star=True))
        elif character == "?":
            units.append(_Unit(negated=True))
        elif character == "[" and (end := _class_end(part, position)) > 0:
            units.append(_class(part[position:end]))
            position = end + 1
        else:
            units.append(_Unit(ranges=((character, character),)))
    return tuple(units)


def _class_end(part: str, start: int) -> int:
    """Return where a character class ends, −1 where it does not; a leading ``]`` is a member, as in ``fnmatch``."""
    first = start + 1 if part[start : start + 1] == "!" else start
    return part.find("]", first + 1)


def _class(body: str) -> _Unit:
    negated = body.startswith("!")
    rest = body[1:] if negated else body
    ranges, position = list[tuple[str, str]](), 0
    while position < len(rest):
        if rest[position + 1 : position + 2] == "-" and position + 2 < len(rest):
            ranges.append((rest[position], rest[position + 2]))
            position += 3
        else:
            ranges.append((rest[position], rest[position]))
            position += 1
    return _Unit(ranges=tuple(ranges), negated=negated)


def _covers(segment: tuple[str, tuple[_Unit, ...]], name: str) -> bool:
    text, units = segment
    if text == name:
        return True
    if text.startswith("/") != name.startswith("/"):
        return False
    return _match(units, name, lambda unit: unit.star, _Unit.accepts)


def _match(
    pattern: Sequence[_P], items: Sequence[_T], is_star: Callable[[_P], bool], accepts: Callable[[_P, _T], bool]
) -> bool:
    """Match a sequence with a pattern whose stars stand for any number of items.

    A star first stands for nothing. On a mismatch the last star takes one item more; earlier stars never have to
    be tried again, because what lies before the last star was matched as early as possible.
    """
    place = item = 0
    star, resume = -1, 0
    while item < len(items):
        if place < len(pattern) and is_star(pattern[place]):
            star, resume = place, item
            place += 1
        elif place < len(pattern) and accepts(pattern[place], items[item]):
            place += 1
            item += 1
        elif star >= 0:
            resume += 1
            place, item = star + 1, resume
        else:
            return False
    return all(is_star(rest) for rest in pattern[place:])
