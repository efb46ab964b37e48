"""The greatest entry that a tensor of indices has for some input: a table must have a row for it.

Forwards count positions in many ways: ``arange(T)``, the same plus what a cache holds, sums over a mask of ones or of
what is no padding, with an offset (``OPTLearnedPositionalEmbedding`` adds 2). Followed is only what grows with what it
is computed from and keeps all entries, so that the greatest number is reached where the whole mask is true, and no
table is said to be short that is not. Everything else: not known.
"""

from collections.abc import Callable

from surgery_dsl.interface.expression import Expression, add, multiply
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome
from surgery_dsl.trace.step import State, Step

_SAME_ENTRIES = {"view", "_unsafe_view", "reshape", "expand", "unsqueeze", "squeeze", "_to_copy", "clone", "detach"} | {
    *("repeat", "alias", "lift_fresh", "contiguous", "transpose", "t", "permute", "expand_as", "clamp_min", "relu")
}
_TRUE_FOR_SOME = {"ne", "eq", "lt", "le", "gt", "ge", "logical_not"}


def greatest(step: Step, read: list[State], outcome: Outcome) -> Expression | None:
    """Return the greatest entry of what a call gives, for some input; ``None`` where it is not known."""
    name = step.operation.name.removesuffix("_")
    if len(step.output_sizes) != 1:
        return None
    if read and (name in _SAME_ENTRIES or outcome.identity):
        return read[0].greatest
    if name in _TRUE_FOR_SOME:
        return 1 if any(state.active or state.greatest is not None for state in read) else None
    rule = _RULES.get(name)
    return None if rule is None else rule(step)


def hold_every_entry(step: Step, dim: Product, indices: State | None) -> None:
    """Ask of a dimension from which indices pick that it holds the greatest of them."""
    if indices is None or indices.greatest is None:
        return
    need, have = add(indices.greatest, 1), step.axes.expression(dim)
    table = step.state("weight") or step.state("self")
    name = f"`{table.names[0]}`" if table is not None and table.names else "the table"
    if have is not None and have != need:
        step.axes.require("at_least", have, need, f"{name} must hold every position")


def _of(step: Step, argument: str) -> Expression | None:
    """Return the greatest entry of an argument: a tensor, or an integer that is the same or a free size."""
    state = step.state(argument)
    if state is not None:
        return state.greatest
    given = [record.arguments.get(argument) for record in step.records]
    if not all(type(value) is int or (type(value) is float and value.is_integer()) for value in given):
        return None
    return step.axes.infer(step.sizes(argument))


def _range(step: Step) -> Expression | None:
    start, length = 0 if step["start"] is None else _of(step, "start"), step.axes.infer(step.output[0])
    return add(start, length, -1) if start is not None and length is not None and step["step"] in (None, 1) else None


def _sum(step: Step) -> Expression | None:
    left, right = _of(step, "self"), _of(step, "other")
    if left is None or right is None or step["alpha"] not in (None, 1):
        return None
    return add(left, right)


def _difference(step: Step) -> Expression | None:
    left, right = _of(step, "self"), _of(step, "other")
    known = step.state("self") is not None and step.state("other") is None and step["alpha"] in (None, 1)
    return add(left, multiply(-1, right)) if known and left is not None and right is not None else None


def _product(step: Step) -> Expression | None:
    left, right = _of(step, "self"), _of(step, "other")
    if left is None or right is None or any(isinstance(side, int) and side < 0 for side in (left, right)):
        return None
    return multiply(left, right)


def _running_sum(step: Step) -> Expression | None:
    source = step.of("self")
    length = step.axes.expression(source.dims[step.dim("dim", len(source.dims))]) if source.dims else None
    return None if source.greatest is None or length is None else multiply(source.greatest, length)


def _filled(step: Step) -> Expression | None:
    """What stays of a tensor where a mask is false; a small number takes the place of the rest."""
    kept, given = _of(step, "self"), _of(step, "value")
    return kept if given in (0, 1) else None


_RULES: dict[str, Callable[[Step], Expression | None]] = {
    "arange": _range,
    "zeros": lambda _: 0,
    "zeros_like": lambda _: 0,
    "new_zeros": lambda _: 0,
    "ones": lambda _: 1,
    "ones_like": lambda _: 1,
    "new_ones": lambda _: 1,
    "full": lambda step: _of(step, "fill_value"),
    "full_like": lambda step: _of(step, "fill_value"),
    "new_full": lambda step: _of(step, "fill_value"),
    "add": _sum,
    "sub": _difference,
    "mul": _product,
    "cumsum": _running_sum,
    "masked_fill": _filled,
}
