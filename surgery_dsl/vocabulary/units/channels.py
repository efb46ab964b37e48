"""Output units of layers."""

from typing import ClassVar, final

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import picked_axis, site_dims
from surgery_dsl.vocabulary.units._heads import most
from surgery_dsl.vocabulary.word import Card


@final
class Channels(Unit):
    """Output units of layers: channels of a convolution, neurons of a linear layer, entries of an embedding.

    Static rule:
        A site names the axis that its output units lie along; of a product of axes, the innermost that is free. Sites
        that share an axis (a residual stream, a layer and its norm) share one pool. In a grouped convolution the axis
        lies within the groups, so one unit is one channel of each group; in a depthwise convolution it is the groups.
        What carries the axis elsewhere follows it. Parts behind one another that are one width (a fused gate and its
        values, the halves of a rotation) lose the same units each. Refused: a site without output units, units that are
        different parts behind one another, and rows of attention heads, which go by `unit = heads`.

    Runtime rule:
        Indices of the axis.

    Source:
        Li et al., ICLR 2017; the coupling is that of the axis graph (`docs/architecture.md`).
    """

    card: ClassVar[Card] = Card(
        summary="Pick output units of layers, coupled ones together",
        source="Li et al., ICLR 2017",
        example="channels",
        near_miss="channel",
        near_miss_code="SD105",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each axis, in the order of the sites."""
        flow = Flow(context.interface)
        found: dict[int, tuple[Dim, dict[Site, None]]] = {}
        for site in sites:
            dims = site_dims(site, flow)
            if not dims:
                self._refuse(names.UNIT_DOES_NOT_FIT, site, "has no output units to pick", context)
            for dim in dims:
                axis = self._axis(dim, site, context)
                if axis is not None:
                    found.setdefault(axis, (dim, {}))[1][site] = None
        return tuple(_pool(axis, dim, tuple(of), context.interface) for axis, (dim, of) in found.items())

    def _axis(self, dim: Dim, site: Site, context: Static) -> int | None:
        interface = context.interface
        axes = interface.axes
        if not dim:
            self._refuse(shapes.FIXED_AXIS, site, "has a single unit, which cannot be taken away", context)
            return None
        if (len(dim) > 1 or axes[dim[0]].parts) and self._holds_heads(dim, site, context):
            return None
        if axes[dim[-1]].parts:
            axis = common_axis(dim, interface)
            if axis is None:
                parts = " + ".join(_size(part, interface) for part in axes[dim[-1]].parts)
                text = f"has units that are several parts behind one another ({parts})"
                self._refuse(shapes.SUMMED_AXIS, site, text, context)
        else:
            axis = picked_axis(dim, interface)
        if axis is not None and not isinstance(axes[axis].size, int | Extent):
            self._refuse(shapes.FIXED_AXIS, site, f"cannot lose units: {axes[axis].frozen}", context)
            return None
        return axis

    def _holds_heads(self, dim: Dim, site: Site, context: Static) -> bool:
        """Report units that are rows of attention heads: a head goes as a whole."""
        interface = context.interface
        leaves = set(interface.leaves(dim))
        held = [one for one in attentions(Flow(interface)) if not leaves.isdisjoint(one.heads)]
        if not held:
            return False
        heads = most(held[0].heads, interface)
        context.say(
            Diagnostic(
                names.UNIT_DOES_NOT_FIT,
                f"the units of `{site.path}` are rows of attention heads ({heads}), which go as a whole",
                file=context.file,
                path=site.path,
                facts={"heads": heads, "units": _most_of(dim, interface)},
                notes=(f"they belong to the attention `{held[0].holder or '.'}`",),
                help="write unit = heads, or unit = kv_groups",
            )
        )
        return True

    def _refuse(self, code: Code, site: Site, text: str, context: Static) -> None:
        context.say(
            Diagnostic(
                code,
                f"`{site.path or '.'}` {text}",
                file=context.file,
                path=site.path,
                help=f'add except = ["{site.path}"], or name other sites',
            )
        )


def common_axis(dim: Dim, interface: Interface) -> int | None:
    """Return the innermost free axis that every part of a sum carries (two halves of one width), if there is any."""
    axes = interface.axes

    def carried(product: Dim) -> list[int]:
        found = [axis for axis in product if not axes[axis].parts]
        for axis in product:
            if axes[axis].parts:
                inner = [carried(part) for part in axes[axis].parts]
                found += [one for one in dict.fromkeys(inner[0]) if all(one in other for other in inner)]
        return found

    free = [axis for axis in carried(dim) if not axes[axis].frozen]
    return free[-1] if free else None


def _pool(axis: int, dim: Dim, sites: tuple[Site, ...], interface: Interface) -> Pool:
    size = _most_of((axis,), interface)
    return Pool(
        key=interface.axes[axis].label or f"axis {axis}",
        size=size,
        sites=sites,
        axis=axis,
        width=max(1, _most_of(dim, interface) // max(1, size)),
    )


def _most_of(dim: Dim, interface: Interface) -> int:
    """Return the size of a dimension; the greatest, where a choice before has left it open."""
    total = 1
    for axis in dim:
        size, parts = interface.axes[axis].size, interface.axes[axis].parts
        if parts:
            total *= sum(_most_of(part, interface) for part in parts)
        elif isinstance(size, Extent):
            total *= size.most
        else:
            total *= size if isinstance(size, int) else interface.exact((axis,)) or 1
    return total


def _size(dim: Dim, interface: Interface) -> str:
    exact = interface.exact(dim)
    return "?" if exact is None else str(exact)
