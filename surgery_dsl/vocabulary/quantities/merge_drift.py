"""``merge_drift``: how far a merge moved the outputs."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class MergeDrift(Quantity):
    """The greatest change of an output that a merge made: max |f′(x)_k − f(x)_k|, f just before the step, f′ after it.

    Arguments:
        step: An earlier `replace` whose transform is `merge()`.
        data: A data block; the claim speaks of its examples alone.

    Static rule:
        The step folds adapters.

    Runtime rule:
        Both networks run over the data set in eval mode when the step runs, each in its own dtype; differences are
        taken in float64. With the number go the mean over all outputs, how many largest outputs changed their place,
        and the layer in which most of its update was lost to rounding, ‖stored − (W + U)‖ / ‖U‖ with U the update,
        and how much of it vanished below half a step of the dtype. 0 for the base.

    Source:
        Hu et al., LoRA, ICLR 2022, section 4.1 (merging); half a step of rounding: Higham, Accuracy and Stability of
        Numerical Algorithms (2002), theorem 2.2.
    """

    unit = "number"
    least = 0
    within_run = True
    remedy = (
        "merge in more bits (`apply --dtype f32`, or a base in f32) and store few bits after it; or leave the adapters "
        "of the layers named here unmerged"
    )
    positional = ("step", "data")
    card: ClassVar[Card] = Card(
        summary="How far a merge of adapters moved the outputs",
        source="Hu et al., LoRA, ICLR 2022, section 4.1; Higham 2002, theorem 2.2.",
        example="merge_drift(merged, test)",
        near_miss="merge_drift(adapters, test)",
        near_miss_code="SD107",
        needs=frozenset({"data"}),
        fixture="adapted",
    )

    step: Annotated[str, Names("replace")]
    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report a step that merges nothing."""
        effect = context.effects.get(self.step)
        if effect is None or effect.merges:
            return
        merging = next((name for name, other in context.effects.items() if other.merges), "")
        context.say(
            Diagnostic(
                names.WRONG_VALUE,
                f"`{self.step}` folds no adapters, so nothing drifts by it",
                file=context.file,
                span=self.span,
                help=f"write `merge_drift({merging}, {self.data})`"
                if merging
                else "name a `replace` whose transform is `merge()`",
            )
        )

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return what was measured when the step ran; what moved the outputs is told."""
        if model is runtime.point(Point(at="base"))[0]:
            return 0.0
        found = runtime.drift(self.step, self.data)
        flipped = f"{found.changed:,} of {found.answers:,} largest outputs changed their place" if found.answers else ""
        for remark in (f"on average {found.mean:.2g}", flipped, found.worst()):
            if remark:
                runtime.remark(remark)
        return found.largest
