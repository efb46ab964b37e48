"""``weight_bytes``: what the saved tensors weigh."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class WeightBytes(Quantity):
    """Bytes of parameters and saved buffers: Σ numel · bytes(dtype), tied tensors once.

    Static rule:
        Every tensor in its own dtype, codes of fewer than eight bits as they are packed. The file is larger by its
        header. Activations, gradients and optimizer state are not in it.

    Runtime rule:
        Counted on the live network; nothing is read but shapes and dtypes.

    Source:
        Element sizes of the safetensors format.
    """

    unit = "bytes"
    least = 0
    static = True
    card: ClassVar[Card] = Card(
        summary="Count the bytes of parameters and saved buffers",
        source="Element sizes of the safetensors format.",
        example="weight_bytes",
        near_miss="weight_bytes(3)",
        near_miss_code="SD110",
    )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the count twice: it is exact."""
        products = [(_counting.element_bytes(t.dtype), _counting.dims_of(t)) for t in _counting.saved(interface)]
        count = _counting.total(interface, products)
        return count, count

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count on the live network; nothing is read but shapes and dtypes."""
        from surgery_dsl.evidence import counts

        return float(counts.weight_bytes(model))
