"""What a step leaves behind besides the interface: writes, names, zeros that training holds, versions of axes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from surgery_dsl.interface.model import Extent, Interface, Tensor
from surgery_dsl.interface.polynomial import Monomial, Polynomial
from surgery_dsl.proof.questions import Sum
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.predicates._holding import follow, with_ties
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.selection import Selection

Range = tuple[int, int]


def extremes(interface: Interface, polynomial: Polynomial) -> Range:
    """Return least and greatest value over open axes, free sizes at their least (1 where it is not known)."""
    least_free = {free.name: free.least for free in interface.free}
    ranges: dict[int, Range] = {}
    for name, parts in polynomial.sums.items():
        ranges[name] = _span(interface, parts, ranges, least_free)
    return _span(interface, polynomial.written, ranges, least_free)


def _span(
    interface: Interface, terms: Mapping[Monomial, int], sums: Mapping[int, Range], least_free: Mapping[str, int]
) -> Range:
    """Return least and greatest value of some monomials, given those of the sums in them."""
    low = high = 0
    for monomial, coefficient in terms.items():
        least = most = 1
        for axis in monomial:
            small, large = sums[axis] if axis in sums else axis_range(interface, axis, least_free)
            least, most = least * small, most * large
        low += coefficient * (least if coefficient > 0 else most)
        high += coefficient * (most if coefficient > 0 else least)
    return low, high


def axis_range(interface: Interface, axis: int, least_free: Mapping[str, int]) -> Range:
    """Return least and greatest size of a leaf axis, free sizes at their least."""
    from surgery_dsl.interface.expression import evaluate, symbols

    size = interface.axes[axis].size
    if isinstance(size, int):
        return size, size
    if isinstance(size, Extent):
        return size.least, size.most
    value = evaluate(size, {name: least_free.get(name, 1) for name in symbols(size)})
    return value, value


def numel(interface: Interface, tensors: Iterable[Tensor]) -> Range:
    """Return how many elements some tensors have together, at least and at most."""
    count = _counting.total(interface, [(1, _counting.dims_of(tensor)) for tensor in tensors])
    return extremes(interface, count)


def coverage(interface: Interface, names: frozenset[str]) -> tuple[Fraction, Fraction]:
    """Return which share of the parameters some tensors hold, at least and at most."""
    everything = _counting.weights(interface)
    owners = {interface.tensor_by_name[name].tied_to or name for name in names}
    held = numel(interface, [tensor for tensor in everything if tensor.name in owners])
    total = extremes(interface, _counting.parameters(interface))
    if not total[1]:
        return Fraction(0), Fraction(0)
    return Fraction(held[0], total[1]), min(Fraction(1), Fraction(held[1], max(total[0], 1)))


# ---- writes and names --------------------------------------------------------------------------------------------


def of_base(base: Interface, history: Iterable[tuple[str, Effect]], names: frozenset[str]) -> frozenset[str]:
    """Return which tensors of the base bear some names after the runs of a history, by the names they began with."""
    present = {name: name for name in base.tensor_by_name}
    for _, effect in history:
        present = follow(present, effect)
    return frozenset(first for first, now in present.items() if now in names)


def all_writes(effect: Effect, before: Interface, after: Interface) -> frozenset[str]:
    """Add to a step's writes what it cannot have left alone: tensors gone or resized, and their ties."""
    writes = set(effect.writes)
    if before is not after:
        resized = _resized(before, after)
        for tensor in before.tensors:
            now = after.tensor_by_name.get(effect.renamed.get(tensor.name, tensor.name))
            # An axis may have another number and still be as long: what counts is the shape.
            replaced = (
                now is None
                or now.dtype != tensor.dtype
                or (now.dims != tensor.dims and _shape(before, tensor) != _shape(after, now))
            )
            if replaced or not resized.isdisjoint(axis for dim in tensor.dims for axis in before.leaves(dim)):
                writes.add(tensor.name)
    return with_ties(before, writes) | writes


