"""``match(base)``: give what another network gives."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Loss
from surgery_dsl.vocabulary.quantities._fits import output_sizes
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs


@final
class Match(Loss):
    """Distance between the outputs of the network and of a teacher, which need not be logits: embeddings, say.

    Arguments:
        teacher: Who teaches: ``base``, or a model of the plan.
        by: ``mse`` is the mean of (f − t)² over all elements; ``cosine`` the mean of 1 − cos(f, t), where vectors lie
            along the last dimension.

    Static rule:
        The base's output has the sizes of the network's. The targets of the data are not used.

    Runtime rule:
        The teacher is in eval mode and gets no gradient.

    Source:
        Romero et al., FitNets: hints for thin deep nets, ICLR 2015, equation 3, at the output; Reimers and Gurevych,
        Making monolingual sentence embeddings multilingual, EMNLP 2020, section 2 (mse of embeddings).
    """

    card: ClassVar[Card] = Card(
        summary="Train towards the outputs of a teacher, whatever they are",
        source="Romero et al., ICLR 2015, equation 3; Reimers and Gurevych, EMNLP 2020, section 2",
        example="match(base, by = cosine)",
        near_miss="match(base, by = angle)",
        near_miss_code="SD107",
        needs=frozenset({"data", "gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: Annotated[str, Names("model")]
    by: Literal["mse", "cosine"] = "mse"

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report a base whose output has other sizes."""
        if self.teacher != "base":
            return
        now, base = output_sizes(outputs), output_sizes(context.base)
        if now != base:
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"the base gives {list(base)} and the network {list(now)}: there is nothing to match",
                    file=context.file,
                    span=self.span,
                    path=outputs.outputs[0].name,
                    facts={"teacher": str(list(base)), "student": str(list(now))},
                    help="keep the output as it is, or train on the targets of the data",
                )
            )

    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean distance over the batch."""
        import torch
        from torch.nn import functional

        at_base = self.teacher == "base"
        model, _ = runtime.point(Point(at="base") if at_base else Point(at="model", name=self.teacher))
        with torch.no_grad():
            taught = runtime.outputs(model, inputs)
        if self.by == "mse":
            return functional.mse_loss(outputs, taught.to(outputs.dtype))
        return (1 - functional.cosine_similarity(outputs, taught.to(outputs.dtype), dim=-1)).mean()
