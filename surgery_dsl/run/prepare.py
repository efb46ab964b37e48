"""From a plan's path to its proof: read, lower, find the lock, tell drift, check.

torch is imported only where a lock must be made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.staleness import compare, lock_path, read_lock
from surgery_dsl.language.file import read_text
from surgery_dsl.language.lower import value_text
from surgery_dsl.language.plan import Param, ParamValue, Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.check import check as prove
from surgery_dsl.proof.param_ranges import Covered, Read, covered, objections
from surgery_dsl.proof.searching import open_search, param_of, search_of
from surgery_dsl.proof.transcript import Transcript
from surgery_dsl.run.completion import completed

if TYPE_CHECKING:
    from surgery_dsl.proof.cross_check import CrossChecked

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Checked:
    """Everything that is known of a plan before a weight is read.

    Attributes:
        path: The plan.
        text: Its text, empty where it could not be read.
        plan: The typed plan, ``None`` where it has mistakes.
        lock: Its lock, ``None`` where there is none to be had.
        report: What was proved, ``None`` where it did not come to that.
        diagnostics: All findings.
        lock_made: Whether the lock was made by this call.
        ranges: For each param with a range, whether the proof covers all of it.
        cross_checked: What z3 said to the verdicts, where it was asked.
        candidates: What stands against each value that an open search may choose, in their order; empty texts where
            nothing does. All else is said of the first against which nothing stands.
    """

    path: Path
    text: str
    plan: Plan | None
    lock: Lock | None
    report: CheckReport | None
    diagnostics: tuple[Diagnostic, ...]
    lock_made: bool = False
    ranges: tuple[tuple[Param, Covered], ...] = ()
    cross_checked: "CrossChecked | None" = None
    candidates: Mapping[ParamValue, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the files that the plan names stand."""
        return self.path.parent if self.plan is None else files_folder(self.plan, self.path)


def check(
    plan: Path | str,
    *,
    sets: Mapping[str, str] | None = None,
    allow_code: Iterable[str] = (),
    make_lock: bool = True,
    allow_pickle: bool = False,
    cross_check: bool = False,
    progress: Progress = silent,
    fixes: bool = True,
) -> Checked:
    """Prove a plan from the plan and its lock; make the lock first if there is none.

    Args:
        plan: Path of the ``.surg`` file.
        sets: Values of params by name, as written after ``--set``.
        allow_code: Globs of user code that may run where a lock must be made.
        make_lock: Whether a missing lock is made (this runs the granted code and imports torch).
        allow_pickle: Whether weights may be a pickle; nothing of one is compared with the lock but its digest.
        cross_check: Whether z3 looks at every verdict of the other tiers once more.
        progress: Called with a few words when long work starts.
        fixes: Whether the edits that findings name are made and checked again; else helps are as their rules say.

    Returns:
        What was found; nothing is raised for what the plan, the lock or the files hold.
    """
    allowed = tuple(allow_code)
    checked = _check(plan, sets, allowed, make_lock, allow_pickle, cross_check, progress)
    if not fixes or not checked.diagnostics:
        return checked
    from surgery_dsl.run.judging import with_fixes  # most plans have nothing to mend

    return with_fixes(checked, str(plan), sets or {}, allowed, make_lock, allow_pickle)


def _check(
    plan: Path | str,
    sets: Mapping[str, str] | None,
    allow_code: Iterable[str],
    make_lock: bool,
    allow_pickle: bool,
    cross_check: bool,
    progress: Progress,
) -> Checked:
    path = Path(plan)
    text, found = read_text(path)
    if found:
        return Checked(path, text, None, None, None, found)
    lowered, diagnostics = read_plan(text, str(plan), sets)
    if lowered is None:
        return Checked(path, text, None, None, None, diagnostics)
    against = _unread(lowered, path)
    if against:
        return Checked(path, text, lowered, None, None, (*diagnostics, *against))
    try:
        lock, made = _lock(lowered, path, allow_code, make_lock, allow_pickle, progress)
    except Refused as refusal:
        return Checked(path, text, lowered, None, None, (*diagnostics, *refusal.diagnostics))
    lowered = completed(lowered, lock)
    stale = compare(lowered, lock, files_folder(lowered, path), allow_pickle)
    if any(d.severity == "error" for d in stale.found):
        return Checked(path, text, lowered, lock, None, (*diagnostics, *stale.found), made)
    if stale.other_weights:
        lock = lock.replaced(
            models=tuple(
                model.replaced(weights=None) if model.name in stale.other_weights else model for model in lock.models
            )
        )
    lowered, candidates = _candidates(lowered, lock, text, sets or {})
    transcript = Transcript() if cross_check else None
    report = prove(lowered, lock, transcript)
    everything = (*diagnostics, *stale.found, *report.diagnostics, *_recorded(lowered, lock, path.parent))
    ranges = () if report.failed else tuple(_ranges(lowered, lock, text, sets or {}))
    checked = Checked(path, text, lowered, lock, report, everything, made, ranges, candidates=candidates)
    return checked if transcript is None else _cross_checked(checked, transcript, progress)


