"""Take everything."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import exactly, is_plain, most_taken
from surgery_dsl.vocabulary.takes._ranked import Selected
from surgery_dsl.vocabulary.takes._reports import Reports
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores


@final
class All(Take):
    """Take every unit.

    Static rule:
        All units of each pool. `excise` must leave something of a layer, so there `all` is refused (modules can
        become zero, all of them); it serves steps that put something in the place of what they take. `round`, `floor`
        and `cap` contradict it.

    Runtime rule:
        All units of each pool; no criterion is needed.

    Source:
        The whole set.
    """

    needs_scores: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Take every unit",
        source="the whole set",
        example="all",
        near_miss="all(3)",
        near_miss_code="SD110",
    )

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return "all"

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Take all units; round, floor and cap contradict that."""
        reports = Reports(context, self.span)
        for pool, rounding in zip(pools, roundings, strict=True):
            if not is_plain(rounding, pool.least) and most_taken(pool.size, rounding) < pool.size:
                reports.forbidden(pool, 0, rounding, pool.size - most_taken(pool.size, rounding))
        taken = tuple(exactly(pool.size) for pool in pools)
        return taken, exactly(sum(pool.size for pool in pools)), tuple(tuple(range(pool.size)) for pool in pools)

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take all units."""
        from surgery_dsl.vocabulary.takes import _picking

        return _picking.listed(selection, [range(pool.size) for pool in selection.pools], runtime)
