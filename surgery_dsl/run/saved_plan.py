"""Saved plans: what was reviewed, and nothing else, is what ``apply`` runs. No torch.

A saved plan is one JSON document: the plan's text, the values of its params, digests of everything that it rests on
(lock, sources of the structure, weights), the grants that it needs, and the preview that was reviewed. ``apply`` makes
the preview anew from what it finds; where anything differs, it stops before a weight is loaded.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import runs, trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.data import first_misfit
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Data
from surgery_dsl.interface.staleness import digest_of, lock_path, read_lock, weights_digest
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.preview import Preview, preview
from surgery_dsl.run.prepare import Checked
from surgery_dsl.run.release import tool_version
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.written import written

MAX_SAVED = 64 << 20
_NOTHING = "nothing"


class Pinned(Data):
    """A file and its SHA-256; the path is relative to the plan's folder."""

    path: str
    sha256: str


class SavedPlan(Data):
    """A plan as it was reviewed.

    Attributes:
        document: Says what this file is.
        format: Of the document.
        tool: Version of this program that made it.
        file: Where the plan stands, relative to the folder of this file.
        sha256: SHA-256 of the plan's text.
        text: The plan's lines.
        lock: SHA-256 of its lock, as it stands in the lock.
        sources: Files that define the structure of the models.
        weights: The models' weights: one digest for each model.
        sets: Values of params, as written after ``--set``.
        dtype: What floating-point tensors are turned into; empty leaves them.
        seed: Mixed into every seed of the plan.
        allow_undecided: Whether claims that no tier decides are put to the outcome that ``identify`` finds.
        grants: Code that the plan runs, ``module:function``: a grant must come from outside.
        preview: What was reviewed.
        digest: SHA-256 of all this without this entry.
    """

    document: Literal["surgery-dsl saved plan"] = "surgery-dsl saved plan"
    format: Literal["1"] = "1"
    tool: str
    file: str
    sha256: str
    text: tuple[str, ...]
    lock: str
    sources: tuple[Pinned, ...]
    weights: tuple[Pinned, ...]
    sets: dict[str, str]
    dtype: Literal["", "f16", "bf16", "f32", "f64"]
    seed: int
    allow_undecided: bool = False
    grants: tuple[str, ...]
    preview: Preview
    digest: str = ""

    def sealed(self) -> str:
        """Return the digest that the document must bear."""
        content = self.model_dump(mode="json", exclude={"digest"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


# ---- writing -----------------------------------------------------------------------------------------------------


def save(checked: Checked, seen: Preview, output: Path, settings: Settings) -> Path:
    """Write a plan that was checked without errors.

    Raises:
        Refused: The place is taken by another file, or cannot be written; weights or sources cannot be read.
    """
    assert checked.plan is not None
    assert checked.lock is not None
    if output.exists() and not is_saved(output):
        raise Refused(
            Diagnostic(
                runs.OUTPUT_IN_THE_WAY,
                f"`{output}` exists and is no saved plan, so it is not replaced",
                help="choose another file with `-o`, for example `plan.json`",
            )
        )
    folder = checked.folder
    document = SavedPlan(
        tool=tool_version(),
        file=Path(os.path.relpath(checked.path.resolve(), output.parent.resolve())).as_posix(),
        sha256=checked.plan.digest,
        text=tuple(checked.text.split("\n")),
        lock=checked.lock.digest,
        sources=tuple(_sources(checked.plan, checked.lock, folder)),
        weights=tuple(_weights(checked.plan, folder)),
        sets=dict(sorted(settings.sets.items())),
        dtype=settings.dtype,
        seed=settings.seed,
        allow_undecided=settings.allow_undecided,
        grants=tuple(sorted(_grants(checked.plan))),
        preview=seen,
    )
    document = document.replaced(digest=document.sealed())
    with written(output, checked.plan.file, "the place of `-o`"):
        output.write_text(json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return output


def _sources(plan: Plan, lock: Lock, folder: Path) -> Iterator[Pinned]:
    found = {source.path for model in plan.models for source in lock.model(model.name).sources}
    for path in sorted(found):
        yield Pinned(path=path, sha256=_digest(folder / path))


def _weights(plan: Plan, folder: Path) -> Iterator[Pinned]:
    for path in sorted({model.weights for model in plan.models if model.weights}):
        yield Pinned(path=path, sha256=_weights_digest(folder / path))


def _grants(plan: Plan) -> set[str]:
    found = {model.load.grant() for model in plan.models} | {data.load.grant() for data in plan.data}
    return found - {""}


def _digest(path: Path) -> str:
    """Return the digest of a file; a word where it is not there."""
    try:
        return digest_of(path)
    except OSError:
        return _NOTHING


def _weights_digest(path: Path) -> str:
    try:
        return weights_digest(path)
    except (OSError, Refused):
        return _NOTHING


# ---- reading -----------------------------------------------------------------------------------------------------


def is_saved(path: Path) -> bool:
    """Whether a file is JSON rather than a plan: no plan starts with a brace."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    except OSError:
        return False


def read_saved(path: Path) -> SavedPlan:
    """Read a saved plan.

    Raises:
        Refused: It is none, is of another format, or was changed after it was written.
    """
    try:
        if path.stat().st_size > MAX_SAVED:
            raise Refused(_unreadable(path, f"it is larger than {MAX_SAVED >> 20} MiB"))
        saved = SavedPlan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Refused(_unreadable(path, error.strerror or str(error))) from None
    except ValidationError as error:
        raise Refused(_unreadable(path, first_misfit(error))) from None
    if saved.digest != saved.sealed():
        raise Refused(_changed(path, saved, "it was changed after it was written", saved.digest, saved.sealed()))
    text = hashlib.sha256("\n".join(saved.text).encode()).hexdigest()
    if not text == saved.sha256 == saved.preview.plan:
        raise Refused(_changed(path, saved, "its text is not the plan that its digest is of", saved.sha256, text))
    return saved


def _unreadable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        trust.SAVED_PLAN_UNREADABLE,
        f"`{path.name}` is no saved plan: {why}",
        file=str(path),
        help="give what `surgery-dsl plan plan.surg -o FILE` wrote, or a `.surg` file",
    )


def _changed(path: Path, saved: SavedPlan, why: str, said: str, found: str) -> Diagnostic:
    return Diagnostic(
        trust.SAVED_PLAN_CHANGED,
        f"`{path.name}` is not as it was saved: {why}",
        file=str(path),
        facts={"saved": said, "found": found},
        notes=("what runs must be what was reviewed",),
        help=f"run `surgery-dsl plan {Path(saved.file).name} -o {path.name}` again and review it",
    )


# ---- is it still so? ---------------------------------------------------------------------------------------------


def settings_of(saved: SavedPlan, settings: Settings, path: Path) -> tuple[Settings, tuple[Diagnostic, ...]]:
    """Return the settings of a run of a saved plan, and what may not be set: it would run something else."""
    given = {
        **{f"--set {name}={value}": saved.sets.get(name) == value for name, value in settings.sets.items()},
        f"--dtype {settings.dtype}": settings.dtype in ("", saved.dtype),
        f"--seed {settings.seed}": settings.seed in (0, saved.seed),
        "--allow-undecided": settings.allow_undecided <= saved.allow_undecided,
        "--allow-pickle": not settings.allow_pickle,
    }
    found = tuple(
        Diagnostic(
            trust.SAVED_PLAN_FIXED,
            f"`{option}` would run something else than `{path.name}` says",
            file=str(path),
            help=f"leave it out, or run `surgery-dsl plan {Path(saved.file).name} -o {path.name}` with it",
        )
        for option, same in given.items()
        if not same
    )
    fixed = {name: getattr(saved, name) for name in ("sets", "dtype", "seed", "allow_undecided")}
    return settings.replaced(**fixed), found


def stale(saved: SavedPlan, path: Path, plan: Path, folder: Path) -> Iterator[Diagnostic]:
    """Yield what has changed of that which a saved plan was made from.

    Args:
        saved: The saved plan.
        path: Where it stands.
        plan: Where its plan stands.
        folder: Where the files that the plan names stand.
    """
    pins = [(f"the plan `{plan.name}`", saved.sha256, _digest(plan))]
    pins.append((f"the lock `{lock_path(plan).name}`", saved.lock, _lock_digest(plan)))
    pins += [
        (f"`{one.path}`, which builds the network,", one.sha256, _digest(folder / one.path)) for one in saved.sources
    ]
    pins += [(f"the weights `{one.path}`", one.sha256, _weights_digest(folder / one.path)) for one in saved.weights]
    for what, then, now in pins:
        if then != now:
            yield Diagnostic(
                trust.SAVED_PLAN_STALE,
                f"{what} changed since `{path.name}` was saved",
                file=str(path),
                facts={"saved": then, "found": now},
                notes=(f"saved was {then[:16]}, found is {now[:16]}",),
                help=f"run `surgery-dsl plan {plan.name} -o {path.name}` again and review it",
            )


def _lock_digest(plan: Path) -> str:
    try:
        return read_lock(lock_path(plan)).digest
    except (FileNotFoundError, Refused):
        return _NOTHING


def differs(saved: SavedPlan, path: Path, checked: Checked) -> tuple[Diagnostic, ...]:
    """Return what tells a saved plan from what would run, found by checking again; nothing where they agree."""
    if checked.plan is None or checked.lock is None or checked.report is None:
        return ()  # why there is no proof was said
    if (checked.plan.digest, checked.lock.digest) != (saved.sha256, saved.lock):
        why = "plan or lock changed while it was read"
        return (_changed(path, saved, why, saved.sha256, checked.plan.digest),)
    seen: dict[str, Any] = preview(checked.plan, checked.report, checked.lock).model_dump(mode="json")
    said = saved.preview.model_dump(mode="json")
    other = [name for name in seen if seen[name] != said[name]]
    if not other:
        return ()
    made = "" if saved.tool == tool_version() else f"; it was made by release {saved.tool}, this is {tool_version()}"
    why = f"its plan makes other {' and '.join(other)} than it shows{made}"
    digests = (hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest() for one in (said, seen))
    return (_changed(path, saved, why, *digests),)
