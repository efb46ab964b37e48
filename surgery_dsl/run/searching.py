"""``search``: tries the candidates of a plan in their order, and writes the plan that they lead to. No torch here.

Every candidate is a whole run in a place that is thrown away. What is kept is what became of it: the record that the
plan names from then on, so that the data which chose can be evidence all the same.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surgery_dsl.certificate.evidence import StatisticalEvidence
from surgery_dsl.certificate.search_record import RECORD, CandidateResult, LineResult, SearchRecord
from surgery_dsl.certificate.searched import blocks_of, facts_of
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.statistics.choice import tested
from surgery_dsl.language.params import quoted, value_text
from surgery_dsl.language.plan import ParamValue, Plan, Search
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof import statistical
from surgery_dsl.proof.searching import open_search, param_of
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.run.apply import Progress, attempt, silent
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.output_place import in_the_way
from surgery_dsl.run.prepare import Checked, check
from surgery_dsl.run.release import tool_version
from surgery_dsl.run.resolving import resolved
from surgery_dsl.run.settings import Settings

PLAN, LOCK = "plan.surg", "plan.surg.lock"

ENDINGS = frozenset(
    {
        *(runs.GATE_FAILED, runs.GATE_TOO_WEAK, runs.WITNESS_FOUND, runs.BOUND_TOO_WIDE, runs.NOT_CERTIFIED),
        *(runs.LOSS_NOT_FINITE, runs.OUTPUTS_NOT_FINITE, runs.NOTHING_CHANGED, runs.CONSTANT_LEAK),
        *(runs.ASSERTION_FAILED, runs.ZERO_BASELINE),
    }
)
"""Findings that speak against a candidate. Any other ends the search without an answer: files, devices, code, data."""


_SAME = ("device", "seed", "force", "allow_pickle", "certify_seconds")
"""Options of :func:`search` that are settings as they are."""


@dataclass(frozen=True)
class Searched:
    """What came of a search.

    Attributes:
        checked: What was known of the plan before anything ran.
        diagnostics: All findings.
        candidates: What became of each candidate, in their order, as far as the search came.
        found: The value that was chosen, ``None`` where there is none.
        output: The folder that was written; ``None`` where nothing was.
    """

    checked: Checked
    diagnostics: tuple[Diagnostic, ...]
    candidates: tuple[CandidateResult, ...] = ()
    found: str | None = None
    output: Path | None = None


def search(
    plan: Path | str,
    output: Path | str,
    *,
    sets: Mapping[str, str] | None = None,
    allow_code: Iterable[str] = (),
    device: str = "auto",
    dtype: Literal["f16", "bf16", "f32", "f64"] | None = None,
    seed: int = 0,
    force: bool = False,
    allow_pickle: bool = False,
    certify_seconds: float = 10.0,
    progress: Progress = silent,
) -> Searched:
    """Choose the value that a plan's ``search`` asks for, and write the plan with it, its lock and a record.

    Candidates that a proof refuses, or leaves undecided, are not tried. The others run as ``apply`` would run them,
    each from the same base, in the order of the plan.

    Args:
        plan: Path of the ``.surg`` file.
        output: Folder to write. The plan in it reads its files from the folder of ``plan``.
        sets: Values of other params by name, as written after ``--set``; they become defaults of the written plan.
        allow_code: Globs of user code that may run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        dtype: What floating-point tensors are turned into; ``apply`` of the written plan needs the same.
        seed: Mixed into every seed of the plan; ``apply`` of the written plan needs the same.
        force: Replace an earlier search at ``output``.
        allow_pickle: Read weights that are a pickle.
        certify_seconds: Wall time for cutting the boxes of one ``certify`` line.
        progress: Hears a few words, how much is done, and of how much (0 where that is not known).

    Returns:
        What came of it. Where no candidate passes, or anything else is wrong, nothing was written.

    Raises:
        KeyboardInterrupt: As it comes; nothing is left behind.
    """
    options = locals()  # most are settings of the same name
    same = {name: options[name] for name in _SAME}
    settings = Settings(dtype=dtype or "", sets=dict(sets or {}), allow_code=tuple(allow_code), **same)
    return _search(plan, Path(output), settings, progress)


def _search(plan: Path | str, place: Path, settings: Settings, progress: Progress) -> Searched:
    checked = check(
        plan,
        sets=settings.sets,
        allow_code=settings.allow_code,
        allow_pickle=settings.allow_pickle,
        progress=lambda text: progress(text, 0, 0),
    )
    found = [*checked.diagnostics, *_beforehand(checked, place, settings)]
    if any(finding.severity is Severity.ERROR for finding in found) or checked.plan is None:
        return Searched(checked, tuple(found), _refused(checked))
    made = _Search(checked, settings, progress)
    try:
        return made.go(place, found)
    except Refused as refused:
        return Searched(checked, (*found, *refused.diagnostics), made.results())


def _beforehand(checked: Checked, place: Path, settings: Settings) -> list[Diagnostic]:
    """Return what can be said against a search before anything runs."""
    if checked.plan is None or checked.lock is None:
        return []
    plan, asked = checked.plan, open_search(checked.plan)
    found: list[Diagnostic] = []
    if asked is None:
        text, fix = "the plan has no `search` that is still to be made", "run `surgery-dsl apply` on it"
        found.append(Diagnostic(budgets.SEARCH_DOES_NOT_FIT, text, file=plan.file, span=plan.patient.span, help=fix))
    elif any(name in settings.sets for name in asked.over):
        text = f"`--set {asked.over[0]}={settings.sets[asked.over[0]]}`: `{asked.name}` chooses this value"
        fix = "leave `--set` out, or take the `search` block out of the plan"
        found.append(Diagnostic(budgets.SEARCH_DOES_NOT_FIT, text, file=plan.file, span=asked.span, help=fix))
    inputs = [checked.path, *(checked.folder / model.weights for model in plan.models if model.weights)]
    taken = in_the_way(place, settings.force, inputs, "search")
    return found if taken is None else [*found, taken]


def _refused(checked: Checked) -> tuple[CandidateResult, ...]:
    """Return the candidates that a proof refuses."""
    against = checked.candidates.items()
    return tuple(CandidateResult(value=value_text(v), verdict="refused", reason=text) for v, text in against if text)


class _Search:
    """One search. Final."""

    def __init__(self, checked: Checked, settings: Settings, progress: Progress) -> None:
        assert checked.plan is not None
        asked = open_search(checked.plan)
        assert asked is not None
        self.plan: Plan = checked.plan
        self.asked: Search = asked
        self.checked, self.settings, self.progress = checked, settings, progress
        self.param = param_of(asked, checked.plan)
        self.done: dict[str, CandidateResult] = {one.value: one for one in _refused(checked)}
        self.last: Outcome | None = None

    def go(self, place: Path, found: list[Diagnostic]) -> Searched:
        """Try the candidates that are proved, and write what they lead to."""
        proved = [value for value, objection in self.checked.candidates.items() if not objection]
        beside = next(parent for parent in place.absolute().parents if parent.is_dir())  # the disk that results go to
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=beside) as folder:
            outcomes = list(tested(proved, lambda one: self._passes(one, Path(folder)), stops=self.asked.by.stops))
        accepted = [value for value, passed in outcomes if passed]
        if not accepted:
            return Searched(self.checked, (*found, *self._nothing()), self.results())
        self._write(place, accepted[-1])
        return Searched(self.checked, tuple(found), self.results(), value_text(accepted[-1]), place)

    def results(self) -> tuple[CandidateResult, ...]:
        """Return what became of each candidate so far."""
        values = (value_text(choice) for choice in self.param.choices)
        return tuple(self.done.get(value) or CandidateResult(value=value, verdict="not tested") for value in values)

    # ---- one candidate -------------------------------------------------------------------------------------------

    def _passes(self, candidate: ParamValue, folder: Path) -> bool:
        """Run one candidate in a place that is thrown away.

        Raises:
            Refused: Something else than the candidate is at fault.
        """
        value = value_text(candidate)
        choices = self.param.choices
        head = f"{self.param.name} = {value} ({choices.index(candidate) + 1} of {len(choices)})"

        def tell(text: str, done: int, total: int) -> None:
            self.progress(f"{head}: {text}", done, total)

        with tempfile.TemporaryDirectory(dir=folder) as place:
            result = Path(place) / "result"
            outcome = attempt(self.checked.path, result, self.settings, tell, {self.param.name: value})
        self.last = outcome
        errors = [finding for finding in outcome.diagnostics if finding.severity is Severity.ERROR]
        other = [finding for finding in errors if finding.code not in ENDINGS]
        if other:
            raise Refused(*other)
        lines = tuple(_lines(outcome, self.plan))
        self.done[value] = CandidateResult(
            value=value,
            verdict=_verdict(errors),
            reason=errors[0].message if errors else "",
            lines=lines,
        )
        return not errors

    def _nothing(self) -> tuple[Diagnostic, ...]:
        """Return why there is no answer: what the last candidate failed by, and that it was the last."""
        assert self.last is not None
        errors = tuple(one for one in self.last.diagnostics if one.severity is Severity.ERROR)
        weak = all(one.code.exit_code == runs.UNDECIDED for one in errors)
        tried = [one for one in self.results() if one.verdict not in ("refused", "not tested")]
        names = ", ".join(one.value for one in tried)
        last = Diagnostic(
            runs.NO_CANDIDATE,
            f"no candidate for `{self.param.name}` passes; tried: {names}",
            file=self.plan.file,
            span=self.asked.span,
            facts={"tried": len(tried), "candidates": len(self.param.choices)},
            help=f"begin the list of `{self.param.name}` with a safer value, or give the lines more data",
            severity_override=Severity.NOTE if weak else None,
        )
        return (*errors, last)

    # ---- the answer ----------------------------------------------------------------------------------------------

    def _write(self, place: Path, value: ParamValue) -> None:
        """Write the plan with the value that was found, its lock, and the record; whole or not at all."""
        from surgery_dsl.run.lock import write_lock
        from surgery_dsl.run.write import staged

        assert self.checked.lock is not None
        values = {param.name: quoted(param.value) for param in self.plan.params if param.name in self.settings.sets}
        values[self.param.name] = quoted(value)
        text = resolved(self.checked.text, self.asked.name, values, RECORD, self.checked.path.name)
        file = str(place / PLAN)
        written, against = read_plan(text, file)
        if written is None:
            raise Refused(*against)
        with staged(place, self.settings.force, self.plan.file, "search") as folder:
            record = self._record(written, value_text(value), place)
            (folder / RECORD).write_bytes(record.written())
            (folder / PLAN).write_text(text, encoding="utf-8", newline="")
            write_lock(self.checked.lock, folder / LOCK)

    def _record(self, written: Plan, found: str, place: Path) -> SearchRecord:
        assert self.checked.lock is not None
        folder = os.path.relpath(self.checked.folder.resolve(), place.resolve())
        return SearchRecord(
            tool=tool_version(),
            folder=Path(folder).as_posix(),
            search=self.asked.name,
            method=self.asked.by.name,
            param=self.param.name,
            order=tuple(value_text(choice) for choice in self.param.choices),
            found=found,
            candidates=self.results(),
            dtype=self.settings.dtype,
            seed=self.settings.seed,
            **facts_of(self.checked.lock),
            blocks=blocks_of(written),
        ).sealed()


def _verdict(errors: list[Diagnostic]) -> Literal["accepted", "failed", "too weak"]:
    if not errors:
        return "accepted"
    return "too weak" if all(one.code.exit_code == runs.UNDECIDED for one in errors) else "failed"


def _lines(outcome: Outcome, plan: Plan) -> Iterable[LineResult]:
    """Yield what the lines with confidence came to."""
    assert outcome.checked.lock is not None
    facts = {one.name: one for one in outcome.checked.lock.data}
    asked = {(control.name, line.text): line for control, line in statistical.lines(plan)}
    claims = () if outcome.predicate is None else outcome.predicate.claims.measured
    items = {
        (claim.step, claim.statement): claim.evidence.items
        for claim in claims
        if isinstance(claim.evidence, StatisticalEvidence)
    }
    for verdict in outcome.verdicts:
        key = verdict.block, verdict.text
        if key in asked and verdict.status in ("passed", "failed", "too weak") and verdict.value:
            risk = statistical.risk(statistical.form_of(asked[key], facts, plan.file), plan)
            yield _line(verdict, str(risk), items.get(key, ""))


def _line(verdict: Verdict, risk: str, items: str) -> LineResult:
    assert verdict.status in ("passed", "failed", "too weak")
    return LineResult(
        block=verdict.block,
        text=verdict.text,
        status=verdict.status,
        count=int(verdict.facts["n"]),
        risk=risk,
        bound=verdict.value,
        limit=verdict.limit,
        margin=verdict.margin,
        items=items,
    )
