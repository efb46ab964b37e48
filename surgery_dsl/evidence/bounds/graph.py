"""A network as bounds see it: affine operators, pointwise functions, maxima, in the order of the forward.

The forward is recorded once on one example, in eval mode, in the network's own dtype: what depends on no input
(weights that are dequantized, scaled or merged on the way) is the value that the network itself computes, and goes on
as float64. Every element of the recorded graph keeps the batch dimension of one example; many examples, or many linear
forms, run side by side in a dimension of their own (``torch.vmap``).
"""

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.rounding import Unsound
from surgery_dsl.evidence.bounds.scalar import Scalar

Rows = Tensor
"""Linear forms on the elements of a value: [R, *shape]."""


class Unbounded(Exception):
    """A forward that no bound of ours reaches. The text names the operator and its module."""


@dataclass(frozen=True)
class Node(ABC):
    """One value of the graph. Abstract.

    Attributes:
        sources: The values it is computed from.
        shape: Its shape for one example, batch dimension of 1 included.
        operator: The operator, as torch calls it.
        module: Path of the module whose forward ran it.
    """

    sources: tuple[int, ...]
    shape: tuple[int, ...]
    operator: str
    module: str

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


@final
@dataclass(frozen=True)
class Input(Node):
    """What the network is given: any point of the region."""


