"""``latency``: how long the network takes for a batch, on this machine."""

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
class Latency(Quantity):
    """Seconds that one forward takes: the median of several runs, on this machine and for this batch.

    Arguments:
        data: A data block; its first examples are run.
        batch: How many examples at once, at least 1.
        runs: How many runs are timed, at least 5; five more go before them unseen.

    Static rule:
        The data set has as many examples.

    Runtime rule:
        Wall time of a forward in eval mode, without gradients and with deterministic kernels; on a GPU until the
        device has finished. Quartiles, device, threads, batch and dtype are told with the number. It is a property of
        a machine at a time: zeros in weights and removed parameters are not speed unless this number says so. Give a
        line such as `latency(test) <= 0.9 * base.latency(test)` more room than the quartiles lie apart.

    Source:
        Hoefler and Belli 2015, Scientific benchmarking of parallel computing systems (SC15), rules 4 to 6: medians and
        quartiles of costs that are not normally distributed.
    """

    unit = "seconds"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="Seconds that a forward takes on this machine",
        source="Hoefler and Belli 2015, Scientific benchmarking of parallel computing systems (SC15), rules 4 to 6.",
        example="latency(test, batch = 1)",
        near_miss="latency(test, batch = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    batch: Annotated[int, Field(ge=1)] = 1
    runs: Annotated[int, Field(ge=5)] = 30

    def examples(self, facts: DataFacts) -> int:
        """Return how many a batch holds."""
        return min(facts.count, self.batch)

    def check(self, context: Static) -> None:
        """Report a batch of more examples than there are."""
        _batch.enough(self.name, self.data, self.batch, self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the median in seconds; spread and conditions are told."""
        from surgery_dsl.evidence import timing
        from surgery_dsl.evidence.metrics import evaluating
        from surgery_dsl.evidence.named_inputs import main

        inputs = _batch.first_batch(self.data, self.batch, runtime)
        with evaluating(model):
            (found,) = timing.timed([lambda: runtime.outputs(model, inputs)], runtime.device, self.runs)
        runtime.remark(f"{found}, {timing.conditions(runtime.device, main(inputs).dtype, self.batch)}")
        return found.median
