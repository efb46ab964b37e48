"""Which layer hurts: how far each layer's weights and its output moved, and what that costs, to first order."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.distance import Place, aligned, follow, moved
from surgery_dsl.evidence.metrics import Batches, Forward, evaluating
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.flow import CHANNELS_SECOND, NORMS, WEIGHTED, weight_position
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.kernels.differences import Distance
from surgery_dsl.modules.insertion import listening


@final
@dataclass(frozen=True)
class Pair:
    """A layer of the base and what it is now.

    Attributes:
        path: Its path in the base.
        now: Its path now.
        dim: The dimension of its output that its units lie along.
        kept: Which unit of the base each present one is; ``None`` where they are the same.
    """

    path: str
    now: str
    dim: int
    kept: tuple[int, ...] | None = None


@final
@dataclass(frozen=True)
class Moved:
    """How far the output of a layer moved on data.

    Attributes:
        relative: √(Σ‖h′ − h‖² / Σ‖h‖²) over the units that are left; ``None`` where shapes allow no comparison.
        note: How many units are compared, or why none is; empty where all are.
    """

    relative: float | None
    note: str = ""


def pairs(interface: Interface, base: nn.Module, model: nn.Module, edits: Iterable[Edit]) -> Iterator[Pair]:
    """Yield the layers of the base, with weights, that are modules and are still there.

    Args:
        interface: Of the base.
        base: The base.
        model: The network now.
        edits: What was done to it, in order.
    """
    places = follow(dict(base.named_parameters(remove_duplicate=False)), edits)
    done: set[str] = set()
    for operator in interface.operators:
        weight = operator.tensors.get("weight")
        if operator.kind not in WEIGHTED | NORMS or weight is None or "#" in operator.path or operator.path in done:
            continue
        done.add(operator.path)
        place = places.get(f"{operator.path}.weight")
        now = place.name.rpartition(".")[0] if place is not None else ""
        if place is not None and _is_there(model, now):
            yield Pair(operator.path, now, 1 if operator.kind in CHANNELS_SECOND else -1, _kept(operator, place))


def _kept(operator: Operator, place: Place) -> tuple[int, ...] | None:
    return place.kept.get(0 if operator.kind in NORMS else weight_position(operator))


def _is_there(model: nn.Module, path: str) -> bool:
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True


def output_changes(
    base: nn.Module, model: nn.Module, layers: Sequence[Pair], batches: Batches, forward: Forward
) -> dict[str, Moved]:
    """Return how far the output of each layer moved, by its path in the base: one pass of each network.

    Both in eval mode, differences and sums in float64; a layer that runs several times counts each time.
    """
    sums = {pair.path: [0.0, 0.0] for pair in layers}
    notes: dict[str, str] = {}
    for inputs, _ in batches:
        before: dict[str, list[Tensor]] = {}
        with evaluating(base, model), _heard(base, {pair.path: pair.path for pair in layers}, before):
            forward(base, inputs)
        after: dict[str, list[Tensor]] = {}
        with evaluating(base, model), _heard(model, {pair.path: pair.now for pair in layers}, after):
            forward(model, inputs)
        for pair in layers:
            _compare(pair, before.pop(pair.path, []), after.pop(pair.path, []), sums, notes)
    return {pair.path: _moved(sums[pair.path], notes.get(pair.path, "")) for pair in layers}


def _heard(model: nn.Module, paths: Mapping[str, str], found: dict[str, list[Tensor]]) -> ExitStack:
    """Keep what modules write, by the key of each path."""

    def keep(key: str, output: object) -> None:
        if isinstance(output, Tensor):
            found.setdefault(key, []).append(output.clone())

    stack = ExitStack()
    for key, path in paths.items():
        stack.enter_context(listening(model.get_submodule(path), partial(keep, key)))
    return stack


def _compare(
    pair: Pair, before: list[Tensor], after: list[Tensor], sums: dict[str, list[float]], notes: dict[str, str]
) -> None:
    if len(before) != len(after):
        notes[pair.path] = f"no comparison: it ran {len(before)} times, and runs {len(after)} times now"
        return
    for old, new in zip(before, after, strict=True):
        units = old.shape[pair.dim]
        if pair.kept is not None and new.shape[pair.dim] == len(pair.kept):
            old = old.index_select(pair.dim, torch.tensor(pair.kept, device=old.device))
            if len(pair.kept) != units:
                notes[pair.path] = f"{len(pair.kept)} of {units} units compared"
        if old.shape != new.shape:
            notes[pair.path] = f"no comparison: {list(old.shape[1:])} became {list(new.shape[1:])}"
            return
        wide = old.double()
        sums[pair.path][0] += float(((new.double() - wide) ** 2).sum())
        sums[pair.path][1] += float((wide**2).sum())


def _moved(sums: list[float], note: str) -> Moved:
    if note.startswith("no comparison"):
        return Moved(None, note)
    squared, scale = sums
    if scale == 0:
        return Moved(math.nan if math.isnan(squared) else math.inf if squared else 0.0, note)
    return Moved(math.sqrt(squared / scale), note)


def weight_changes(base: nn.Module, model: nn.Module, edits: Iterable[Edit]) -> dict[str, float]:
    """Return ‖Δθ‖/‖θ‖ over the base's own parameters of each module, by path; removed entries count as zero."""
    found: dict[str, Distance] = {}
    for name, distance in moved(base, model, edits):
        owner = name.rpartition(".")[0]
        found[owner] = found.get(owner, Distance()) + distance
    return {owner: distance.relative for owner, distance in found.items()}


def first_order_scores(
    base: nn.Module, model: nn.Module, edits: Iterable[Edit], gradients: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return ⟨∇L(θ), Δθ⟩ of each module of the base: what its change would cost if the loss were a plane.

    A score that orders layers; the loss is no plane, and nothing is bounded by it.
    """
    found: dict[str, float] = {}
    for name, before, after in aligned(base, model, edits):
        if name not in gradients:
            continue
        change = -before.double() if after is None else after.to(before.device).double() - before.double()
        owner = name.rpartition(".")[0]
        found[owner] = found.get(owner, 0.0) + float((change * gradients[name].double()).sum())
    return found
