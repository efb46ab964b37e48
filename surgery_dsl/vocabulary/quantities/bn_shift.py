"""``bn_shift``: whether norms still know their inputs."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.diagnostics.codes import lints
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.quantities._worst import greatest, remark_worst
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.seen import Wanted


@final
class BnShift(Watching):
    """How far running statistics of norms are from those of the data, in standard deviations: the worst channel.

    Arguments:
        data: A data block, best the training data; its targets are not used.

    Static rule:
        The network has a norm with running statistics; without one the line cannot fail, and a warning says so.

    Runtime rule:
        max over norms and channels of |m − μ| / σ and |s / σ − 1|: μ is the running mean, σ the root of the running
        variance plus eps, m and s mean and deviation (n − 1) of what the norm is given on the data, in eval mode. What
        surgery moved before a norm shows here; `recover` with `train = statistics` brings it down. Norms that are
        called as functions are left out. 0 where there is none.

    Source:
        Ioffe and Szegedy 2015, Batch normalization (arXiv 1502.03167), section 3.1; recalibration after pruning as in
        Li et al. 2020, EagleEye (arXiv 2007.02491), section 3.3.
    """

    unit = "number"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="How many deviations running statistics are from the data's",
        source="Ioffe and Szegedy 2015 (arXiv 1502.03167), section 3.1; Li et al. 2020 (arXiv 2007.02491).",
        example="bn_shift(train)",
        near_miss="bn_shift(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data"}),
        fixture="cnn",
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Warn where there is no norm with running statistics."""
        if any("running_mean" in operator.tensors for operator in context.interface.operators):
            return
        context.say(
            Diagnostic(
                lints.VACUOUS_GATE,
                f"`{self.name}` is 0 here whatever happens: no norm of the network keeps running statistics",
                file=context.file,
                span=self.span,
                help="remove the line",
            )
        )

    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return what norms are given."""
        from surgery_dsl.evidence.seen import Wanted

        return Wanted(norms=True)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the shift of the worst channel; its norm is named."""
        found = self.seen(model, interface, runtime).shifts
        remark_worst(found, runtime)
        if found:
            runtime.remark("`train = statistics` in a `recover` step averages them anew")
        return greatest(found)
