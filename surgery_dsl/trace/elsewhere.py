"""The forward once more, far from the sizes at which it was followed: it must do there what is predicted.

Not all that Python does with a number can be seen: it is a key of a table, the index of a list, a product with a plain
number to its left. What follows from such a use is another shape or another call at other sizes, and that is seen.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.expression import evaluate
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Requirement
from surgery_dsl.trace import refusals
from surgery_dsl.trace.forward import ValuesNeeded, is_cheap, record, runs_on_values
from surgery_dsl.trace.graph import Traced
from surgery_dsl.trace.likeness import first_difference, predicted_shape
from surgery_dsl.trace.recorder import Recording
from surgery_dsl.trace.samples import steps, within

_FAR, _FAR_ALONE = (1201, 1213), 357
"""Sizes of the first name, of which one must do as predicted, and that of each alone where the forward needs values.

At some sizes a slice takes all that there is, and torch makes none: there calls differ, and nothing else does.
"""
_EXAMPLES = (2, 149)
"""Examples in a batch where it is only asked whether a forward runs: with another size far, and far themselves."""
_BELOW = (1, 4)
"""How far below the end of a range a size stands that would lie beyond it: tables are often as long as a range."""
_APART = 32
"""How far apart the sizes of different names are."""
_MOST = 1 << 22
"""Elements of inputs up to which a forward runs on values."""


def confirm_elsewhere(model: nn.Module, inputs: Sequence[InputSpec], free: Sequence[FreeSize], traced: Traced) -> None:
    """Refuse a forward that does something else at far sizes than what was followed.

    Raises:
        ForwardFailed: It does not run there.
        Refused: With SD201 where it makes other calls, with SD202 where it makes other sizes.
    """
    by = steps(inputs)
    more = {one.name: max(sizes[one.name] for sizes in traced.chosen) + 1 for one in free}
    together = [
        {
            one.name: _inside(one, max((far + _APART * at) // by.get(one.name, 1), more[one.name]), below)
            for at, one in enumerate(free)
        }
        for far, below in zip(_FAR, _BELOW, strict=True)
        if free
    ]
    alone = [{**traced.chosen[0], one.name: _inside(one, _FAR_ALONE, _BELOW[0])} for one in free]
    few = [{**sizes, **_examples(inputs, free, at)} for sizes, at in zip(alone, free, strict=True)]
    against: Diagnostic | None = None
    try:
        for sizes in _fitting(together, traced):
            against = _difference(traced, record(model, inputs, [sizes], tainted=False, values=False)[0], sizes)
            if against is None:
                break
        tried = [] if is_cheap(model, inputs, together) else _fitting(few, traced)
        for sizes in tried:  # values fail out of tables
            if is_cheap(model, inputs, [sizes]) and not runs_on_values(model, inputs, sizes):
                record(model, inputs, [sizes], tainted=False)  # says where
    except ValuesNeeded:  # on values, a forward costs what its inputs are
        for one in zip(few, alone, strict=True):
            against = against or _first_as_predicted(model, inputs, one, traced)
    if against is not None:
        raise Refused(against)


def _first_as_predicted(
    model: nn.Module, inputs: Sequence[InputSpec], wanted: Iterable[dict[str, int]], traced: Traced
) -> Diagnostic | None:
    """Run a forward on values until it does as predicted; return in what it differs at the sizes that come last."""
    against: Diagnostic | None = None
    for sizes in _fitting(wanted, traced):
        if sum(math.prod(spec.shape(sizes)) for spec in inputs) <= _MOST:
            against = _difference(traced, record(model, inputs, [sizes], tainted=False)[0], sizes)
            if against is None:
                break
    return against


def _inside(free: FreeSize, size: int, below: int) -> int:
    """Return a size of a range; at its end a table of positions is read whole, and torch makes no slice of it.

    Nor is it among the first, at which a forward may take a way of its own.
    """
    found = within(free, size)
    return max(found - below, (free.least + found + 1) // 2) if found == free.most else found


def _examples(inputs: Sequence[InputSpec], free: Sequence[FreeSize], far: FreeSize) -> dict[str, int]:
    """Return a size for the name of the first dimension of all inputs, if they share one: the forward costs that much.

    It is small, or not as far as another would be if it is the one that is far.
    """
    first = {spec.dims[0] for spec in inputs if spec.dims}
    return {one.name: within(one, _EXAMPLES[one is far]) for one in free if first == {one.name}}


def _fitting(wanted: Iterable[dict[str, int]], traced: Traced) -> Iterator[dict[str, int]]:
    """Yield the sizes, other than those that were chosen, at which everything holds that the forward needs."""
    seen = [dict(sizes) for sizes in traced.chosen]
    for sizes in wanted:
        if sizes not in seen and all(_holds(requirement, sizes) for requirement in traced.interface.requirements):
            seen.append(sizes)
            yield sizes


def _holds(requirement: Requirement, sizes: Mapping[str, int]) -> bool:
    try:
        left, right = evaluate(requirement.left, sizes), evaluate(requirement.right, sizes)
    except ZeroDivisionError:
        return False
    if requirement.relation == "divides":
        return left >= 1 and right % left == 0
    return left == right if requirement.relation == "equal" else left >= right


def _difference(traced: Traced, other: Recording, sizes: Mapping[str, int]) -> Diagnostic | None:
    """Return in what a forward differs from what was followed."""
    recording, flow = traced.recordings[0], traced.flow
    position = first_difference(recording, other, named=False)
    if position is not None:
        return refusals.parts_at(recording, other, position, traced.chosen[0], sizes)
    for one in recording.records:
        for ref in one.outputs:
            wanted, found = predicted_shape(flow, ref, sizes), other.shapes[ref]
            if wanted is not None and wanted != found:
                at = next(i for i, (n, m) in enumerate(zip(wanted, found, strict=True)) if n != m)
                path = recording.runs[one.run].path if one.run >= 0 else ""
                kind, ends = one.operation.name.strip("_"), (recording.shapes[ref][at], found[at])
                return refusals.unknown_size(kind, path, one.source, ends, traced.chosen[0], sizes)
    return None
