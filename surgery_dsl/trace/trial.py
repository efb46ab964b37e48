"""Finding the sizes that a forward holds as numbers of its own.

Following axes shows what is coupled, not whether the forward would run at another size: ``x.view(-1, 64)`` does
not. So the model is run once more with other sizes, on fake tensors, and every tensor must have the shape that the
change of sizes predicts. Sizes grow, neighbouring axes by different amounts: growing has no blind spot at one, and
halves of a ``chunk``, which must stay equal, are told apart. Axes that cannot grow are frozen, with the operator that
objected. Numbers that follow from a size without being one (a scale of attention) freeze their axis too: cutting it
would change the function silently.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isclose, sqrt

from torch import nn

from surgery_dsl.interface import frozen
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.ties import SizeTies
from surgery_dsl.trace.atoms import Product, flat, leaves
from surgery_dsl.trace.collector import collect_young
from surgery_dsl.trace.forward import ForwardFailed, Resized, ValuesNeeded, record
from surgery_dsl.trace.graph import Traced
from surgery_dsl.trace.recorder import Record, Recording, Ref

# Few different amounts, so that torch's cache of fake shapes serves most layers; neighbours still differ. None is
# one: rounding up in a ``chunk`` would hide it.
_AMOUNTS = (3, 5, 7, 11, 13)


# What code computes from a size: a scale of attention, a mean.
_FORMS: tuple[Callable[[int], float], ...] = (sqrt, lambda n: 1 / sqrt(n), float, lambda n: 1 / n)


@dataclass(frozen=True)
class Objection:
    """Why a trial failed.

    Attributes:
        record: Position of the call that objected.
        reason: The reason to freeze with.
        numbers: Where calls were given numbers that follow from sizes: position, the number before, and after.
        grown: The sizes that were tried.
    """

    record: int
    reason: str
    numbers: tuple[tuple[int, float, float], ...] = ()
    grown: Mapping[int, int] = field(default_factory=dict)


def freeze_hard_coded(model: nn.Module, traced: Traced, inputs: Sequence[InputSpec]) -> Interface:
    """Return the interface with every axis frozen that cannot take another size though nothing couples it.

    The model is as it was afterwards. In the good case this costs one more forward on fake tensors.

    Args:
        model: The traced model.
        traced: What tracing it gave.
        inputs: What the plan says of its inputs.
    """
    return _Trial(model, traced, inputs).run()


def with_tied_frozen(interface: Interface) -> Interface:
    """Return the interface with every axis frozen whose size is tied to one that is."""
    held = SizeTies(interface).held()
    if not held:
        return interface
    axes = tuple(
        axis.replaced(frozen=frozen.tied(held[axis.id].reason)) if axis.id in held else axis for axis in interface.axes
    )
    return interface.replaced(axes=axes)


class _Trial:
    def __init__(self, model: nn.Module, traced: Traced, inputs: Sequence[InputSpec]) -> None:
        self.model = model
        self.traced = traced
        self.interface = traced.interface
        self.inputs = inputs
        self.ties = SizeTies(traced.interface)
        self.fixed: set[int] = set()
        self.base = traced.recordings[0]
        self.states = traced.flow.states

    def run(self) -> Interface:
        listed = {axis for one in self.interface.indexed for axis in one.dim}  # tried with their lists already
        free = [a.id for a in self.interface.axes if not a.parts and not a.frozen and a.id not in listed]
        left = [axis for axis in free if self.interface.exact_size(axis) is not None]
        blamed: dict[int, str] = {}
        while left:
            objection = self.objection(left)
            if objection is None:
                break
            blamed |= dict.fromkeys(self._guilty(left, objection), objection.reason)
            self.fixed = set(blamed)
            left = [axis for axis in left if axis not in blamed]
        axes = tuple(a.replaced(frozen=blamed[a.id]) if a.id in blamed else a for a in self.interface.axes)
        return with_tied_frozen(self.interface.replaced(axes=axes) if blamed else self.interface)

    # ---- one trial ---------------------------------------------------------------------------------------------

    def objection(self, axes: Iterable[int], until: int | None = None) -> Objection | None:
        """Try other sizes for some axes; say what went wrong, ``None`` if nothing did.

        With ``until``, only up to the call of that position: whose fault an objection is needs no more.
        """
        grown = self._grown(list(axes))
        collect_young()  # a forward that failed is a circle of its frames and its error
        try:
            (other,) = record(self.model, self.inputs, self.traced.chosen[:1], self._resized(grown), until)
        except ForwardFailed as failed:
            at = min(failed.records, len(self.base.records) - 1)
            return self._object(at, grown, failed.recording, failed.operator or "a check of its own")
        except ValuesNeeded:
            return Objection(0, frozen.hard_coded("an operator", "the forward looks at values at another size"))
        return self._object(len(self.base.records) if until is None else until + 1, grown, other)

    def _grown(self, axes: Sequence[int]) -> dict[int, int]:
        """Return larger sizes for axes, and what size ties then ask of others; axes that ties hold back stay."""
        amounts = {axis: _AMOUNTS[i % len(_AMOUNTS)] for i, axis in enumerate(axes)}
        groups: dict[int, list[int]] = {}
        for axis in axes:
            if axis in self.ties.by_axis:
                groups.setdefault(id(self.ties.by_axis[axis]), []).append(axis)
        tied: dict[int, int] = {}
        for group in groups.values():
            tied.update(self._grown_together(group, amounts))
        plain = {a: (self.interface.exact_size(a) or 0) + n for a, n in amounts.items() if a not in self.ties.by_axis}
        return {**plain, **tied}

    def _grown_together(self, group: Sequence[int], amounts: Mapping[int, int]) -> dict[int, int]:
        """Return larger sizes for axes that ties connect, one after the other as far as the ties let them."""
        chosen: dict[int, int] = {}
        forced: dict[int, int] = {}
        for axis in group:
            if axis in forced:
                continue
            size = self.interface.exact_size(axis) or 0
            for grown in dict.fromkeys((size + amounts[axis], 2 * size, 3 * size)):
                following = self.ties.following({**chosen, axis: grown}, self.fixed)
                if isinstance(following, dict) and all(
                    n >= (self.interface.exact_size(other) or n) for other, n in following.items()
                ):
                    chosen[axis] = grown
                    forced = following
                    break
        return {**forced, **chosen}

    def _object(self, until: int, grown: Mapping[int, int], other: Recording, failed: str = "") -> Objection | None:
        """Compare two recordings up to the call that ``failed``, to the end if none did."""
        wanted: dict[Ref, tuple[int, ...]] = {}
        numbers: list[tuple[int, float, float]] = []
        for at, (mine, theirs) in enumerate(zip(self.base.records[:until], other.records, strict=False)):
            if (mine.operation.name, mine.reads, mine.outputs) != (
                *(theirs.operation.name, theirs.reads, theirs.outputs),
            ):
                return self._reason(at, "does something else at another size")
            for ref in mine.outputs:
                wanted[ref] = tuple(self._size(dim, grown) for dim in self.states[ref].dims)
                empty = 0 in self.base.shapes[ref] and 0 in other.shapes[ref]
                if other.shapes[ref] != wanted[ref] and not empty:
                    return self._reason(at)
            if mine.operation.name == "slice" and not self._begins(mine, theirs, other, grown):
                return self._reason(at)
            before, after = _constants(mine), _constants(theirs)
            if before != after and len(before) == len(after):
                numbers += [(at, a, b) for a, b in zip(before, after, strict=True) if a != b]
            elif before != after:
                return self._reason(at, frozen.FOLLOWS)
        if numbers:
            return replace(self._reason(numbers[0][0], frozen.FOLLOWS), numbers=tuple(numbers), grown=grown)
        if not failed and len(other.records) == until:
            return None
        return self._reason(until, operator=failed)

    def _begins(self, mine: Record, theirs: Record, other: Recording, grown: Mapping[int, int]) -> bool:
        """Whether a slice begins where it should: a part before it that nothing reads has no shape to tell by."""
        ref, place = mine.reads[0], int(mine.arguments["dim"] or 0) % max(len(self.base.shapes[mine.reads[0]]), 1)
        dim = self.states[ref].dims[place]
        wanted = self._offset(dim, _start(mine, self.base.shapes[ref][place]), grown)
        return wanted is None or wanted == _start(theirs, other.shapes[theirs.reads[0]][place])

    def _offset(self, dim: Product, start: int, grown: Mapping[int, int]) -> int | None:
        """Return where an entry of a dimension lies at other sizes, ``None`` where no part begins there."""
        if start == 0:
            return 0
        atoms = flat(dim)
        step = self._size(atoms[1:], {}) if atoms else 0
        if not atoms or atoms[0].parts is None or start % step:
            return None
        left, found = start // step, 0
        for part in atoms[0].parts:
            size = self._size(part, {})
            if left < size:
                inside = self._offset(part, left, grown)
                return None if inside is None else (found + inside) * self._size(atoms[1:], grown)
            left, found = left - size, found + self._size(part, grown)
        return found * self._size(atoms[1:], grown)

    def _reason(self, at: int, what: str = "", operator: str = "") -> Objection:
        at = min(at, len(self.base.records) - 1)
        mine = self.base.records[at]
        path = self.base.runs[mine.run].path if mine.run >= 0 else ""
        place = f"{path or 'the network'} at {mine.source}" if mine.source else path or "the network"
        name = operator or mine.operation.name.strip("_")
        return Objection(at, f"{name} {what} ({place})" if what else frozen.hard_coded(name, place))

    def _size(self, dim: Product, grown: Mapping[int, int]) -> int:
        size = 1
        for atom in flat(dim):
            if atom.parts is not None:
                size *= sum(self._size(part, grown) for part in atom.parts)
            else:
                size *= grown.get(self.traced.numbers.get(id(atom), -1), atom.sizes[0])
        return size

    def _resized(self, grown: Mapping[int, int]) -> Resized:
        interface, tensors = self.interface, self.base.tensors
        shapes = {name: tuple(self._size(d, grown) for d in self.states[ref].dims) for name, ref in tensors.items()}

        def size(dim: tuple[int, ...]) -> int:
            exact = interface.size(dim).substitute(lambda axis: grown.get(axis) or interface.exact_size(axis)).value
            if exact is None:
                raise ValueError("an integer attribute follows an axis of open size")
            return exact

        integers = {(m.path, name): size(dim) for m in interface.modules for name, dim in m.integers.items()}
        return Resized(shapes, integers)

    # ---- whose fault it is -------------------------------------------------------------------------------------

    def _guilty(self, axes: Sequence[int], objection: Objection) -> list[int]:
        """Return the axes to freeze for an objection: those of the call that fail alone, else found by halving."""
        if objection.numbers:
            found = self._followed(objection, axes)
            if found:
                return found
        last = len(self.base.records) - 1
        until = objection.record if objection.record < last else None  # at the end, calls too many count as well
        near = [axis for axis in dict.fromkeys(self._axes_of(self.base.records[objection.record])) if axis in axes]
        if near and len(near) < len(axes):
            alone = [axis for axis in near if self.objection([axis], until) is not None]
            if not alone and self.objection(near, until) is not None:
                alone = near
            if alone:
                return self._single(alone, objection.record, axes, until) or self._alike(alone, objection.record, axes)
        return self._halved(axes, until)

    def _followed(self, objection: Objection, axes: Sequence[int]) -> list[int]:
        """Return the axes that all numbers are roots or inverses of; nothing, where one of them is neither."""
        guilty: dict[int, None] = {}
        for at, before, after in objection.numbers:
            found = [
                axis
                for axis in dict.fromkeys(self._axes_of(self.base.records[at]))
                if axis in axes and axis in objection.grown
                for form in _FORMS
                if isclose(before, form(self.interface.exact_size(axis) or 1))
                and isclose(after, form(objection.grown[axis]))
            ]
            if not found:
                return []
            guilty |= dict.fromkeys(found)
        return list(guilty)

    def _single(self, alone: Sequence[int], at: int, axes: Sequence[int], until: int | None) -> list[int]:
        """Return the one axis, with its like elsewhere, that lets all others of its size ties grow where it stays."""
        tied = [axis for axis in alone if axis in self.ties.by_axis]
        for axis in tied if len(tied) > 1 else ():
            alike = self._alike([axis], at, axes)
            before, self.fixed = self.fixed, {*self.fixed, *alike}
            rest = [other for other in alone if other not in alike]
            innocent = bool(rest) and self.objection(rest, until) is None
            self.fixed = before
            if innocent:
                return alike
        return []

    def _axes_of(self, call: Record) -> list[int]:
        refs = (*call.reads, *call.outputs)
        found = [leaf for ref in refs for dim in self.states[ref].dims for leaf in leaves(dim)]
        return [self.traced.numbers.get(id(leaf), -1) for leaf in found]

    def _alike(self, guilty: Sequence[int], at: int, axes: Sequence[int]) -> list[int]:
        """Add the axes in the same places of the same line of code, where other modules ran it."""
        one = self.base.records[at]
        mine = self._axes_of(one)
        places = [i for i, axis in enumerate(mine) if axis in guilty]
        found = dict.fromkeys(guilty)
        for other in self.base.records if one.source else ():
            if (other.operation.name, other.source) == (one.operation.name, one.source):
                theirs = self._axes_of(other)
                if len(theirs) == len(mine):
                    found |= dict.fromkeys(theirs[i] for i in places if theirs[i] in axes)
        return list(found)

    def _halved(self, axes: Sequence[int], until: int | None) -> list[int]:
        """Return axes that fail alone; all, where they fail only together."""
        if len(axes) == 1:
            return list(axes)
        middle = len(axes) // 2
        halves = [half for half in (axes[:middle], axes[middle:]) if self.objection(half, until) is not None]
        found = [axis for half in halves for axis in self._halved(half, until)]
        return found or list(axes)


def _start(call: Record, size: int) -> int:
    """Return where a slice of a dimension of that size begins."""
    start = int(call.arguments["start"] or 0)
    return max(start + size, 0) if start < 0 else min(start, size)


def _constants(call: Record) -> list[float]:
    """Return the numbers among a call's arguments that are no sizes.

    Sizes are integers, what follows from them mostly is not; but no argument of a pointwise call is a size.
    """
    found: list[float] = []
    for value in call.arguments.values():
        if isinstance(value, float):
            found.append(value)
        elif isinstance(value, tuple):
            found += [item for item in value if isinstance(item, float)]
        elif call.operation.pointwise and isinstance(value, int) and not isinstance(value, Ref):
            found.append(float(value))
    return found
