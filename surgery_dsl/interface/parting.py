"""Axes of a draft whose forward was rewired: which need not keep step any more.

A tracer joins two dimensions only where an operator makes them meet. After a layer was put between two others, what
lies before and behind it may part: :func:`recouple` walks the operators and gives each part that hangs together an
axis of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from surgery_dsl.interface import frozen
from surgery_dsl.interface.coupling import collapse, leaves, shows, slots_of
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.links import Slot, macs_of, operator_links, sides
from surgery_dsl.interface.model import Dim, Operator

Node = tuple[int, Slot]
"""An axis in a dimension."""


@dataclass
class _Groups:
    """A union-find over nodes."""

    parent: dict[Node, Node] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        self.parent.setdefault(node, node)

    def find(self, node: Node) -> Node:
        parent = self.parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, nodes: Iterable[Node]) -> None:
        first: Node | None = None
        for node in nodes:
            if node in self.parent:
                if first is None:
                    first = self.find(node)
                else:
                    self.parent[self.find(node)] = first


def recouple(draft: Draft, axes: Iterable[int]) -> None:
    """Give each part of the network in which an axis still hangs together an axis of its own.

    Args:
        draft: The draft; its operators, values and tensors stand as they will.
        axes: The axes to look at, with all that they are sums of.
    """
    chosen = list(axes)
    parted: set[int] = set()
    while True:  # sums from the outside inwards: parts of one sum are joined by what shows that very sum
        sums = _sums(draft, chosen)
        found = _part(draft, sums)
        parted |= found
        chosen += found
        if not found:
            break
    parted |= _part(draft, frozenset(leaf for axis in chosen for leaf in leaves(draft, (axis,))))
    touched = parted.union(chosen)
    for dim in dict.fromkeys(dim for _, dim in slots_of(draft) if not touched.isdisjoint((*dim, *leaves(draft, dim)))):
        for part in _runs(dim):
            collapse(draft, part)


def _runs(dim: Dim) -> list[Dim]:
    """Return the neighbouring factors of a product that could be one axis, the longest first."""
    count = len(dim)
    return [dim[i : i + n] for n in range(count, 0, -1) for i in range(count - n + 1)]


def _sums(draft: Draft, axes: Iterable[int]) -> frozenset[int]:
    found: set[int] = set()
    waiting = [axis for axis in axes if draft.axes[axis].parts]
    while waiting:
        axis = waiting.pop()
        if axis not in found:
            found.add(axis)
            waiting += [inner for part in draft.axes[axis].parts for inner in part if draft.axes[inner].parts]
    return frozenset(found)


def _part(draft: Draft, wanted: frozenset[int]) -> frozenset[int]:
    """Part some axes, and return those that came of it."""
    if not wanted:
        return frozenset()
    groups = _Groups()
    slots: dict[Slot, Dim] = dict(slots_of(draft))
    for slot, dim in slots.items():
        for axis in dim:
            if axis in wanted:
                groups.add((axis, slot))
    for tensor in draft.tensors.values():
        if tensor.tied_to:
            for position, dim in enumerate(tensor.dims):
                for axis in dim:
                    groups.join(
                        [(axis, ("tensor", tensor.name, position)), (axis, ("tensor", tensor.tied_to, position))]
                    )
    for gone, value in draft.stand_ins.items():
        for position, dim in enumerate(draft.values[value].dims):
            for axis in dim:
                groups.join((axis, ("value", either, position)) for either in (gone, value))
    for operator in draft.operators():
        for link in operator_links(operator, draft):
            for axis in {axis for slot in link for axis in slots.get(slot, ())} & wanted:
                groups.join((axis, slot) for slot in link)
    return _Parting(draft, groups, slots, wanted).carry_out()


@dataclass
class _Parting:
    draft: Draft
    groups: _Groups
    slots: dict[Slot, Dim]
    wanted: frozenset[int]
    renamed: dict[Node, int] = field(default_factory=dict)

    def carry_out(self) -> frozenset[int]:
        """Number the groups, write the numbers into everything that has dimensions, and return those that parted."""
        members: dict[int, dict[Node, list[Slot]]] = {}
        for axis, slot in self.groups.parent:
            members.setdefault(axis, {}).setdefault(self.groups.find((axis, slot)), []).append(slot)
        parted: dict[int, list[tuple[int, list[Slot]]]] = {}
        for axis, found in members.items():
            if len(found) < 2:
                continue
            for number, (root, slots) in enumerate(found.items()):
                new = axis
                if number:
                    new = len(self.draft.axes)
                    self.draft.axes.append(self.draft.axes[axis].replaced(id=new, label=_label(slots[0])))
                self.renamed[root] = new
                parted.setdefault(axis, []).append((new, slots))
        if not parted:
            return frozenset()
        reasons = {axis: self.draft.axes[axis].frozen for axis in parted}
        self._operators(frozenset(parted))
        self._write()
        for axis, groups in parted.items():
            self._freeze(reasons[axis], groups)
        return frozenset(axis for groups in parted.values() for axis, _ in groups)

    def _new(self, axis: int, slot: Slot) -> int:
        node = (axis, slot)
        return self.renamed.get(self.groups.find(node), axis) if node in self.groups.parent else axis

    def _dim(self, slot: Slot) -> Dim:
        return tuple(self._new(axis, slot) for axis in self.slots[slot])

    def _write(self) -> None:
        draft = self.draft
        for slot in self.slots:
            kind, name, position = slot
            new = self._dim(slot)
            if new == self.slots[slot]:
                continue
            if kind == "tensor":
                tensor = draft.tensors[str(name)]
                draft.tensors[str(name)] = tensor.replaced(dims=_with(tensor.dims, position, new))
            elif kind == "value":
                value = draft.values[int(name)]
                draft.values[int(name)] = value.replaced(dims=_with(value.dims, position, new))
            else:
                axis = draft.axes[int(name)]
                draft.axes[int(name)] = axis.replaced(parts=_with(axis.parts, position, new))

    def _operators(self, parted: frozenset[int]) -> None:
        """Rename axes in what operators cost and in the integers of modules, by the side that they belong to."""
        for run in self.draft.root.runs():
            for index, event in enumerate(run.events):
                if not isinstance(event, Operator):
                    continue
                if shows(event.macs, parted):
                    run.events[index] = event.replaced(macs=macs_of(event, self.draft, self._dim, self._only(event)))
                module = self.draft.modules[event.module]
                if shows(module.integers.values(), parted):
                    places = sides(event, self.draft)
                    integers = {
                        name: self._dim(places[name]) if name in places else self._only(event)(dim)
                        for name, dim in module.integers.items()
                    }
                    self.draft.modules[event.module] = module.replaced(integers=integers)

    def _only(self, operator: Operator) -> Callable[[Dim], Dim]:
        """Return how to rename a dimension of an operator where each axis belongs to one group alone."""
        touched: dict[int, int] = {}
        for link in operator_links(operator, self.draft):
            for slot in link:
                for axis in self.slots.get(slot, ()):
                    touched[axis] = self._new(axis, slot)
        return lambda dim: tuple(touched.get(axis, axis) for axis in dim)

    def _freeze(self, reason: str, groups: list[tuple[int, list[Slot]]]) -> None:
        draft = self.draft
        ports = {
            frozen.INPUT: {port.value for port in draft.inputs},
            frozen.OUTPUT: {port.value for port in draft.outputs},
        }
        for axis, slots in groups:
            if draft.axes[axis].parts:
                continue
            values = {slot[1] for slot in slots if slot[0] == "value"}
            own = reason if reason not in ports and self._applies(reason, slots) else ""
            for contract, at in ports.items():
                own = own or (contract if values & at else "")
            draft.axes[axis] = draft.axes[axis].replaced(frozen=own)

    def _applies(self, reason: str, slots: list[Slot]) -> bool:
        """Whether a reason that names a place in the forward holds for a group: one of its operators stands there."""
        place = reason.rpartition("(")[2].removesuffix(")") if reason.endswith(")") else ""
        if not place:
            return True
        there = [op for op in self.draft.operators() if _place(op) == place]
        touched = {slot for op in there for link in operator_links(op, self.draft) for slot in link}
        # What no link follows is what such a reason is about: the rows of an embedding, say.
        touched |= {("tensor", name, at) for op in there for name in op.tensors.values() for at in self._dims_of(name)}
        return not there or not touched.isdisjoint(slots)

    def _dims_of(self, tensor: str) -> range:
        return range(len(self.draft.tensors[tensor].dims))


def _place(operator: Operator) -> str:
    return f"{operator.module or 'the network'}{f' at {operator.source}' if operator.source else ''}"


def _label(slot: Slot) -> str:
    return f"{slot[1]}[{slot[2]}]" if slot[0] == "tensor" else f"{slot[0]} {slot[1]}[{slot[2]}]"


def _with(dims: tuple[Dim, ...], position: int, dim: Dim) -> tuple[Dim, ...]:
    return (*dims[:position], dim, *dims[position + 1 :])
