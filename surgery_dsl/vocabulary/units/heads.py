"""Query heads of attentions."""

from typing import ClassVar, final

from surgery_dsl.interface.attention import Attention
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._heads import about, free_first, head_pools, most
from surgery_dsl.vocabulary.word import Card


@final
class Heads(Unit):
    """Query heads of attentions, numbered from 0 as the forward lays them out.

    Static rule:
        An attention is found by what the forward does, and its heads by the axis that queries bring to it: no names of
        modules or attributes are read. Where every query head has a key/value head of its own, both go together. Where
        several query heads share a key/value head, each group must stay equally large: one unit is one query head of
        each group, and counts are multiples of the number of groups. With a single key/value head, query heads go
        alone. A site is any module that holds attentions or belongs to one. Refused: a site that belongs to none.

    Runtime rule:
        Indices of the axis; all projections, fused or not, and their biases follow.

    Source:
        Michel et al., "Are sixteen heads really better than one?", NeurIPS 2019; groups of queries as in Ainslie et
        al., arXiv:2305.13245.
    """

    card: ClassVar[Card] = Card(
        summary="Pick query heads of attentions",
        source="Michel et al., NeurIPS 2019",
        example="heads",
        near_miss="head",
        near_miss_code="SD105",
        fixture="attention",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each head axis, in the order of the sites."""
        interface = context.interface
        return head_pools(sites, context, lambda attention: _axis(attention, interface), _pool)


def _axis(attention: Attention, interface: Interface) -> int | None:
    return free_first(attention.own or attention.shared, interface)


def _pool(attention: Attention, sites: tuple[Site, ...], interface: Interface) -> Pool | None:
    axis = _axis(attention, interface)
    if axis is None:
        return None
    size = most((axis,), interface)
    width = most(attention.heads, interface) // max(size, 1)
    return Pool(
        key=interface.axes[axis].label or f"axis {axis}",
        size=size,
        sites=sites,
        axis=axis,
        width=width,
        noun="query head" if attention.own and attention.shared else "head",
        about=about(attention, width, interface) if width > 1 else "",
        dim=attention.heads,
    )
