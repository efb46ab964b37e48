"""Who writes the units of an axis, who reads them, and who would notice that some were duplicated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from surgery_dsl.interface.attention import FUSED
from surgery_dsl.interface.flow import ACTIVATIONS, CHANNELS_SECOND, weight_position
from surgery_dsl.interface.model import Dim, Interface, Operator, Value

Role = Literal["copy", "divide"]
Place = tuple[str, int]
"""A tensor, by its first name, and a dimension."""

# Operators that act on each entry, move entries about, or take a window in space: copies stay copies.
_PLAIN = ACTIVATIONS | {
    *(
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "neg",
        "abs",
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "pow",
        "square",
        "sign",
        "where",
    ),
    *("maximum", "minimum", "lerp", "dropout", "cast", "view", "permute", "expand", "cat", "split", "slice", "pad"),
    *("unbind", "select", "clone"),  # an axis of which single indices are picked is frozen, and never gets here
    *("amax", "amin", "batch_norm", "embedding"),
    *(
        f"{name}{rank}d"
        for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
        for rank in "123"
    ),
    *(f"upsample_{name}" for name in ("nearest1d", "nearest2d", "nearest3d", "bilinear2d", "linear1d", "trilinear3d")),
}

_REDUCTIONS = frozenset({"mean", "sum", "var", "std", "logsumexp", "prod", "linalg_vector_norm"})


@dataclass
class Uses:
    """How tensors and operators use an axis.

    Attributes:
        roles: For each tensor dimension that shows the axis: whether a copied unit takes its entries over (`copy`), or
            shares them with the other copies (`divide`).
        mixed: Operators that would notice that units were duplicated, and why.
    """

    roles: dict[Place, Role] = field(default_factory=dict)
    mixed: list[tuple[Operator, str]] = field(default_factory=list)

    def note(self, operator: Operator, place: Place, role: Role) -> None:
        """Note a use of a tensor dimension; two uses that disagree cannot both be served."""
        if self.roles.setdefault(place, role) != role:
            self.mixed.append((operator, f"`{place[0]}` is both written and read along the axis"))


def showing(interface: Interface) -> dict[int, tuple[Operator, ...]]:
    """Return the operators that show each axis in what they read or write, in order."""
    of_value = [frozenset(axis for dim in value.dims for axis in interface.leaves(dim)) for value in interface.values]
    found: dict[int, list[Operator]] = {}
    for operator in interface.operators:
        axes = frozenset[int]().union(*(of_value[value] for value in (*operator.inputs, *operator.outputs)))
        tensors = (interface.tensor_by_name[name] for name in operator.tensors.values())
        axes |= {axis for tensor in tensors for dim in tensor.dims for axis in interface.leaves(dim)}
        for axis in axes:
            found.setdefault(axis, []).append(operator)
    return {axis: tuple(operators) for axis, operators in found.items()}


def uses(interface: Interface, axis: int, operators: Sequence[Operator] | None = None) -> Uses:
    """Return how a network uses an axis; ``operators`` are those that show it, where that is known."""
    found = Uses()
    for operator in interface.operators if operators is None else operators:
        _Use(interface, operator, axis, found).look()
    seen = {name for name, _ in found.roles}
    for name, position in interface.carriers.get(axis, ()):
        owner = interface.tensor_by_name[name].tied_to or name
        if owner not in seen:
            found.roles.setdefault((owner, position), "copy")
    return found


@dataclass(frozen=True)
class _Use:
    interface: Interface
    operator: Operator
    axis: int
    found: Uses

    def look(self) -> None:
        """Note what the operator does with the axis."""
        values = [self.interface.values[v] for v in (*self.operator.inputs, *self.operator.outputs)]
        if not any(self._in(dim) for value in values for dim in value.dims) and not any(self._tensor_dims()):
            return
        kind = self.operator.kind
        if kind == "linear" and "weight" in self.operator.tensors:
            self._linear()
        elif kind.startswith("conv") and "weight" in self.operator.tensors:
            self._convolution()
        elif kind in _PLAIN:
            self._copies(self._tensor_dims())
        elif kind in _REDUCTIONS or kind in ("softmax", "log_softmax"):
            self._reduction()
        elif kind in ("layer_norm", "rms_norm"):
            self._norm()
        elif kind == FUSED and len(self.operator.inputs) >= 3:
            self._attention()
        elif kind == "matmul" and len(self.operator.inputs) == 2:
            self._matmul()
        else:
            self._mixed("sees the units")

    def _in(self, dim: Dim) -> bool:
        return self.axis in self.interface.leaves(dim)

    def _tensor_dims(self) -> Iterator[Place]:
        for name in self.operator.tensors.values():
            tensor = self.interface.tensor_by_name[name]
            for position, dim in enumerate(tensor.dims):
                if self._in(dim):
                    yield tensor.tied_to or name, position

    def _copies(self, places: Iterable[Place]) -> None:
        for place in places:
            self.found.note(self.operator, place, "copy")

    def _mixed(self, why: str) -> None:
        self.found.mixed.append((self.operator, why))

    def _linear(self) -> None:
        weight = self.interface.tensor_by_name[self.operator.tensors["weight"]]
        read = 1 - weight_position(self.operator)
        self._weighted(weight.tied_to or weight.name, read, weight.dtype)

    def _convolution(self) -> None:
        weight = self.interface.tensor_by_name[self.operator.tensors["weight"]]
        transposed = self.operator.kind.startswith("conv_transpose")
        if transposed and self.operator.settings.get("groups", 1) != 1:
            self._mixed("runs in groups the other way round")
        else:
            self._weighted(weight.tied_to or weight.name, 0 if transposed else 1, weight.dtype)

    def _weighted(self, weight: str, read: int, dtype: str) -> None:
        for place in self._tensor_dims():
            divided = place == (weight, read)
            if divided and dtype == "i8":
                self._mixed("stores its weight as integers, which cannot be divided")
            self.found.note(self.operator, place, "divide" if divided else "copy")

    def _value(self) -> Value:
        return self.interface.values[self.operator.inputs[0]]

    def _reduction(self) -> None:
        over = self.operator.settings.get("dim", ())
        positions = (over,) if isinstance(over, int) else over if isinstance(over, tuple) else ()
        dims = self._value().dims
        if any(self._in(dims[position]) for position in positions):
            self._mixed("takes a sum over the units")
        self._copies(self._tensor_dims())

    def _norm(self) -> None:
        rank = self.operator.settings.get("rank", 1)
        dims = self._value().dims
        if isinstance(rank, int) and any(self._in(dim) for dim in dims[len(dims) - rank :]):
            self._mixed("takes a mean over the units")
        self._copies(self._tensor_dims())

    def _attention(self) -> None:
        """Heads attend each by itself; entries of a head are summed over, or their number scales the sum."""
        query, key, _ = (self.interface.values[v].dims for v in self.operator.inputs[:3])
        if self._in(query[-1]) or self._in(key[-1]):
            self._mixed("takes a sum over the units, and scales it by their number")

    def _matmul(self) -> None:
        left, right = (self.interface.values[v].dims for v in self.operator.inputs)
        if self._in(left[-1]) or self._in(right[-2]):
            self._mixed("takes a sum over the units")


def entries(
    interface: Interface, dim: Dim, sources: Mapping[int, list[int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return which entries of a dimension a new one is gathered from, where axes are.

    ``sources`` gives, for each axis that changes, the old index of each new one. The second list gives, for each new
    entry, the first such axis in it and the new index there; ``(-1, 0)`` where there is none. Products are in row-major
    order, the parts of a sum one behind the other.
    """
    flat: list[int] = [0]
    units: list[tuple[int, int]] = [(-1, 0)]
    for axis in dim:
        own, marks, size = _axis_entries(interface, axis, sources)
        flat, units = (
            [outer * size + entry for outer in flat for entry in own],
            [unit if unit[0] >= 0 else mark for unit in units for mark in marks],
        )
    return flat, units


def _axis_entries(
    interface: Interface, axis: int, sources: Mapping[int, list[int]]
) -> tuple[list[int], list[tuple[int, int]], int]:
    size = exact(interface, (axis,))
    if axis in sources:
        return list(sources[axis]), [(axis, new) for new in range(len(sources[axis]))], size
    if not interface.axes[axis].parts:
        return list(range(size)), [(-1, 0)] * size, size
    own: list[int] = []
    marks: list[tuple[int, int]] = []
    offset = 0
    for part in interface.axes[axis].parts:
        flat, units = entries(interface, part, sources)
        own += [offset + entry for entry in flat]
        marks += units
        offset += exact(interface, part)
    return own, marks, size


def exact(interface: Interface, dim: Dim) -> int:
    """Return the size of a dimension that must be one number.

    Raises:
        ValueError: It is not: our defect, because before a step runs all sizes are known.
    """
    size = interface.exact(dim)
    if size is None:
        raise ValueError(f"axes {dim} have no exact size")
    return size


def channel_position(operator: Operator, value: Value) -> int:
    """Return which dimension of an operator's result its units lie along."""
    return 1 if operator.kind in CHANNELS_SECOND else len(value.dims) - 1
