"""``layerwise(1e-3, decay = 0.8)``: the deeper towards the input, the smaller the rate."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.layers import layers
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.kinds import Rates
from surgery_dsl.vocabulary.word import Card


@final
class Layerwise(Rates):
    """Layer l of L, counted in the order of the forward, gets rate · decay^(L − l).

    Arguments:
        rate: The last layer's rate, above 0.
        decay: Factor from each layer to the one before it, above 0, at most 1.

    Static rule:
        A layer is a module that holds parameters of its own. Counting goes over all layers of the network, trained or
        not, so that a layer keeps its rate while others thaw.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning, section 3.2 (discriminative fine-tuning).
    """

    card: ClassVar[Card] = Card(
        summary="Smaller learning rates towards the input",
        source="Howard and Ruder 2018, Universal Language Model Fine-tuning, section 3.2 (discriminative fine-tuning)",
        example="layerwise(1e-3, decay = 0.8)",
        near_miss="layerwise(1e-3, decay = 1.5)",
        near_miss_code="SD112",
    )
    positional: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Annotated[float, Field(gt=0)]
    decay: Annotated[float, Field(gt=0, le=1)] = 0.8

    def groups(self, tensors: Sequence[str], interface: Interface) -> tuple[tuple[float, tuple[str, ...]], ...]:
        """Return one group for each layer that holds some of the tensors, in the order of the forward."""
        wanted, found = set(tensors), layers(interface)
        result = []
        for position, layer in enumerate(found, 1):
            names = tuple(name for name in layer.parameters if name in wanted)
            if names:
                result.append((self.rate * self.decay ** (len(found) - position), names))
        return tuple(result)
