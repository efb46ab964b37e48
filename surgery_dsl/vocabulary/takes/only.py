"""Take named units."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import field_validator

from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import exactly, is_plain, kept_range, taken_within
from surgery_dsl.vocabulary.takes._ranked import Selected
from surgery_dsl.vocabulary.takes._reports import Reports, noun, path_of, shown, units_of
from surgery_dsl.vocabulary.units._axes import places
from surgery_dsl.vocabulary.values import Range, number_text
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores


@final
class Only(Take):
    """Take the units that the plan names.

    Arguments:
        units: Indices from 0, as a list (`only([3, 5, 9])`) or an inclusive range (`only(20..24)`). For channels they
            count the site's own output channels, for modules the matches in module order, for weights the entries
            of the tensor in row-major order.

    Static rule:
        The same indices at every site. An index that is named twice, that no unit has, or a list without any is an
        error, as is a selection that `round`, `floor` or `cap` forbid. Where channels stand in groups that must stay
        equally large (a grouped convolution), the named ones must fill whole sets of one channel of each group; the
        smallest completion is named.

    Runtime rule:
        Exactly these; no criterion is needed.

    Source:
        The plan itself.
    """

    needs_scores: ClassVar[bool] = False
    positional = ("units",)
    card: ClassVar[Card] = Card(
        summary="Take the units that the plan names",
        source="the plan itself",
        example="only([3, 5, 9])",
        near_miss="only([3, 5, 3])",
        near_miss_code="SD130",
    )

    units: tuple[int, ...] | Range

    @field_validator("units")
    @classmethod
    def _whole(cls, units: tuple[int, ...] | Range) -> tuple[int, ...] | Range:
        if isinstance(units, Range) and units.first.denominator * units.last.denominator != 1:
            raise ValueError("indices are whole numbers")
        return units

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        if isinstance(self.units, Range):
            return f"only {number_text(self.units.first)}..{number_text(self.units.last)}"
        return f"only {', '.join(map(str, self.units))}"

    def _indices(self) -> Sequence[int]:
        if isinstance(self.units, Range):
            return range(int(self.units.first), int(self.units.last) + 1)
        return self.units

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Check the indices against each pool."""
        listed = self._indices()
        flow = Flow(context.interface)
        chosen: list[tuple[int, ...]] = []
        sound = self._are_indices(listed, context)
        for pool, rounding in zip(pools, roundings, strict=True):
            fits = sound and self._exist(listed, pool, context)
            taken = self._units(listed, pool, flow, context) if fits else ()
            if taken and self._is_legal(len(taken), pool, rounding, context):
                chosen.append(taken)
            else:
                chosen.append(())
        counts: tuple[Extent, ...] = tuple(exactly(len(taken)) for taken in chosen)
        return counts, exactly(sum(map(len, chosen))), tuple(chosen)

    def _are_indices(self, listed: Sequence[int], context: Static) -> bool:
        if not listed:
            context.say(
                Diagnostic(
                    names.EMPTY_SELECTION,
                    f"`{self.asked.rstrip()}` names no unit",
                    file=context.file,
                    span=self.span,
                    help="name at least one unit, or leave the step out",
                )
            )
            return False
        if isinstance(self.units, tuple):
            repeated = [index for place, index in enumerate(self.units) if index in self.units[:place]]
            if repeated:
                context.say(
                    Diagnostic(
                        names.DUPLICATE_INDEX,
                        f"index {repeated[0]} is named {self.units.count(repeated[0])} times",
                        file=context.file,
                        span=self.span,
                        facts={"index": repeated[0]},
                        help="name each unit once",
                    )
                )
                return False
        return True

    def _exist(self, listed: Sequence[int], pool: Pool, context: Static) -> bool:
        units = units_of(pool)
        ends = (listed[0], listed[-1]) if isinstance(listed, range) else listed  # a range may be very long
        least, most = min(ends), max(ends)
        if least >= 0 and most < units:
            return True
        odd = most if most >= units else least
        context.say(
            Diagnostic(
                names.INDEX_OUT_OF_RANGE,
                f"{shown(pool)} has {noun(pool, units)}, numbered 0 to {units - 1}; there is no {odd}",
                file=context.file,
                span=self.span,
                path=path_of(pool),
                facts={"index": odd, "units": units},
                help=f"name units from 0 to {units - 1}",
            )
        )
        return False

    def _units(self, listed: Iterable[int], pool: Pool, flow: Flow, context: Static) -> tuple[int, ...]:
        """Turn channels into units of the pool; without any if they break a group."""
        if pool.width == 1:
            return tuple(sorted(listed))
        where = places(pool, flow)
        named = set(listed)
        units = sorted({where.index(channel) for channel in named})
        complete = sorted(channel for unit in units for channel in where.channels(unit))
        if len(complete) == len(named):
            return tuple(units)
        shown_list = ", ".join(map(str, complete[:32])) + (", …" if len(complete) > 32 else "")
        context.say(
            Diagnostic(
                shapes.GROUP_INDIVISIBLE,
                f"{shown(pool)} has {pool.width} groups of {noun(pool, pool.size)}, which must stay equally large; "
                f"taking {noun(pool, len(named))} breaks that",
                file=context.file,
                span=self.span,
                path=path_of(pool),
                facts={"named": len(named), "complete": len(complete), "groups": pool.width},
                notes=(pool.about,) if pool.about else (),
                help=f"the smallest completion is only([{shown_list}])",
            )
        )
        return ()

    def _is_legal(self, taken: int, pool: Pool, rounding: Rounding, context: Static) -> bool:
        kept = pool.size - taken
        if kept in kept_range(pool.size, rounding) or (kept < pool.least and is_plain(rounding, pool.least)):
            return True
        least = pool.size - taken_within(pool.size, taken, rounding)
        Reports(context, self.span).forbidden(pool, kept, rounding, least)
        return False

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take exactly the units that the static rule settled."""
        from surgery_dsl.vocabulary.takes import _picking

        return _picking.listed(selection, [units or () for units in selection.indices], runtime)
