"""The saved form of an axis graph: frozen data, the same in memory and in a lock file.

Every tensor dimension is a product of axes in a fixed order (outermost first); a dimension of size one is
the empty product. Dimensions that must keep step share an axis. An axis with ``parts`` is a sum: the parts,
each a product of axes, lie one behind the other (a concatenation).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from surgery_dsl.interface import sums
from surgery_dsl.interface.data import Data as Data
from surgery_dsl.interface.expression import Expression, add, from_json, multiply
from surgery_dsl.interface.polynomial import Polynomial


class Extent(Data):
    """Every size an axis may have after a choice that depends on weights or data.

    The sizes are ``least``, ``least + step``, … up to ``most``.
    """

    least: int
    most: int
    step: int = 1


def _size(value: Any) -> Any:
    if isinstance(value, dict):
        return Extent.model_validate(value)
    return value if isinstance(value, Extent) else from_json(value)


Size = Annotated[Expression | Extent, BeforeValidator(_size)]
"""A fixed or symbolic size, or an :class:`Extent`."""

Dim = tuple[int, ...]
"""One tensor dimension: ids of the axes whose product it is, outermost first."""

Setting = bool | int | float | str | tuple[int, ...]

FLOATS = ("f16", "bf16", "f32", "f64")
"""Dtypes of real numbers; tensors of others hold codes, indices or masks."""


class Axis(Data):
    """One axis.

    Attributes:
        id: Position in :attr:`Interface.axes`.
        size: Its size; ``0`` and ignored where ``parts`` is given.
        label: For people: a tensor dimension that carries it, such as ``features.0.weight[0]``.
        parts: For a sum of axes, its parts in order.
        frozen: Why no index may be removed or added; empty where one may.
    """

    id: int
    size: Size
    label: str = ""
    parts: tuple[Dim, ...] = ()
    frozen: str = ""


class Tensor(Data):
    """A parameter or buffer. ``tied_to`` names the first tensor that shares its memory."""

    name: str
    role: Literal["parameter", "buffer"]
    dtype: str
    dims: tuple[Dim, ...]
    persistent: bool = True
    tied_to: str = ""


class Module(Data):
    """A module of the network.

    Attributes:
        path: Dotted path; empty for the root.
        type: Qualified class, ``torch.nn.*`` classes in their public spelling (``torch.nn.Conv2d``).
        integers: Integer attributes that follow axes: attribute name to the product it must equal. Dots lead through
            plain objects and into tuples and lists (``config.num_heads``, ``normalized_shape.0``); an object that
            several modules share gives way to a copy of the module's own when its integer is set.
        same_as: First path of the very same module object, where it stands at several paths.
        inserted: Where it runs, for a child that a surgery inserted into its host; empty for all others.
        positions: Integer attributes that say which entry of a list the module belongs to (``layer_idx``): attribute
            to the list's path.
        counts: Integer attributes that say how many entries a list has (``config.num_hidden_layers``): attribute to
            the list's path. Of an object that several modules share, the outermost of them says it for all.
        per_layer: Attributes that are lists with one item for each entry (``config.layer_types``): attribute to the
            list's path.
    """

    path: str
    type: str
    integers: dict[str, Dim] = Field(default_factory=dict)
    positions: dict[str, str] = Field(default_factory=dict)
    counts: dict[str, str] = Field(default_factory=dict)
    per_layer: dict[str, str] = Field(default_factory=dict)
    same_as: str = ""
    inserted: Literal["", "after", "before", "around"] = ""


class Value(Data):
    """A tensor that flows between operators."""

    dtype: str
    dims: tuple[Dim, ...]


class Operator(Data):
    """One operation of the forward, in the order of execution.

    Attributes:
        kind: ``linear``, ``conv2d``, ``relu``, ``add``, ``view``, … The word of the site kind where there is one.
        path: What a pattern is matched with: the module's path where the operation is the whole of that module
            (``act.0``), otherwise ``module/kind#n`` for the n-th such call in the module's own forward.
        module: Path of the innermost module that ran it.
        inputs: Ids of the values read, activations alone.
        outputs: Ids of the values written.
        tensors: Parameters and buffers read, by role (``weight``, ``bias``, ``running_mean`` …).
        settings: What the operation was called with (stride, padding, negative_slope …).
        macs: Multiply-accumulates: a sum of products of axes.
        source: ``file:line`` of the call in the user's code, where known.
    """

    kind: str
    path: str
    module: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Setting] = Field(default_factory=dict)
    macs: tuple[Dim, ...] = ()
    source: str = ""


class Call(Data):
    """One run of a module: its operators are ``first`` (inclusive) to ``last`` (exclusive).

    ``parent`` is the position of the call that it ran in, −1 for the root's. A module object that stands at
    several paths goes by its first.
    """

    module: str
    parent: int
    first: int
    last: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Port(Data):
    """A named input or output of the network."""

    name: str
    value: int


class Requirement(Data):
    """A relation of sizes that the forward needs and that is not true by shared axes alone.

    ``equal``: left = right. ``at_least``: left ≥ right. ``divides``: left divides right.
    """

    relation: Literal["equal", "at_least", "divides"]
    left: Annotated[Expression, BeforeValidator(from_json)]
    right: Annotated[Expression, BeforeValidator(from_json)]
    operator: str
    reason: str


class SizeTie(Data):
    """Dimensions whose sizes must stay equal though their indices are free: one integer of the forward serves them.

    Attributes:
        dims: The dimensions.
        reason: The integer, as ``layers.0.attention.head_dim``, or the operator.
        factors: For each dimension, the number that its size is multiplied by; empty where all are one.
    """

    dims: tuple[Dim, ...]
    reason: str
    factors: tuple[int, ...] = ()


class SizeBranch(Data):
    """A question that the forward asks of a size and acts on: ``==`` or ``<`` a number of its own.

    Where the answer changes the forward does something else than what was traced.
    """

    dim: Dim
    relation: Literal["==", "<"]
    number: int
    reason: str

    def answer(self, size: int) -> bool:
        """Return the answer for a size."""
        return size == self.number if self.relation == "==" else size < self.number


class IndexedList(Data):
    """A list of modules that an axis indexes: entry i belongs to index i, and goes where that goes.

    Attributes:
        path: Path of the list. A star stands for the number where entries have a name before it:
            ``experts.expert_*``.
        dim: The axis, as a dimension.
    """

    path: str
    dim: Dim


class FreeSize(Data):
    """A free input size and the range that proofs cover; ``most`` is ``None`` where there is no end."""

    name: str
    least: int = 1
    most: int | None = None


class Interface(Data):
    """What surgery needs to know of a network.

    Attributes:
        network: Qualified class of the root module.
        axes: By id.
        tensors: In module order, parameters before buffers.
        modules: In module order, the root first.
        values: By id.
        operators: In order of execution.
        calls: In order of entry.
        inputs: The contract's inputs.
        outputs: The contract's outputs.
        free: Free sizes of the inputs.
        requirements: Relations of sizes to prove.
        size_ties: Dimensions that one integer of the forward serves.
        size_branches: What the forward asks of sizes before it goes on one way or another.
        by_values: Where the forward chooses by values that it computes, empty where it does not: what is said of such a
            network is said of the way that was traced.
        indexed: Lists of modules whose entries belong to indices of an axis.
    """

    network: str
    axes: tuple[Axis, ...]
    tensors: tuple[Tensor, ...]
    modules: tuple[Module, ...]
    values: tuple[Value, ...]
    operators: tuple[Operator, ...]
    calls: tuple[Call, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    free: tuple[FreeSize, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    size_ties: tuple[SizeTie, ...] = ()
    size_branches: tuple[SizeBranch, ...] = ()
    by_values: str = ""
    indexed: tuple[IndexedList, ...] = ()

    @cached_property
    def tensor_by_name(self) -> dict[str, Tensor]:
        """Tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def module_by_path(self) -> dict[str, Module]:
        """Modules by path."""
        return {module.path: module for module in self.modules}

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """For each module path that has any, the paths of the modules right below it, in module order."""
        found: dict[str, list[str]] = {}
        for module in self.modules:
            if module.path:
                found.setdefault(module.path.rpartition(".")[0], []).append(module.path)
        return {path: tuple(below) for path, below in found.items()}

    @cached_property
    def held(self) -> dict[str, tuple[str, ...]]:
        """For each module path that has any, the names of the tensors that the module itself holds."""
        found: dict[str, list[str]] = {}
        for tensor in self.tensors:
            found.setdefault(tensor.name.rpartition(".")[0], []).append(tensor.name)
        return {path: tuple(names) for path, names in found.items()}

    @cached_property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """For each tensor that has several names, by the first, all of them."""
        found: dict[str, list[str]] = {}
        for tensor in self.tensors:
            if tensor.tied_to:
                found.setdefault(tensor.tied_to, [tensor.tied_to]).append(tensor.name)
        return {owner: tuple(names) for owner, names in found.items()}

    @cached_property
    def aliases(self) -> dict[str, tuple[str, ...]]:
        """For each module object that stands at several paths, by the first, all of them."""
        found: dict[str, list[str]] = {}
        for module in self.modules:
            if module.same_as:
                found.setdefault(module.same_as, [module.same_as]).append(module.path)
        return {first: tuple(paths) for first, paths in found.items()}

    def modules_below(self, path: str) -> Iterator[str]:
        """Yield the paths of all modules below one, parents first."""
        for child in self.children.get(path, ()):
            yield child
            yield from self.modules_below(child)

    def tensors_below(self, path: str) -> Iterator[str]:
        """Yield the names of the tensors that a module and those below it hold."""
        yield from self.held.get(path, ())
        for child in self.modules_below(path):
            yield from self.held.get(child, ())

    @cached_property
    def carriers(self) -> dict[int, tuple[tuple[str, int], ...]]:
        """For each leaf axis, the (tensor name, dimension) pairs that carry it, sums included."""
        found: dict[int, dict[tuple[str, int], None]] = {}
        for tensor in self.tensors:
            for position, dim in enumerate(tensor.dims):
                for axis in self.leaves(dim):
                    found.setdefault(axis, {})[tensor.name, position] = None
        return {axis: tuple(places) for axis, places in found.items()}

    def leaves(self, dim: Dim) -> Iterator[int]:
        """Yield the leaf axes of a dimension, going into sums."""
        for axis in dim:
            if self.axes[axis].parts:
                for part in self.axes[axis].parts:
                    yield from self.leaves(part)
            else:
                yield axis

    def size(self, dim: Dim) -> Polynomial:
        """Return the size of a dimension as a polynomial over leaf axes."""
        result = Polynomial.constant(1)
        for axis in dim:
            parts = self.axes[axis].parts
            factor = Polynomial.sum_of([self.size(part) for part in parts]) if parts else Polynomial.axis(axis)
            result = result * factor
        return result

    def expression(self, dim: Dim) -> Expression | None:
        """Return the size of a dimension in the free sizes; ``None`` where a choice leaves it open."""
        factors: list[Expression] = []
        for axis in dim:
            one = self.axes[axis]
            terms = [self.expression(part) for part in one.parts] if one.parts else [one.size]
            known = [term for term in terms if term is not None and not isinstance(term, Extent)]
            if len(known) < len(terms):
                return None
            factors.append(add(*known))
        return multiply(*factors)

    def numel(self, tensor: Tensor) -> Polynomial:
        """Return the number of elements of a tensor."""
        return self.size(tuple(axis for dim in tensor.dims for axis in dim))

    def exact_size(self, axis: int) -> int | None:
        """Return the size of a leaf axis where it is one number, else ``None``."""
        size = self.axes[axis].size
        if isinstance(size, Extent):
            return size.least if size.least == size.most else None
        return size if isinstance(size, int) else None

    @cached_property
    def exact_sizes(self) -> tuple[int | None, ...]:
        """For each axis, sums included, its size where it is one number, else ``None``."""
        return sums.exact_sizes(self.axes, [None if axis.parts else self.exact_size(axis.id) for axis in self.axes])

    def exact(self, dim: Dim) -> int | None:
        """Return the size of a dimension where it is one number, else ``None``."""
        return sums.exact_product(dim, self.exact_sizes)

    def calls_of(self, path: str) -> tuple[Call, ...]:
        """Return the runs of the module at ``path``, or of the same object at another path."""
        module = self.module_by_path[path]
        return tuple(call for call in self.calls if call.module == (module.same_as or path))
