"""``reorder()``: the same units in another order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface import frozen
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.flow import WEIGHTED, Flow, weight_position
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.units._axes import site_dims
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    pass


@final
class Reorder(Transform):
    """The units of a layer in another order, with everything that writes and reads them.

    Arguments:
        by: What units are ordered by: `norm`, the sum of the magnitudes of a unit's incoming weights, over all layers
            that write it; the greatest first, ties by index.

    Static rule:
        Shapes stay. Everything that carries the site's output axis is put into the same order: coupled layers, biases,
        norms per channel, readers. Exact: what works on each unit alone commutes with a permutation. Refused: an axis
        whose order shows, such as the network's outputs (SD226); a site without output units, units in groups or heads,
        entries of a list (SD244).

    Runtime rule:
        Entries move and no number changes; readers sum the same terms in another order.

    Source:
        Hecht-Nielsen, On the algebraic structure of feedforward network weight spaces, 1990 (the symmetry); Cai et al.,
        Once-for-all, ICLR 2020, section 3.3 (channels sorted by the norm of their weights).

    Raises:
        SD226, SD244.
    """

    positional: ClassVar[tuple[str, ...]] = ("by",)
    card: ClassVar[Card] = Card(
        summary="Put the units of a layer into the order of their size",
        source="Cai et al., Once-for-all, ICLR 2020, section 3.3",
        example='reorder(by = "norm")',
        near_miss='reorder(by = "name")',
        near_miss_code="SD107",
        function="exact",
        interface=frozenset({"values", "buffers"}),
        fixture="sequential",
    )

    by: Literal["norm"] = "norm"

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Name the tensors whose entries move; nothing else changes."""
        scene = Scene.of_static(place, context, self.span)
        axes = [_axis(scene, site) for site in place.sites]
        found = {axis for axis in axes if axis is not None}
        if len([axis for axis in axes if axis is not None]) < len(axes):
            return refused(place)
        carried = {name for axis in found for name, _ in context.interface.carriers.get(axis, ())}
        return Effect(
            function="exact",
            rule="reordered_units",
            reason="everything that carries the units is put into the same order",
            writes=frozenset(carried),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Move the entries of every tensor that carries the units."""
        import torch

        from surgery_dsl.interface.gathering import entries

        interface, scene = runtime.interface, Scene.of_runtime(place, runtime, self.span)
        sites: dict[int, list[Site]] = {}
        for site in place.sites:
            axis = _axis(scene, site)
            if axis is not None:
                sites.setdefault(axis, []).append(site)
        orders = {axis: _order(axis, interface, runtime) for axis in sites}
        tensors: dict[str, torch.Tensor] = {}
        for tensor in interface.tensors:
            moved = [at for at, dim in enumerate(tensor.dims) if not orders.keys().isdisjoint(interface.leaves(dim))]
            if tensor.tied_to or not moved:
                continue
            value = runtime.tensor(tensor.name).detach()
            for at in moved:
                chosen = torch.tensor(entries(tensor.dims[at], orders, interface), device=value.device)
                value = value.index_select(at, chosen)
            tensors[tensor.name] = value
        return [Change(tensors=tensors)] if tensors else []


def _axis(scene: Scene, site: Site) -> int | None:
    """Return the axis of a site's units; ``None`` after reporting one whose order shows, or that is no plain axis."""
    interface = scene.interface
    dims = site_dims(site, Flow(interface))
    dim = dims[0] if dims else ()
    listed = any(one.dim == dim for one in interface.indexed)
    if len(dims) != 1 or len(dim) != 1 or interface.axes[dim[0]].parts or listed:
        scene.say(
            shapes.SITE_DOES_NOT_FIT,
            f"`{site.path}` has no units that lie along one axis of their own",
            path=site.path,
            help="name a layer with weights whose units stand in no groups, heads or lists",
        )
        return None
    reason = interface.axes[dim[0]].frozen
    if reason:
        scene.say(
            shapes.FIXED_AXIS,
            f"`{site.path}` must keep the order of its units: {reason}",
            path=site.path,
            help="name a layer whose units are the network's own"
            if reason in (frozen.OUTPUT, frozen.INPUT)
            else f'leave it out: except = ["{site.path}"]',
        )
        return None
    return dim[0]


def _order(axis: int, interface: Interface, runtime: Runtime) -> list[int]:
    """Return the units in the order of the magnitudes of what writes them, the greatest first."""
    import torch

    size = interface.exact((axis,)) or 1
    total = torch.zeros(size, dtype=torch.float64)
    for operator in interface.operators:
        name = operator.tensors.get("weight", "")
        if operator.kind not in WEIGHTED or not name:
            continue
        position = weight_position(operator)
        if interface.tensor_by_name[name].dims[position] == (axis,):
            weight = runtime.tensor(name).detach().double().abs().cpu()
            total += weight.movedim(position, 0).flatten(1).sum(1)
    return [int(at) for at in torch.argsort(total, descending=True, stable=True)]
