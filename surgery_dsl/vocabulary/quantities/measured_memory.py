"""``measured_memory``: what inference held in memory at once, seen while it ran."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _batch
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class MeasuredMemory(Quantity):
    """Bytes that tensors held at once while one forward ran: parameters, buffers, the batch, and what was alive.

    Arguments:
        data: A data block; its first examples are run.
        batch: How many examples at once, at least 1.

    Static rule:
        The data set has as many examples.

    Runtime rule:
        On the CPU every storage that operators bring in counts from then until it is freed; what kernels hold inside
        while they run does not. On a GPU it is the allocator's own peak, workspaces of kernels included. Eval mode, no
        gradients. :mod:`peak_memory` is the estimate that is known before anything runs.

    Source:
        Reference counts of storages as torch's dispatcher sees them; `torch.cuda.max_memory_allocated` on a GPU.
    """

    unit = "bytes"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="Bytes that tensors held at once while a forward ran",
        source="Live storages as torch's dispatcher sees them; torch.cuda.max_memory_allocated on a GPU.",
        example="measured_memory(test, batch = 1)",
        near_miss="measured_memory(test, batch = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    batch: Annotated[int, Field(ge=1)] = 1

    def examples(self, facts: DataFacts) -> int:
        """Return how many a batch holds."""
        return min(facts.count, self.batch)

    def check(self, context: Static) -> None:
        """Report a batch of more examples than there are."""
        _batch.enough(self.name, self.data, self.batch, self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the peak in bytes; the device is told."""
        from surgery_dsl.evidence import memory
        from surgery_dsl.evidence.metrics import evaluating
        from surgery_dsl.evidence.named_inputs import named

        inputs = _batch.first_batch(self.data, self.batch, runtime)
        with evaluating(model):
            found = memory.peak_bytes(model, tuple(named(inputs).values()), lambda: runtime.outputs(model, inputs))
        runtime.remark(f"on {runtime.device.type}, batch {self.batch}")
        return float(found)
