"""``layer_change``: how far the layer that moved most has moved."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._worst import greatest, remark_worst
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class LayerChange(Quantity):
    """The greatest relative change of a layer's output: max over layers of √(Σ‖h′ − h‖² / Σ‖h‖²) on the data.

    Arguments:
        data: A data block; the claim speaks of its examples alone.

    Runtime rule:
        Layers are modules with weights of their own that the base has and that are still there, wherever they stand
        now; units that were removed are left out of both sides, and layers whose output has another shape are left
        out and counted in words. h is what the layer gives in the base, h′ what it gives now, each in its own
        network, so that a layer also shows what was done before it. Eval mode, differences in float64. Infinite
        where h is zero and h′ is not.

    Source:
        Relative error of feature maps: He, Zhang and Sun 2017, Channel pruning (arXiv 1707.06168), section 4.1.
    """

    unit = "share"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="How far the output of the layer that moved most has moved",
        source="Relative error of feature maps: He, Zhang and Sun 2017 (arXiv 1707.06168), section 4.1.",
        example="layer_change(test)",
        near_miss="layer_change(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the greatest change; the layer is named."""
        from surgery_dsl.evidence import layers

        base, before = runtime.point(Point(at="base"))
        found = tuple(layers.pairs(before, base, model, runtime.edits))
        moved = layers.output_changes(base, model, found, runtime.data(self.data).batches(), runtime.outputs)
        changes = {path: one.relative for path, one in moved.items() if one.relative is not None}
        remark_worst(changes, runtime)
        if len(changes) < len(moved):
            runtime.remark(f"{len(moved) - len(changes)} of {len(moved)} layers have another shape and were left out")
        return greatest(changes)
