"""The axis that a site's units lie along."""

from collections.abc import Iterator
from dataclasses import dataclass

from surgery_dsl.interface.feedforward import feedforwards
from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim, weight_position
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.vocabulary.selection import Pool, Site

ALONG_AXES = frozenset({"channels", "heads", "kv_groups", "experts", "groups"})
"""Units that are indices of an axis."""


def split_param(path: str) -> tuple[str, int | None]:
    """Return tensor name and dimension of a ``param`` site: ``embed.weight[0]``."""
    name, bracket, rest = path.partition("[")
    return name, int(rest[:-1]) if bracket else None


def site_dims(site: Site, flow: Flow) -> tuple[Dim, ...]:
    """Return the dimensions that the site's output units lie along: one for each layer behind it, most often one.

    A layer's own; for a multilayer perceptron, its width in between; for an activation or norm without weights, and for
    a module, that of the layers behind its result; for a tensor, the dimension that the plan names, or its only one.
    """
    interface = flow.interface
    if site.word == "param":
        name, position = split_param(site.path)
        dims = interface.tensor_by_name[name].dims
        if position is None:
            return dims if len(dims) == 1 else ()
        return (dims[position],) if position < len(dims) else ()
    if site.word == "mlp":
        widths = dict.fromkeys(one.width for one in feedforwards(flow) if one.holder == site.module)
        return tuple(dim for dim in widths if dim)
    if (constant := weight_of_constant(site, interface)) is not None:
        return (interface.tensor_by_name[constant[0]].dims[constant[1]],)
    found: dict[Dim, None] = {}
    for at in site_results(site, flow):
        operator = interface.operators[at]
        if operator.kind in WEIGHTED or "weight" in operator.tensors:
            found[unit_dim(interface, operator)] = None
            continue
        carried = {axis for dim in interface.values[operator.outputs[0]].dims for axis in dim}
        for layer in flow.layers_behind(operator.outputs[0]):
            dim = unit_dim(interface, interface.operators[layer])
            if dim and carried.issuperset(dim):
                found[dim] = None
    return tuple(dim for dim in found if dim)


def weight_of_constant(site: Site, interface: Interface) -> tuple[str, int] | None:
    """Return the weight of a layer of constants, which has no operator, and the dimension that its units lie along."""
    if site.operators or site.word not in WEIGHTED:
        return None
    return f"{site.module}.weight", 1 if site.word == "embedding" else 0


def site_results(site: Site, flow: Flow) -> list[int]:
    """Return the operators that write the site's results."""
    if site.operators:
        return list(site.operators)
    written = [value for call in flow.interface.calls_of(site.module) for value in call.outputs]
    return [flow.writer[value] for value in written if value in flow.writer]


def picked_axis(dim: Dim, interface: Interface) -> int | None:
    """Return the innermost free axis of a dimension, the innermost where none is free, ``None`` for a dimension of one.

    Sums are left to the caller: a sum is never free.
    """
    free = [axis for axis in dim if not interface.axes[axis].frozen and not interface.axes[axis].parts]
    plain = [axis for axis in dim if not interface.axes[axis].parts]
    return free[-1] if free else plain[-1] if plain else None


def owners(dim: Dim, axis: int, interface: Interface) -> tuple[int, ...]:
    """Return, for each entry of a dimension, the index of an axis that it belongs to; -1 for one that belongs to none.

    All sizes must be exact.

    Raises:
        ValueError: They are not.
    """
    found = [-1]
    for one in dim:
        parts = interface.axes[one].parts
        own: list[int]
        if one == axis:
            own = list(range(_exact((one,), interface)))
        elif parts:
            own = [owner for part in parts for owner in owners(part, axis, interface)]
        else:
            own = [-1] * _exact((one,), interface)
        found = [outer if outer >= 0 else inner for outer in found for inner in own]
    return tuple(found)


def _exact(dim: Dim, interface: Interface) -> int:
    size = interface.exact(dim)
    if size is None:
        raise ValueError(f"axes {dim} have no exact size")
    return size


@dataclass(frozen=True)
class Places:
    """Which of a site's channels belong to which index of an axis.

    Attributes:
        owners: The index of each channel; -1 where it has none.
    """

    owners: tuple[int, ...]

    def index(self, channel: int) -> int:
        """Return the index that a channel belongs to."""
        return self.owners[channel]

    def channels(self, index: int) -> list[int]:
        """Return the channels of an index, ascending."""
        return [channel for channel, owner in enumerate(self.owners) if owner == index]


