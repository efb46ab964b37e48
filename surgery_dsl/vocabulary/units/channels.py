"""Output units of layers."""

import math
from typing import ClassVar, final

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import picked_axis, site_dims
from surgery_dsl.vocabulary.word import Card


@final
class Channels(Unit):
    """Output units of layers: channels of a convolution, neurons of a linear layer, entries of an embedding.

    Static rule:
        A site names the axis that its output units lie along; of a product of axes, the innermost that is free. Sites
        that share an axis (a residual stream, a layer and its norm) share one pool. In a grouped convolution the axis
        lies within the groups, so one unit is one channel of each group; in a depthwise convolution it is the groups.
        What carries the axis elsewhere follows it. Refused: a site without output units, and units that are several
        parts behind one another (a fused projection).

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
        axes = context.interface.axes
        if not dim:
            self._refuse(shapes.FIXED_AXIS, site, "has a single unit, which cannot be taken away", context)
            return None
        if axes[dim[-1]].parts:
            parts = " + ".join(_size(part, context.interface) for part in axes[dim[-1]].parts)
            text = f"has units that are several parts behind one another ({parts})"
            self._refuse(shapes.SUMMED_AXIS, site, text, context)
            return None
        axis = picked_axis(dim, context.interface)
        if axis is not None and not isinstance(axes[axis].size, int | Extent):
            self._refuse(shapes.FIXED_AXIS, site, f"cannot lose units: {axes[axis].frozen}", context)
            return None
        return axis

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


def _pool(axis: int, dim: Dim, sites: tuple[Site, ...], interface: Interface) -> Pool:
    others = [_most(other, interface) for other in dim if other != axis]
    return Pool(
        key=interface.axes[axis].label or f"axis {axis}",
        size=_most(axis, interface),
        sites=sites,
        axis=axis,
        width=math.prod(others),
    )


def _most(axis: int, interface: Interface) -> int:
    """Return the size of an axis; the greatest, where a choice before has left it open."""
    size = interface.axes[axis].size
    if isinstance(size, Extent):
        return size.most
    if isinstance(size, int) and not interface.axes[axis].parts:
        return size
    return interface.exact((axis,)) or 1


def _size(dim: Dim, interface: Interface) -> str:
    exact = interface.exact(dim)
    return "?" if exact is None else str(exact)
