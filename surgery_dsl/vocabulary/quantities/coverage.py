"""``coverage``: how much of the network a step speaks of."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Coverage(Quantity):
    """Share of the network's parameters that the sites of a step hold, before the step.

    Arguments:
        step: An earlier step.

    Static rule:
        coverage = params(tensors of the matched sites) / params(network), known exactly before any weight is read. A
        plan that should touch the whole backbone and matches one layer is found so.

    Runtime rule:
        The same number: the interface that it was counted on is compared with the network after every step.

    Source:
        docs/language.md, section 3.
    """

    unit = "share"
    least = 0
    most = 1
    static = True
    denominator = 10**12
    positional = ("step",)
    card: ClassVar[Card] = Card(
        summary="The share of all parameters that the sites of a step hold",
        source="docs/language.md, section 3.",
        example="coverage(weak)",
        near_miss="coverage(no_such_step)",
        near_miss_code="SD106",
    )

    step: Annotated[str, Names("identify", "excise", "replace", "recover")]

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the share, rounded down and up to one part in 10¹²; [0, 1] for a step that has not run."""
        least, most = context.coverage.get(self.step, (0, 1))
        up = -(-most * self.denominator // 1)
        return Polynomial.constant(int(least * self.denominator)), Polynomial.constant(int(up))

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the predicted share: interfaces are compared with the network after every step."""
        return float(runtime.coverage[self.step][0])
