"""``dead``: how many units never fire."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.quantities._worst import remark_on
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.seen import Wanted


@final
class Dead(Watching):
    """How many activation units are silent: |a(x)| ≤ eps for every example x and every position.

    Arguments:
        data: A data block.
        eps: The greatest absolute value that counts as silence, at least 0.

    Runtime rule:
        A unit is one channel of the output of one activation in the forward (ReLU, GELU, SiLU, leaky ReLU, ELU,
        Hardswish, Mish, Softplus, tanh, sigmoid …), as a module or as a call of ``torch.nn.functional``. A module that
        runs at several places counts at each. Eval mode, all of the data set.

    Source:
        Lu et al. 2019, Dying ReLU and Initialization (arXiv 1903.06733), section 1.
    """

    unit = "count"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="Count the activation units that are silent on all of the data",
        source="Lu et al. 2019, Dying ReLU and Initialization (arXiv 1903.06733), definition in section 1.",
        example="dead(test)",
        near_miss="dead(test, eps = -1)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    eps: Annotated[float, Field(ge=0)] = 1e-6

    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return the units of activations."""
        from surgery_dsl.evidence.seen import of_activations

        return of_activations(interface)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the number of silent units."""
        found = self.units(model, interface, runtime)
        counts = {units.label: int(units.silent(self.eps).sum()) for units in found}
        remark_on(counts, runtime)
        return float(sum(counts.values()))
