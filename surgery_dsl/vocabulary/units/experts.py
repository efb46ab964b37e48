"""Experts of mixtures."""

from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.interface.experts import FEWEST_LISTED, Mixture, mixtures
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import inside, site_dims
from surgery_dsl.vocabulary.units._heads import most, refuse
from surgery_dsl.vocabulary.word import Card


@final
class Experts(Unit):
    """Experts of mixtures, each with its row of the router, numbered from 0.

    Static rule:
        The expert axis is what a router writes and chooses from, and stacked weights carry as their first dimension, or
        a list of modules goes with in a loop. A site is any module that holds mixtures, or the router itself. As many
        experts must stay as each token goes through, of a list two: shares and bounds leave so many, a count that would
        leave fewer is refused. Refused: a site that belongs to no mixture.

    Runtime rule:
        Indices of the axis: rows of the router, its bias, and entries of all stacked weights, or modules of the list,
        go together; those that stay move up.

    Source:
        Lu et al., "Not all experts are equal", ACL 2024, arXiv:2402.14800.
    """

    card: ClassVar[Card] = Card(
        summary="Pick experts of mixtures, with their rows of the router",
        source="Lu et al., arXiv:2402.14800",
        example="experts",
        near_miss="expert",
        near_miss_code="SD105",
        fixture="mixture",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each mixture, in the order of the sites."""
        interface = context.interface
        flow = Flow(interface)
        every = mixtures(flow)
        found: dict[int, tuple[Mixture, dict[Site, None]]] = {}
        for site in sites:
            meant = _mixtures_at(site, every, flow)
            if not meant:
                fix = 'name mixtures, such as experts("**"), or leave the site out'
                refuse(names.UNIT_DOES_NOT_FIT, site, "belongs to no mixture of experts", context, fix)
            for mixture in meant:
                found.setdefault(mixture.axis, (mixture, {}))[1][site] = None
        return tuple(_pool(mixture, tuple(of), interface) for mixture, of in found.values())


def _mixtures_at(site: Site, every: tuple[Mixture, ...], flow: Flow) -> list[Mixture]:
    if site.word == "experts":
        return [one for one in every if one.holder == site.module]
    if site.word != "param" and not site.operators:
        within = set(inside(site.module, flow.interface))
        held = [one for one in every if one.router in within or one.module == site.module]
        if held:
            return held
    carried = {axis for dim in site_dims(site, flow) for axis in flow.interface.leaves(dim)}
    return [one for one in every if one.axis in carried]


def _pool(mixture: Mixture, sites: tuple[Site, ...], interface: Interface) -> Pool:
    size = most((mixture.axis,), interface)
    least = min(max(mixture.chosen, FEWEST_LISTED if mixture.lists else 1), size)
    about = f"each token goes through {mixture.chosen} of {size} experts, so at least {mixture.chosen} must stay"
    if least > mixture.chosen and mixture.lists:
        about = f"the forward goes through `{mixture.lists[0]}` in a loop, which is known by {least} turns or more"
    return Pool(
        key=interface.axes[mixture.axis].label or f"axis {mixture.axis}",
        size=size,
        sites=sites,
        axis=mixture.axis,
        noun="expert",
        least=least,
        about=about if least > 1 else "",
        dim=(mixture.axis,),
    )
