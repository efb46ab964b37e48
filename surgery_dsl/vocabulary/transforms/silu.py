"""``silu()``: SiLU in the place of another activation."""

from typing import ClassVar, final

from surgery_dsl.interface.model import Setting
from surgery_dsl.vocabulary.transforms._activation import Activation
from surgery_dsl.vocabulary.word import Card


@final
class Silu(Activation):
    """SiLU, x·σ(x), in the place of another activation.

    Static rule:
        Each site must be a module whose whole forward is one activation. Dimensions, costs and names stay; the function
        changes within the bound that the step states, where there is one. A site that already is this function is left
        alone. A call in a forward (`F.relu`, `x.relu()`), and one of several calls of a module with `scope = site`,
        goes to a child of the step's name instead. Refused: a call that cannot be told from others as it runs (SD240),
        a module that is no activation (SD244), a shared module without `scope` (SD310).

    Runtime rule:
        A new `torch.nn.SiLU` at the path of each site; for `scope = all` one object at all its paths.

    Source:
        Elfwing, Uchibe and Doya, Neural Networks 107, 2018, section 2; at most 0.2785 from ReLU.

    Raises:
        SD240, SD241, SD242, SD244, SD247, SD310.
    """

    torch_class: ClassVar[str] = "SiLU"
    operator_kind: ClassVar[str] = "silu"
    card: ClassVar[Card] = Card(
        summary="Put SiLU in the place of another activation",
        source="Elfwing, Uchibe and Doya, 2018",
        example="silu()",
        near_miss="silu(1)",
        near_miss_code="SD110",
        function="bounded",
        interface=frozenset({"values", "topology"}),
        fixture="mlp",
    )

    def settings(self) -> dict[str, Setting]:
        """Return the settings of the operator as the tracer records them."""
        return {}
