"""What ``below`` and ``above`` share, units whose score lies beyond a bound, and what findings may take."""

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.flow import Flow
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import between, most_taken
from surgery_dsl.vocabulary.takes._ranked import Selected
from surgery_dsl.vocabulary.units._watch import unwatched
from surgery_dsl.vocabulary.word import Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores


class Beyond(Take, ABC):
    """Takes the units on one side of a bound. Abstract.

    Attributes:
        bound: The score to compare with.
        largest: Whether units above it are taken.
    """

    positional = ("bound",)
    largest: ClassVar[bool]

    bound: float

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"{self.name} {self.bound:g}"

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Any number of units may lie beyond the bound, so each pool may lose from none to what its floor leaves."""
        return open_counts(pools, roundings)

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take the units beyond the bound, the outermost first where floor or cap keep some of them."""
        from surgery_dsl.vocabulary.takes import _picking

        return _picking.beyond(selection, scores, self.bound, roundings, largest=self.largest)


class OnData(Take, ABC):
    """Looks for channels in what they give on a data set. Abstract."""

    needs_scores: ClassVar[bool] = False
    finds: ClassVar[bool] = True

    data: Annotated[str, Names("data")]

    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> Selected:
        """Any number of channels may be found; what has no output of its own is refused."""
        return found_in(pools, roundings, self.name, self.span, context)


def open_counts(pools: tuple[Pool, ...], roundings: tuple[Rounding, ...]) -> Selected:
    """Return what a finding may take: nothing, or anything up to what floor and cap allow."""
    taken = tuple(
        between(0, most_taken(pool.size, rounding), pool.size, rounding)
        for pool, rounding in zip(pools, roundings, strict=True)
    )
    return taken, None, (None,) * len(pools)


def found_in(
    pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], word: str, span: Span | None, context: Static
) -> Selected:
    """Return what a finding in activations may take; report pools that are no channels, or that nothing shows."""
    if any(pool.axis is None for pool in pools):
        context.say(
            Diagnostic(
                names.UNIT_DOES_NOT_FIT,
                f"`{word}` finds channels: only what has an output of its own can be watched",
                file=context.file,
                span=span,
                help="write `unit = channels`",
            )
        )
        return open_counts(pools, roundings)
    flow = Flow(context.interface)
    for pool in pools:
        unwatched(pool, flow, span, word, context)
    return open_counts(pools, roundings)
