"""``grad_flow``: whether every layer still learns."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.quantities._worst import MOST
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class GradFlow(Quantity):
    """The least gradient that any layer receives: min over modules m with parameters of ‖∂L/∂θ_m‖₂.

    Arguments:
        data: A data block with targets.
        batches: How many batches of it are read, from the first; at least 1.

    Static rule:
        Targets are class numbers that the outputs have, or numbers of the outputs' shape.

    Runtime rule:
        θ_m are the floating-point parameters that stand directly in m, L is the mean of :mod:`loss` over the first
        ``batches`` batches, and gradients are those of eval mode. Zero means that some layer receives nothing: it
        cannot learn, whatever the optimizer. Frozen parameters are looked at too; a module that the forward never runs
        counts 0.

    Source:
        Glorot and Bengio 2010, section 4.2: back-propagated gradients by layer.
    """

    unit = "number"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The least norm of the loss gradient over layers",
        source="Glorot and Bengio 2010, section 4.2 (back-propagated gradients by layer).",
        example="grad_flow(train)",
        near_miss="grad_flow(train, batches = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data", "labels", "gradients"}),
    )

    data: Annotated[str, Names("data")]
    batches: Annotated[int, Field(ge=1)] = 4

    def examples(self, facts: DataFacts) -> int:
        """Return how many the first batches hold."""
        return min(facts.count, self.batches * facts.batch)

    def check(self, context: Static) -> None:
        """Report targets that fit no loss on the network's outputs."""
        targets_fit(self.data, self.span, context, labels=False)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the least norm and name the weakest layers; ``.grad`` and ``requires_grad`` stay as they were."""
        from surgery_dsl.evidence import flow

        loaded = runtime.data(self.data)
        batches = loaded.batches(self.batches)
        found = flow.norms(flow.loss_gradients(model, batches, runtime.outputs, loaded.facts.tokens))
        weakest = sorted(found, key=lambda path: (not math.isnan(found[path]), found[path]))[:MOST]
        named = ", ".join(f"`{path or 'the network itself'}` ({found[path]:.2g})" for path in weakest)
        runtime.remark(f"least in {named}, of {len(found)} layers")
        return flow.least(found)
