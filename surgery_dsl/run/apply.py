"""``apply``: a plan on a trained network, all of it or nothing. Importing this loads no torch."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from surgery_dsl.certificate.signing import read_signing_key
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.shards import SHARD_SIZE
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.searching import search_of
from surgery_dsl.run.assertions import admitted_checked
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.output_place import in_the_way
from surgery_dsl.run.prepare import Checked, check, files_folder
from surgery_dsl.run.saved_plan import SavedPlan, differs, is_saved, read_saved, settings_of, stale
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.streaming.eligible import obstacles, too_large

Progress = Callable[[str, int, int], None]

_SAME = (
    *("device", "seed", "force", "strict", "allow_undecided", "measure_latency", "allow_pickle", "out_of_core"),
    *("shard_size", "certify_seconds", "witness"),
)
"""Options of :func:`apply` that are settings as they are."""


def silent(_text: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def apply(
    plan: Path | str,
    output: Path | str | None = None,
    *,
    sets: Mapping[str, str] | None = None,
    allow_code: Iterable[str] = (),
    device: str = "auto",
    dtype: Literal["f16", "bf16", "f32", "f64"] | None = None,
    seed: int = 0,
    dry_run: bool = False,
    force: bool = False,
    strict: bool = False,
    allow_undecided: bool = False,
    measure_latency: bool = False,
    allow_pickle: bool = False,
    out_of_core: bool | None = None,
    shard_size: int = SHARD_SIZE,
    certify_seconds: float = 10.0,
    witness: Path | str | None = None,
    sign: Path | str | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Execute a plan: prove, load, operate, train, measure, write, and reload in a clean process.

    Args:
        plan: Path of the ``.surg`` file, or of a saved plan: that runs as it was reviewed, or not at all, and takes
            neither ``sets`` nor another ``dtype`` or ``seed``.
        output: Directory to write. ``None`` executes everything and writes nothing.
        sets: Values of params by name, as written after ``--set``.
        allow_code: Globs of user code that may run.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        dtype: What floating-point tensors are turned into before the first step; ``None`` leaves them.
        seed: Mixed into every seed of the plan.
        dry_run: Stop after the proof.
        force: Replace an earlier result at ``output``.
        strict: Let warnings refuse the plan.
        allow_undecided: Put claims that no tier decides to the outcome that ``identify`` finds, before a tensor is cut.
        measure_latency: Time forwards, and watch their memory, where the plan does not ask.
        allow_pickle: Read weights that are a pickle.
        out_of_core: Whether weights stay in files and are cut there; ``None``: where free memory is short for them.
        shard_size: Bytes of tensors that one file of the result may hold; larger results are divided.
        certify_seconds: Wall time for cutting the boxes of one ``certify`` line, where they have few dimensions.
        witness: File for the worst input where a ``certify`` line does not pass, for :func:`surgery_dsl.replay`.
        sign: Private key that signs the certificate; read before the run, and once more at its end.
        progress: Hears a few words, how much is done, and of how much (0 where that is not known).

    Returns:
        What came of it. Findings of the plan, its files and the run are in it as diagnostics; then nothing was written.

    Raises:
        KeyboardInterrupt: As it comes; nothing is left behind.
    """
    same = {name: value for name, value in locals().items() if name in _SAME}
    settings = Settings(
        dtype=dtype or "", sets=dict(sets or {}), allow_code=tuple(allow_code), sign=str(sign or ""), **same
    )
    run = _apply_saved if is_saved(Path(plan)) else _apply
    return run(plan, None if output is None or dry_run else Path(output), settings, dry_run, progress)


def attempt(plan: Path | str, place: Path, settings: Settings, progress: Progress, value: Mapping[str, str]) -> Outcome:
    """Run a plan whose search is open with one candidate: as :func:`apply`, the result of no use but to the search."""
    settings = settings.replaced(sets={**settings.sets, **value})
    return _apply(plan, place, settings, dry_run=False, progress=progress, searching=True)


def _apply_saved(
    document: Path | str, place: Path | None, settings: Settings, dry_run: bool, progress: Progress
) -> Outcome:
    """Run a saved plan where nothing has changed since it was reviewed."""
    path = Path(document)
    try:
        saved = read_saved(path)
    except Refused as refusal:
        return Outcome(Checked(path, "", None, None, None, refusal.diagnostics), (), refusal.diagnostics)
    plan = path.parent / saved.file
    settings, found = settings_of(saved, settings, path)
    lowered, _ = read_plan("\n".join(saved.text), str(plan), saved.sets)
    folder = plan.parent if lowered is None else files_folder(lowered, plan)
    found += tuple(stale(saved, path, plan, folder))
    if found:
        return Outcome(Checked(plan, "", None, None, None, found), (), found)
    return _apply(plan, place, settings, dry_run, progress, (saved, path))


