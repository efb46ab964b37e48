"""Does a step that an identity calls exact leave the function as it was, on these weights?

The network runs before and after the step on the same inputs, in float64. What the step wrote is stored in the
network's own dtype, so that each entry is rounded once: how much such roundings move the outputs is measured, by moving
the entries by one unit roundoff up or down at random. A difference that they do not explain is a defect.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.bounds.rounding import U64
from surgery_dsl.evidence.identities._identity import find
from surgery_dsl.language.plan import Block
from surgery_dsl.run import self_check
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.probe import probe_inputs
from surgery_dsl.run.session import Session
from surgery_dsl.trace.caches import fresh_caches
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._inputs import corners

EXAMPLES = 64
"""On how many inputs the networks run."""

MOST_BYTES = 1 << 30
"""The largest copy of a network in float64; above it networks run in their own dtype."""

SLACK = 32.0
"""How many times the effect of random roundings may be reached: those that were drawn are not the worst."""

SUMS = 1e-9
"""What other orders of sums may change in float64, relative to the greatest output."""

COARSE = 1e-3
"""From which share of the greatest output on what rounding explains is told beside a difference."""

DRAWS = 2
"""How often roundings are drawn."""


@final
@dataclass(frozen=True)
class Reference:
    """What a network gave before a step: its outputs, on which inputs, and whether it ran in float64."""

    inputs: Mapping[str, Tensor]
    outputs: list[Tensor]
    wide: bool


@final
@dataclass(frozen=True)
class Found:
    """How far the outputs moved, relative to the greatest of them, and how far roundings may move them.

    Attributes:
        difference: The greatest difference of an output entry.
        allowed: What is explained by rounding.
        examples: On how many inputs.
        wide: Whether the networks ran in float64.
    """

    difference: float
    allowed: float
    examples: int
    wide: bool

    @property
    def holds(self) -> bool:
        """Whether rounding explains the difference; never of NaN."""
        return self.difference <= self.allowed

    def said(self) -> str:
        """Return the difference, the number of inputs, and what rounding explains where the dtype is a narrow one."""
        said = f"{self.difference:.1e} on {self.examples} inputs"
        if not self.wide:
            said += ", in the network's own dtype"
        return said + (f"; rounding explains up to {self.allowed:.1e}" if self.allowed > COARSE else "")


def reference(session: Session, effect: Effect, evidence: RunEvidence) -> Reference | None:
    """Run the network before an exact step; ``None`` where nothing is claimed or values stay in files."""
    if effect.function != "exact" or not effect.changed or not session.holds_values:
        return None
    with evidence.phase("exactness"):
        inputs = _inputs(session, effect)
        found = _in_float64(session, inputs)
        if found is not None:
            return Reference(inputs, found.outputs, True)
        return Reference(inputs, _as_it_is(session, inputs), False)


def refuse_other(session: Session, step: Block, effect: Effect, before: Reference, evidence: RunEvidence) -> None:
    """Refuse an exact step that has changed what the network computes, and record one that has not.

    Raises:
        Refused: With SD909.
    """
    with evidence.phase("exactness"):
        found = compare(session, before, effect)
    if not found.holds:
        raise Refused(
            Diagnostic(
                defects.NOT_EXACT,
                f"`{step.name}` was to keep the function ({effect.reason}), and the outputs differ by "
                f"{found.difference:.1e} of the greatest; rounding explains {found.allowed:.1e}",
                file=session.file,
                span=step.span,
                facts={"inputs": found.examples},
                help="this is a defect of surgery-dsl, not of your plan; please report it",
            )
        )
    where = f" for {effect.region.said()}" if isinstance(effect.region, Region) else ""
    why = find(effect.rule).title if effect.rule else effect.reason
    statement = f"the function is kept{where} ({why}), checked numerically"
    method = "float64" if found.wide else "the network's own dtype"
    evidence.note_always("exact", statement, method, step.name, found.said())


def compare(session: Session, before: Reference, effect: Effect) -> Found:
    """Run the network after the step, and compare.

    Args:
        session: The run; its network is the one after the step, its interface may be the one before.
        before: What the network gave before.
        effect: What the step says it wrote.
    """
    examples = len(next(iter(before.inputs.values())))
    if not before.wide:
        gap = _gap(_as_it_is(session, before.inputs), before.outputs)
        return Found(gap, self_check.limit(session.model), examples, False)
    written = {effect.renamed.get(name, name) for name in effect.writes} | effect.creates
    now = _in_float64(session, before.inputs, written)
    if now is None:  # it ran before: another forward fails for reasons of its own
        return Found(float("inf"), 0.0, examples, True)
    return Found(_gap(now.outputs, before.outputs), SUMS + SLACK * now.noise, examples, True)


# ---- inputs ------------------------------------------------------------------------------------------------------


def _inputs(session: Session, effect: Effect) -> Mapping[str, Tensor]:
    """Return examples of the plan's data; of a region, points of it and corners."""
    if not isinstance(effect.region, Region):
        return probe_inputs(session, EXAMPLES)
    low, high = corners(effect.region, session)[:, :, 0]
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(0, len(low), (EXAMPLES,), generator=generator)
    low, high = low[chosen], high[chosen]
    share = torch.rand(low.shape, generator=generator, dtype=torch.float64)
    share[EXAMPLES // 2 :] = share[EXAMPLES // 2 :].round()  # corners
    name = session.interface.inputs[0].name
    return {name: (low + share * (high - low)).clamp(low, high).to(session.device)}


# ---- runs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    outputs: list[Tensor]
    noise: float


def _as_it_is(session: Session, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    own = next((p.dtype for p in session.model.parameters() if p.is_floating_point()), torch.float32)
    given = {name: value.to(own) if value.is_floating_point() else value for name, value in inputs.items()}
    with _repeatable(session), session.looking("while an exact step was checked"):
        return [one.double() for one in self_check.promised(session, session.run(session.model, given))]


def _in_float64(session: Session, inputs: Mapping[str, Tensor], written: set[str] | None = None) -> _Run | None:
    """Run a copy in float64, and once more for each draw of roundings; ``None`` where it is too large or cannot run."""
    model = session.model
    every = [*model.parameters(), *model.buffers()]
    if sum(one.numel() for one in every) * 8 > MOST_BYTES:
        return None
    given = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    units = {name: torch.finfo(value.dtype).eps / 2 for name, value in _floats(model)}
    try:
        copy = deepcopy(model).double().eval()
        with _repeatable(session), fresh_caches(copy), _Narrowest() as seen:
            outputs = self_check.promised(session, session.run(copy, given))
        if written is None:
            return _Run(outputs, 0.0)
        moved = {name: units[name] for name in units if name in written}
        if seen.unit > U64:
            moved = {name: max(unit, seen.unit) for name, unit in units.items()}
        noise = 0.0
        for draw in range(DRAWS if moved else 0):
            with _repeatable(session), _rounded(copy, moved, draw), fresh_caches(copy):
                noise = max(noise, _gap(self_check.promised(session, session.run(copy, given)), outputs))
    except (RuntimeError, TypeError):  # a forward that makes tensors of one dtype, or a module that cannot be copied
        return None
    return _Run(outputs, noise)


def _floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield all floating-point tensors under all their names."""
    for own in (model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        yield from ((name, value) for name, value in own if value.is_floating_point())


@contextmanager
def _rounded(model: nn.Module, units: Mapping[str, float], seed: int) -> Iterator[None]:
    """Move entries of some tensors by one unit roundoff, up or down at random, for the time being."""
    generator = torch.Generator().manual_seed(seed)
    kept: dict[int, tuple[Tensor, Tensor]] = {}
    for name, value in _floats(model):
        if name in units and id(value) not in kept:
            kept[id(value)] = (value, value.detach().clone())
            signs = torch.randint(0, 2, value.shape, generator=generator).to(value.device) * 2 - 1
            value.data.mul_(1 + units[name] * signs)
    try:
        yield
    finally:
        for value, old in kept.values():
            value.data.copy_(old)


@contextmanager
def _repeatable(session: Session) -> Iterator[None]:
    """Run without gradients, and let what is drawn in a forward be the same each time."""
    with torch.no_grad(), session.deterministic(), torch.random.fork_rng(devices=session.cuda_devices):
        torch.manual_seed(0)
        yield


class _Narrowest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the coarsest dtype that a forward computes in: some cast to float32 whatever they get."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unit = U64

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, Tensor) and one.is_floating_point() and one.numel():
                self.unit = max(self.unit, torch.finfo(one.dtype).eps / 2)
        return result


def _gap(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the greatest difference of an entry, relative to the greatest entry of its output; NaN and ∞ equal."""
    if len(found) != len(wanted):
        return float("inf")
    return max((_one_gap(a, b) for a, b in zip(found, wanted, strict=True)), default=0.0)


def _one_gap(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return 0.0 if bool((found == wanted).all()) else float("inf")
    a, b = found.double(), wanted.double()
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, torch.zeros_like(a), (a - b).abs())
    most = float(gap.max()) if gap.numel() else 0.0
    scale = float(b[torch.isfinite(b)].abs().max()) if bool(torch.isfinite(b).any()) else 0.0
    return most if not scale else most / scale