@final
@dataclass(frozen=True)
class Lookup(Node):
    """Rows of a table by the tokens of an input: [1, …] integers to [1, …, features].

    Attributes:
        table: [rows, features], float64.
        places: Which of the input's tokens, by flat position, each row is looked up by, [1, …]; ``None`` for all of
            them as they lie.
    """

    table: Tensor = field(compare=False, repr=False)
    places: Tensor | None = field(default=None, compare=False, repr=False)

    def at_places(self, of_input: Tensor) -> Tensor:
        """Return what is known of an input's tokens, [B, 1, …, n], for the token of each row: [B, *shape[:-1], n]."""
        return of_input if self.places is None else of_input.flatten(1, -2)[:, self.places]

    def choices(self, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows may be looked up, [B, *shape[:-1], n], and these n rows of the table.

        Args:
            allowed: What a region says of the input's tokens, [B, 1, …, rows].

        Raises:
            Unsound: A token may be beyond the table.
        """
        here = self.at_places(allowed)
        count = min(here.shape[-1], self.table.shape[0])
        if bool(here[..., count:].any()):
            raise Unsound(
                f"a token may be {int(here.flatten(0, -2).any(0).nonzero().max())}, and the table of `{self.module}` "
                f"has {self.table.shape[0]} rows"
            )
        return here[..., :count], self.table[:count]

    def span(self, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest of the rows that may be looked up, [B, *shape] each."""
        here, table = self.choices(allowed)
        masks, which = torch.unique(here.flatten(0, -2), dim=0, return_inverse=True)
        if not bool(masks.any(1).all()):
            raise Unsound("a place at which no token is allowed")
        low = torch.stack([table[mask].amin(0) for mask in masks])
        high = torch.stack([table[mask].amax(0) for mask in masks])
        shape = (*here.shape[:-1], table.shape[1])
        return low[which].reshape(shape), high[which].reshape(shape)

    def to_places(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Add up what is said of each row, [R, *shape[:-1], n], by the token of an input of a shape: [R, tokens, n]."""
        flat = rows.flatten(1, -2)
        if self.places is None:
            return flat
        found = flat.new_zeros(flat.shape[0], prod(shape), flat.shape[2])
        return found.index_add(1, self.places.flatten(), flat)


@final
@dataclass(frozen=True)
class Moved(Node):
    """Tokens of an input in other places: they are looked up from there, and nothing else reads them.

    Attributes:
        places: [*shape] flat positions in the input.
    """

    places: Tensor = field(compare=False, repr=False)


@final
@dataclass(frozen=True)
class Affine(Node):
    """``linear(sources) + offset``.

    Attributes:
        linear: The linear part, for one example.
        absolute: The same with the magnitudes of all coefficients: from |sources| to Σ|coefficient||source|.
        offset: The constant part; ``None`` for zero.
        terms: How many products a sum of one output holds, at most, the constant among them; a number or one for each
            output (broadcastable). Zero for what only moves elements.
        transposed: From rows on the output to rows on each source; by default derived from ``linear``.
        offset_size: Upper bound of the sum of the magnitudes that make up the offset; by default its own.
        alike: Whether ``linear`` and ``absolute`` take many examples as they take one, [B, *shape].
    """

    linear: Callable[..., Tensor] = field(compare=False, repr=False)
    absolute: Callable[..., Tensor] = field(compare=False, repr=False)
    offset: Tensor | None = field(default=None, compare=False, repr=False)
    terms: "Tensor | int" = field(default=0, compare=False, repr=False)
    transposed: "Callable[[Rows], tuple[Rows, ...]] | None" = field(default=None, compare=False, repr=False)
    offset_size: Tensor | None = field(default=None, compare=False, repr=False)
    alike: bool = False

    def apply(self, *values: Tensor) -> Tensor:
        """Return the outputs of many examples, each [B, *shape]."""
        out = self.linear(*values) if self.alike else torch.vmap(self.linear)(*values)
        return out if self.offset is None else out + self.offset

    def spread(self, *values: Tensor) -> Tensor:
        """Return Σ|coefficient||source| for many examples, from upper bounds of |source|."""
        return self.absolute(*values) if self.alike else torch.vmap(self.absolute)(*values)

    def magnitude(self, *values: Tensor) -> Tensor:
        """Return Σ|coefficient||source| + |offset| for many examples, from upper bounds of |source|."""
        out = self.spread(*values)
        if self.offset is None:
            return out
        return out + (self.offset.abs() if self.offset_size is None else self.offset_size)


@final
@dataclass(frozen=True)
class Pointwise(Node):
    """A function of each element of one source."""

    scalar: Scalar


@final
@dataclass(frozen=True)
class Largest(Node):
    """The greatest of several elements of one source.

    Attributes:
        members: [*shape, n] positions among the source's elements, flat; −1 where a window reaches over the edge.
    """

    members: Tensor = field(compare=False, repr=False)


@final
@dataclass(frozen=True)
class Graph:
    """A recorded network.

    Attributes:
        nodes: Values in the order of the forward; the inputs first.
        output: The value that is bounded.
        inputs: How many of the nodes are inputs.
        calls: What the nodes were made of, in order: enough to make them again.
        unit: The coarsest unit roundoff of the values on the way from the inputs, in the network's own dtypes.
    """

    nodes: tuple[Node, ...]
    output: int
    inputs: int
    calls: "tuple[Call, ...]" = field(repr=False)
    unit: float = 0.0

    @cached_property
    def consumers(self) -> dict[int, tuple[int, ...]]:
        """Which values read each value."""
        found: dict[int, list[int]] = {at: [] for at in range(len(self.nodes))}
        for at, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.sources):
                found[source].append(at)
        return {at: tuple(readers) for at, readers in found.items()}

    @cached_property
    def bends(self) -> tuple[int, ...]:
        """The values that are no affine function of what comes before, in order."""
        return tuple(at for at, node in enumerate(self.nodes) if isinstance(node, Pointwise | Largest))

    def run(self, *inputs: Tensor) -> Tensor:
        """Return the outputs in float64 for many examples: inputs [B, 1, …] as the region has them.

        Tokens may be given as shares of the rows of the vocabulary, [B, 1, …, rows] in float64, so that a value can be
        differentiated by them.
        """
        values: dict[int, Tensor] = {}
        given = iter(inputs)
        for at, node in enumerate(self.nodes):
            if isinstance(node, Input):
                values[at] = next(given)
            elif isinstance(node, Affine):
                values[at] = node.apply(*(values[source] for source in node.sources))
            elif isinstance(node, Pointwise):
                values[at] = node.scalar.value(values[node.sources[0]])
            elif isinstance(node, Largest):
                values[at] = largest_of(values[node.sources[0]], node)
            elif isinstance(node, Lookup):
                values[at] = _rows(node, values[node.sources[0]])
            elif isinstance(node, Moved):
                tokens = values[node.sources[0]]
                values[at] = tokens if tokens.is_floating_point() else tokens.flatten(1)[:, node.places]
            else:
                raise AssertionError(f"no way to run {type(node).__name__}")
        return values[self.output]


def _rows(node: Lookup, tokens: Tensor) -> Tensor:
    """Return the rows that tokens look up, or the mixture of rows that shares of them stand for."""
    if tokens.is_floating_point():
        shares = node.at_places(tokens)
        count = min(shares.shape[-1], node.table.shape[0])
        return shares[..., :count] @ node.table[:count]
    chosen = tokens if node.places is None else tokens.flatten(1)[:, node.places]
    return node.table[chosen]


def members_of(values: Tensor, node: Largest, edge: float) -> Tensor:
    """Return the elements that compete for each output, [B, *shape, n], ``edge`` where a window reaches over."""
    flat = values.flatten(1)
    found = flat[:, node.members.clamp(min=0)]
    return torch.where(node.members < 0, torch.full_like(found, edge), found)


def largest_of(values: Tensor, node: Largest) -> Tensor:
    """Return the maxima of many examples."""
    return members_of(values, node, -torch.inf).amax(-1)


@dataclass(frozen=True)
class Call:
    """One recorded call on its way to a node: what a rule of ``operators`` is given.

    Attributes:
        arguments: Positional arguments; a :class:`Source` where the input is felt, else the value itself.
        keywords: The same by name.
        shape: Shape of the result.
        operator: The operator's name without overload.
        module: Path of the module.
    """

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    shape: tuple[int, ...]
    operator: str
    module: str

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument by position or name."""
        if position < len(self.arguments):
            return self.arguments[position]
        return self.keywords.get(name, default)

    def refuse(self, why: str) -> Unbounded:
        """Return the refusal of this call, to be raised."""
        place = f"`{self.module}`" if self.module else "the network's own forward"
        return Unbounded(f"`{self.operator}` in {place}: {why}")


@dataclass(frozen=True)
class Source:
    """A value of the graph as an argument."""

    node: int
    shape: tuple[int, ...]
