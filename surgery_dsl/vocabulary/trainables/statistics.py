"""``train = statistics``: recalibrate the running statistics of norms, and nothing else."""

from collections.abc import Mapping
from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Trainable
from surgery_dsl.vocabulary.word import Card


@final
class Statistics(Trainable):
    """No parameter changes; running means and variances become averages over the batches of the data.

    Static rule:
        The network has a norm with running statistics.

    Runtime rule:
        After a network was cut, the statistics of its batch norms describe the old activations; averaging them anew
        repairs much of the damage without any training.

    Source:
        Li et al. 2020, EagleEye: Fast Sub-net Evaluation, section 3.3 (adaptive batch normalization).
    """

    card: ClassVar[Card] = Card(
        summary="Average the running statistics of norms anew; change no parameter",
        source="Li et al. 2020, EagleEye: Fast Sub-net Evaluation, section 3.3 (adaptive batch normalization)",
        example="statistics",
        near_miss="statistics(3)",
        near_miss_code="SD110",
        fixture="cnn",
    )
    positional: ClassVar[tuple[str, ...]] = ()

    def tensors(self, epoch: int, interface: Interface, brought: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return nothing: no parameter changes."""
        return frozenset()

    def check(self, context: Static) -> None:
        """Report a network without running statistics."""
        if running_statistics(context.interface):
            return
        context.say(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                "the network has no norm with running statistics, so there is nothing to recalibrate",
                file=context.file,
                span=self.span,
                facts={"norms": 0},
                help="leave the step out, or train parameters",
            )
        )


def running_statistics(interface: Interface) -> frozenset[str]:
    """Return the names of the running statistics, counters of batches included."""
    ends = (".running_mean", ".running_var", ".num_batches_tracked")
    return frozenset(
        tensor.name for tensor in interface.tensors if tensor.role == "buffer" and tensor.name.endswith(ends)
    )