def _shape(interface: Interface, tensor: Tensor) -> list[object]:
    """Return the sizes of a tensor's dimensions, to compare across numberings of the axes."""
    exact = [interface.exact(dim) for dim in tensor.dims]
    return [
        size if size is not None else [interface.axes[axis].size for axis in interface.leaves(dim)]
        for dim, size in zip(tensor.dims, exact, strict=True)
    ]


def _resized(before: Interface, after: Interface) -> frozenset[int]:
    both = zip(before.axes, after.axes, strict=False)
    return frozenset(old.id for old, new in both if old is not new and old.size != new.size)


def module_moves(effect: Effect) -> dict[str, str]:
    """Return which modules have another path after a step, read off its renamed tensors."""
    moves = {}
    for old, new in effect.renamed.items():
        left, right = old.split("."), new.split(".")
        while left and right and left[-1] == right[-1]:
            left.pop()
            right.pop()
        moves[".".join(left)] = ".".join(right)
    return moves


def moved(path: str, moves: Mapping[str, str]) -> str:
    """Return a module's path after a step."""
    end = len(path)
    while end > 0:
        if path[:end] in moves:
            return moves[path[:end]] + path[end:]
        end = path.rfind(".", 0, end)
    return path


def brought(
    known: Mapping[str, tuple[str, ...]], step: str, effect: Effect, after: Interface
) -> dict[str, tuple[str, ...]]:
    """Return the modules that steps brought in, by their paths after this step; those that are gone are left out."""
    moves = module_moves(effect)
    result = {
        name: tuple(new for new in (moved(path, moves) for path in paths) if new in after.module_by_path)
        for name, paths in known.items()
    }
    if effect.brings:
        result[step] = effect.brings
    return result


# ---- zeros that training holds -----------------------------------------------------------------------------------


Hold = Literal["trained", "sliced", "written"]
"""What a step does to held zeros: training keeps them, slicing may remove some, writing ends the hold."""


ZeroGroup = tuple[frozenset[str], int]
"""Tensors, and how many zeros are held in them together, at least."""


def zeros(
    known: Mapping[str, Range], total: Range, effect: Effect, before: Interface, after: Interface, hold: Hold
) -> tuple[dict[str, Range], Range]:
    """Return the zeros that training holds after a step, by tensor and in all.

    A step that zeroes adds to what is held (masks are joined: at least the larger of the two).
    """
    result: dict[str, Range] = {}
    lost = 0
    for name, (least, most) in known.items():
        kept, gone = _held(name, most, effect, before, after, hold)
        lost += gone
        if kept is not None:
            result[effect.renamed.get(name, name)] = (max(0, least - gone), most if kept < 0 else min(most, kept))
    in_all, at_most = max(0, total[0] - lost), total[1]
    for name, (least, most) in effect.zeros.items():
        size = numel(after, [after.tensor_by_name[name]])
        held = result.get(name, (0, 0))
        result[name] = (max(held[0], least), min(size[1], held[1] + most))
    if effect.zeros_total is not None:
        in_all, at_most = max(in_all, effect.zeros_total[0]), at_most + effect.zeros_total[1]
    else:
        at_most += sum(most for _, most in effect.zeros.values())
    least, most = (sum(ends) for ends in zip(*result.values(), strict=True)) if result else (0, 0)
    return result, (max(in_all, least), min(at_most, most))


def _held(
    name: str, most: int, effect: Effect, before: Interface, after: Interface, hold: Hold
) -> tuple[int | None, int]:
    """Return how many entries a tensor has after a step (-1: as before, ``None``: its hold ended), and zeros lost."""
    now = effect.renamed.get(name, name)
    if hold == "trained" or name in effect.zeros or (name not in effect.writes and now in after.tensor_by_name):
        return -1, 0
    if hold == "sliced" and now in after.tensor_by_name:
        old, new = numel(before, [before.tensor_by_name[name]]), numel(after, [after.tensor_by_name[now]])
        return new[1], max(0, old[1] - new[0])
    return None, most


