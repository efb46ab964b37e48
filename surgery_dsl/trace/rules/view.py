"""Views that merge and take apart dimensions."""

from collections.abc import Iterator

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy", "_reshape_copy", "unflatten", "flatten")
def view(step: Step) -> Outcome | None:
    """Products of the same entries in the same order."""
    source = step.of("self")
    if step.operation.overload == "dtype":
        return _other_dtype(step, source.dims)
    if [step.axes.sizes(dim) for dim in source.dims] == step.output:
        return Outcome([source.dims], identity=True)
    dims: list[Product] = []
    for block, targets in _blocks(step, source.dims, step.output):
        made = step.axes.reshape(block, targets)
        reason = frozen.regrouped(step.axes.operator, step.axes.place)
        dims += [step.axes.fresh(size, reason) for size in targets] if made is None else made
    return Outcome([dims], kind="view")


def _other_dtype(step: Step, dims: list[Product]) -> Outcome:
    """The same bytes read as another dtype: where entries become longer or shorter, the last dimension is regrouped."""
    if step.axes.sizes(dims[-1]) == step.output[-1]:
        return Outcome([dims], kind="view_as_dtype")
    reason = frozen.regrouped("view", step.axes.place)
    step.axes.freeze(dims[-1], reason)
    return Outcome([[*dims[:-1], step.axes.fresh(step.output[-1], reason)]], kind="view_as_dtype")


def _blocks(step: Step, dims: list[Product], targets: list[Sizes]) -> Iterator[tuple[list[Product], list[Sizes]]]:
    """Yield the parts of a view that have nothing to do with one another: as many entries before as after.

    One that regroups its axes (a shift of relative positions) then freezes its own alone.
    """
    sizes = [step.axes.sizes(dim) for dim in dims]
    i = j = 0
    while i < len(dims) or j < len(targets):
        start, first = i, j
        before, i = (sizes[i], i + 1) if i < len(dims) else (step.axes.one, i)
        after, j = (targets[j], j + 1) if j < len(targets) else (step.axes.one, j)
        while before != after:
            if i < len(dims) and _at_most(before, after):
                before, i = _times(before, sizes[i]), i + 1
            elif j < len(targets) and _at_most(after, before):
                after, j = _times(after, targets[j]), j + 1
            else:
                before, i, j = after, len(dims), len(targets)
        yield dims[start:i], targets[first:j]


def _at_most(one: Sizes, two: Sizes) -> bool:
    return all(a <= b for a, b in zip(one, two, strict=True))


def _times(one: Sizes, two: Sizes) -> Sizes:
    return tuple(a * b for a, b in zip(one, two, strict=True))


@rule("unsqueeze")
def unsqueeze(step: Step) -> Outcome:
    """A new dimension of one."""
    dims = step.of("self").dims
    at = step.dim("dim", len(dims) + 1)
    return Outcome([[*dims[:at], [], *dims[at:]]], kind="view")


@rule("squeeze")
def squeeze(step: Step) -> Outcome:
    """Dimensions of one vanish."""
    dims = step.of("self").dims
    chosen = step.dims("dim", len(dims)) if "dim" in step.records[0].arguments else range(len(dims))
    kept = []
    for position, dim in enumerate(dims):
        size = step.axes.expression(dim)
        if position not in chosen:
            kept.append(dim)
        elif size != 1:
            kept.append(dim)
            if size is not None:
                step.axes.require("at_least", size, 2, "squeeze would drop it")
    return Outcome([kept], kind="view", identity=len(kept) == len(dims))
