"""``perplexity``: among how many equally likely tokens a language model hesitates."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Perplexity(Quantity):
    """exp of the mean of −log p(token t + 1 | tokens up to t) over all tokens of a data set that count.

    Arguments:
        data: A data block of tokens, such as ``text`` or ``jsonl`` load.

    Static rule:
        The outputs are logits over a vocabulary that holds every token, one row for each position.

    Runtime rule:
        Each token weighs the same, in whatever batches they come; the first of each row, and targets of −100, do not
        count. Windows do not overlap, so that the first tokens of a row have little before them. Eval mode, natural
        logarithm, summed in float64.

    Source:
        Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks, 1977.
    """

    unit = "number"
    least = 1
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The exponential of the mean negative log-likelihood of a token",
        source="Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks, 1977.",
        example="perplexity(test)",
        near_miss="perplexity(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data", "labels"}),
        fixture="characters",
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report data that holds no tokens, or tokens outside of the vocabulary."""
        facts = context.data.get(self.data)
        if facts is not None:
            catalogue.find("losses", "next_token")(span=self.span).check(context.interface, facts, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the perplexity over the data set; infinite where it is beyond float64."""
        import math

        from surgery_dsl.evidence import tokens

        mean = tokens.likelihood_of(runtime.answers(model, self.data), self.data)
        return math.exp(mean) if mean < 700 else math.inf if not math.isnan(mean) else math.nan
