"""``distill(base, temperature = 4)``: learn from the outputs of another network."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Loss
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs


@final
class Distill(Loss):
    """T² · KL(p_teacher ‖ p_student) with p = softmax(logits / T), mean over the batch.

    Arguments:
        teacher: Who teaches: ``base``, or a model of the plan.
        temperature: T, above 0.

    Static rule:
        The base has as many classes as the network. Classes lie along the last dimension of the output that a tensor
        of the network carries: the second of ``[N, C, …]``, the last of a language model's ``[N, T, V]``.

    Runtime rule:
        The factor T² keeps the size of the gradient independent of the temperature. The teacher is in eval mode and
        gets no gradient.

    Source:
        Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Train towards the softened outputs of a teacher",
        source="Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, section 2",
        example="distill(base, temperature = 4)",
        near_miss="distill(base, temperature = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data", "gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: Annotated[str, Names("model")]
    temperature: Annotated[float, Field(gt=0)] = 4.0

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report a teacher with another number of classes."""
        if self.teacher != "base":
            return
        student, teacher = _classes(outputs), _classes(context.base)
        if student != teacher:
            context.say(
                Diagnostic(
                    runs.TARGETS_DO_NOT_FIT,
                    f"the base has {teacher} classes and the network has {student}: there is nothing to compare",
                    file=context.file,
                    span=self.span,
                    path=outputs.outputs[0].name,
                    facts={"teacher": teacher, "student": student},
                    help="train on labels alone, with `cross_entropy`",
                )
            )

    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean over examples (and positions)."""
        import torch

        classes = class_position(runtime.interface) if outputs.dim() > 2 else 1
        at_base = self.teacher == "base"
        model, _ = runtime.point(Point(at="base") if at_base else Point(at="model", name=self.teacher))
        with torch.no_grad():
            taught = torch.log_softmax(runtime.outputs(model, inputs) / self.temperature, dim=classes)
        learned = torch.log_softmax(outputs / self.temperature, dim=classes)
        return (taught.exp() * (taught - learned)).sum(dim=classes).mean() * self.temperature**2


def _classes(interface: Interface) -> int | None:
    dims = interface.values[interface.outputs[0].value].dims
    return interface.exact(dims[class_position(interface)]) if len(dims) > 1 else None


def class_position(interface: Interface) -> int:
    """Return which dimension of the output holds the classes: the last that a tensor carries, else the second."""
    dims = interface.values[interface.outputs[0].value].dims
    carried = [
        at for at, dim in enumerate(dims) if at and any(leaf in interface.carriers for leaf in interface.leaves(dim))
    ]
    return carried[-1] if carried else 1
