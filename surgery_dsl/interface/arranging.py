"""Lists of modules arranged anew: which lists go together, and the draft with every name and number after it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from surgery_dsl.interface.coupling import leaves, merge
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ArrangeModules, NumberChange
from surgery_dsl.interface.loops import Loop
from surgery_dsl.interface.model import Dim, IndexedList, Interface, Module, Operator, Tensor
from surgery_dsl.interface.parting import recouple
from surgery_dsl.interface.paths import entry_prefix
from surgery_dsl.interface.turns import adjacent, mapped, rearrange, stream_dims, written_by

_MARK = "\0"


@dataclass(frozen=True)
class Arrangement:
    """The entries of lists that go together, in a new order.

    Attributes:
        lists: Paths of the lists, that which the step names first.
        order: The old number of each new entry.
        tie: Whether the parameters of copies share memory with their originals.
    """

    lists: tuple[str, ...]
    order: tuple[int, ...]
    tie: bool = False

    def split(self, name: str) -> tuple[str, int, str] | None:
        """Return the list, the number of the entry and the rest of a name below one of the lists."""
        for path in self.lists:
            prefix = entry_prefix(path)
            number, dot, rest = name.removeprefix(prefix).partition(".")
            if name.startswith(prefix) and number.isdigit():
                return prefix, int(number), dot + rest
        return None

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names that a module or tensor has afterwards: none, one, or one for each copy."""
        parts = self.split(name)
        if parts is None:
            return (name,)
        prefix, number, rest = parts
        return tuple(f"{prefix}{slot}{rest}" for slot, old in enumerate(self.order) if old == number)

    @property
    def copies(self) -> dict[int, int]:
        """Slots that hold a copy: to the slot of the original."""
        first: dict[int, int] = {}
        found = {}
        for slot, old in enumerate(self.order):
            if first.setdefault(old, slot) != slot:
                found[slot] = first[old]
        return found

    def is_gone(self, name: str) -> bool:
        """Whether nothing of a name is left."""
        return not self.names(name)


def numbers_of(interface: Interface, arrangement: Arrangement) -> tuple[NumberChange, ...]:
    """Return what must be set so that positions, counts and lists of one item for each entry agree again."""
    found: list[NumberChange] = []
    kept = arrangement.order == tuple(range(len(arrangement.order)))
    for module in interface.modules:
        for attribute, path in module.positions.items():
            if path in arrangement.lists and not (kept and not arrangement.copies):
                found += [
                    NumberChange(module=name, attribute=attribute, list=path, means="position")
                    for name in arrangement.names(module.path)
                ]
        for means, attributes in (("count", module.counts), ("each", module.per_layer)):
            for attribute, path in attributes.items():
                if path in arrangement.lists:
                    change = NumberChange(
                        module=next(iter(arrangement.names(module.path)), module.path),
                        attribute=attribute,
                        list=path,
                        means="count" if means == "count" else "each",
                        apart=_apart(interface, module, attribute, arrangement),
                    )
                    found.append(change)
    return tuple(found)


def lists_of(path: str, loops: Iterable[Loop]) -> tuple[str, ...]:
    """Return a list and those whose entries go with its own."""
    return tuple(dict.fromkeys((path, *(partner for loop in loops for partner in loop.partners))))


def edit_of(arrangement: Arrangement, interface: Interface) -> ArrangeModules:
    """Return the edit of an arrangement."""
    return ArrangeModules(
        lists=dict.fromkeys(arrangement.lists, arrangement.order),
        tie=arrangement.tie,
        numbers=numbers_of(interface, arrangement),
    )


def _apart(interface: Interface, module: Module, attribute: str, arrangement: Arrangement) -> tuple[str, ...]:
    """Return modules below one that hold another object of that name: those that say numbers of their own."""
    owner = attribute.partition(".")[0] + "."
    below = module.path + "." if module.path else ""
    return tuple(
        name
        for other in interface.modules
        if other.path != module.path
        and other.path.startswith(below)
        and any(key.startswith(owner) for key in (*other.counts, *other.per_layer))
        for name in arrangement.names(other.path)
    )


def arrange(draft: Draft, loops: Iterable[Loop], arrangement: Arrangement) -> None:
    """Arrange lists anew in a draft; what the entries hand to one another must fit, which is the caller's to see."""
    found = list(loops)
    touched: set[int] = set()
    for loop in found:
        for value, other, _ in adjacent(loop, arrangement.order):
            same = draft.values[value].dims == draft.values[other].dims
            merge(draft, draft.values[value].dims, draft.values[other].dims)
            shown = {axis for v in (value, other) for dim in draft.values[v].dims for axis in leaves(draft, dim)}
            # What entries add to keeps its axes; where an entry that goes tied them otherwise, free ones may part.
            touched.update(axis for axis in shown if not same or not draft.axes[axis].frozen)
    repeated = {arrangement.order[slot] for slot in arrangement.copies}
    ends = [dims for loop in found for number in sorted(repeated) for dims in stream_dims(draft, loop, number)]
    touched.update(axis for taken, given in ends if taken != given for axis in _every(draft, (*taken, *given)))
    own = {slot: _own_axes(draft, found, arrangement, slot) for slot in arrangement.copies}
    for loop in sorted(found, key=lambda one: one.starts[0], reverse=True):
        rearrange(draft, loop, arrangement.order, lambda name, slot, old: _marked(arrangement, name, slot, old), own)
    _Names.of(draft, arrangement, own).apply()
    for axes in own.values():
        dims = [tie for tie in draft.size_ties if any(axis in axes for dim in tie.dims for axis in dim)]
        draft.size_ties += tuple(tie.replaced(dims=mapped(tie.dims, axes)) for tie in dims)
    recouple(draft, touched)


