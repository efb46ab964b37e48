"""Axes of a draft whose forward was rewired: which have become one.

Where a path was added around a layer, what it takes and what it gives must keep step: :func:`merge` makes them one.
:func:`collapse` and :func:`settle` tidy up as the tracer would see it. What need not keep step any more is the
work of :mod:`surgery_dsl.interface.parting`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from surgery_dsl.interface import frozen
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.links import Slot
from surgery_dsl.interface.model import Dim, Extent, Operator, Size


def substitute(draft: Draft, mapping: Mapping[int, Dim]) -> None:
    """Put products in the place of axes, everywhere."""

    def swap(dim: Dim) -> Dim:
        if not any(axis in mapping for axis in dim):
            return dim
        return tuple(new for axis in dim for new in mapping.get(axis, (axis,)))

    draft.values = [
        value.replaced(dims=tuple(map(swap, value.dims))) if shows(value.dims, mapping) else value
        for value in draft.values
    ]
    for name, tensor in draft.tensors.items():
        if shows(tensor.dims, mapping):
            draft.tensors[name] = tensor.replaced(dims=tuple(map(swap, tensor.dims)))
    for path, module in draft.modules.items():
        if shows(module.integers.values(), mapping):
            draft.modules[path] = module.replaced(integers={k: swap(v) for k, v in module.integers.items()})
    for index, axis in enumerate(draft.axes):
        if shows(axis.parts, mapping):
            draft.axes[index] = axis.replaced(parts=tuple(map(swap, axis.parts)))
    draft.size_ties = tuple(tie.replaced(dims=tuple(map(swap, tie.dims))) for tie in draft.size_ties)
    draft.size_branches = tuple(branch.replaced(dim=swap(branch.dim)) for branch in draft.size_branches)
    draft.indexed = tuple(one.replaced(dim=swap(one.dim)) for one in draft.indexed)
    change_operators(
        draft,
        lambda op: op.replaced(macs=tuple(map(swap, op.macs))) if shows(op.macs, mapping) else op,
    )


def shows(dims: Iterable[Dim], axes: Mapping[int, object] | frozenset[int]) -> bool:
    """Whether one of the axes stands in one of the dimensions."""
    return any(axis in axes for dim in dims for axis in dim)


def change_operators(draft: Draft, change: Callable[[Operator], Operator]) -> None:
    """Put ``change(operator)`` in the place of every operator."""
    for run in draft.root.runs():
        for index, event in enumerate(run.events):
            if isinstance(event, Operator):
                new = change(event)
                if new is not event:
                    run.events[index] = new


def exact_size(draft: Draft, dim: Dim) -> int | None:
    """Return the size of a dimension where it is one number, else ``None``."""
    product = 1
    for axis in dim:
        entry = draft.axes[axis]
        if entry.parts:
            sizes = [exact_size(draft, part) for part in entry.parts]
            size: Size | None = None if None in sizes else sum(n for n in sizes if n is not None)
        else:
            size = entry.size
        if isinstance(size, Extent) and size.least == size.most:
            size = size.least
        if not isinstance(size, int):
            return None
        product *= size
    return product


# ---- becoming one ------------------------------------------------------------------------------------------------


def merge(draft: Draft, left: Iterable[Dim], right: Iterable[Dim]) -> bool:
    """Make dimensions one, pair by pair, as the tracer does where an operator joins them.

    Sizes must be equal for every outcome; what a concatenation made joins one of the same parts, or an axis of
    its whole size. Returns ``False``, with the draft unchanged, where that is not so.
    """
    mapping: dict[int, Dim] = {}
    todo = list(zip(left, right, strict=True))
    merged: list[tuple[int, Dim]] = []
    start = len(draft.axes)
    while todo:
        one, two = (_resolved(draft, dim, mapping) for dim in todo.pop())
        found = _pair(draft, one, two, mapping, merged, todo)
        if not found:
            del draft.axes[start:]
            return False
    if not mapping:
        return True
    for axis, into in merged:
        _freeze_like(draft, axis, _resolved(draft, into, mapping))
    final = {axis: _resolved(draft, (axis,), mapping) for axis in mapping}
    substitute(draft, final)
    return True


def _resolved(draft: Draft, dim: Dim, mapping: Mapping[int, Dim]) -> Dim:
    out: list[int] = []
    for axis in dim:
        if axis in mapping:
            out += _resolved(draft, mapping[axis], mapping)
        elif draft.axes[axis].parts or draft.axes[axis].size != 1:
            out.append(axis)
    return tuple(out)


def _pair(
    draft: Draft,
    one: Dim,
    two: Dim,
    mapping: dict[int, Dim],
    merged: list[tuple[int, Dim]],
    todo: list[tuple[Dim, Dim]],
) -> bool:
    """Join the first factors of two products, and leave the rest to do."""
    if one == two:
        return True
    if not one or not two:
        return False
    a, b = one[0], two[0]
    if a == b:
        todo.append((one[1:], two[1:]))
        return True
    if _same_size(draft, a, b):
        parts = draft.axes[a].parts, draft.axes[b].parts
        if parts[0] and parts[1]:
            if len(parts[0]) != len(parts[1]):
                return False
            todo.extend(zip(*parts, strict=True))
        else:
            a, b = (b, a) if parts[0] else (a, b)  # a leaf gives way to a sum
        mapping[a] = (b,)
        merged.append((a, (b,)))
        todo.append((one[1:], two[1:]))
        return True
    mine, theirs = exact_size(draft, (a,)), exact_size(draft, (b,))
    if mine is None or theirs is None:
        return False
    large, small = (a, theirs) if mine > theirs else (b, mine)
    whole = max(mine, theirs)
    if draft.axes[large].parts or whole % small:
        return False
    label, reason = draft.axes[large].label, draft.axes[large].frozen
    factors = tuple(draft.new_axis(size, f"{label}.{i}", reason) for i, size in enumerate((small, whole // small)))
    mapping[large] = factors
    todo.append((_resolved(draft, one, mapping), _resolved(draft, two, mapping)))
    return True


def _same_size(draft: Draft, a: int, b: int) -> bool:
    sizes = exact_size(draft, (a,)), exact_size(draft, (b,))
    if sizes[0] is not None or sizes[1] is not None:
        return sizes[0] == sizes[1]
    one, two = draft.axes[a], draft.axes[b]
    return not one.parts and not two.parts and not isinstance(one.size, Extent) and one.size == two.size


def _freeze_like(draft: Draft, source: int, dim: Dim) -> None:
    """Let a product keep its size where one of the axes that it replaces does, for the firmer of both reasons."""
    reason = draft.axes[source].frozen
    if not reason:
        return
    for axis in dim:
        entry = draft.axes[axis]
        if entry.parts:
            for part in entry.parts:
                _freeze_like(draft, source, part)
        elif not entry.frozen or frozen.rank(reason) < frozen.rank(entry.frozen):
            draft.axes[axis] = entry.replaced(frozen=reason)


def leaves(draft: Draft, dim: Dim) -> Iterator[int]:
    """Yield the leaf axes of a dimension, going into sums."""
    for axis in dim:
        if draft.axes[axis].parts:
            for part in draft.axes[axis].parts:
                yield from leaves(draft, part)
        else:
            yield axis


def used_values(draft: Draft) -> Iterator[int]:
    """Yield the values that something takes or gives, some of them several times."""
    yield from (port.value for port in (*draft.inputs, *draft.outputs))
    for run in draft.root.runs():
        yield from (*run.inputs, *run.outputs)
        for event in run.events:
            if isinstance(event, Operator):
                yield from (*event.inputs, *event.outputs)


def slots_of(draft: Draft) -> Iterator[tuple[Slot, Dim]]:
    """Yield every dimension of the tensors, the values in use, and the sums that occur in them."""
    sums: dict[int, None] = {}

    def note(dim: Dim) -> None:
        for axis in dim:
            if draft.axes[axis].parts and axis not in sums:
                sums[axis] = None
                for part in draft.axes[axis].parts:
                    note(part)

    for tensor in draft.tensors.values():
        for position, dim in enumerate(tensor.dims):
            note(dim)
            yield ("tensor", tensor.name, position), dim
    for value in dict.fromkeys(used_values(draft)):
        for position, dim in enumerate(draft.values[value].dims):
            note(dim)
            yield ("value", value, position), dim
    for axis in sums:
        for position, dim in enumerate(draft.axes[axis].parts):
            yield ("sum", axis, position), dim


# ---- tidying -----------------------------------------------------------------------------------------------------


_SHOW_PARTS = frozenset({"cat", "slice", "split", "select", "stack"})


def collapse(draft: Draft, dim: Dim) -> None:
    """Make one leaf of a product or sum that nothing takes apart any more, as the tracer would see it."""
    total = exact_size(draft, dim)
    sums = any(draft.axes[axis].parts for axis in dim)
    if (len(dim) < 2 and not sums) or total is None:
        return
    inside = frozenset((*dim, *leaves(draft, dim)))
    shown = [found for slot, found in slots_of(draft) if slot[0] != "sum"]
    shown += [found for module in draft.modules.values() for found in module.integers.values()]
    if any(not inside.isdisjoint(_without(found, dim)) for found in shown):
        return
    for operator in draft.operators():
        values = [draft.values[value] for value in (*operator.inputs, *operator.outputs)]
        if sums and operator.kind in _SHOW_PARTS:
            if any(not inside.isdisjoint(found) for value in values for found in value.dims):
                return
        elif operator.kind == "group_norm" and _crosses(draft, dim, values[0].dims[1], operator.settings["num_groups"]):
            return
    reasons = {draft.axes[axis].frozen for axis in inside if not draft.axes[axis].parts} - {""}
    if reasons - {frozen.OUTPUT, frozen.INPUT, frozen.UNCARRIED, frozen.BUFFER}:
        return
    leaf = draft.new_axis(total, draft.axes[dim[0]].label, min(reasons, key=frozen.rank, default=""))
    _replace_whole(draft, dim, leaf)


def _crosses(draft: Draft, run: Dim, channels: Dim, groups: object) -> bool:
    """Whether a run of factors holds both some that count groups of channels and some that count within them."""
    outer = next((k for k in range(len(channels) + 1) if exact_size(draft, channels[:k]) == groups), len(channels))
    return not set(run).isdisjoint(channels[:outer]) and not set(run).isdisjoint(channels[outer:])


def _without(found: Dim, dim: Dim, leaf: Dim = ()) -> Dim:
    """Return a dimension with ``leaf`` in the place of every whole ``dim`` in it."""
    for start in range(len(found) - len(dim) + 1):
        if found[start : start + len(dim)] == dim:
            return (*found[:start], *leaf, *_without(found[start + len(dim) :], dim, leaf))
    return found


def _replace_whole(draft: Draft, dim: Dim, leaf: int) -> None:
    def swap(found: Dim) -> Dim:
        return _without(found, dim, (leaf,))

    draft.values = [value.replaced(dims=tuple(map(swap, value.dims))) for value in draft.values]
    for name, tensor in draft.tensors.items():
        draft.tensors[name] = tensor.replaced(dims=tuple(map(swap, tensor.dims)))
    for path, module in draft.modules.items():
        if module.integers:
            draft.modules[path] = module.replaced(integers={k: swap(v) for k, v in module.integers.items()})
    draft.size_ties = tuple(tie.replaced(dims=tuple(map(swap, tie.dims))) for tie in draft.size_ties)
    draft.size_branches = tuple(branch.replaced(dim=swap(branch.dim)) for branch in draft.size_branches)
    draft.indexed = tuple(one.replaced(dim=swap(one.dim)) for one in draft.indexed)
    change_operators(draft, lambda op: op.replaced(macs=tuple(map(swap, op.macs))) if op.macs else op)


def settle(draft: Draft) -> None:
    """Freeze the axes that no parameter carries any more, and free those that one carries again."""
    carried: set[int] = set()
    in_buffers: set[int] = set()
    for tensor in draft.tensors.values():
        found = carried if tensor.role == "parameter" else in_buffers
        for dim in tensor.dims:
            found.update(leaves(draft, dim))
    for index in {axis for _, dim in slots_of(draft) for axis in leaves(draft, dim)}:
        axis = draft.axes[index]
        if index in carried:
            reason = "" if axis.frozen in (frozen.BUFFER, frozen.UNCARRIED) else axis.frozen
        else:
            reason = axis.frozen or (frozen.BUFFER if index in in_buffers else frozen.UNCARRIED)
        if reason != axis.frozen:
            draft.axes[index] = axis.replaced(frozen=reason)
