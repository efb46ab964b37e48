"""What a stage of a schedule takes: as many of the lowest as bring the total to the stage's share."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import (
    around,
    exactly,
    most_taken,
    share_of,
    shared_out,
    taken_nearest,
)
from surgery_dsl.vocabulary.takes._ranked import Ranked, Selected, together
from surgery_dsl.vocabulary.takes._reports import Reports, units_of
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores


@final
class Staged(Ranked):
    """Takes the lowest units of a stage; no plan can write it, an ``excise`` with a schedule makes it.

    Shares count the units that were there before the first stage (:attr:`Pool.original`), so that what rounding leaves
    out at one stage goes at a later one, and a stage may take nothing; the last one says so where nothing went at all.

    Attributes:
        amount: The share of what is there now, for people.
        before: Share of the original that is gone before this stage, where earlier stages removed it.
        reached: Share of the original that is gone after it.
        last: Whether it is the last stage.
    """

    kind: ClassVar[str] = "takes"
    name: ClassVar[str] = "lowest"
    largest: ClassVar[bool] = False
    card: ClassVar[Card] = Lowest.card

    before: Fraction = Fraction(0)
    reached: Fraction
    last: bool = False

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"lowest {float(self.reached * 100):.4g}%"

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Count what goes at this stage."""
        reports = Reports(context, self.span)
        unnamed = (None,) * len(pools)
        if not pools:
            return (), exactly(0), ()
        if per == "global":
            return *self._of_all(pools, roundings, reports), unnamed
        counts = [self._of_one(pool, rounding, reports) for pool, rounding in zip(pools, roundings, strict=True)]
        return tuple(exactly(count) for count in counts), exactly(sum(counts)), unnamed

    def _of_one(self, pool: Pool, rounding: Rounding, reports: Reports) -> int:
        original = original_of(pool)
        asked = share_of(self.reached, original)
        if asked == original and rounding.keep_at_least <= pool.least:
            reports.emptied(pool, units_of(pool))
            return 0
        gone = taken_nearest(original, asked, rounding)
        if self.last and not gone:
            reports.rounds_to_nothing(pool, self.asked, "take more, or except the site")
        return max(0, pool.size - (original - gone))

    def _of_all(
        self, pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], reports: Reports
    ) -> tuple[tuple[Extent, ...], Extent]:
        if self.last and not self._total(pools, roundings, self.reached):
            reports.rounds_to_nothing(together(pools), self.asked, "take more")
        return shared_out([pool.size for pool in pools], self._now(pools, roundings), roundings)

    def _now(self, pools: tuple[Pool, ...], roundings: tuple[Rounding, ...]) -> int:
        """Return how many units of all pools one ranking takes now, to bring the total to the stage's share."""
        gone = sum(original_of(pool) - pool.size for pool in pools)
        return max(0, self._total(pools, roundings, self.reached) - gone)

    @staticmethod
    def _total(pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], share: Fraction) -> int:
        """Return how many of the original units of all pools are asked for at a share."""
        room = sum(most_taken(original_of(pool), rule) for pool, rule in zip(pools, roundings, strict=True))
        return min(share_of(share, sum(original_of(pool) for pool in pools)), room)

    def gone(self, pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], *, before: bool = False) -> Extent:
        """Return how many of the original units of all pools are gone after the stage, or before it."""
        total = self._total(pools, roundings, self.before if before else self.reached)
        return around(total, [original_of(pool) for pool in pools], roundings)

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take the units of lowest score; ties break by pool, then by index."""
        from surgery_dsl.vocabulary.takes import _picking

        if per == "site":
            return _picking.counted(selection, scores, [extent.least for extent in selection.taken], largest=False)
        asked = self._now(selection.pools, roundings)
        return _picking.ranked(selection, scores, asked, roundings, largest=False)


def original_of(pool: Pool) -> int:
    """Return how many units a pool had before the first stage."""
    return pool.size if pool.original is None else pool.original
