"""From calls that were given traced integers to equations: this origin is the size of that dimension."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Recording, Ref
from surgery_dsl.trace.taint import SHAPED, Use, Uses
from surgery_dsl.trace.traced_numbers import Origin, Traced

# Calls whose integers are the sizes of what they return.
_SHAPES = {
    **SHAPED,
    "expand": 1,
    "broadcast_to": 1,
    "resize": 1,
    "new_zeros": 1,
    "new_ones": 1,
    "new_empty": 1,
    "new_full": 1,
    "zeros": 0,
    "ones": 0,
    "empty": 0,
    "full": 0,
    "rand": 0,
    "randn": 0,
}
_SPLITS = {"split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "tensor_split"}

# Calls whose integers an operator's rule names: position of the argument, its name, the name of the size.
_NAMED = {
    "group_norm": (1, "num_groups", "num_groups"),
    "layer_norm": (1, "normalized_shape", "normalized_shape"),
    "rms_norm": (1, "normalized_shape", "normalized_shape"),
    "conv1d": (6, "groups", "groups"),
    "conv2d": (6, "groups", "groups"),
    "conv3d": (6, "groups", "groups"),
    "conv_transpose1d": (6, "groups", "groups"),
    "conv_transpose2d": (6, "groups", "groups"),
    "conv_transpose3d": (6, "groups", "groups"),
}


@dataclass(frozen=True, slots=True)
class Equation:
    """An integer of the code that is a size.

    Attributes:
        origin: Where the integer came from.
        product: The dimension that has this size.
        near: Other dimensions of the call.
        function: The call.
        path: Path of the module that made it.
        source: ``file:line``.
    """

    origin: Origin
    product: Product
    near: tuple[Product, ...]
    function: str
    path: str
    source: str


def equations(recording: Recording, uses: Uses, flow: Flow) -> Iterator[Equation]:
    """Yield what each use says; uses that decide no size say nothing."""
    for use in uses.calls:
        path = recording.runs[use.run].path if use.run >= 0 else ""
        near = tuple(dim for ref in (*_refs(use.arguments), *use.outputs) for dim in _dims(ref, flow))
        for origin, product in _Reader(use, flow).pairs():
            yield Equation(origin, product, near, use.function, path, use.source)


def literals(uses: Uses, flow: Flow) -> Iterator[tuple[Product, Use]]:
    """Yield the dimensions whose sizes are numbers in the code, which nothing can change, with the call."""
    for use in uses.calls:
        for product in _Reader(use, flow).literals():
            yield product, use


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _refs(item)
    elif isinstance(value, dict):
        yield from _refs(tuple(value.values()))


def _dims(ref: Ref, flow: Flow) -> list[Product]:
    state = flow.states.get(ref)
    return [] if state is None else state.dims


@dataclass(frozen=True)
class _Reader:
    use: Use
    flow: Flow

    def pairs(self) -> Iterator[tuple[Origin, Product]]:
        """Yield each traced integer that is a size, with the dimension."""
        name = self.use.function.strip("_")
        if name in _SHAPES:
            yield from self._shape(self._listed(_SHAPES[name], "size", "shape"))
        elif name in ("repeat", "tile"):
            yield from self._repeats(self._listed(1, "repeats", "dims"))
        elif name == "unflatten":
            yield from self._unflattened()
        elif name in _SPLITS:
            yield from self._split(name)
        elif name in ("narrow", "getitem"):
            yield from self._ranges(name)
        elif name in ("arange", "one_hot", "topk", "linspace", "eye"):
            yield from self._counts(name)
        elif name in _NAMED:
            yield from self._named(*_NAMED[name])
        elif name == "multi_head_attention_forward":
            yield from self._multi_head()

    # ---- arguments ---------------------------------------------------------------------------------------------

    def _given(self, position: int, *names: str) -> Any:
        args, kwargs = self.use.arguments
        for name in names:
            if name in kwargs:
                return kwargs[name]
        return args[position] if position < len(args) else None

    def _listed(self, position: int, *names: str) -> Sequence[Any]:
        """Return integers that were given one by one or as a list."""
        value = self._given(position, *names)
        if isinstance(value, tuple):
            return value
        return self.use.arguments[0][position:] if value is not None else ()

    def _input(self) -> list[Product]:
        value = self._given(0, "input", "self")
        return _dims(value, self.flow) if isinstance(value, Ref) else []

    def _output(self, index: int = 0) -> list[Product]:
        return _dims(self.use.outputs[index], self.flow) if index < len(self.use.outputs) else []

    # ---- kinds of calls ----------------------------------------------------------------------------------------

    def _shape(self, sizes: Sequence[Any]) -> Iterator[tuple[Origin, Product]]:
        dims = self._output()
        if len(sizes) == len(dims):
            yield from self._traced(zip(sizes, dims, strict=True))

    def _repeats(self, counts: Sequence[Any]) -> Iterator[tuple[Origin, Product]]:
        dims, source = self._output(), self._input()
        padded: list[Product] = [[] for _ in range(len(dims) - len(source))] + source
        if len(counts) == len(dims):
            for count, dim, old in zip(counts, dims, padded, strict=True):
                outer = dim[: len(dim) - len(old)]
                yield from self._traced([(count, outer)])

    def _unflattened(self) -> Iterator[tuple[Origin, Product]]:
        at, sizes = self._given(1, "dim"), self._given(2, "sizes", "unflattened_size")
        if isinstance(at, int) and isinstance(sizes, tuple) and self._input():
            start = at % len(self._input())
            yield from self._traced(zip(sizes, self._output()[start:], strict=False))

    def _split(self, name: str) -> Iterator[tuple[Origin, Product]]:
        sizes, at = self._given(1, "split_size_or_sections", "split_size", "chunks"), self._given(2, "dim")
        rank = len(self._output())
        if not rank or name in ("chunk", "tensor_split"):
            return
        at = (0 if at is None else int(at)) % rank
        pieces = [self._output(i)[at] for i in range(len(self.use.outputs))]
        given = sizes if isinstance(sizes, tuple) else (sizes,) * len(pieces)
        yield from self._traced(zip(given, pieces, strict=False))

    def _ranges(self, name: str) -> Iterator[tuple[Origin, Product]]:
        source = self._input()
        if name == "narrow":
            at, start, length = self._given(1, "dim"), self._given(2, "start"), self._given(3, "length")
            if source and isinstance(at, int):
                yield from self._range(source[at % len(source)], start, None, length)
            return
        index = self._given(1)
        for dim, item in _aligned(source, index if isinstance(index, tuple) else (index,)):
            if isinstance(item, slice) and item.step in (None, 1):
                yield from self._range(dim, item.start, item.stop, None)

    def _range(self, dim: Product, start: Any, stop: Any, length: Any) -> Iterator[tuple[Origin, Product]]:
        """Say where a range begins and ends, as sizes of what lies before and, counted from the end, behind."""
        whole = self.flow.axes.sizes(dim)[0]
        if isinstance(start, Traced):
            yield from self._end(dim, start, whole)
        if isinstance(stop, Traced):
            yield from self._end(dim, stop, whole)
        if isinstance(length, Traced) and isinstance(start, int):
            cut = self._between(dim, int(start), int(start) + int(length))
            if cut is not None:
                yield length.origin, cut

    def _end(self, dim: Product, end: Traced, whole: int) -> Iterator[tuple[Origin, Product]]:
        at = int(end)
        if 0 < at <= whole:
            cut = self._between(dim, 0, at)
            if cut is not None:
                yield end.origin, cut
        elif -whole < at < 0:
            cut = self._between(dim, whole + at, whole)
            if cut is not None and end.origin[0] == "-" and end.origin[1] == ("number", 0):
                yield end.origin[2], cut

    def _between(self, dim: Product, start: int, stop: int) -> Product | None:
        samples = len(self.flow.axes.one)
        return self.flow.axes.narrow(dim, (start,) * samples, (stop,) * samples)

    def _counts(self, name: str) -> Iterator[tuple[Origin, Product]]:
        dims = self._output()
        position = {"arange": len([a for a in self.use.arguments[0] if isinstance(a, int)]) - 1}.get(name, 1)
        if name == "arange" and position != 0:
            return
        count = self._given(position, "end", "num_classes", "k", "n")
        if dims and isinstance(count, Traced):
            yield count.origin, dims[0 if name in ("arange", "linspace", "eye") else -1]

    def _named(self, position: int, argument: str, size: str) -> Iterator[tuple[Origin, Product]]:
        value, dims = self._given(position, argument), self._output()
        if isinstance(value, tuple):
            yield from self._traced(zip(value, dims[-len(value) :], strict=False))
        elif isinstance(value, Traced) and len(dims) > 1:
            groups = self._input()[1] if size == "groups" and len(self._input()) > 1 else dims[1]
            outer = self.flow.axes.leading(groups, int(value))
            if outer is not None:
                yield from self._traced([(value, outer)])

    def _multi_head(self) -> Iterator[tuple[Origin, Product]]:
        """Say what the integers of torch.nn.functional.multi_head_attention_forward are.

        It makes a head's size of the width that it reads, and that width of all heads.
        """
        width, heads, project = self._given(3), self._given(4), self._given(11)
        source = self._input()
        if not (isinstance(width, Traced) and isinstance(heads, Traced) and isinstance(project, Ref) and source):
            return
        inside = _dims(project, self.flow)[1]
        yield width.origin, source[-1]
        yield width.origin, inside
        outer = self.flow.axes.leading(inside, int(heads))
        if outer is not None:
            yield heads.origin, outer

    def literals(self) -> Iterator[Product]:
        """Yield the dimensions whose sizes the code holds as numbers of its own."""
        name = self.use.function
        if name in SHAPED:
            sizes, dims = self._listed(SHAPED[name], "size", "shape"), self._output()
            if len(sizes) == len(dims):
                yield from (dim for n, dim in zip(sizes, dims, strict=True) if type(n) is int and n > 1)

    def _traced(self, pairs: Any) -> Iterator[tuple[Origin, Product]]:
        for value, dim in pairs:
            if isinstance(value, Traced) and int(value) != -1 and self.flow.axes.sizes(dim)[0] == int(value):
                yield value.origin, dim


def _aligned(dims: Sequence[Product], index: tuple[Any, ...]) -> Iterator[tuple[Product, Any]]:
    """Pair the entries of an index with the dimensions that they pick from."""
    takes = [0 if item is None or isinstance(item, bool) or item is Ellipsis else 1 for item in index]
    rest = len(dims) - sum(takes)
    skipped = [rest if item is Ellipsis else n for item, n in zip(index, takes, strict=True)]
    for item, n, end in zip(index, skipped, accumulate(skipped), strict=True):
        if n == 1 and item is not Ellipsis and end <= len(dims):
            yield dims[end - 1], item
