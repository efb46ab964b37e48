"""How loudly units speak."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.flow import Flow
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.criteria._data import not_finite
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.units._entering import HEADS, loudness, unseen_heads
from surgery_dsl.vocabulary.units._watch import activations_of, unwatched
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Activation(Criterion):
    """Score channels, or heads of attentions, by the mean absolute value of what they give.

    Arguments:
        data: A data block.
        batches: How many of its batches are used, at least 1; all where it is left out.

    Static rule:
        Fits channels, heads and key/value groups. A site of channels needs an activation behind it, directly or through
        norms, or must be a module or a convolution itself; heads need a module that projects their results.

    Runtime rule:
        The mean of |h| over examples and positions, where h is the result of the first activation behind the site, or
        of the site itself where there is none; of a head, h is what the output projection takes of it, of a key/value
        group that of all its queries. Scores of all sites that share an axis add up. In eval mode, in
        float64.

    Source:
        Molchanov et al., ICLR 2017, section 2.2 (mean activation); Hu et al., "Network trimming", arXiv:1607.03250.
    """

    units: ClassVar[frozenset[str]] = frozenset({"channels"}) | HEADS
    positional = ("data", "batches")
    card: ClassVar[Card] = Card(
        summary="Score channels by their mean absolute activation",
        source="Molchanov et al., ICLR 2017, section 2.2",
        example="activation(train, batches = 2)",
        near_miss="activation(train, batches = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    batches: Annotated[int, Field(ge=1)] | None = None

    def check(self, unit: str, pools: tuple[Pool, ...], context: Static) -> None:
        """Report sites whose units nothing shows."""
        flow = Flow(context.interface)
        for pool in pools:
            if unit in HEADS:
                unseen_heads(pool, flow, self.span, self.name, context)
                continue
            unwatched(pool, flow, self.span, self.name, context, layers=True)

    def scores(self, unit: str, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        """Return the scores by pool key, ``(pool.size,)`` in float64."""
        if unit in HEADS:
            scores = loudness(pools, self.data, self.batches, runtime)
        else:
            scores = activations_of(pools, self.data, self.batches, runtime, "mean", layers=True)
        for key, score in scores.items():
            if not bool(score.isfinite().all()):
                raise Refused(not_finite(f"the activation of `{key}` on `{self.data}`", key, self.span, runtime))
        return scores
