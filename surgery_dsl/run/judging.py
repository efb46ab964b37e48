"""Checks a changed text in the place of a plan's, so that only edits are offered that were seen to work.

Nothing is written: where the plan had to be traced, an edited one is traced again and its lock is thrown away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.interface.staleness import compare, declared_model, lock_path, read_lock
from surgery_dsl.language.plan import Model, Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.proof.fixes import LARGE
from surgery_dsl.proof.mending import MOST_TRIED, Judged, mended
from surgery_dsl.run.completion import completed
from surgery_dsl.run.prepare import files_folder

if TYPE_CHECKING:
    from surgery_dsl.run.prepare import Checked


def with_fixes(
    checked: "Checked",
    file: str,
    sets: Mapping[str, str],
    allow_code: tuple[str, ...],
    make_lock: bool,
    allow_pickle: bool,
) -> "Checked":
    """Return what was checked with the edits that end its findings; the arguments are those of ``check``."""
    if not any(one.span is not None and one.severity != "note" for one in checked.diagnostics):
        return checked
    unlocked = make_lock and checked.plan is not None and checked.lock is None
    judge = Judge(
        path=checked.path,
        file=file,
        sets=sets,
        plan=checked.plan,
        lock=checked.lock,
        traces=checked.lock_made or (unlocked and not lock_path(checked.path).exists()),
        allow_code=allow_code,
        allow_pickle=allow_pickle,
    )
    judged = Judged(checked.plan, checked.diagnostics, checked.report is not None)
    large = checked.lock is not None and any(len(one.interface.operators) > LARGE for one in checked.lock.models)
    most = MOST_TRIED // 4 if large or judge.traces else MOST_TRIED
    found = mended(checked.text, judged, judge, most)
    report = checked.report
    if report is not None:  # what was found twice is told from what was not by being the same
        now = [found[checked.diagnostics.index(one)] for one in report.diagnostics if one in checked.diagnostics]
        report = replace(report, diagnostics=tuple(now))
    return replace(checked, diagnostics=found, report=report)


@dataclass(frozen=True)
class Judge:
    """Judges texts by one lock, or by tracing.

    Attributes:
        path: The plan's file.
        file: Its name in findings.
        sets: Values of params.
        plan: The plan as it is, where it could be read.
        lock: Its lock, where there is one.
        traces: Whether an edited plan may be traced where it needs that; granted code runs then.
        allow_code: Globs of user code that may run.
        allow_pickle: Whether weights may be a pickle.
    """

    path: Path
    file: str
    sets: Mapping[str, str]
    plan: Plan | None
    lock: Lock | None
    traces: bool
    allow_code: tuple[str, ...]
    allow_pickle: bool

    def __call__(self, text: str) -> Judged:
        """Check a text; findings are values, whatever it says."""
        plan, found = read_plan(text, self.file, self.sets)
        if plan is None:
            return Judged(None, found, False)
        try:
            lock = self._lock(plan)
        except Refused as refused:
            return Judged(plan, (*found, *refused.diagnostics), False)
        if lock is None:
            return Judged(plan, found, False)
        report = check(completed(plan, lock), lock, explain=False)
        return Judged(plan, (*found, *report.diagnostics), True)

    def _lock(self, plan: Plan) -> Lock | None:
        """Return the facts that an edited plan is checked with; ``None`` where there are none."""
        if self.lock is not None:
            known = _of_ranges(self.lock, self.plan, plan)
            return known if known is not None or not self.traces else self._traced(plan)
        if self.traces:
            return self._traced(plan)
        try:
            lock = read_lock(lock_path(self.path))
        except (FileNotFoundError, Refused):
            return None
        stale = compare(completed(plan, lock), lock, files_folder(plan, self.path), self.allow_pickle)
        return None if stale.found else lock

    def _traced(self, plan: Plan) -> Lock:
        from surgery_dsl.run.grants import collect
        from surgery_dsl.run.lock import make_lock

        return make_lock(plan, files_folder(plan, self.path), collect(self.allow_code), self.allow_pickle)


def _of_ranges(lock: Lock, before: Plan | None, after: Plan) -> Lock | None:
    """Return the facts of a plan that gives free sizes other ranges; ``None`` where more than that differs.

    What an operator requires of free sizes holds whatever their ranges are: a trace does not depend on them.
    """
    if before is None or before.data != after.data:
        return None
    if [_network(model) for model in before.models] != [_network(model) for model in after.models]:
        return None
    ranges = {model.name: {size.name: size for spec in model.inputs for size in spec.free} for model in after.models}
    return lock.replaced(
        models=tuple(
            one.replaced(
                interface=one.interface.replaced(
                    free=tuple(ranges[one.name].get(size.name, FreeSize(name=size.name)) for size in one.interface.free)
                )
            )
            for one in lock.models
        )
    )


def _network(model: Model) -> str:
    return declared_model(model.replaced(inputs=tuple(spec.replaced(free=()) for spec in model.inputs)))
