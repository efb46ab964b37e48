"""What ``lowest`` and ``highest`` share: how many units an amount means, and taking that many of a ranking."""

from abc import ABC
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import exactly, most_taken, share_of, shared_out, taken_nearest
from surgery_dsl.vocabulary.takes._reports import Reports, units_of
from surgery_dsl.vocabulary.values import NumberArrow, Percent

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores

Selected = tuple[tuple[Extent, ...], Extent | None, tuple[tuple[int, ...] | None, ...]]


class Ranked(Take, ABC):
    """Takes the first units of a ranking. Abstract.

    Attributes:
        amount: A percentage, a count, or an arrow from how many there are to how many stay.
        largest: Whether the highest scores go first.
    """

    positional = ("amount",)
    largest: ClassVar[bool]

    amount: Percent | NumberArrow | int

    @field_validator("amount")
    @classmethod
    def _in_range(cls, amount: Percent | NumberArrow | int) -> Percent | NumberArrow | int:
        if isinstance(amount, Percent):
            if not 0 < amount.value <= 100:
                raise ValueError(f"{amount} is not more than 0% and at most 100%")
        elif isinstance(amount, NumberArrow):
            whole = amount.left.denominator == amount.right.denominator == 1
            if not whole or not 0 < amount.right < amount.left:
                raise ValueError(
                    "an arrow leads from the units that are there to a smaller number that stays: `8 -> 4`"
                )
        elif amount < 1:
            raise ValueError(f"{amount} is less than 1")
        return amount

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        if isinstance(self.amount, NumberArrow):
            return f"{self.name} {self.amount.left} -> {self.amount.right}"
        return f"{self.name} {self.amount}"

    def count(self, pool: Pool) -> int:
        """Return how many units of a pool the amount asks for, before round, floor and cap."""
        if isinstance(self.amount, Percent):
            return share_of(self.amount.share, pool.size)
        if isinstance(self.amount, NumberArrow):
            return int(self.amount.left - self.amount.right) // pool.width
        return self.amount // pool.width

    # ---- static --------------------------------------------------------------------------------------------------

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Count what is taken: exactly at each site, as an extent of each where one ranking spans all of them."""
        reports = Reports(context, self.span)
        none = tuple(exactly(0) for _ in pools), exactly(0), (None,) * len(pools)
        if not pools:
            return none
        if per == "site":
            counts = [self._at_site(pool, rounding, reports) for pool, rounding in zip(pools, roundings, strict=True)]
            return tuple(exactly(count) for count in counts), exactly(sum(counts)), (None,) * len(pools)
        whole = together(pools)
        if not self._fits(whole, sum(rounding.keep_at_least for rounding in roundings), len(pools), reports):
            return none
        taken, total = shared_out([pool.size for pool in pools], self.count(whole), roundings)
        if not any(extent.most for extent in taken):
            reports.rounds_to_nothing(whole, self._exact(whole), "take more")
        return taken, total, (None,) * len(pools)

    def _fits(self, pool: Pool, floor: int, least: int, reports: Reports) -> bool:
        """Say whether the amount can be meant; ``floor`` is what must stay, ``least`` the least that a plan can say."""
        amount, units = self.amount, units_of(pool)
        if isinstance(amount, Percent):
            if self.count(pool) == pool.size and floor <= least * pool.least:
                reports.emptied(pool, units)
                return False
            return True
        if isinstance(amount, NumberArrow) and amount.left != units:
            reports.untrue_arrow(pool, int(amount.left))
            return False
        count = int(amount.left - amount.right) if isinstance(amount, NumberArrow) else amount
        if count >= units or (pool.least > 1 and count > units - pool.least * pool.width):
            reports.emptied(pool, count)
        elif count % pool.width:
            reports.indivisible(pool, count)
        else:
            return True
        return False

    def _at_site(self, pool: Pool, rounding: Rounding, reports: Reports) -> int:
        if not self._fits(pool, rounding.keep_at_least, 1, reports):
            return 0
        asked = self.count(pool)
        taken = taken_nearest(pool.size, asked, rounding)
        if isinstance(self.amount, NumberArrow) and taken != asked:
            reports.forbidden(pool, pool.size - asked, rounding, pool.size - taken)
        elif taken == 0:
            reports.rounds_to_nothing(pool, self._exact(pool), self._least(pool, rounding))
        else:
            return taken
        return 0

    def _exact(self, pool: Pool) -> str:
        if isinstance(self.amount, Percent):
            return f"{self.amount} ({float(self.amount.share * units_of(pool)):g})"
        return str(self.amount)

    def _least(self, pool: Pool, rounding: Rounding) -> str:
        """Say the least amount that takes something."""
        if not most_taken(pool.size, rounding):
            return "change round, floor or cap, or except the site"
        least = next(asked for asked in range(1, pool.size + 1) if taken_nearest(pool.size, asked, rounding))
        if not isinstance(self.amount, Percent):
            return f"take at least {least * pool.width}"
        tenths = -(-(2 * least - 1) * 500 // pool.size)
        return f"take at least {Percent(value=Fraction(tenths, 10))}"

    # ---- runtime -------------------------------------------------------------------------------------------------

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take the units of lowest (or highest) score; ties break by pool, then by index."""
        from surgery_dsl.vocabulary.takes import _picking

        if per == "site":
            counts = [extent.least for extent in selection.taken]
            return _picking.counted(selection, scores, counts, largest=self.largest)
        return _picking.ranked(
            selection, scores, self.count(together(selection.pools)), roundings, largest=self.largest
        )


def together(pools: tuple[Pool, ...]) -> Pool:
    """Return what stands for all pools where one ranking spans them: its units are theirs, each counted once."""
    sites = tuple(dict.fromkeys(site for pool in pools for site in pool.sites))
    modules = tuple(path for pool in pools for path in pool.modules)
    return Pool(key="", size=sum(pool.size for pool in pools), sites=sites, axis=pools[0].axis, modules=modules)
