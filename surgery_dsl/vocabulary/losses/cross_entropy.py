"""``cross_entropy``: the negative log-likelihood of the right class."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

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


@final
class CrossEntropy(Loss):
    """Mean of −log softmax(logits)[label], in nats.

    Arguments:
        smoothing: Share of the target spread evenly over the classes, from 0 to below 1.

    Static rule:
        The data set holds class numbers from 0 to C − 1, where C is the second size of the output.

    Runtime rule:
        Outputs are logits ``[N, C]`` or ``[N, C, …]``, targets are class numbers ``[N]`` or ``[N, …]``; the mean goes
        over examples and positions.

    Source:
        ``torch.nn.functional.cross_entropy``; label smoothing: Szegedy et al. 2016, section 7.
    """

    card: ClassVar[Card] = Card(
        summary="Train on class labels",
        source="torch.nn.functional.cross_entropy; label smoothing: Szegedy et al. 2016, section 7",
        example="cross_entropy",
        near_miss="cross_entropy(smoothing = 1.5)",
        near_miss_code="SD112",
        needs=frozenset({"data", "labels", "gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ()

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report labels that are no class numbers, or that the outputs have no class for."""
        dims = outputs.values[outputs.outputs[0].value].dims
        classes = outputs.exact(dims[1]) if len(dims) > 1 else None
        if data.label_range is None or classes is None:
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"cross_entropy needs class numbers and logits; `{data.name}` holds {data.target_dtype}, "
                    f"the output has {len(dims)} dimensions",
                    file=context.file,
                    span=self.span,
                    path=outputs.outputs[0].name,
                    facts={"target_dtype": data.target_dtype, "output_dims": len(dims)},
                    help="use `mse` for targets that are numbers",
                )
            )
            return
        least, most = data.label_range
        if least < 0 or most >= classes:
            context.say(
                Diagnostic(
                    runs.LABELS_DO_NOT_FIT,
                    f"`{data.name}` has labels {least} to {most}, the output `{outputs.outputs[0].name}` has "
                    f"{classes} classes, 0 to {classes - 1}",
                    file=context.file,
                    span=self.span,
                    path=outputs.outputs[0].name,
                    facts={"least_label": least, "greatest_label": most, "classes": classes},
                    help=f"give the network {most + 1} classes" if least >= 0 else "number the classes from 0",
                )
            )

    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean over examples (and positions)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets.long(), label_smoothing=self.smoothing)
