"""Ranges and single indices of a dimension."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import add, floor_divide, multiply
from surgery_dsl.interface.loops import ENTRIES, ENTRY
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step

_READS = "{} reads this many entries"


def _part(step: Step, dim: Product, start: Sizes, stop: Sizes) -> Product:
    """Return a range of a dimension; one whose ends cannot be followed freezes it."""
    found = step.axes.narrow(dim, start, stop)
    if found is not None:
        return found
    length = tuple(b - a for a, b in zip(start, stop, strict=True))
    whole, low, size = step.axes.expression(dim), step.axes.infer(start), step.axes.infer(length)
    reason = frozen.regrouped(step.operation.name.strip("_"), step.axes.place)
    step.axes.freeze(dim, reason)
    if whole is not None and low is not None and size is not None and (isinstance(whole, int) or whole != size):
        need = add(low, size)
        step.axes.require("at_least", whole, need, _READS.format(step.axes.operator))
    elif isinstance(size, int) and whole is not None:
        step.axes.require("at_least", whole, size, _READS.format(step.axes.operator))
    if size is None and whole is not None and start == (0,) * len(start):
        # Everything but a fixed number of entries at the end.
        cut = {a - b for a, b in zip(step.axes.sizes(dim), stop, strict=True)}
        size = add(whole, -(most := cut.pop())) if len(cut) == 1 else None
        if size is not None:
            step.axes.require("at_least", whole, most, _READS.format(step.axes.operator))
    if size is None and whole is not None and stop == step.axes.sizes(dim) and low is not None:
        size = add(whole, multiply(-1, low))
        step.axes.require("at_least", whole, low, _READS.format(step.axes.operator))
    return step.axes.fresh(length, reason, expression=size)


@rule("slice", "narrow", "slice_copy")
def slice_(step: Step) -> Outcome | None:
    """A range, with a step where it divides the size."""
    dims = list(step.of("self").dims)
    at = step.dim("dim", len(dims))
    whole = step.axes.sizes(dims[at])
    if step.operation.name == "narrow":
        start = step.sizes("start")
        stop = tuple(a + n for a, n in zip(start, step.sizes("length"), strict=True))
        stride = 1
    else:
        start = _clamp(step.sizes("start"), whole)
        ends = [record.arguments.get("end") for record in step.records]
        given = tuple(n if end is None else min(int(end), n) for end, n in zip(ends, whole, strict=True))
        stop = _clamp(given, whole)
        stride = int(step["step"] or 1)
    if stride != 1:
        settings: dict[str, Setting] = {"dim": at, "start": start[0], "step": stride}
        dims[at] = _every(step, dims[at], start, stop, stride)
        return Outcome([dims], kind="slice", settings=settings)
    if start == (0,) * len(start) and stop == whole:
        return Outcome([dims], identity=True)
    if all(b - a == 1 for a, b in zip(start, stop, strict=True)) and step.by_entry(dims[at], start[0]):
        dims[at] = []
        return Outcome([dims], kind="slice", settings={"dim": at, ENTRY: start[0]})
    dims[at] = _part(step, dims[at], start, stop)
    return Outcome([dims], kind="slice", settings={"dim": at, "start": start[0]})


def _every(step: Step, dim: Product, start: Sizes, stop: Sizes, stride: int) -> Product:
    """Return every n-th index: the outer of two axes, of whose inner one index is picked (interleaved pairs)."""
    whole, size = step.axes.sizes(dim), step.axes.expression(dim)
    counts = tuple(-(-(b - a) // stride) for a, b in zip(start, stop, strict=True))
    if isinstance(size, int) and stop == whole and start[0] < stride and size % stride == 0:
        parts = step.axes.reshape([dim], [counts, (stride,) * len(counts)])
        if parts is not None:
            step.axes.freeze(parts[1], frozen.selected(step.axes.place))
            return parts[0]
    wanted = None
    if size is not None and stop == whole and len(set(start)) == 1:
        wanted = floor_divide(add(size, stride - 1 - start[0]), stride)
    return step.axes.derived(dim, wanted, counts)


def _clamp(ends: Sizes, whole: Sizes) -> Sizes:
    return tuple(max(0, min(n + end if end < 0 else end, n)) for end, n in zip(ends, whole, strict=True))


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "split_copy", "split_with_sizes_copy")
def split(step: Step) -> Outcome:
    """Ranges one behind the other."""
    dims = step.of("self").dims
    at = step.dim("dim", len(dims))
    start: Sizes = (0,) * len(step.records)
    out: list[list[Product]] = []
    for sizes in step.output_sizes:
        stop = tuple(a + n for a, n in zip(start, sizes[at], strict=True))
        out.append([*dims[:at], _part(step, dims[at], start, stop), *dims[at + 1 :]])
        start = stop
    return Outcome(out, kind="split", settings={"dim": at})


@rule("select", "unbind", "select_copy")
def select(step: Step) -> Outcome:
    """Single indices by number."""
    dims = step.of("self").dims
    at = step.dim("dim", len(dims))
    settings: dict[str, Setting] = {"dim": at}
    number = None if step.operation.name == "unbind" else int(step["index"])
    if step.by_entry(dims[at], number):
        settings |= {ENTRIES: True} if number is None else {ENTRY: number}
    else:
        if number is not None:
            _require_entry(step, dims[at])
        step.axes.freeze(dims[at], frozen.selected(step.axes.place))
        settings |= {} if number is None else {"index": number}
    return Outcome([[*dims[:at], *dims[at + 1 :]]] * len(step.output_sizes), settings=settings)


def _require_entry(step: Step, dim: Product) -> None:
    """Require of a dimension that the index which is read exists."""
    whole, number = step.axes.expression(dim), step.axes.infer(step.sizes("index"))
    if whole is None or isinstance(whole, int) or number is None:
        return
    need = multiply(-1, number) if isinstance(number, int) and number < 0 else add(number, 1)
    if need != 1 and need != whole:
        step.axes.require("at_least", whole, need, _READS.format(step.axes.operator))