def _own_axes(draft: Draft, loops: Iterable[Loop], arrangement: Arrangement, slot: int) -> dict[int, int]:
    """Return new axes for a copy, in the place of those that nothing but the original shows."""
    number = arrangement.order[slot]
    values = frozenset(value for loop in loops for value in written_by(loop, number))
    inside: set[int] = set()
    outside: set[int] = set()
    for index, value in enumerate(draft.values):
        (inside if index in values else outside).update(_every(draft, value.dims))
    for tensor in draft.tensors.values():
        parts = arrangement.split(tensor.name)
        shared = arrangement.tie and tensor.role == "parameter"
        own = parts is not None and parts[1] == number and not shared
        (inside if own else outside).update(_every(draft, tensor.dims))
    fresh: dict[int, int] = {}
    for axis in sorted(inside - outside):
        fresh[axis] = draft.new_axis(draft.axes[axis].size, draft.axes[axis].label, draft.axes[axis].frozen)
    for axis, new in fresh.items():
        parts_of = mapped(draft.axes[axis].parts, fresh)
        label = _marked(arrangement, draft.axes[axis].label, slot, number)
        draft.axes[new] = draft.axes[new].replaced(parts=parts_of, label=label)
    return fresh


def _every(draft: Draft, dims: Iterable[Dim]) -> Iterator[int]:
    """Yield the axes of dimensions, those of sums and of their parts."""
    for dim in dims:
        for axis in dim:
            yield axis
            yield from _every(draft, draft.axes[axis].parts)


def _marked(arrangement: Arrangement, name: str, slot: int, old: int) -> str:
    """Give a name inside an entry its new number, marked as done."""
    parts = arrangement.split(name)
    if parts is None or parts[1] != old:
        return name
    return f"{parts[0]}{_MARK}{slot}{parts[2]}"


