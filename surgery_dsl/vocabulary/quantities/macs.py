"""``macs``: how much a forward multiplies."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._multiplied import multiplied
from surgery_dsl.vocabulary.quantities._stated import Sizes, check_stated
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Macs(Quantity):
    """Multiply-accumulates of linear layers, convolutions and matrix products in one forward.

    Arguments:
        sizes: Free input sizes to count at, by name: ``macs(N = 1, H = 224, W = 224)``, ``macs(T = 128)``. Those that
            are not named stay free.

    Static rule:
        A convolution has N·C_out·H_out·W_out·(C_in/groups)·K_h·K_w, a linear layer rows·in·out; additions of biases,
        norms and activations are not counted. Free sizes stay free: ``macs <= 0.7 * base.macs`` is proved for every
        batch and every image. A number alone is a limit that some size breaks, so the sizes that it is meant for must
        be stated: ``macs(N = 1, H = 224, W = 224) <= 2B``. A size that the inputs do not leave free, or that lies
        outside its range, is an error. Layers that run on what a mask chooses by values (the tokens of an expert) take
        from none to all of it: their count is a range.

    Runtime rule:
        Counted while one forward runs at the stated sizes, others at their least (one example); so are printed values.

    Source:
        Sze et al. 2017, Efficient Processing of Deep Neural Networks (arXiv 1703.09039), section III.
    """

    unit = "count"
    least = 0
    static = True
    positional = ("**sizes",)
    card: ClassVar[Card] = Card(
        summary="Count the multiply-accumulates of one forward",
        source="Sze et al. 2017, Efficient Processing of Deep Neural Networks (arXiv 1703.09039), section III.",
        example="macs",
        near_miss="macs(3)",
        near_miss_code="SD110",
    )

    sizes: Sizes = {}

    def nominal(self) -> Mapping[str, int]:
        """Return the sizes that are stated."""
        return self.sizes

    def check(self, context: Static) -> None:
        """Report sizes that the inputs do not leave free, or that lie outside their range."""
        check_stated(self.name, self.sizes, self.span, context)

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the count twice where it is exact; what layers chosen by values take lies between nothing and all."""
        return multiplied(interface)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count while one forward of zeros runs, free sizes as stated or at their least."""
        from surgery_dsl.evidence import counts

        return float(counts.macs(model, interface, runtime.device, runtime.run, self.sizes))
