"""``plan``: what a plan would change, and saving that for ``apply``. No torch unless a lock must be made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.proof.preview import Preview, preview
from surgery_dsl.run.prepare import Checked, Progress, check, silent
from surgery_dsl.run.settings import Settings


@dataclass(frozen=True)
class Planned:
    """What a plan would do.

    Attributes:
        checked: What was proved.
        preview: What would change; ``None`` where it did not come to that.
        diagnostics: All findings.
        saved: The file that was written; ``None`` where none was.
    """

    checked: Checked
    preview: Preview | None
    diagnostics: tuple[Diagnostic, ...]
    saved: Path | None = None


def plan(
    plan: Path | str,
    output: Path | str | None = None,
    *,
    sets: Mapping[str, str] | None = None,
    allow_code: Iterable[str] = (),
    dtype: Literal["f16", "bf16", "f32", "f64"] | None = None,
    seed: int = 0,
    allow_undecided: bool = False,
    progress: Progress = silent,
) -> Planned:
    """Check a plan and say what it would change; save it for ``apply`` where ``output`` is given.

    Args:
        plan: Path of the ``.surg`` file.
        output: File to write: a saved plan, which ``apply`` runs as it is. Only a plan without errors is saved.
        sets: Values of params by name, as written after ``--set``.
        allow_code: Globs of user code that may run where a lock must be made.
        dtype: What ``apply`` of the saved plan turns floating-point tensors into.
        seed: What it mixes into every seed of the plan.
        allow_undecided: Whether it puts claims that no tier decides to the outcome that ``identify`` finds.
        progress: Called with a few words when long work starts.

    Returns:
        What was found; nothing is raised for what the plan, the lock or the files hold.
    """
    checked = check(plan, sets=sets, allow_code=allow_code, progress=progress)
    if allow_undecided:
        from surgery_dsl.run.assertions import admitted_checked

        checked = admitted_checked(checked)
    if checked.plan is None or checked.lock is None or checked.report is None:
        return Planned(checked, None, checked.diagnostics)
    seen = preview(checked.plan, checked.report, checked.lock)
    if output is None or any(found.severity is Severity.ERROR for found in checked.diagnostics):
        return Planned(checked, seen, checked.diagnostics)
    from surgery_dsl.run.saved_plan import save

    settings = Settings(sets=dict(sets or {}), dtype=dtype or "", seed=seed, allow_undecided=allow_undecided)
    try:
        saved = save(checked, seen, Path(output), settings)
    except Refused as refusal:
        return Planned(checked, seen, (*checked.diagnostics, *refusal.diagnostics))
    return Planned(checked, seen, checked.diagnostics, saved)