@dataclass(frozen=True)
class _Names:
    """New names of modules and tensors.

    Attributes:
        draft: What is renamed.
        arrangement: The new order.
        heirs: For a shared module or tied tensor whose owner goes: the path or name that owns it then (old spelling).
        axes: For each slot that holds a copy, the axes that it has in the place of the original's.
    """

    draft: Draft
    arrangement: Arrangement
    heirs: dict[str, str]
    axes: Mapping[int, Mapping[int, int]]

    @staticmethod
    def of(draft: Draft, arrangement: Arrangement, axes: Mapping[int, Mapping[int, int]]) -> "_Names":
        heirs: dict[str, str] = {}
        owned: list[tuple[str, str]] = [(m.path, m.same_as) for m in draft.modules.values()]
        owned += [(tensor.name, tensor.tied_to) for tensor in draft.tensors.values()]
        for name, owner in owned:
            if owner and arrangement.is_gone(owner) and not arrangement.is_gone(name):
                heirs.setdefault(owner, name)
        return _Names(draft, arrangement, heirs, axes)

    def apply(self) -> None:
        """Rename everything; modules and tensors come in the order of the lists."""
        draft = self.draft
        modules, tensors = draft.modules, draft.tensors
        draft.modules = {new: self._module(modules[old], new, modules) for old, new in self._ordered(modules)}
        draft.tensors = {new: self._tensor(tensors[old], new, tensors) for old, new in self._ordered(tensors)}
        for run in draft.root.runs():
            run.module = self.owner(run.module)
            run.events = [event if isinstance(event, Run) else self._operator(event) for event in run.events]
        if self.arrangement.copies:
            self._to_owners()
        draft.axes = [axis.replaced(label=self._label(axis.label)) for axis in draft.axes]
        draft.indexed = tuple(new for one in draft.indexed for new in self._indexed(one))

    def _to_owners(self) -> None:
        """Name shared modules and tied tensors of copies by the first that they are the same as."""
        draft = self.draft
        for run in draft.root.runs():
            run.module = draft.modules[run.module].same_as or run.module
            for index, event in enumerate(run.events):
                if isinstance(event, Operator):
                    home = draft.modules[event.module].same_as or event.module
                    path = home + event.path.removeprefix(event.module)
                    tensors = {role: draft.tensors[name].tied_to or name for role, name in event.tensors.items()}
                    run.events[index] = event.replaced(path=path, module=home, tensors=tensors)

    def _indexed(self, one: IndexedList) -> Iterator[IndexedList]:
        """Yield a list that an axis indexes under the names that it has then, with the axis that a copy has."""
        for name in self.arrangement.names(one.path):
            slot = self._copied_from(one.path, name)
            yield one.replaced(path=name, dim=one.dim if slot is None else mapped([one.dim], self.axes[slot])[0])

    def _ordered(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return old and new names, the entries of a list in their new order."""
        pairs: list[tuple[str, str]] = []
        waiting: dict[str, dict[int, list[tuple[str, str]]]] = {}
        places: dict[str, int] = {}
        for name in names:
            parts = self.arrangement.split(name)
            if parts is None:
                pairs.append((name, name))
                continue
            prefix, number, rest = parts
            places.setdefault(prefix, len(pairs))
            waiting.setdefault(prefix, {}).setdefault(number, []).append((name, rest))
        for prefix in sorted(waiting, key=lambda one: places[one], reverse=True):
            block = [
                (old, f"{prefix}{slot}{rest}")
                for slot, number in enumerate(self.arrangement.order)
                for old, rest in waiting[prefix].get(number, ())
            ]
            pairs[places[prefix] : places[prefix]] = block
        return pairs

    def owner(self, name: str) -> str:
        """Return the new name of a module or tensor that may have passed to an heir."""
        if _MARK in name:
            return name.replace(_MARK, "")
        name = self.heirs.get(name, name)
        return next(iter(self.arrangement.names(name)), name)

    def _copied_from(self, old: str, new: str) -> int | None:
        """Return the slot of a copy, nothing for what is none."""
        parts = self.arrangement.split(new)
        if parts is None or self.arrangement.split(old) is None or parts[1] not in self.arrangement.copies:
            return None
        return parts[1]

    def _shared(self, owner: str, old: str, slot: int) -> str:
        """Return the name of what a part of a copy is the same as: in the same copy, or outside of the entry."""
        mine, theirs = self.arrangement.split(old), self.arrangement.split(owner)
        if mine is not None and theirs is not None and theirs[1] == mine[1]:
            return f"{theirs[0]}{slot}{theirs[2]}"
        return self.owner(owner)

    def _module(self, module: Module, new: str, before: Mapping[str, Module]) -> Module:
        positions = {name: self.owner(path) for name, path in module.positions.items()}
        counts = {name: self.owner(path) for name, path in module.counts.items()}
        per_layer = {name: self.owner(path) for name, path in module.per_layer.items()}
        module = module.replaced(positions=positions, counts=counts, per_layer=per_layer)
        slot = self._copied_from(module.path, new)
        if slot is not None:
            first = module.same_as or module.path
            if any((m.same_as or m.path) == first and not self._with(m.path, module.path) for m in before.values()):
                return module.replaced(path=new, same_as=self.owner(first), integers={})
            same = self._shared(first, module.path, slot) if module.same_as else ""
            integers = dict(zip(module.integers, mapped(module.integers.values(), self.axes[slot]), strict=True))
            return module.replaced(path=new, same_as=same, integers=integers)
        owner = self.heirs.get(module.same_as, module.same_as)
        if owner and owner == module.path:
            return module.replaced(path=new, same_as="", integers=before[module.same_as].integers)
        return module.replaced(path=new, same_as=self.owner(owner) if owner else "")

    def _tensor(self, tensor: Tensor, new: str, before: Mapping[str, Tensor]) -> Tensor:
        slot = self._copied_from(tensor.name, new)
        if slot is None:
            owner = self.heirs.get(tensor.tied_to, tensor.tied_to)
            return tensor.replaced(name=new, tied_to="" if owner in ("", tensor.name) else self.owner(owner))
        tensor = tensor.replaced(dims=mapped(tensor.dims, self.axes[slot]))
        owner = tensor.tied_to or tensor.name
        outside = [
            t.name for t in before.values() if (t.tied_to or t.name) == owner and not self._with(t.name, tensor.name)
        ]
        if outside or (self.arrangement.tie and tensor.role == "parameter"):
            return tensor.replaced(name=new, tied_to=self.owner(owner))
        return tensor.replaced(name=new, tied_to=self._shared(owner, tensor.name, slot) if tensor.tied_to else "")

    def _with(self, one: str, other: str) -> bool:
        """Whether two names stand in the same entry."""
        mine, theirs = self.arrangement.split(one), self.arrangement.split(other)
        return mine is not None and theirs is not None and mine[1] == theirs[1]

    def _operator(self, operator: Operator) -> Operator:
        home = self.owner(operator.module)
        path = home + operator.path.replace(_MARK, "").removeprefix(operator.module.replace(_MARK, ""))
        tensors = {role: self.owner(name) for role, name in operator.tensors.items()}
        return operator.replaced(path=path, module=home, tensors=tensors)

    def _label(self, label: str) -> str:
        name, bracket, rest = label.partition("[")
        return f"{self.owner(name)}{bracket}{rest}"
