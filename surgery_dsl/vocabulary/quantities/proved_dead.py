"""``proved_dead``: how many units no input of a region can wake."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity, Region
from surgery_dsl.vocabulary.quantities._worst import remark_on
from surgery_dsl.vocabulary.regions._silent import provable, silence_on
from surgery_dsl.vocabulary.word import Card, Slot

if TYPE_CHECKING:
    import torch

_ON_DATA = "count silent units on data instead: `measure dead(…) <= …`"


@final
class ProvedDead(Quantity):
    """How many ReLU units are proved to give 0 for every input of a region: the upper bound of their input is ≤ 0.

    Arguments:
        region: Where inputs lie: `box(test, eps = 1/255)`.

    Static rule:
        The network takes one input of real numbers, as its region needs it.

    Runtime rule:
        A unit is a channel; it counts where CROWN's upper bound of its input z is at most 0 in every box and at every
        position. The claim holds for every input of the region, in real arithmetic with the rounding of the bound's own
        computation included; of inputs outside nothing is said. Beside the number stands how many units are seen
        alive: they fire at the middle of a box. The others are neither proved dead nor seen alive; on examples
        :mod:`dead` counts what is silent there.

    Source:
        Zhang et al. 2018, CROWN (arXiv 1811.00866), theorem 3.2; units stable at zero as in Serra et al. 2020,
        Lossless compression of deep neural networks (arXiv 2001.00218), section 3.
    """

    unit = "count"
    least = 0
    certifies = "count"
    positional = ("region",)
    card: ClassVar[Card] = Card(
        summary="Count the units that no input of a region wakes, each proved",
        source="Zhang et al. 2018, CROWN (arXiv 1811.00866), theorem 3.2; Serra et al. 2020 (arXiv 2001.00218).",
        example="proved_dead(box(test, eps = 1e-6))",
        near_miss="proved_dead(box(test, eps = 0))",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    region: Annotated[Region, Slot("regions")]

    def check(self, context: Static) -> None:
        """Report a region that does not fit the network's input, and an operator that no bound reaches."""
        provable(self.region, self.span, _ON_DATA, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the number of proved units; raise ``Refused`` where an operator has no bound."""
        found = silence_on(self.region, model, interface, self.span, _ON_DATA, runtime)
        counts = {one.path: int(one.dead.sum()) for one in found}
        alive, left = sum(int(one.alive.sum()) for one in found), sum(one.open for one in found)
        runtime.remark(
            f"certified (real arithmetic): for {self.region.said()}, {sum(counts.values())} of "
            f"{sum(one.units for one in found)} ReLU units give 0; {alive} fire at the middle of a box, {left} are open"
        )
        remark_on(counts, runtime)
        return float(sum(counts.values()))
