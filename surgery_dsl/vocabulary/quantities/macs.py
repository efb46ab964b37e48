"""``macs``: how much a forward multiplies."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Macs(Quantity):
    """Multiply-accumulates of linear layers, convolutions and matrix products in one forward.

    Static rule:
        A convolution has N·C_out·H_out·W_out·(C_in/groups)·K_h·K_w, a linear layer rows·in·out; additions of biases,
        norms and activations are not counted. Free sizes stay free: ``macs <= 0.7 * base.macs`` is proved for every
        batch.

    Runtime rule:
        Counted while one forward runs, free sizes at their least (one example); so are printed values.

    Source:
        Sze et al. 2017, Efficient Processing of Deep Neural Networks (arXiv 1703.09039), section III.
    """

    unit = "count"
    least = 0
    static = True
    card: ClassVar[Card] = Card(
        summary="Count the multiply-accumulates of one forward",
        source="Sze et al. 2017, Efficient Processing of Deep Neural Networks (arXiv 1703.09039), section III.",
        example="macs",
        near_miss="macs(3)",
        near_miss_code="SD110",
    )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the count twice: it is exact."""
        count = _counting.total(interface, [(1, dims) for op in interface.operators for dims in op.macs])
        return count, count

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count while one forward of zeros runs, free sizes at their least."""
        from surgery_dsl.evidence import counts

        return float(counts.macs(model, interface, runtime.device, runtime.run))
