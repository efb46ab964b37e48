"""Key/value heads, each with all its queries."""

from typing import ClassVar, final

from surgery_dsl.interface.attention import Attention
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._heads import about, free_first, head_pools, most
from surgery_dsl.vocabulary.word import Card


@final
class KvGroups(Unit):
    """Key/value heads of attentions, each with all query heads that share it, numbered from 0.

    Static rule:
        An attention is found by what the forward does, and its key/value heads by the axis that keys bring to it before
        they are repeated. Counts are of key/value heads, so an attention of 14 query heads on 2 key/value heads keeps
        14 query heads or 7. Where each query head has its own, a group is a head. Refused: a site that belongs to no
        attention, and a single key/value head, which must stay.

    Runtime rule:
        Indices of the axis; all projections, fused or not, and their biases follow.

    Source:
        Ainslie et al., "GQA", EMNLP 2023, arXiv:2305.13245.
    """

    card: ClassVar[Card] = Card(
        summary="Pick key/value heads with all their queries",
        source="Ainslie et al., arXiv:2305.13245",
        example="kv_groups",
        near_miss="kv_group",
        near_miss_code="SD105",
        fixture="attention",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return one pool for each key/value axis, in the order of the sites."""
        interface = context.interface
        return head_pools(sites, context, lambda attention: free_first(attention.shared, interface), _pool)


def _pool(attention: Attention, sites: tuple[Site, ...], interface: Interface) -> Pool | None:
    axis = free_first(attention.shared, interface)
    if axis is None:
        return None
    size = most((axis,), interface)
    return Pool(
        key=interface.axes[axis].label or f"axis {axis}",
        size=size,
        sites=sites,
        axis=axis,
        width=most(attention.shared, interface) // max(size, 1),
        noun="KV group",
        about=about(attention, most(attention.heads, interface) // max(size, 1), interface),
        dim=attention.shared,
    )