def _apply(
    plan: Path | str,
    place: Path | None,
    settings: Settings,
    dry_run: bool,
    progress: Progress,
    reviewed: tuple[SavedPlan, Path] | None = None,
    *,
    searching: bool = False,
) -> Outcome:
    checked = check(
        plan,
        sets=settings.sets,
        allow_code=settings.allow_code,
        make_lock=reviewed is None,
        allow_pickle=settings.allow_pickle,
        progress=lambda text: progress(text, 0, 0),
    )
    if settings.allow_undecided:
        checked = admitted_checked(checked)
    verdicts = checked.report.verdicts if checked.report is not None else ()
    found = list(checked.diagnostics)
    if checked.plan is None or checked.lock is None:
        return Outcome(checked, verdicts, tuple(found))
    if reviewed is not None:
        found += differs(*reviewed, checked)
    found += _beforehand(checked, place, settings)
    if not searching:
        found += _searched(checked, settings)
    streamed, against = _streamed(checked.plan, checked.folder, settings)
    found += against
    refused = _refused(found, settings) and not _only_weights_are_new(checked, found)
    if refused or dry_run:
        return Outcome(checked, verdicts, tuple(found))
    return (_execute_streamed if streamed else _execute)(checked, place, settings, progress)


def _streamed(plan: Plan, folder: Path, settings: Settings) -> tuple[bool, tuple[Diagnostic, ...]]:
    """Return whether to run out of core, and what keeps the plan from it where that was asked for."""
    if settings.out_of_core is None and (settings.device.startswith("cuda") or not too_large(plan, folder)):
        return False, ()
    if settings.out_of_core is False:
        return False, ()
    found = obstacles(plan, folder, settings)
    return not found, found if settings.out_of_core else ()


def _execute_streamed(checked: Checked, place: Path | None, settings: Settings, progress: Progress) -> Outcome:
    progress("loading torch", 0, 0)
    from surgery_dsl.run.streaming.execute import execute_streamed

    return execute_streamed(checked, place, settings, progress)


def _execute(checked: Checked, place: Path | None, settings: Settings, progress: Progress) -> Outcome:
    from surgery_dsl.run.reload import Reloader

    with Reloader() as reloader:  # it imports torch in its process while this one does
        progress("loading torch", 0, 0)
        from surgery_dsl.run.execute import execute

        return execute(checked, place, settings, progress, reloader)


def _refused(found: Iterable[Diagnostic], settings: Settings) -> bool:
    bad = {Severity.ERROR, Severity.WARNING} if settings.strict else {Severity.ERROR}
    return any(diagnostic.severity in bad for diagnostic in found)


def _only_weights_are_new(checked: Checked, found: list[Diagnostic]) -> bool:
    """Whether what stands against a plan may vanish once its new weights are read: facts of them were unknown."""
    if checked.plan is None or checked.lock is None or checked.report is None:
        return False
    named = {model.name for model in checked.plan.models if model.weights}
    unknown = any(model.weights is None and model.name in named for model in checked.lock.models)
    errors = [diagnostic for diagnostic in found if diagnostic.severity is Severity.ERROR]
    return unknown and all(diagnostic in checked.report.diagnostics for diagnostic in errors)


def _searched(checked: Checked, settings: Settings) -> tuple[Diagnostic, ...]:
    """Return what keeps a plan with a search from running: it is open, or would run otherwise than it was made."""
    plan, path = checked.plan, checked.path
    if plan is None or (search := search_of(plan)) is None:
        return ()
    if search.record:
        from surgery_dsl.certificate.searched import settings_apart  # few plans were searched

        return settings_apart(plan, path.parent, settings.dtype, settings.seed)
    return (
        Diagnostic(
            runs.SEARCH_OPEN,
            f"`{search.name}` has not chosen `{', '.join(search.over)}` yet",
            file=plan.file,
            span=search.span,
            help=f"run `surgery-dsl search {path.name} -o found/`, then `surgery-dsl apply found/plan.surg`",
        ),
    )


def _beforehand(checked: Checked, place: Path | None, settings: Settings) -> list[Diagnostic]:
    """Return what can be said against a run before anything is loaded."""
    plan, path = checked.plan, checked.path
    assert plan is not None
    found: list[Diagnostic] = []
    if settings.sign:
        try:
            read_signing_key(Path(settings.sign))
        except Refused as refused:
            found += refused.diagnostics
    if place is not None:
        inputs = [path, *(checked.folder / model.weights for model in plan.models if model.weights)]
        taken = in_the_way(place, settings.force, inputs)
        if taken is not None:
            found.append(taken)
    return found
