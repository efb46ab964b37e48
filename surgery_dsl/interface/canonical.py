"""Interfaces in one spelling, and what tells two of them apart.

The number of an axis or value says nothing: a predicted and a traced interface of the same network number them
differently. :func:`canonical` numbers them by first appearance; :func:`differences` walks two interfaces side by
side and pairs their axes as it meets them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from surgery_dsl.interface.expression import text
from surgery_dsl.interface.model import Axis, Call, Dim, Extent, Interface, Operator, Size, Tensor

# Settings that say again what the dimensions say: the number of groups, where a slice starts.
_FOLLOWS_AXES = {"groups", "num_groups", "start"}


def canonical(interface: Interface) -> Interface:
    """Return the same interface in its one spelling.

    Axes are numbered by first appearance in the inputs, the tensors by name, then the values; values by first
    appearance in the inputs, then as they are written. Leaf axes of exactly one vanish, as do axes and values that
    nothing names. Tensors and modules are sorted by name.
    """
    return _Canonical(interface).build()


@dataclass
class _Canonical:
    source: Interface
    axes: list[int] = field(default_factory=list)
    axis_number: dict[int, int] = field(default_factory=dict)
    value_number: dict[int, int] = field(default_factory=dict)

    def build(self) -> Interface:
        source = self.source
        for value in self._values():
            self.value_number.setdefault(value, len(self.value_number))
        for port in source.inputs:
            self.dims(source.values[port.value].dims)
        tensors = tuple(
            tensor.replaced(dims=self.dims(tensor.dims)) for tensor in sorted(source.tensors, key=lambda t: t.name)
        )
        values = tuple(
            source.values[old].replaced(dims=self.dims(source.values[old].dims)) for old in self.value_number
        )
        modules = tuple(
            module.replaced(integers={k: self.dim(v) for k, v in sorted(module.integers.items())})
            for module in sorted(source.modules, key=lambda m: m.path)
        )
        operators = tuple(
            operator.replaced(
                inputs=self.values(operator.inputs),
                outputs=self.values(operator.outputs),
                macs=self.dims(operator.macs),
            )
            for operator in source.operators
        )
        calls = tuple(
            call.replaced(inputs=self.values(call.inputs), outputs=self.values(call.outputs)) for call in source.calls
        )
        return source.replaced(
            axes=tuple(self._axes()),
            tensors=tensors,
            modules=modules,
            values=values,
            operators=operators,
            calls=calls,
            size_ties=tuple(tie.replaced(dims=self.dims(tie.dims)) for tie in source.size_ties),
            size_branches=tuple(branch.replaced(dim=self.dim(branch.dim)) for branch in source.size_branches),
            indexed=tuple(
                one.replaced(dim=self.dim(one.dim)) for one in sorted(source.indexed, key=lambda one: one.path)
            ),
            inputs=tuple(port.replaced(value=self.value_number[port.value]) for port in source.inputs),
            outputs=tuple(port.replaced(value=self.value_number[port.value]) for port in source.outputs),
        )

    def _values(self) -> Iterator[int]:
        source = self.source
        yield from (port.value for port in source.inputs)
        for operator in source.operators:
            yield from operator.outputs
        for call in source.calls:
            yield from (*call.inputs, *call.outputs)
        yield from (port.value for port in source.outputs)

    def values(self, values: Iterable[int]) -> tuple[int, ...]:
        return tuple(self.value_number[value] for value in values)

    def dims(self, dims: Iterable[Dim]) -> tuple[Dim, ...]:
        return tuple(self.dim(dim) for dim in dims)

    def dim(self, dim: Dim) -> Dim:
        return tuple(self._number(axis) for axis in _visible(self.source, dim))

    def _number(self, axis: int) -> int:
        number = self.axis_number.get(axis)
        if number is None:
            number = self.axis_number[axis] = len(self.axes)
            self.axes.append(axis)
        return number

    def _axes(self) -> Iterator[Axis]:
        position = 0
        while position < len(self.axes):
            axis = self.source.axes[self.axes[position]]
            yield axis.replaced(id=position, parts=tuple(self.dim(part) for part in axis.parts))
            position += 1


def _visible(interface: Interface, dim: Dim) -> Iterator[int]:
    """Yield the axes of a dimension without leaves of exactly one."""
    for axis in dim:
        if interface.axes[axis].parts or interface.exact_size(axis) != 1:
            yield axis


def differences(predicted: Interface, traced: Interface) -> tuple[str, ...]:
    """Say in sentences what tells two interfaces apart; nothing if they are equal but for spelling.

    Compared are tensors (role, dtype, dimensions, ties), modules (type, integers), operators (kind, path, module,
    data flow, tensors, settings, multiply-accumulates), calls, inputs and outputs, and whether each axis is frozen;
    not labels, source lines, the wording of reasons and requirements, or the order of tensors and modules.
    """
    return tuple(dict.fromkeys(_Comparison(predicted, traced).run()))


@dataclass
class _Comparison:
    predicted: Interface
    traced: Interface
    forward: dict[int, int] = field(default_factory=dict)
    backward: dict[int, int] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)

    def run(self) -> Iterator[str]:
        yield from self._ports("input", [p.name for p in self.predicted.inputs], [p.name for p in self.traced.inputs])
        for mine, theirs in zip(self.predicted.inputs, self.traced.inputs, strict=False):
            self.values[mine.value] = theirs.value
            yield from self._value(f"input `{mine.name}`", mine.value, theirs.value)
        yield from self._tensors()
        yield from self._operators()
        yield from self._modules()
        yield from self._calls()
        yield from self._indexed()
        yield from self._ports(
            "output", [p.name for p in self.predicted.outputs], [p.name for p in self.traced.outputs]
        )
        for mine, theirs in zip(self.predicted.outputs, self.traced.outputs, strict=False):
            if self.values.get(mine.value) != theirs.value:
                yield f"output `{mine.name}` is another value in the trace than predicted"

    # ---- axes --------------------------------------------------------------------------------------------------

    def _dims(self, place: str, mine: tuple[Dim, ...], theirs: tuple[Dim, ...]) -> Iterator[str]:
        if len(mine) != len(theirs):
            yield f"{place} has {len(mine)} dimensions in the prediction, {len(theirs)} in the trace"
            return
        for position, (one, two) in enumerate(zip(mine, theirs, strict=True)):
            yield from self._dim(f"{place} dimension {position}", one, two)

    def _dim(self, place: str, mine: Dim, theirs: Dim) -> Iterator[str]:
        one, two = list(_visible(self.predicted, mine)), list(_visible(self.traced, theirs))
        size, other = self._size(self.predicted, mine), self._size(self.traced, theirs)
        if len(one) != len(two):
            if size != other:
                yield f"{place} is {size} in the prediction, {other} in the trace"
            else:
                yield f"{place} is a product of {len(one)} axes in the prediction, of {len(two)} in the trace ({size})"
            return
        for a, b in zip(one, two, strict=True):
            yield from self._axis(place, a, b)

    def _axis(self, place: str, mine: int, theirs: int) -> Iterator[str]:
        if mine in self.forward or theirs in self.backward:
            if self.forward.get(mine) != theirs:
                known = self.places.get(mine) or self.places.get(self.backward.get(theirs, -1), "")
                together = "predicted" if mine in self.forward else "traced"
                yield f"{place} and {known} share an axis as {together}, but not in the other"
            return
        self.forward[mine], self.backward[theirs], self.places[mine] = theirs, mine, place
        a, b = self.predicted.axes[mine], self.traced.axes[theirs]
        if len(a.parts) != len(b.parts):
            yield f"{place} is a sum of {len(a.parts) or 1} in the prediction, of {len(b.parts) or 1} in the trace"
        elif a.parts:
            for position, (one, two) in enumerate(zip(a.parts, b.parts, strict=True)):
                yield from self._dim(f"{place} part {position}", one, two)
        else:
            if a.size != b.size and not _only(a.size, b.size):
                yield f"{place} is {_text(a.size)} in the prediction, {_text(b.size)} in the trace"
            if bool(a.frozen) != bool(b.frozen):
                where, reason = ("prediction", a.frozen) if a.frozen else ("trace", b.frozen)
                yield f"{place} is frozen in the {where} alone: {reason}"

    def _paired(self, mine: Dim, theirs: Dim) -> bool:
        """Whether two dimensions are of axes that were met as the same before: what differs was told there."""
        one, two = _visible(self.predicted, mine), _visible(self.traced, theirs)
        return [self.forward.get(axis) for axis in one] == list(two)

    def _size(self, interface: Interface, dim: Dim) -> str:
        exact = interface.exact(dim)
        if exact is not None:
            return str(exact)
        names = []
        for axis in dim:
            parts = interface.axes[axis].parts
            inner = [self._size(interface, part) for part in parts]
            names.append(f"({' + '.join(inner)})" if parts else _text(interface.axes[axis].size))
        return " * ".join(names)

    # ---- the rest ----------------------------------------------------------------------------------------------

    def _ports(self, what: str, mine: list[str], theirs: list[str]) -> Iterator[str]:
        if mine != theirs:
            yield f"the {what}s are {', '.join(mine)} in the prediction, {', '.join(theirs)} in the trace"

    def _value(self, place: str, mine: int, theirs: int) -> Iterator[str]:
        a, b = self.predicted.values[mine], self.traced.values[theirs]
        if a.dtype != b.dtype:
            yield f"{place} is {a.dtype} in the prediction, {b.dtype} in the trace"
        yield from self._dims(place, a.dims, b.dims)

    def _tensors(self) -> Iterator[str]:
        mine, theirs = self.predicted.tensor_by_name, self.traced.tensor_by_name
        yield from _names("tensor", mine, theirs)
        ties = _ties(mine), _ties(theirs)
        for name in (name for name in mine if name in theirs):
            a, b = mine[name], theirs[name]
            place = f"`{name}`"
            for attribute in ("role", "dtype", "persistent"):
                one, two = getattr(a, attribute), getattr(b, attribute)
                if one != two:
                    yield f"{place} has {attribute} {one} in the prediction, {two} in the trace"
            if ties[0][a.tied_to or name] != ties[1][b.tied_to or name]:
                yield f"{place} is tied to {_tie(a)} in the prediction, to {_tie(b)} in the trace"
            yield from self._dims(place, a.dims, b.dims)

    def _modules(self) -> Iterator[str]:
        mine, theirs = self.predicted.module_by_path, self.traced.module_by_path
        yield from _names("module", mine, theirs)
        for path in sorted(mine.keys() & theirs.keys()):
            a, b = mine[path], theirs[path]
            place = f"`{path or 'the network'}`"
            if a.type != b.type:
                yield f"{place} is a {a.type} in the prediction, a {b.type} in the trace"
            if a.same_as != b.same_as:
                yield f"{place} is the same object as {a.same_as or 'no other'} in the prediction, " + (
                    f"as {b.same_as or 'no other'} in the trace"
                )
            for name in sorted(a.integers.keys() | b.integers.keys()):
                # An integer may be said by one of several products that size ties keep equal: its size decides.
                sizes = [
                    self._size(interface, module.integers[name]) if name in module.integers else ""
                    for interface, module in ((self.predicted, a), (self.traced, b))
                ]
                if "" in sizes and set(sizes) != {"", "1"}:
                    yield f"{place} has the integer {name} in the {'trace' if sizes[1] else 'prediction'} alone"
                elif "" not in sizes and sizes[0] != sizes[1] and not self._paired(a.integers[name], b.integers[name]):
                    yield f"{place} {name} is {sizes[0]} in the prediction, {sizes[1]} in the trace"

    def _operators(self) -> Iterator[str]:
        mine, theirs = self.predicted.operators, self.traced.operators
        if len(mine) != len(theirs):
            yield f"the forward has {len(mine)} operators in the prediction, {len(theirs)} in the trace"
        for position, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if (a.kind, a.path, a.module) != (b.kind, b.path, b.module):
                yield (
                    f"operator {position} is {a.kind} `{a.path}` of `{a.module}` in the prediction, "
                    f"{b.kind} `{b.path}` of `{b.module}` in the trace"
                )
                return  # what follows would only repeat it
            yield from self._operator(f"operator `{a.path}`", a, b)

    def _operator(self, place: str, a: Operator, b: Operator) -> Iterator[str]:
        if tuple(self.values.get(value) for value in a.inputs) != b.inputs:
            yield f"{place} reads other values in the trace than predicted"
        if len(a.outputs) != len(b.outputs):
            yield f"{place} writes {len(a.outputs)} values in the prediction, {len(b.outputs)} in the trace"
        for mine, theirs in zip(a.outputs, b.outputs, strict=False):
            self.values[mine] = theirs
            yield from self._value(f"{place} result", mine, theirs)
        for what, one, two in (("tensors", a.tensors, b.tensors), ("settings", a.settings, b.settings)):
            for name in sorted((one.keys() | two.keys()) - _FOLLOWS_AXES):
                if one.get(name) != two.get(name):
                    yield (
                        f"{place} has {what[:-1]} {name} = {one.get(name, 'none')} in the prediction, "
                        f"{two.get(name, 'none')} in the trace"
                    )
        yield from self._groups(place, a, b)
        yield from self._macs(place, a, b)

    def _groups(self, place: str, a: Operator, b: Operator) -> Iterator[str]:
        """One group of all channels and a group for each leave the same axis: only the setting tells them apart.

        What was one group stays one, and what was one for each of an axis stays so, however the axis shrinks.
        """
        for name in ("groups", "num_groups"):
            mine, theirs = a.settings.get(name), b.settings.get(name)
            if mine is None or theirs is None or not a.outputs or not b.outputs:
                continue
            mine_dim, their_dim = self._channels(self.predicted, a), self._channels(self.traced, b)
            one_axis = len([*_visible(self.predicted, mine_dim)]) == len([*_visible(self.traced, their_dim)]) == 1
            of_each = mine != 1 and len(mine_dim) == 1
            if one_axis and ((mine == 1 and theirs != 1) or (of_each and theirs == 1)):
                yield f"{place} has setting {name} = {mine} in the prediction, {theirs} in the trace"

    @staticmethod
    def _channels(interface: Interface, operator: Operator) -> Dim:
        dims = interface.values[operator.outputs[0]].dims
        return dims[1] if len(dims) > 1 else ()

    def _macs(self, place: str, a: Operator, b: Operator) -> Iterator[str]:
        def products(interface: Interface, operator: Operator) -> list[list[int]]:
            return sorted(sorted(_visible(interface, dim)) for dim in operator.macs)

        mine = sorted(sorted(self.forward.get(x, -1) for x in product) for product in products(self.predicted, a))
        if mine != products(self.traced, b):
            counts = [
                " + ".join(self._size(interface, dim) for dim in operator.macs) or "0"
                for interface, operator in ((self.predicted, a), (self.traced, b))
            ]
            yield f"{place} takes {counts[0]} multiply-accumulates in the prediction, {counts[1]} in the trace"

    def _calls(self) -> Iterator[str]:
        mine, theirs = self.predicted.calls, self.traced.calls
        if [call.module for call in mine] != [call.module for call in theirs]:
            odd = next((a.module, b.module) for a, b in _padded(mine, theirs) if a.module != b.module)
            yield f"the forward runs `{odd[0]}` in the prediction where it runs `{odd[1]}` in the trace"
            return
        for a, b in zip(mine, theirs, strict=True):
            place = f"the run of `{a.module or 'the network'}`"
            if (a.parent, a.first, a.last) != (b.parent, b.first, b.last):
                yield f"{place} holds operators {a.first}-{a.last} in the prediction, {b.first}-{b.last} in the trace"
            for what in ("inputs", "outputs"):
                if tuple(self.values.get(value) for value in getattr(a, what)) != getattr(b, what):
                    yield f"{place} has other {what} in the trace than predicted"

    def _indexed(self) -> Iterator[str]:
        mine, theirs = ({one.path: one.dim for one in side.indexed} for side in (self.predicted, self.traced))
        for path in sorted(mine.keys() | theirs.keys()):
            if path not in mine or path not in theirs:
                yield f"an axis indexes the list `{path}` in the {'prediction' if path in mine else 'trace'} alone"
            elif not self._paired(mine[path], theirs[path]):
                yield f"another axis indexes the list `{path}` in the trace than predicted"


def _padded(mine: tuple[Call, ...], theirs: tuple[Call, ...]) -> Iterator[tuple[Call, Call]]:
    nothing = Call(module="nothing", parent=-1, first=0, last=0, inputs=(), outputs=())
    return zip_longest(mine, theirs, fillvalue=nothing)


def _names(what: str, mine: Iterable[str], theirs: Iterable[str]) -> Iterator[str]:
    for name in sorted(set(mine) - set(theirs)):
        yield f"{what} `{name}` is predicted, but not in the trace"
    for name in sorted(set(theirs) - set(mine)):
        yield f"{what} `{name}` is in the trace, but not predicted"


def _ties(tensors: dict[str, Tensor]) -> dict[str, frozenset[str]]:
    """Return, for each owner of memory, all names of it: which of them is called the owner is spelling."""
    names: dict[str, set[str]] = {}
    for tensor in tensors.values():
        names.setdefault(tensor.tied_to or tensor.name, set()).add(tensor.name)
    return {owner: frozenset(found) for owner, found in names.items()}


def _tie(tensor: Tensor) -> str:
    return f"`{tensor.tied_to}`" if tensor.tied_to else "no other"


def _only(a: Size, b: Size) -> bool:
    """Say whether two sizes are one number, however it is written."""

    def number(size: Size) -> int | None:
        if isinstance(size, Extent):
            return size.least if size.least == size.most else None
        return size if isinstance(size, int) else None

    return number(a) is not None and number(a) == number(b)


def _text(size: Size) -> str:
    if isinstance(size, Extent):
        return f"{size.least} to {size.most} in steps of {size.step}"
    return text(size)
