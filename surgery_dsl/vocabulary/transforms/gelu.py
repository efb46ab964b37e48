"""``gelu()``: GELU in the place of another activation."""

from typing import ClassVar, Literal, final

from surgery_dsl.interface.model import Setting
from surgery_dsl.vocabulary.transforms._activation import Activation
from surgery_dsl.vocabulary.word import Card


@final
class Gelu(Activation):
    """GELU, x·Φ(x), in the place of another activation.

    Arguments:
        approximate: `none` computes Φ with the error function, `tanh` with the approximation of the paper.

    Static rule:
        Each site must be a module whose whole forward is one activation. Dimensions, costs and names stay; the function
        changes within the bound that the step states, where there is one. A site that already is this function is left
        alone. A call in a forward (`F.relu`, `x.relu()`), and one of several calls of a module with `scope = site`,
        goes to a child of the step's name instead. Refused: a call that cannot be told from others as it runs (SD240),
        a module that is no activation (SD244), a shared module without `scope` (SD310).

    Runtime rule:
        A new `torch.nn.GELU` at the path of each site; for `scope = all` one object at all its paths.

    Source:
        Hendrycks and Gimpel, Gaussian error linear units, 2016, section 2; at most 0.1700 from ReLU.

    Raises:
        SD240, SD241, SD242, SD244, SD247, SD310.
    """

    torch_class: ClassVar[str] = "GELU"
    operator_kind: ClassVar[str] = "gelu"
    card: ClassVar[Card] = Card(
        summary="Put GELU in the place of another activation",
        source="Hendrycks and Gimpel, 2016, section 2",
        example='gelu(approximate = "tanh")',
        near_miss='gelu(approximate = "fast")',
        near_miss_code="SD107",
        function="bounded",
        interface=frozenset({"values", "topology"}),
        fixture="mlp",
    )

    approximate: Literal["none", "tanh"] = "none"

    def settings(self) -> dict[str, Setting]:
        """Return the settings of the operator as the tracer records them."""
        return {"approximate": self.approximate}
