"""``effective_rank``: in how many directions activations really vary."""

import sys
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.quantities._worst import remark_worst
from surgery_dsl.vocabulary.word import Card, Names, Slot

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.seen import Wanted


@final
class EffectiveRank(Watching):
    """The effective rank of activations on the data: exp(−Σ p_k ln p_k), with p_k = σ_k / Σ σ and σ of H.

    Arguments:
        data: A data block; the claim speaks of its examples alone.
        at: Sites, such as `linear("hidden.0")` or `relu("**")`; without it, every activation.

    Static rule:
        The sites of `at` exist.

    Runtime rule:
        H has a row for each example and position and a column for each unit of what a site gives; it is not centred.
        Singular values are the roots of the eigenvalues of Hᵀ H, in float64; the least over the sites is returned and
        its place named. 1 where all rows are multiples of one, at most the number of units; 0 where H is zero. Keeps
        units × units numbers for each site.

    Source:
        Roy and Vetterli 2007, The effective rank: a measure of effective dimensionality, EUSIPCO, equation 2.
    """

    unit = "number"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="In how many directions activations vary on the data",
        source="Roy and Vetterli 2007, The effective rank, EUSIPCO, equation 2.",
        example="effective_rank(test)",
        near_miss="effective_rank(test, at = 3)",
        near_miss_code="SD107",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    at: Annotated[SiteWord | None, Slot("sites")] = None

    def check(self, context: Static) -> None:
        """Report sites that are not there."""
        if self.at is not None:
            self.at.resolve(context.interface, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the least effective rank over the sites."""
        ranks = {units.label: units.effective_rank() for units in self.units(model, interface, runtime)}
        remark_worst(ranks, runtime, least=True)
        return min(ranks.values(), default=0.0)

    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return the products of the units at the sites."""
        from surgery_dsl.evidence.seen import Wanted, of_activations

        if self.at is None:
            return of_activations(interface, products=sys.maxsize)
        context = Static(interface, interface, {}, None, {}, {}, "", runtime.file, Sink(runtime.file))
        sites = self.at.resolve(interface, context)
        paths = (interface.operators[at].path for site in sites for at in site.operators)
        return Wanted(dict.fromkeys(paths, sys.maxsize))
