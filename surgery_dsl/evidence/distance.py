"""How far the parameters of a network lie from those it came from, through every change of its structure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import ArrangeModules, DropModules, Edit, Resize, SetModule
from surgery_dsl.kernels.differences import Distance, removed
from surgery_dsl.kernels.differences import distance as tensor_distance


@dataclass(frozen=True)
class Place:
    """Where a parameter of the base is now.

    Attributes:
        name: Its present name; for a layer in another form, the name of the weight that the layer stands for.
        kept: For each dimension that was changed, which index of the base each present index came from.
    """

    name: str
    kept: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


def magnitude(base: nn.Module, model: nn.Module, edits: Iterable[Edit]) -> float:
    """Return ‖θ − θ₀‖₂ / ‖θ₀‖₂ over the base's floating-point parameters θ₀, tied ones once.

    Removed entries count as changed to zero; of copies the first stands for the entry; new parameters are left out.
    In float64, one tensor at a time. Infinite where the base is all zeros and something changed.
    """
    total = Distance()
    for _, distance in moved(base, model, edits):
        total += distance
    return total.relative


def moved(base: nn.Module, model: nn.Module, edits: Iterable[Edit]) -> Iterator[tuple[str, Distance]]:
    """Yield how far each floating-point parameter of the base moved, by its name there, as :func:`magnitude` has it."""
    for name, before, after in aligned(base, model, edits):
        yield name, removed(before) if after is None else tensor_distance(before, after)


def aligned(base: nn.Module, model: nn.Module, edits: Iterable[Edit]) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield each floating-point parameter of the base with what it is now, in its shape; ``None`` where it is gone.

    Removed entries are zeros; of copies the first stands for the entry. Tied parameters come once.
    """
    places = follow(dict(base.named_parameters()), edits)
    now = _Live(model)
    for name, before in base.named_parameters():
        if not before.is_floating_point():
            continue
        place = places.get(name)
        after = now.tensor(place.name) if place is not None else None
        yield name, before.detach(), None if place is None or after is None else _spread(after, before, place)


def _spread(after: Tensor, before: Tensor, place: Place) -> Tensor:
    """Return present values at the indices of the base that they came from, zeros elsewhere."""
    if not place.kept:
        return after
    values = after.to(device=before.device, dtype=before.dtype)
    for dim, kept in place.kept.items():
        first: dict[int, int] = {}
        for position, origin in enumerate(kept):
            first.setdefault(origin, position)
        chosen = torch.tensor(list(first.values()), device=values.device, dtype=torch.long)
        targets = torch.tensor(list(first), device=values.device, dtype=torch.long)
        shape = list(values.shape)
        shape[dim] = before.shape[dim]
        full = torch.zeros(shape, dtype=values.dtype, device=values.device)
        values = full.index_copy_(dim, targets, values.index_select(dim, chosen))
    return values


def follow(parameters: Mapping[str, Any], edits: Iterable[Edit]) -> dict[str, Place]:
    """Return where each parameter of the base is after some edits; parameters that are gone are left out.

    Args:
        parameters: Parameters of the base by name.
        edits: Structural changes in order.
    """
    places = {name: Place(name) for name in parameters}
    stands_for: dict[tuple[str, int], tuple[str, int]] = {}
    for edit in edits:
        if isinstance(edit, Resize):
            _resize(places, stands_for, edit)
        elif isinstance(edit, SetModule):
            for path in edit.paths:
                _set_module(places, stands_for, path, edit.spec.type)
        elif isinstance(edit, DropModules):
            _drop(places, stands_for, edit.paths)
        elif isinstance(edit, ArrangeModules):
            _arrange(places, stands_for, edit.lists)
    return places


def _resize(places: dict[str, Place], stands_for: Mapping[tuple[str, int], tuple[str, int]], edit: Resize) -> None:
    by_present = {place.name: name for name, place in places.items()}
    for one in edit.slices:
        present, dim = stands_for.get((one.tensor, one.dim), (one.tensor, one.dim))
        name = by_present.get(present)
        if name is None:
            continue
        place, indices = places[name], edit.indices[one.indices]
        before = place.kept.get(dim)
        kept = tuple(indices) if before is None else tuple(before[index] for index in indices)
        places[name] = replace(place, kept={**place.kept, dim: kept})


