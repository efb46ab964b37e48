"""``mse``: the mean squared error."""

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


@final
class Mse(Loss):
    """Mean of (output − target)² over all elements.

    Static rule:
        Output and target of one example have the same shape.

    Runtime rule:
        Targets are turned into the dtype of the output; the mean goes over all elements.

    Source:
        ``torch.nn.functional.mse_loss``.
    """

    card: ClassVar[Card] = Card(
        summary="Train on targets that are numbers",
        source="torch.nn.functional.mse_loss",
        example="mse",
        near_miss="mse(power = 3)",
        near_miss_code="SD110",
        needs=frozenset({"data", "gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ()

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report targets of another shape than the output's."""
        dims = outputs.values[outputs.outputs[0].value].dims
        shape = tuple(outputs.exact(dim) for dim in dims[1:])
        sizes_differ = len(shape) != len(data.target_shape) or any(
            a is not None and a != b for a, b in zip(shape, data.target_shape, strict=True)
        )
        if sizes_differ:
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"the targets of `{data.name}` have the shape {list(data.target_shape)}, the output "
                    f"`{outputs.outputs[0].name}` has {[size if size is not None else '?' for size in shape]}",
                    file=context.file,
                    span=self.span,
                    path=outputs.outputs[0].name,
                    facts={"target_shape": str(list(data.target_shape)), "output_shape": str(list(shape))},
                    help="use `cross_entropy` for class labels, or targets of the output's shape",
                )
            )

    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean over all elements."""
        from torch.nn.functional import mse_loss

        return mse_loss(outputs, targets.to(outputs.dtype))
