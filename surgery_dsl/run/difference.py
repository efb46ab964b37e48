"""``diff``: what a change to a plan loosens. No torch, and no lock is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.interface.staleness import lock_path, read_lock
from surgery_dsl.language.claims import Known
from surgery_dsl.language.file import read_text
from surgery_dsl.language.meaning import Meaning, meaning
from surgery_dsl.language.plan import Plan, Reading
from surgery_dsl.language.read import read_plan
from surgery_dsl.run.completion import completed
from surgery_dsl.run.revision import named, plan_at


@dataclass(frozen=True)
class Compared:
    """What tells a plan from an earlier one.

    Attributes:
        path: The plan.
        meaning: What differs; ``None`` where one of them cannot be read.
        diagnostics: What stands against reading them.
        texts: Texts of the plans that were read, by name, for diagnostics.
    """

    path: Path
    meaning: Meaning | None
    diagnostics: tuple[Diagnostic, ...]
    texts: Mapping[str, str]


def diff(plan: Path | str, against: Path | str) -> Compared:
    """Compare a plan with an earlier one, by meaning.

    Args:
        plan: Path of the ``.surg`` file, as it is now.
        against: A file, or the name of a git revision that has the plan.

    Returns:
        What was found; nothing is raised for what the plans hold.
    """
    path = Path(plan)
    other = Path(against)
    texts: dict[str, str] = {}
    try:
        texts[str(plan)] = _text(path)
        if other.is_file():
            name, text = str(against), _text(other)
        else:
            name, text = named(str(against), path), plan_at(str(against), path)
        texts.setdefault(name, text)
    except Refused as refusal:
        return Compared(path, None, refusal.diagnostics, texts)
    before, old = read_plan(text, name)
    after, new = read_plan(texts[str(plan)], str(plan))
    if before is None or after is None:
        return Compared(path, None, tuple(d for d in (*new, *old) if d.severity == "error"), texts)
    found = meaning(before, after, (text, texts[str(plan)]), _known(after, path))
    return Compared(path, found, (), texts)


def _text(path: Path) -> str:
    text, found = read_text(path)
    if found:
        raise Refused(*found)
    return text


def _known(plan: Plan, path: Path) -> Known | None:
    """Return what gives counts of the base, where there is a lock to count in."""
    try:
        lock = read_lock(lock_path(path))
    except (FileNotFoundError, Refused):
        return None
    if plan.patient.name not in {model.name for model in lock.models}:
        return None

    def known(reading: Reading) -> Fraction | None:
        from surgery_dsl.proof.readings import NotStatic, Reader
        from surgery_dsl.proof.state import start

        try:
            return Reader(start(completed(plan, lock), lock, Sink(plan.file))).read(reading).number
        except NotStatic:
            return None

    return known
