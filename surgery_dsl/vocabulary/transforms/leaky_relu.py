"""``leaky_relu(0.01)``: leaky ReLU in the place of another activation."""

from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.model import Setting
from surgery_dsl.vocabulary.transforms._activation import Activation
from surgery_dsl.vocabulary.word import Card


@final
class LeakyRelu(Activation):
    """Leaky ReLU, max(0, x) + slope · min(0, x), in the place of another activation.

    Arguments:
        slope: Slope on the negative side, 0 to 1.

    Static rule:
        Each site must be a module whose whole forward is one activation. Dimensions, costs and names stay; the function
        changes within the bound that the step states, where there is one. A site that already is this function is left
        alone. A call in a forward (`F.relu`, `x.relu()`), and one of several calls of a module with `scope = site`,
        goes to a child of the step's name instead. Refused: a call that cannot be told from others as it runs (SD240),
        a module that is no activation (SD244), a shared module without `scope` (SD310).

    Runtime rule:
        A new `torch.nn.LeakyReLU` at the path of each site; for `scope = all` one object at all its paths.

    Source:
        Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013; values below zero
        are slope · |x| away from ReLU.

    Raises:
        SD240, SD241, SD242, SD244, SD247, SD310.
    """

    torch_class: ClassVar[str] = "LeakyReLU"
    operator_kind: ClassVar[str] = "leaky_relu"
    card: ClassVar[Card] = Card(
        summary="Put leaky ReLU in the place of another activation",
        source="Maas, Hannun and Ng, 2013",
        example="leaky_relu(0.01)",
        near_miss="leaky_relu(-0.5)",
        near_miss_code="SD112",
        function="bounded",
        interface=frozenset({"values", "topology"}),
        fixture="mlp",
    )
    positional: ClassVar[tuple[str, ...]] = ("slope",)

    slope: Annotated[float, Field(ge=0, le=1)] = 0.01

    def settings(self) -> dict[str, Setting]:
        """Return the settings of the operator as the tracer records them."""
        return {"negative_slope": self.slope}