def places(pool: Pool, flow: Flow) -> Places:
    """Return where a pool's indices stand among the units that the plan's numbers count."""
    interface = flow.interface
    dims = [pool.dim] if pool.dim else [dim for site in pool.sites for dim in site_dims(site, flow)]
    for dim in dims:
        if pool.axis is not None and pool.axis in interface.leaves(dim) and interface.exact(dim) is not None:
            return Places(owners(dim, pool.axis, interface))
    return Places(tuple(index for _ in range(pool.width) for index in range(pool.size)))


@dataclass(frozen=True)
class Carrier:
    """Where an axis stands in a tensor of a site.

    Attributes:
        tensor: Name of the tensor; of tied ones, the owner.
        dim: The dimension.
        sizes: Sizes of the dimension's axes, outermost first.
        position: Which of them is the axis.
        owners: Where the axis lies within a sum (one projection of a fused one), the index of each entry, or -1; then
            ``sizes`` is the whole dimension. Empty otherwise.
    """

    tensor: str
    dim: int
    sizes: tuple[int, ...]
    position: int
    owners: tuple[int, ...] = ()


def carriers_at(pool: Pool, axis: int, flow: Flow, roles: tuple[str, ...] = ("weight", "bias")) -> list[Carrier]:
    """Return where the pool's own sites hold the weights of its units: rows of weights, entries of biases.

    A layer's input side is left out, as are the norms behind it. Experts hold all of their weights.
    """
    interface = flow.interface
    found: dict[tuple[str, int], None] = {}
    for site in pool.sites:
        if site.word == "param":
            name, position = split_param(site.path)
            found[name, position or 0] = None
            continue
        if (constant := weight_of_constant(site, interface)) is not None:
            found[constant] = None
            continue
        for at in layers_of(site, axis, flow):
            operator = interface.operators[at]
            for role in roles:
                if role in operator.tensors:
                    name = operator.tensors[role]
                    rank = len(interface.tensor_by_name[name].dims)
                    found[name, weight_position(operator) if rank > 1 else 0] = None
        if pool.noun == "expert":
            found |= dict.fromkeys(_stacked(site, axis, interface))
    carriers = [_carrier(name, dim, axis, interface) for name, dim in found]
    return [carrier for carrier in carriers if carrier is not None]


def _stacked(site: Site, axis: int, interface: Interface) -> Iterator[tuple[str, int]]:
    """Yield where the parameters below a site carry an axis as a whole dimension of three or more."""
    below = set(interface.tensors_below(site.module))
    for name, position in interface.carriers.get(axis, ()):
        tensor = interface.tensor_by_name[name]
        if name in below and tensor.role == "parameter" and len(tensor.dims) > 2:
            yield name, position


def layers_of(site: Site, axis: int, flow: Flow) -> list[int]:
    """Return the operators with weights that write units along an axis at a site, or inside it where none does."""
    interface = flow.interface
    found: dict[int, None] = {}
    for at in site_results(site, flow):
        operator = interface.operators[at]
        own = operator.kind in WEIGHTED or "weight" in operator.tensors
        for layer in (at,) if own else flow.layers_behind(operator.outputs[0]):
            if axis in interface.leaves(unit_dim(interface, interface.operators[layer])):
                found[layer] = None
    if not found and "#" not in site.path and site.word != "param":
        for at in inside(site.module, interface):
            operator = interface.operators[at]
            if operator.kind in WEIGHTED and axis in interface.leaves(unit_dim(interface, operator)):
                found[at] = None
    return list(found)


def inside(path: str, interface: Interface) -> list[int]:
    """Return the operators that run inside the module at a path, or inside its children."""
    found = (at for call in interface.calls_of(path) for at in range(call.first, call.last))
    return list(dict.fromkeys(found))


def _carrier(name: str, dim: int, axis: int, interface: Interface) -> Carrier | None:
    tensor = interface.tensor_by_name[name]
    product = tensor.dims[dim]
    owner = tensor.tied_to or name
    if axis in product:
        sizes = tuple(_most(one, interface) for one in product)
        return Carrier(owner, dim, sizes, product.index(axis))
    if axis not in interface.leaves(product):
        return None
    whole = interface.exact(product)
    if whole is None:  # sizes that an earlier choice leaves open: counted when they are known
        return Carrier(owner, dim, (_most(axis, interface),), 0)
    return Carrier(owner, dim, (whole,), 0, owners(product, axis, interface))


def _most(axis: int, interface: Interface) -> int:
    size = interface.axes[axis].size
    return size.most if isinstance(size, Extent) else interface.exact((axis,)) or 1
