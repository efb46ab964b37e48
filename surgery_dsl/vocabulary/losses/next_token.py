"""``next_token``: foretell each token of a text from those before it."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Loss
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs

IGNORED = -100


@final
class NextToken(Loss):
    """Mean of −log softmax(logits at t)[token t + 1], in nats, over the tokens that count.

    Static rule:
        The output has three dimensions, the last of them the vocabulary; targets are token numbers, one for each
        position, below the vocabulary's size.

    Runtime rule:
        Logits ``[B, T, V]`` at position t speak of the target at t + 1; targets of −100 do not count, and a batch in
        which none counts has the loss 0. In float32, or float64 for float64.

    Source:
        Radford et al., Language models are unsupervised multitask learners, 2019, section 2; the −100 is that of
        ``torch.nn.functional.cross_entropy``.
    """

    card: ClassVar[Card] = Card(
        summary="Train a language model to foretell each next token",
        source="Radford et al. 2019, section 2; torch.nn.functional.cross_entropy (ignore_index)",
        example="next_token",
        near_miss="next_token(shift = 2)",
        near_miss_code="SD110",
        needs=frozenset({"data", "gradients"}),
        fixture="characters",
    )
    positional: ClassVar[tuple[str, ...]] = ()

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report outputs that are no logits for each position, and targets that are no tokens of the vocabulary."""
        port = outputs.outputs[0]
        dims = outputs.values[port.value].dims
        if len(dims) != 3 or data.label_range is None or len(data.target_shape) != 1:
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"next_token needs logits [B, T, V] and token numbers [T]; the output has {len(dims)} dimensions, "
                    f"targets of `{data.name}` are {data.target_dtype} {list(data.target_shape)}",
                    file=context.file,
                    span=self.span,
                    path=port.name,
                    facts={"output_dims": len(dims), "target_shape": str(list(data.target_shape))},
                    help='load tokens with text("file.txt") or jsonl("file.jsonl"), for a network that gives logits',
                )
            )
            return
        words = outputs.exact(dims[2])
        least, most = data.label_range
        if words is not None and (most >= words or (least < 0 and least != IGNORED)):
            context.say(
                Diagnostic(
                    runs.LABELS_DO_NOT_FIT,
                    f"`{data.name}` has tokens {least} to {most}, the output `{port.name}` has a vocabulary of "
                    f"{words}, 0 to {words - 1}",
                    file=context.file,
                    span=self.span,
                    path=port.name,
                    facts={"least_token": least, "greatest_token": most, "vocabulary": words},
                    help='name the model\'s own tokenizer: `tokenizer = "…/tokenizer.json"`',
                )
            )

    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean over the tokens that count."""
        from surgery_dsl.evidence.tokens import next_token_loss

        return next_token_loss(outputs, targets)
