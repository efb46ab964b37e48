"""Settling which lists of modules an axis indexes: shown by the trace, then tried with an entry more or fewer.

Calls that picked indices by the number of a list's entry left their axis free for the time. An axis stays free where
the forward shows that the list goes with it (:func:`~surgery_dsl.interface.indexed.with_list`), a router chooses along
it, and the network with one entry and index fewer, or one more, has just the interface that is predicted for it.
All others keep their size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface import frozen
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import ArrangeModules, Resize
from surgery_dsl.interface.experts import FEWEST_LISTED, chosen_along, is_routed
from surgery_dsl.interface.gathering import gather
from surgery_dsl.interface.indexed import arrange_lists, list_edit, lists_along, with_list
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.paths import entry_number, list_holder
from surgery_dsl.modules.arranging import rearrange, set_numbers
from surgery_dsl.modules.integers import set_integer
from surgery_dsl.trace.atoms import leaves
from surgery_dsl.trace.entries import Picked
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded
from surgery_dsl.trace.graph import Traced
from surgery_dsl.trace.keeping import unchanged
from surgery_dsl.trace.walking import modules_of

Follow = Callable[[frozenset[int]], Traced]
"""Traces the network as it is then; calls at the given positions pick nothing by the number of an entry."""


def with_lists(model: nn.Module, follow: Follow) -> Traced:
    """Trace a network, with the lists that axes index.

    Args:
        model: The model that ``follow`` traces; it is the same afterwards.
        follow: Traces it.
    """
    traced = _shown(follow)
    interface = traced.interface
    why = _objections(model, interface, follow)
    if not why:
        return traced
    kept = tuple(one for one in interface.indexed if one.dim[0] not in why)
    return replace(traced, interface=_frozen(interface.replaced(indexed=kept), why))


def _shown(follow: Follow) -> Traced:
    """Trace with the lists that the forward shows to be indexed by axes.

    Calls that only seem to pick by the number of an entry (there are as many by chance) are then traced as in a forward
    without such a list: first those that never could, because how these are told may hide others.
    """
    denied: set[int] = set()
    while True:
        traced = follow(frozenset(denied))
        picks = _by_axis(traced)
        hopeless = [pick for axis, of in picks.items() if not _may_index(axis, traced) for pick in of]
        if not hopeless:
            interface, hopeless = _indexed(traced, picks)
            if not hopeless:
                return replace(traced, interface=interface)
        denied |= {pick.record for pick in hopeless}


def _by_axis(traced: Traced) -> dict[int, list[Picked]]:
    """Return the calls that picked by number, by their axis; those of no single axis by -1."""
    found: dict[int, list[Picked]] = {}
    for pick in traced.flow.axes.turns.picked:
        axes = [traced.numbers.get(id(leaf), -1) for leaf in leaves([pick.atom])]
        found.setdefault(axes[0] if len(axes) == 1 else -1, []).append(pick)
    return found


def _may_index(axis: int, traced: Traced) -> bool:
    return axis >= 0 and not traced.interface.axes[axis].frozen and is_routed(axis, traced.interface)


def _indexed(traced: Traced, picks: Mapping[int, Sequence[Picked]]) -> tuple[Interface, list[Picked]]:
    """Return the interface with the lists that axes index, and the calls that picked by number without showing it."""
    operators = {draft.record: at for at, draft in enumerate(traced.flow.operators)}
    interface = traced.interface
    others: list[Picked] = []
    for axis, of in picks.items():
        places = [operators.get(pick.record, -1) for pick in of]
        lists = dict.fromkeys(path for pick in of for path in pick.lists) if -1 not in places else ()
        found = next((one for path in lists if (one := with_list(interface, axis, path, places))), None)
        interface = found or interface
        others += [] if found else of
    return interface, others


def _frozen(interface: Interface, why: Mapping[int, str]) -> Interface:
    axes = tuple(
        axis.replaced(frozen=why[axis.id]) if axis.id in why and not axis.frozen else axis for axis in interface.axes
    )
    return interface.replaced(axes=axes)


# ---- one entry fewer, or more --------------------------------------------------------------------------------------


def _objections(model: nn.Module, interface: Interface, follow: Follow) -> dict[int, str]:
    """Return why axes do not go with their lists: all are tried together, and one by one where that fails."""
    axes = list(dict.fromkeys(one.dim[0] for one in interface.indexed))
    if not axes or not _objection(model, interface, axes, follow):
        return {}
    why = {axis: _objection(model, interface, [axis], follow) for axis in axes}
    return {axis: text for axis, text in why.items() if text}


def _objection(model: nn.Module, interface: Interface, axes: Iterable[int], follow: Follow) -> str:
    """Say what is not as predicted where axes have another length together with their lists; nothing if all is."""
    kept = {axis: _other_length(axis, interface) for axis in axes}
    predicted = Draft(interface)
    for axis, order in kept.items():
        predicted.resize(axis, len(order))
    arrange_lists(predicted, kept)
    with unchanged(model):
        _edit(model, gather(kept, interface), list_edit(kept, interface))
        try:
            found = _shown(follow).interface
        except ForwardFailed as failed:
            what = f"{failed} ({failed.path or 'the network'})"
        except ValuesNeeded:
            what = "it looks at values"
        except Refused as refused:
            what = refused.diagnostics[0].message
        else:
            what = next(iter(differences(predicted.finish(), found)), "")
    return frozen.counted(lists_along(interface, next(iter(kept)))[0], what) if what else ""


def _other_length(axis: int, interface: Interface) -> Sequence[int]:
    """Return all indices but the last, or the last twice where the forward chooses as many as there are."""
    size = interface.exact_size(axis) or 0
    if size - 1 >= max(FEWEST_LISTED, chosen_along(axis, interface)):
        return range(size - 1)
    return (*range(size), size - 1)


def _edit(model: nn.Module, resize: Resize | None, arrange: ArrangeModules | None) -> None:
    """Cut the tensors and set the integers of an axis, and arrange its lists; the values of tensors stay their own."""
    by_name = dict(model.named_modules(remove_duplicate=False))
    new: dict[int, torch.Tensor] = {}
    for piece in resize.slices if resize is not None else ():
        path, _, name = piece.tensor.rpartition(".")
        old = getattr(by_name[path], name)
        now = new.get(id(old), old).detach()
        indices = torch.tensor(resize.indices[piece.indices] if resize is not None else (), device=now.device)
        cut = now.index_select(piece.dim, indices)
        new[id(old)] = nn.Parameter(cut, old.requires_grad) if isinstance(old, nn.Parameter) else cut
    for module in modules_of(model):
        for box in (module._parameters, module._buffers):
            for name, tensor in box.items():
                if id(tensor) in new:
                    box[name] = new[id(tensor)]  # type: ignore[assignment]
    for change in resize.integers if resize is not None else ():
        set_integer(by_name[change.module], change.attribute, change.value)
    for path, order in arrange.lists.items() if arrange is not None else ():
        holder, stem = list_holder(path)
        rearrange(by_name[holder], order, False, model, stem)
    for number in arrange.numbers if arrange is not None else ():
        slot = entry_number(number.list, number.module) if number.means == "position" else 0
        order = arrange.lists[number.list] if arrange is not None else ()
        set_numbers(model, number.module, number.attribute, number.means, order, slot, number.apart)
