"""The axis that a site's units lie along."""

from dataclasses import dataclass

from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim, weight_position
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.vocabulary.selection import Pool, Site


def split_param(path: str) -> tuple[str, int | None]:
    """Return tensor name and dimension of a ``param`` site: ``embed.weight[0]``."""
    name, bracket, rest = path.partition("[")
    return name, int(rest[:-1]) if bracket else None


def site_dims(site: Site, flow: Flow) -> tuple[Dim, ...]:
    """Return the dimensions that the site's output units lie along: one for each layer behind it, most often one.

    A layer's own; for an activation or norm without weights, and for a module, that of the layers behind its result;
    for a tensor, the dimension that the plan names, or its only one.
    """
    interface = flow.interface
    if site.word == "param":
        name, position = split_param(site.path)
        dims = interface.tensor_by_name[name].dims
        if position is None:
            return dims if len(dims) == 1 else ()
        return (dims[position],) if position < len(dims) else ()
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


@dataclass(frozen=True)
class Places:
    """Where the indices of an axis stand among a site's channels: channel = (outer · size + index) · inner + rest.

    Attributes:
        size: Number of indices.
        outer: Product of the sizes before the axis.
        inner: Product of the sizes behind it.
    """

    size: int
    outer: int
    inner: int

    def index(self, channel: int) -> int:
        """Return the index that a channel belongs to."""
        return channel // self.inner % self.size

    def channels(self, index: int) -> list[int]:
        """Return the channels of an index, ascending."""
        return [
            (outer * self.size + index) * self.inner + rest for outer in range(self.outer) for rest in range(self.inner)
        ]


def places(pool: Pool, flow: Flow) -> Places:
    """Return where a pool's indices stand among the channels of its first site."""
    interface = flow.interface
    for site in pool.sites:
        for dim in site_dims(site, flow):
            if pool.axis in dim:
                at = dim.index(pool.axis)
                outer, inner = interface.exact(dim[:at]), interface.exact(dim[at + 1 :])
                if outer is not None and inner is not None:
                    return Places(pool.size, outer, inner)
    return Places(pool.size, pool.width, 1)


@dataclass(frozen=True)
class Carrier:
    """Where an axis stands in a tensor of a site.

    Attributes:
        tensor: Name of the tensor; of tied ones, the owner.
        dim: The dimension.
        sizes: Sizes of the dimension's axes, outermost first.
        position: Which of them is the axis.
    """

    tensor: str
    dim: int
    sizes: tuple[int, ...]
    position: int


def carriers_at(pool: Pool, axis: int, flow: Flow, roles: tuple[str, ...] = ("weight", "bias")) -> list[Carrier]:
    """Return where the pool's own sites hold the weights of its units: rows of weights, entries of biases.

    A layer's input side is left out, as are the norms behind it.
    """
    interface = flow.interface
    found: dict[tuple[str, int], None] = {}
    for site in pool.sites:
        if site.word == "param":
            name, position = split_param(site.path)
            found[name, position or 0] = None
            continue
        for at in layers_of(site, axis, flow):
            operator = interface.operators[at]
            for role in roles:
                if role in operator.tensors:
                    name = operator.tensors[role]
                    rank = len(interface.tensor_by_name[name].dims)
                    found[name, weight_position(operator) if rank > 1 else 0] = None
    carriers = [_carrier(name, dim, axis, interface) for name, dim in found]
    return [carrier for carrier in carriers if carrier is not None]


def layers_of(site: Site, axis: int, flow: Flow) -> list[int]:
    """Return the operators with weights that write units along an axis at a site."""
    interface = flow.interface
    found: dict[int, None] = {}
    for at in site_results(site, flow):
        operator = interface.operators[at]
        own = operator.kind in WEIGHTED or "weight" in operator.tensors
        for layer in (at,) if own else flow.layers_behind(operator.outputs[0]):
            if axis in unit_dim(interface, interface.operators[layer]):
                found[layer] = None
    return list(found)


def _carrier(name: str, dim: int, axis: int, interface: Interface) -> Carrier | None:
    tensor = interface.tensor_by_name[name]
    product = tensor.dims[dim]
    if axis not in product:
        return None
    sizes = []
    for one in product:
        size = interface.axes[one].size
        exact = interface.exact((one,))
        sizes.append(size.most if isinstance(size, Extent) else exact or 1)
    return Carrier(tensor.tied_to or name, dim, tuple(sizes), product.index(axis))