def zero_groups(
    groups: Iterable[ZeroGroup],
    known: Mapping[str, Range],
    effect: Effect,
    before: Interface,
    after: Interface,
    hold: Hold,
) -> tuple[ZeroGroup, ...]:
    """Return what global rankings and other steps fix together: zeros in several tensors, after one more step.

    ``known`` are the zeros by tensor before the step. A group loses what its tensors can have lost.
    """
    result: dict[frozenset[str], int] = {}
    for names, least in groups:
        held = {name: _held(name, known[name][1], effect, before, after, hold) for name in names if name in known}
        kept = frozenset(effect.renamed.get(name, name) for name, (now, _) in held.items() if now is not None)
        left = least - sum(gone for _, gone in held.values())
        if kept and left > 0:
            result[kept] = max(result.get(kept, 0), left)
    if effect.zeros and effect.zeros_total is not None:
        names = frozenset(effect.zeros)
        result[names] = max(result.get(names, 0), effect.zeros_total[0])
    return tuple(result.items())


def least_zeros(groups: Iterable[ZeroGroup], known: Mapping[str, Range]) -> int:
    """Return how many zeros are held in all, at least: groups that share no tensor add up, and single tensors do."""
    best = sum(least for least, _ in known.values())
    ranked = sorted(groups, key=lambda group: -group[1])
    for start in range(len(ranked)):
        free, total = set(known), 0
        for names, least in ranked[start:]:
            alone = sum(known[name][0] for name in names if name in known)
            if names <= free and least > alone:
                free -= names
                total += least
        best = max(best, total + sum(known[name][0] for name in free))
    return best


# ---- axes --------------------------------------------------------------------------------------------------------


def versions(
    known: Mapping[int, int], before: Interface, after: Interface, selection: Selection | None
) -> dict[int, int]:
    """Count up every axis that a step resized, or that a choice left open."""
    changed = set(_resized(before, after)) if before is not after else set()
    if selection is not None and changed:
        changed |= {pool.axis for pool in selection.pools if pool.axis is not None}
    return {**known, **{axis: known.get(axis, 0) + 1 for axis in changed}}


def variable(axis: int, version: int) -> str:
    """Return the name of the variable that stands for an axis at a place in the plan."""
    return f"axis {axis}.{version}"


def global_sum(
    selection: Selection, before: Interface, after: Interface, versions_after: Mapping[int, int]
) -> Sum | None:
    """Return the sum that a global ranking fixes where every pool is an axis that lost what was taken of it.

    At a stage of a schedule, what is gone of the original units: the sizes before it may be open.
    """
    total = selection.total if selection.gone is None else selection.gone
    if total is None or before is after:
        return None
    parts = []
    fixed = 0
    for pool in selection.pools:
        if pool.axis is None:
            return None
        whole = before.exact_size(pool.axis) if selection.gone is None else pool.original
        size = after.axes[pool.axis].size
        if whole is None or isinstance(size, str | tuple):
            return None
        if isinstance(size, Extent) and size.least < size.most:
            parts.append((variable(pool.axis, versions_after.get(pool.axis, 0)), whole, Fraction(1)))
        else:
            fixed += whole - (size.least if isinstance(size, Extent) else size)
    if not parts:
        return None
    return Sum(tuple(parts), total.least - fixed, total.most - fixed)


def carried(
    sums: Iterable[Sum], selection: Selection | None, known: Mapping[int, int], later: Mapping[int, int]
) -> Iterator[Sum]:
    """Yield the sums of rankings over axes that a step shortened again, over the axes as they are after it.

    Where exactly k go from an axis of n, whole − n = (whole − k) − (n − k). Counts that are open are not carried.
    """
    if selection is None:
        return
    gone = {
        variable(pool.axis, known.get(pool.axis, 0)): (variable(pool.axis, later.get(pool.axis, 0)), taken.least)
        for pool, taken in zip(selection.pools, selection.taken, strict=True)
        if pool.axis is not None and taken.least == taken.most
    }
    for fixed in sums:
        if any(name in gone and gone[name][0] != name for name, _, _ in fixed.parts):
            moved = [(*gone.get(name, (name, 0)), whole, weight) for name, whole, weight in fixed.parts]
            yield replace(fixed, parts=tuple((name, whole - less, weight) for name, less, whole, weight in moved))
