"""Sizes that must stay equal: what follows for other axes where some axes change."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from surgery_dsl.interface import frozen
from surgery_dsl.interface.model import Dim, Interface, Size, SizeTie


class SizeTies:
    """The size ties of an interface, grouped by the axes that they connect."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface

    @cached_property
    def by_axis(self) -> dict[int, list[SizeTie]]:
        """For each leaf axis that a tie names, all ties that are connected with it."""
        groups: dict[int, list[SizeTie]] = {}
        for tie in self.interface.size_ties:
            axes = {axis for dim in tie.dims for axis in self.interface.leaves(dim)}
            met = {id(groups[axis]): groups[axis] for axis in axes if axis in groups}
            group = [other for found in met.values() for other in found] + [tie]
            connected = axes | {axis for found in met.values() for axis in self._axes(found)}
            groups |= dict.fromkeys(connected, group)
        return groups

    def _axes(self, ties: Iterable[SizeTie]) -> set[int]:
        return {axis for tie in ties for dim in tie.dims for axis in self.interface.leaves(dim)}

    def held(self) -> dict[int, SizeTie]:
        """Return the axes that nothing freezes and for which no other size is left, with the tie that holds them.

        A tie holds an axis where it alone may change, on all sides of the tie.
        """
        held: dict[int, SizeTie] = {}
        changed = True
        while changed:
            changed = False
            for tie in self.interface.size_ties:
                free = {
                    axis
                    for dim in tie.dims
                    for axis in self.interface.leaves(dim)
                    if not self._still(axis) and axis not in held
                }
                if len(free) == 1:
                    held[free.pop()] = tie
                    changed = True
        return held

    def _still(self, axis: int) -> bool:
        if self.interface.exact_size(axis) is None:
            return True
        return bool(self.interface.axes[axis].frozen) and not is_made(axis, self.interface)

    def following(self, sizes: Mapping[int, int], fixed: Collection[int] = frozenset()) -> dict[int, int] | SizeTie:
        """Return the sizes that other axes must take where some axes take new ones; a tie that cannot be kept.

        A side of a tie follows by its only axis that may change and is not given; of several, the first that can.

        Args:
            sizes: New sizes of leaf axes.
            fixed: Axes that may not follow, besides those that are frozen.
        """
        found: dict[int, int] = {}
        todo = {id(tie): tie for axis in sizes for tie in self.by_axis.get(axis, ())}
        for _ in range(len(todo) + 1):
            changed = False
            for tie in todo.values():
                known = {**found, **sizes}
                values = self.values(tie, known)
                if None in values or len(set(values)) == 1:
                    continue
                forced = self._force(tie, [value for value in values if value is not None], sizes, found, fixed)
                if forced is None:
                    return tie
                found.update(forced)
                changed = True
            if not changed:
                return found
        return next(iter(todo.values()))

    def _force(
        self,
        tie: SizeTie,
        values: list[int],
        given: Mapping[int, int],
        found: Mapping[int, int],
        fixed: Collection[int],
    ) -> dict[int, int] | None:
        """Return a new size for one axis of a side so that it meets the side that has changed."""
        known = {**found, **given}
        touched = [any(axis in known for axis in self.interface.leaves(dim)) for dim in tie.dims]
        for leader in sorted(range(len(values)), key=lambda i: not touched[i]):
            for side, dim in enumerate(tie.dims):
                if side == leader or values[side] == values[leader]:
                    continue
                for axis in dict.fromkeys(self.interface.leaves(dim)):
                    if axis in known or axis in fixed or self._still(axis):
                        continue
                    target, rest = divmod(values[leader], tie.factors[side] if tie.factors else 1)
                    size = None if rest else self._solved(dim, axis, target, known)
                    if size is not None:
                        return {axis: size}
        return None

    def _solved(self, dim: Dim, axis: int, target: int, known: Mapping[int, int]) -> int | None:
        """Return the size of one axis that gives a dimension its size."""
        rest = self.interface.size(dim).substitute(
            lambda other: None if other == axis else known.get(other, self.interface.exact_size(other))
        )
        if not set(rest.terms) <= {(), (axis,)}:
            return None
        factor, constant = rest.terms.get((axis,), 0), rest.terms.get((), 0)
        size, left = divmod(target - constant, factor) if factor else (0, 1)
        return size if not left and size > 0 else None

    def values(self, tie: SizeTie, sizes: Mapping[int, int]) -> list[int | None]:
        """Return what must be equal: the size of each dimension times its factor, under new sizes of some axes."""
        found = [self._size(dim, sizes) for dim in tie.dims]
        factors = tie.factors or (1,) * len(found)
        return [None if n is None else n * factor for n, factor in zip(found, factors, strict=True)]

    def _size(self, dim: Dim, known: Mapping[int, int]) -> int | None:
        return self.interface.size(dim).substitute(lambda axis: known.get(axis, self.interface.exact_size(axis))).value


def is_made(axis: int, interface: Interface) -> bool:
    """Say whether the forward makes an axis anew (``arange(x.shape[-1])``), so that it follows a tie by itself."""
    reason = interface.axes[axis].frozen
    return axis not in interface.carriers and (reason == frozen.UNCARRIED or frozen.is_constant(reason))


def with_made(interface: Interface) -> Interface:
    """Return an interface in which what the forward makes anew has the size that its tie gives it."""
    sizes: dict[int, Size] = {}
    for tie in interface.size_ties:
        if tie.factors or len(tie.dims) != 2 or any(len(dim) != 1 or interface.axes[dim[0]].parts for dim in tie.dims):
            continue
        (one,), (two,) = tie.dims
        for made, other in ((one, two), (two, one)):
            size = interface.axes[other].size
            if is_made(made, interface) and interface.axes[made].size != size:
                sizes[made] = size
                break
    if not sizes:
        return interface
    return interface.replaced(
        axes=tuple(axis.replaced(size=sizes[axis.id]) if axis.id in sizes else axis for axis in interface.axes)
    )
