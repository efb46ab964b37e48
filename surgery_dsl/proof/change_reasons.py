"""Why a step changes what it changes: selected by a step, coupled with what was, tied to it, or following from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Data, Dim, Interface, Tensor
from surgery_dsl.language.plan import Excise, Recover, Replace
from surgery_dsl.proof import selections
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.proof.state import State
from surgery_dsl.proof.steps import place_of
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.predicates._holding import tensors_at, tensors_below
from surgery_dsl.vocabulary.selection import Pool, Selection, Site


class Reason(Data):
    """Why something changes.

    Attributes:
        why: ``selected`` by an ``identify``; ``coupled`` with what was selected, by an axis that both carry; ``tied``
            to a tensor, whose memory it shares; ``follows`` from a size that one integer of the forward serves, or from
            the step; ``step``: the step names it.
        step: Name of the block that decides.
        block: Its kind.
        line: Its line.
        source: What it is coupled with, tied to or follows from.
        dims: Which dimensions of a tensor are meant; empty for all.
    """

    why: Literal["selected", "coupled", "tied", "follows", "step"]
    step: str
    block: str
    line: int | None = None
    source: str = ""
    dims: tuple[int, ...] = ()


def step_reason(step: Excise | Replace | Recover) -> Reason:
    """Return the reason that a step itself is."""
    return Reason(why="step", step=step.name, block=step.block, line=step.span.line if step.span else None)


def reason_text(reason: Reason) -> str:
    """Say why, in a few words."""
    place = f"`{reason.block} {reason.step}`" + (f" line {reason.line}" if reason.line else "")
    said = {
        "selected": f"selected by {place}" + (f", {reason.source}" if reason.source else ""),
        "coupled": f"coupled with {reason.source}, {'selected by' if reason.block == 'identify' else 'set by'} {place}",
        "tied": f"tied to {reason.source}",
        "follows": f"follows from {place}" + (f": {reason.source}" if reason.source else ""),
        "step": f"set by {place}",
    }[reason.why]
    return "".join(f"[{dim}]" for dim in reason.dims) + (" " if reason.dims else "") + said


def range_of(interface: Interface, dim: Dim) -> tuple[int, int]:
    """Return the least and greatest size of a dimension; free sizes at their least."""
    exact = interface.exact_sizes[dim[0]] if len(dim) == 1 else None
    return (exact, exact) if exact is not None else extremes(interface, interface.size(dim))


def resized(before: Interface, after: Interface) -> frozenset[int]:
    """Return the axes that have another size after a step."""
    both = zip(before.axes, after.axes, strict=False)
    return frozenset(old.id for old, new in both if old is not new and old.size != new.size)


@dataclass
class Reasons:
    """Finds the reasons of one run of a step.

    Attributes:
        before: The network before it.
        after: The network after it.
        step: The reason that the step itself is.
        selection: What it acts on, where that was identified.
        chosen: The reason that the ``identify`` is.
        named: Tensors that the step's sites hold, where it names sites itself.
        place: One of these sites, for what is coupled with it.
        effect: What the step does, in its own words.
    """

    before: Interface
    after: Interface
    step: Reason
    selection: Selection | None
    chosen: Reason | None
    named: frozenset[str]
    place: str
    effect: str
    _pools: dict[int, Pool] = field(default_factory=dict)
    _held: dict[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pool in self.selection.pools if self.selection is not None else ():
            if pool.axis is not None:
                self._pools[axis_of(pool, self.before)] = pool
        self._changed = resized(self.before, self.after)

    def tensor(self, old: Tensor, new: Tensor) -> Iterator[Reason]:
        """Yield why a tensor has another shape or dtype, dimension by dimension."""
        if old.tied_to:
            yield self.step.replaced(why="tied", source=old.tied_to)
            return
        if len(old.dims) != len(new.dims) or old.dtype != new.dtype:
            yield self.step
            return
        for position, (was, now) in enumerate(zip(old.dims, new.dims, strict=True)):
            if range_of(self.before, was) == range_of(self.after, now):
                continue
            axes = [axis for axis in dict.fromkeys(self.before.leaves(was)) if axis in self._changed]
            for reason in dict.fromkeys(self._axis(axis, old.name) for axis in axes) or (self._unselected(old.name),):
                yield reason.replaced(dims=(position,) if len(old.dims) > 1 else ())

    def _axis(self, axis: int, name: str) -> Reason:
        pool = self._pools.get(axis)
        if pool is None or self.chosen is None:
            return self._follows(axis, name)
        if axis not in self._held:
            self._held[axis] = self._selected(axis, pool)
        if name in self._held[axis]:
            return self.chosen
        return self.chosen.replaced(why="coupled", source=_sites_text(pool.sites) or pool.key)

    def _selected(self, axis: int, pool: Pool) -> frozenset[str]:
        """Return the tensors in which the units of a pool were selected: of a layer, those that give them."""
        names: set[str] = set()
        for site in pool.sites:
            operators = [self.before.operators[at] for at in site.operators]
            if not any(operator.kind == site.word for operator in operators):
                names |= tensors_at(self.before, [site]) | tensors_below(self.before, [site.module])
                continue
            for operator in operators:
                given = {a for v in operator.outputs for d in self.before.values[v].dims for a in self.before.leaves(d)}
                if axis in given:
                    names.update(operator.tensors.values())
        return frozenset(names)

    def _follows(self, axis: int, name: str) -> Reason:
        for tie in self.before.size_ties:
            tied = {leaf for dim in tie.dims for leaf in self.before.leaves(dim)}
            if axis in tied and not tied.isdisjoint(self._pools):
                return self.step.replaced(why="follows", source=f"{tie.reason} serves both")
        return self._unselected(name)

    def _unselected(self, name: str) -> Reason:
        if self.chosen is not None:
            return self.step.replaced(why="follows", source=self.effect)
        if name in self.named or not self.place:
            return self.step
        return self.step.replaced(why="coupled", source=self.place)

    def gone(self, name: str) -> Reason:
        """Return why a tensor is there no more."""
        return self.gone_module(name.rpartition(".")[0])

    def gone_module(self, path: str) -> Reason:
        """Return why a module is there no more."""
        for at, pool in enumerate(self.selection.pools if self.selection is not None else ()):
            if self.chosen is None or not pool.modules or self.selection is None:
                continue
            fixed = self.selection.indices[at] if self.selection.indices else None
            if fixed is None:
                taken = self.selection.taken[at].most
                note = f"{taken} of {pool.size} go, by rank; the last ones stand for them here"
                return self.chosen.replaced(source=note)
            if any(_inside(path, pool.modules[index]) for index in fixed):
                return self.chosen
        return self.step


def _inside(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}.")


def _sites_text(sites: tuple[Site, ...]) -> str:
    if not sites:
        return ""
    more = f" and {len(sites) - 1} more" if len(sites) > 1 else ""
    return f"{sites[0].path or 'the network'}{more}"


def reasons_of(before: State, after: State, step: Excise | Replace | Recover, effect: Effect) -> Reasons:
    """Return what finds the reasons of one run of a step."""
    name = step.name if isinstance(step, Excise) else ""
    sites: tuple[Site, ...] = ()
    if isinstance(step, Replace):
        context = before.static(step.name, Sink(), step.scope or "", step.tie or "", step.changes)
        place = place_of(before, step, context, Sink())
        if place is not None:
            name, sites = place.selection, place.sites
    selection = selections.as_of(before, name, Sink(), None) if name in before.selections else None
    chosen = None
    if selection is not None:
        span = before.choices.get(name)
        chosen = Reason(why="selected", step=name, block="identify", line=span.line if span else None)
    return Reasons(
        before=before.interface,
        after=after.interface,
        step=step_reason(step),
        selection=selection,
        chosen=chosen,
        named=tensors_at(before.interface, sites),
        place=_sites_text(sites),
        effect=effect.reason,
    )
