"""Before indices of an axis go: is the axis what the graph says it is, on these weights?

The entries of the axes that a step will cut are put into another order in every tensor that carries them. If the graph
holds, no output changes; if a carrier is missing or one is too many, it does. The order is then put back, bit for bit.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.edits import Resize
from surgery_dsl.interface.gathering import entries
from surgery_dsl.interface.indexed import list_edit
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.paths import list_holder
from surgery_dsl.language.plan import Block
from surgery_dsl.modules.arranging import rearrange
from surgery_dsl.run.changes import find_tensor
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.probe import probe_inputs
from surgery_dsl.run.session import Session
from surgery_dsl.trace.recorder import named_tensors
from surgery_dsl.vocabulary.context import Change

ROUNDINGS = 1e4
"""How many rounding errors of the dtype another order of sums may differ by; a mis-coupled axis differs by far more."""

MOST = 0.1
"""The most, for dtypes so coarse that this many roundings would hide anything."""


def refuse_other(
    session: Session, step: Block, changes: Sequence[Change], after: Interface, evidence: RunEvidence
) -> None:
    """Refuse to cut an axis that the network's own weights say is none, and record one that is.

    Raises:
        Refused: With SD906.
    """
    if not session.holds_values or not any(isinstance(change.edit, Resize) for change in changes):
        return
    axes = axes_cut(session.interface, after)
    if not axes:
        return
    found, most = permutation_difference(session, axes), limit(session.model)
    if not found <= most:
        raise Refused(
            Diagnostic(
                defects.COUPLING,
                f"before `{step.name}`, another order of what it would cut changes the outputs by {found:.1e} of "
                f"their norm; rounding explains {most:.1e}",
                file=session.file,
                span=step.span,
                facts={"axes": len(axes)},
                help="this is a defect of surgery-dsl, not of your plan; please report it",
            )
        )
    text = "another order of what is cut changes no output"
    evidence.note_always("coupling", text, "permutation", step.name, f"{found:.1e}")


def axes_cut(before: Interface, after: Interface) -> list[int]:
    """Return the leaf axes that become shorter, those of the outputs left out: their order shows."""
    shown = {axis for port in before.outputs for dim in before.values[port.value].dims for axis in before.leaves(dim)}
    return [
        old.id
        for old, new in zip(before.axes, after.axes, strict=False)
        if not old.parts and old.size != new.size and before.exact_size(old.id) is not None and old.id not in shown
    ]


def permutation_difference(session: Session, axes: Sequence[int]) -> float:
    """Return how far the outputs change, relative to their norm, when axes are permuted; the network is as it was.

    Args:
        session: The run; its network must equal its interface.
        axes: Leaf axes of exact sizes.
    """
    inputs = probe_inputs(session)
    wanted = _contract(session, inputs)
    done: list[tuple[Tensor, int, Tensor]] = []
    lists = _lists(session, axes)
    _rearrange(session.model, lists)
    try:
        for tensor, dim, order in _orders(session, axes):
            _reorder(tensor, dim, order)
            done.append((tensor, dim, order))
        found = _contract(session, inputs)
    finally:
        for tensor, dim, order in reversed(done):
            _reorder(tensor, dim, torch.argsort(order))
        back = {path: [order.index(slot) for slot in range(len(order))] for path, order in lists.items()}
        _rearrange(session.model, back)
    return max((_relative(a, b) for a, b in zip(found, wanted, strict=True)), default=0.0)


def _contract(session: Session, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Run the patient and return the outputs that the plan means; others may well show the order of an axis."""
    with torch.no_grad(), session.deterministic(), session.looking("before anything was cut"):
        return promised(session, session.run(session.model, inputs))


def promised(session: Session, result: object) -> list[Tensor]:
    """Return the outputs that the plan means, of all that a forward gave."""
    found = dict(named_tensors(result))
    names = [port.name for port in session.interface.outputs]
    if set(names) <= found.keys():
        return [found[name] for name in names]
    return list(found.values()) if len(found) == len(names) else list(found.values())[:1]


def limit(model: nn.Module) -> float:
    """Return the difference that another order of sums explains in a network's coarsest dtype."""
    floats = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    return min(ROUNDINGS * max((torch.finfo(dtype).eps for dtype in floats), default=0.0), MOST)


def _orders(session: Session, axes: Sequence[int]) -> Iterator[tuple[Tensor, int, Tensor]]:
    interface = session.interface
    rotated = {axis: _rotated(interface.exact_size(axis) or 1) for axis in axes}
    lists: dict[tuple[int, ...], Tensor] = {}
    for tensor in interface.tensors:
        for position, dim in enumerate(tensor.dims):
            if tensor.tied_to or rotated.keys().isdisjoint(interface.leaves(dim)):
                continue
            if dim not in lists:
                lists[dim] = torch.tensor(entries(dim, rotated, interface), dtype=torch.int64)
            live = find_tensor(session.model, tensor.name)
            yield live, position, lists[dim].to(live.device)


def _lists(session: Session, axes: Sequence[int]) -> dict[str, list[int]]:
    """Return the new order of the entries of lists that axes index."""
    interface = session.interface
    if not any(one.dim[0] in axes for one in interface.indexed):
        return {}
    edit = list_edit({axis: _rotated(interface.exact_size(axis) or 1) for axis in axes}, interface)
    return {} if edit is None else {path: list(order) for path, order in edit.lists.items()}


def _rearrange(model: nn.Module, lists: Mapping[str, Sequence[int]]) -> None:
    for path, order in lists.items():
        holder, stem = list_holder(path)
        rearrange(model.get_submodule(holder), order, False, model, stem)


def _rotated(size: int) -> list[int]:
    """Return all indices, each at another place."""
    return [*range(1, size), 0]


def _reorder(tensor: Tensor, dim: int, order: Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(tensor.index_select(dim, order))


def _relative(found: Tensor, wanted: Tensor) -> float:
    if not wanted.is_floating_point() or not wanted.numel():
        return 0.0
    if found.shape != wanted.shape:
        return float("inf")
    norm: float = wanted.double().norm().item()
    gap: float = (found.double() - wanted.double()).norm().item()
    return gap / norm if norm else gap