def _cross_checked(checked: Checked, transcript: Transcript, progress: Progress) -> Checked:
    """Let z3 look at what the tiers said."""
    from surgery_dsl.proof.cross_check import cross_check

    progress(f"asking z3 about {len(transcript.entries)} verdicts")
    found = cross_check(transcript, str(checked.path))
    return replace(checked, cross_checked=found, diagnostics=(*checked.diagnostics, *found.disagreements))


def _ranges(plan: Plan, lock: Lock, text: str, sets: Mapping[str, str]) -> Iterator[tuple[Param, Covered]]:
    """Say of each param for how much of its values the plan is proved; of one that is searched, that is said apart."""
    search = search_of(plan)
    for param in plan.params:
        found = None
        if search is None or param.name not in search.over:
            found = covered(param, _reader(param, plan, lock, text, sets), lock)
        if found is not None:
            yield param, found


def _reader(param: Param, plan: Plan, lock: Lock, text: str, sets: Mapping[str, str]) -> Read:
    """Return what gives the plan at another value of a param."""

    def read(value: ParamValue) -> Plan | None:
        found, _ = read_plan(text, plan.file, {**sets, param.name: value_text(value)})
        return None if found is None else completed(found, lock)

    return read


# ---- searches ----------------------------------------------------------------------------------------------------


def _candidates(plan: Plan, lock: Lock, text: str, sets: Mapping[str, str]) -> tuple[Plan, Mapping[ParamValue, str]]:
    """Prove every candidate of an open search; return the plan at the first that is proved, and what is against each.

    Where ``--set`` gives the searched param a value, that is the plan.
    """
    search = open_search(plan)
    if search is None or any(name in sets for name in search.over):
        return plan, {}
    param = param_of(search, plan)
    read = _reader(param, plan, lock, text, sets)
    against = objections(param, read, lock)
    first = next((value for value, objection in against.items() if not objection), param.value)
    return (plan if first == param.value else read(first)) or plan, against


def files_folder(plan: Plan, path: Path) -> Path:
    """Return where the files that a plan names stand; only that of a search may be elsewhere."""
    if search_of(plan) is None:
        return path.parent
    from surgery_dsl.certificate.searched import folder_of  # few plans were searched

    return folder_of(plan, path)


def _unread(plan: Plan, path: Path) -> tuple[Diagnostic, ...]:
    """Return why the record of a search cannot be read."""
    if search_of(plan) is None:
        return ()
    from surgery_dsl.certificate.searched import unread  # few plans were searched

    return unread(plan, path)


def _recorded(plan: Plan, lock: Lock, folder: Path) -> tuple[Diagnostic, ...]:
    """Return what tells the record of a search from what the plan now does."""
    search = search_of(plan)
    if search is None or not search.record:
        return ()
    from surgery_dsl.certificate.searched import differences  # few plans were searched

    return differences(plan, lock, folder)


def _lock(
    plan: Plan, path: Path, allow_code: Iterable[str], make: bool, allow_pickle: bool, progress: Progress
) -> tuple[Lock, bool]:
    where = lock_path(path)
    try:
        return read_lock(where), False
    except FileNotFoundError:
        pass
    if not make:
        message = f"there is no lock file `{where.name}`"
        help_text = f"make it with `surgery-dsl lock {path}`"
        raise Refused(Diagnostic(trust.LOCK_MISSING, message, file=plan.file, help=help_text))
    from surgery_dsl.run.grants import collect
    from surgery_dsl.run.lock import make_lock, write_lock

    progress("tracing the network (there is no lock file yet)")
    write_lock(make_lock(plan, files_folder(plan, path), collect(allow_code), allow_pickle), where)
    return read_lock(where), True  # as it stands in the file, with the file's digest


@dataclass(frozen=True)
class Locked:
    """A lock that was made anew, or why it could not be: ``lock`` is ``None`` then."""

    path: Path
    text: str
    lock: Lock | None
    diagnostics: tuple[Diagnostic, ...]


def lock(
    plan: Path | str,
    *,
    sets: Mapping[str, str] | None = None,
    allow_code: Iterable[str] = (),
    progress: Progress = silent,
) -> Locked:
    """Trace the models of a plan and write its lock file, in place of an older one."""
    from surgery_dsl.run.grants import collect
    from surgery_dsl.run.lock import make_lock, write_lock

    path = Path(plan)
    text, found = read_text(path)
    if found:
        return Locked(lock_path(path), text, None, found)
    lowered, diagnostics = read_plan(text, str(plan), sets)
    if lowered is None:
        return Locked(lock_path(path), text, None, diagnostics)
    try:
        progress("tracing the network")
        made = make_lock(lowered, files_folder(lowered, path), collect(allow_code))
        write_lock(made, lock_path(path))
    except Refused as refusal:
        return Locked(lock_path(path), text, None, (*diagnostics, *refusal.diagnostics))
    return Locked(lock_path(path), text, made, diagnostics)