FORMS: Mapping[str, tuple[tuple[tuple[str, int], tuple[str, int]], ...]] = {
    "surgery_dsl.QuantizedLinear": (),
    "surgery_dsl.LowRank": (
        (("up.weight", 0), ("weight", 0)),
        (("down.weight", 1), ("weight", 1)),
        (("up.bias", 0), ("bias", 0)),
    ),
}
"""Other forms of a linear layer: which dimensions of theirs are dimensions of the weight that they stand for."""


def _set_module(
    places: dict[str, Place], stands_for: dict[tuple[str, int], tuple[str, int]], path: str, kind: str
) -> None:
    below = f"{path}." if path else ""
    own = {f"{below}weight", f"{below}bias"}
    for name, place in list(places.items()):
        if place.name.startswith(below) and not (kind in FORMS and place.name in own):
            del places[name]
    for (tensor, dim), (other, other_dim) in FORMS.get(kind, ()):
        stands_for[below + tensor, dim] = (below + other, other_dim)


def _drop(places: dict[str, Place], stands_for: dict[tuple[str, int], tuple[str, int]], paths: tuple[str, ...]) -> None:
    """Leave out what stood in dropped entries, and count down the numbers of those behind them."""
    gone: dict[str, list[int]] = {}
    for path in paths:
        parent, _, number = path.rpartition(".")
        gone.setdefault(parent, []).append(int(number))
    for name, place in list(places.items()):
        new = _counted_down(place.name, gone)
        if new is None:
            del places[name]
        elif new != place.name:
            places[name] = replace(place, name=new)
    for (tensor, dim), (other, other_dim) in list(stands_for.items()):
        del stands_for[tensor, dim]
        moved, moved_other = _counted_down(tensor, gone), _counted_down(other, gone)
        if moved is not None and moved_other is not None:
            stands_for[moved, dim] = (moved_other, other_dim)


def _arrange(
    places: dict[str, Place],
    stands_for: dict[tuple[str, int], tuple[str, int]],
    lists: Mapping[str, tuple[int, ...]],
) -> None:
    """Leave out what stood in entries that are gone, and give the others the number of the first that they became."""
    for name, place in list(places.items()):
        new = _arranged(place.name, lists)
        if new is None:
            del places[name]
        else:
            places[name] = replace(place, name=new)
    for (tensor, dim), (other, other_dim) in list(stands_for.items()):
        del stands_for[tensor, dim]
        moved, moved_other = _arranged(tensor, lists), _arranged(other, lists)
        if moved is not None and moved_other is not None:
            stands_for[moved, dim] = (moved_other, other_dim)


def _arranged(name: str, lists: Mapping[str, tuple[int, ...]]) -> str | None:
    for path, order in lists.items():
        prefix = path + "." if path else ""
        number, dot, rest = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and number.isdigit():
            if int(number) not in order:
                return None
            name = f"{prefix}{order.index(int(number))}{dot}{rest}"
    return name


def _counted_down(name: str, gone: Mapping[str, list[int]]) -> str | None:
    parts = name.split(".")
    for end in range(len(parts) - 1, -1, -1):
        parent = ".".join(parts[:end])
        numbers = gone.get(parent)
        if numbers is None or not parts[end].isdigit():
            continue
        number = int(parts[end])
        if number in numbers:
            return None
        parts[end] = str(number - sum(other < number for other in numbers))
    return ".".join(parts)


class _Live:
    """Present tensors by name; a layer in another form gives the weight that it stands for. Final."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._known = dict(model.named_parameters(remove_duplicate=False))

    def tensor(self, name: str) -> Tensor | None:
        """Return a tensor, detached; ``None`` where there is none of that name."""
        path, _, last = name.rpartition(".")
        try:
            module = self._model.get_submodule(path)
        except AttributeError:
            return None
        form = _form(module, last)
        if form is not None:
            return form
        found = self._known.get(name)
        return None if found is None or not found.is_floating_point() else found.detach()


def _form(module: nn.Module, last: str) -> Tensor | None:
    """Return the weight or bias that a layer in another form stands for."""
    from surgery_dsl.kernels.quantizers import dequantize
    from surgery_dsl.modules.low_rank import LowRank
    from surgery_dsl.modules.quantized_linear import QuantizedLinear

    with torch.no_grad():
        if isinstance(module, QuantizedLinear) and last == "weight":
            dtype = torch.promote_types(module.scale.dtype, torch.float32)
            return dequantize(module.weight, module.scale, module.zero_point, dtype)
        if isinstance(module, LowRank) and last == "weight":
            return module.up.weight @ module.down.weight
        if isinstance(module, LowRank) and last == "bias":
            return None if module.up.bias is None else module.up.bias.detach()
    return None
