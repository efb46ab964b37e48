"""Whether a plan can be followed out of core, and whether it has to be. No torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.safetensors_header import read_weights
from surgery_dsl.language.plan import Control, Excise, Expression, Identify, Plan, Step
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.sequence import shrinks
from surgery_dsl.run.settings import Settings

NEEDED = 2
"""In core, a run needs about this many times the weights: the network, and the base to compare with."""
_OVER_DATA = frozenset({"data", "gradients", "labels"})


def weights_of(plan: Plan) -> str:
    """Return where the patient's weights stand: where the plan says, else where its loader has them."""
    return plan.patient.weights or plan.patient.load.weights()


def obstacles(plan: Plan, folder: Path, settings: Settings) -> tuple[Diagnostic, ...]:
    """Return everything that keeps a plan from running out of core; nothing where it can."""
    found = [*_of_weights(plan, folder, settings)]
    for step in plan.steps:
        found += [_obstacle(plan, step, why, span) for why, span in _of_step(step)]
    return tuple(found)


def _of_weights(plan: Plan, folder: Path, settings: Settings) -> Iterator[Diagnostic]:
    patient = plan.patient
    span = patient.spans.get("weights", patient.span)
    weights = weights_of(plan)
    if not weights:
        text = f"`{patient.name}` has no `weights`, so there is no file to read from"
        yield _refusal(plan, text, "name its weights: a safetensors file, an index, or a directory of either", span)
    elif patient.target != "none":
        text = f"`target = {patient.target}` is tried by loading the whole result there"
        yield _refusal(plan, text, "write `target = none`", patient.spans.get("target", patient.span))
    elif settings.dtype:
        text = f"`--dtype {settings.dtype}` turns every tensor into another dtype"
        yield _refusal(plan, text, "leave `--dtype` out: tensors keep their dtypes", None)
    else:
        try:
            read_weights(folder / weights)
        except Refused as refused:
            first = refused.diagnostics[0].message
            yield _refusal(plan, f"its weights are no safetensors files: {first}", "write them as safetensors", span)


def _of_step(step: Step) -> Iterator[tuple[str, Span | None]]:
    """Yield why a step needs more than the structure and one tensor at a time, and where it says so."""
    if isinstance(step, Identify):
        if step.unit is not None and step.unit.name == "weights":
            yield "picks single weights, which needs all of them", step.spans.get("unit", step.span)
        if step.take is not None and step.take.silent_on() is not None:
            yield f"bounds the whole network for `{step.take.name}`", step.take.span or step.span
        for word in (step.by, step.take):
            if word is not None and word.card.needs & _OVER_DATA:
                yield f"runs the network on data for `{word.name}`", word.span or step.span
    elif isinstance(step, Excise):
        if not shrinks(step.mode):
            yield f"writes values with `{step.mode.name}`", step.mode.span or step.span
    elif isinstance(step, Control):
        for line in step.obligations:
            words = [r.word for side in _sides(line.statement) for r in readings(side)]
            costly = next((word for word in words if not word.static or word.name == "nonzero"), None)
            if line.verb in ("measure", "certify") and costly is not None:
                does = "measures" if line.verb == "measure" else "certifies"
                yield f"{does} `{costly.name}`, which runs or reads the whole network", line.span
    elif step.block == "replace":
        yield "replaces modules, whose new values are not read tensor by tensor", step.span
    else:
        yield f"is a `{step.block}`, which needs the whole network", step.span


def _sides(statement: object) -> Iterator[Expression]:
    for side in ("left", "right"):
        expression = getattr(statement, side, None)
        if expression is not None:
            yield expression


def _obstacle(plan: Plan, step: Step, why: str, span: Span | None) -> Diagnostic:
    return _refusal(plan, f"`{step.name}` {why}", f"leave `{step.name}` to a plan of its own, run in core", span)


def _refusal(plan: Plan, why: str, fix: str, span: Span | None) -> Diagnostic:
    return Diagnostic(
        runs.NOT_OUT_OF_CORE,
        f"this cannot run out of core: {why}",
        file=plan.file,
        span=span,
        notes=("out of core, structure is cut from files; no tensor but one is ever in memory",),
        help=fix,
    )


def too_large(plan: Plan, folder: Path) -> bool:
    """Whether a run in core would need more memory than there is."""
    weights = weights_of(plan)
    if not weights:
        return False
    try:
        size = read_weights(folder / weights).size
    except Refused:
        return False
    return NEEDED * size > available()


def available() -> int:
    """Return the bytes of memory that the system could give without swapping; plenty where it does not say."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 1 << 62
