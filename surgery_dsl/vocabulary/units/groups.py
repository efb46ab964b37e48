"""Whole groups of grouped convolutions."""

from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.interface.flow import Flow, unit_dim
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import site_results
from surgery_dsl.vocabulary.units._heads import free_first, most, refuse
from surgery_dsl.vocabulary.word import Card


@final
class Groups(Unit):
    """Whole groups of grouped convolutions, with all channels that they read and write, numbered from 0.

    Static rule:
        The groups are the outermost axis of what a grouped convolution writes; in a depthwise one, each channel is a
        group, and behind a grouped one these go in sets, one of each group there. Refused: a site that is no
        convolution, or one of a single group.

    Runtime rule:
        Indices of the axis: the layer before loses the channels that the groups read, the layer behind what they write.

    Source:
        Krizhevsky et al., NeurIPS 2012, section 3.5 (grouped convolutions); the coupling is that of the axis graph
        (`docs/architecture.md`).
    """

    card: ClassVar[Card] = Card(
        summary="Pick whole groups of grouped convolutions",
        source="Krizhevsky et al., NeurIPS 2012, section 3.5",
        example="groups",
        near_miss="group",
        near_miss_code="SD105",
        fixture="grouped",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each axis of groups, in the order of the sites."""
        interface = context.interface
        flow = Flow(interface)
        found: dict[int, tuple[Dim, dict[Site, None]]] = {}
        for site in sites:
            layers = [interface.operators[at] for at in site_results(site, flow)] if site.word != "param" else []
            products = dict.fromkeys(product for layer in layers if (product := _groups(layer, interface)))
            if not products:
                fix = f'write unit = channels, or add except = ["{site.path}"]'
                refuse(names.UNIT_DOES_NOT_FIT, site, "is no convolution of several groups", context, fix)
            for product in products:
                axis = free_first(product, interface)
                if axis is not None:
                    found.setdefault(axis, (product, {}))[1][site] = None
        return tuple(_pool(axis, product, tuple(of), interface) for axis, (product, of) in found.items())


def _groups(operator: Operator, interface: Interface) -> Dim:
    """Return the product of axes that counts the groups of a convolution; empty where it has one group."""
    count = operator.settings.get("groups", 1)
    dim = unit_dim(interface, operator)
    if not operator.kind.startswith("conv") or not isinstance(count, int) or count < 2:
        return ()
    for end in range(1, len(dim) + 1):
        if any(interface.axes[axis].parts for axis in dim[:end]):
            return ()
        if most(dim[:end], interface) >= count:
            return dim[:end]
    return ()


def _pool(axis: int, product: Dim, sites: tuple[Site, ...], interface: Interface) -> Pool:
    size = most((axis,), interface)
    return Pool(
        key=interface.axes[axis].label or f"axis {axis}",
        size=size,
        sites=sites,
        axis=axis,
        width=most(product, interface) // max(size, 1),
        noun="group",
        dim=product,
    )
