"""What ``diff`` found, as text."""

from surgery_dsl.language.differences import Difference, Place, Ruling
from surgery_dsl.language.meaning import Meaning


def meaning_text(found: Meaning) -> str:
    """Return every difference with both of its lines, and one last line."""
    lines = [f"{found.before} -> {found.after}"]
    for difference in found.differences:
        lines += ["", *_difference(difference)]
    return "\n".join([*lines, "", _last(found)])


def _difference(found: Difference) -> list[str]:
    lines = [f"{found.ruling}: {found.block}: {found.what}"]
    lines += [_place("-", found.before)] if found.before is not None else []
    lines += [_place("+", found.after)] if found.after is not None else []
    return lines


def _place(sign: str, place: Place) -> str:
    return f"  {sign} {place.line:>4}  {place.text}"


def _last(found: Meaning) -> str:
    if found.same:
        return "same meaning" + (", same text" if found.same_text else "")
    rulings = [difference.ruling for difference in found.differences]
    words: tuple[Ruling, ...] = ("loosened", "tightened", "changed", "cosmetic")
    return "diff: " + ", ".join(f"{rulings.count(word)} {word}" for word in words)
