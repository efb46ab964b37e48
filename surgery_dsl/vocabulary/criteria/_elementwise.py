"""Criteria that score single weights, and sum these scores over channels and modules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import FLOATS, Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Pool
from surgery_dsl.vocabulary.units._axes import ALONG_AXES, carriers_at
from surgery_dsl.vocabulary.units._listed import modules_of_experts

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores

    Arguments = Mapping[str, tuple[torch.Tensor, ...]]


class Elementwise(Criterion, ABC):
    """Scores each weight by itself. Abstract.

    A channel's score is the sum over all entries of the site's weight that carry it, over all sites of its pool; a
    module's is the sum over all its parameters; an expert's, over its row of the router and its matrices, be they
    stacked or in modules of its own. Sums are taken in float64.
    """

    units: ClassVar[frozenset[str]] = frozenset({"weights", "modules"}) | ALONG_AXES

    def check(self, unit: str, pools: tuple[Pool, ...], context: Static) -> None:
        """Report weights that are codes of other numbers, which cannot be compared or derived by."""
        interface = context.interface
        for name in dict.fromkeys(name for pool in pools for name in _scored(unit, pool, Flow(interface))):
            tensor = interface.tensor_by_name[name]
            if tensor.dtype not in FLOATS:
                context.say(
                    Diagnostic(
                        names.CRITERION_DOES_NOT_FIT,
                        f"`{self.name}` compares real numbers, and `{name}` holds codes ({tensor.dtype})",
                        file=context.file,
                        span=self.span,
                        path=name,
                        facts={"dtype": tensor.dtype},
                        help="identify before the step that quantizes, or leave the layer out with `except`",
                    )
                )

    @abstractmethod
    def arguments(self, tensors: Iterable[str], runtime: Runtime) -> "Arguments":
        """Return, for each tensor, the tensors of its shape that :meth:`score` takes."""

    @abstractmethod
    def score(self) -> "Callable[..., torch.Tensor]":
        """Return the elementwise score of blocks of the arguments."""

    def scores(self, unit: str, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        """Return scores by pool key: of the tensor's shape for weights, else ``(pool.size,)`` in float64."""
        if unit == "weights":
            streams = self.streams(pools, runtime)
            return {key: one.score(*(tensor.detach() for tensor in one.tensors)) for key, one in streams.items()}
        return self._of_modules(pools, runtime) if unit == "modules" else self._of_channels(pools, runtime)

    def streams(self, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, Scores]":
        """Return what the scores of weights are computed from, block by block, so that they are never stored."""
        from surgery_dsl.kernels.thresholds import Scores

        arguments = self.arguments([pool.tensor for pool in pools], runtime)
        return {pool.key: Scores(arguments[pool.tensor], self.score()) for pool in pools}

    def _of_channels(self, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        import torch

        from surgery_dsl.kernels.scores import axis_sums, gathered

        flow = Flow(runtime.interface)
        carriers = {
            pool.key: carriers_at(pool, axis_of(pool, runtime.interface), flow, roles=("weight",)) for pool in pools
        }
        entries = {pool.key: modules_of_experts(pool, runtime.interface) for pool in pools}
        names = dict.fromkeys(carrier.tensor for found in carriers.values() for carrier in found)
        names |= dict.fromkeys(name for found in entries.values() for below in found for name in below)
        arguments = self.arguments(names, runtime)
        scores: dict[str, torch.Tensor] = {}
        for pool in pools:
            total = torch.zeros(pool.size, dtype=torch.float64)
            for carrier in carriers[pool.key]:
                tensors = arguments[carrier.tensor]
                sums = axis_sums(tensors, self.score(), carrier.dim, sizes=carrier.sizes, position=carrier.position)
                total += gathered(sums.to("cpu"), carrier.owners, pool.size)
                runtime.release([carrier.tensor])
            self._add(total, entries[pool.key], arguments, runtime)
            scores[pool.key] = total
        return scores

    def _of_modules(self, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        import torch

        below = {path: parameters_below(path, runtime.interface) for pool in pools for path in pool.modules}
        arguments = self.arguments(dict.fromkeys(name for names in below.values() for name in names), runtime)
        scores: dict[str, torch.Tensor] = {}
        for pool in pools:
            total = torch.zeros(pool.size, dtype=torch.float64)
            self._add(total, [below[path] for path in pool.modules], arguments, runtime)
            scores[pool.key] = total
        return scores

    def _add(
        self, total: "torch.Tensor", names: Sequence[Sequence[str]], arguments: "Arguments", runtime: Runtime
    ) -> None:
        """Add to each entry of ``total`` the scores of whole tensors."""
        from surgery_dsl.kernels.scores import axis_sums

        for index, below in enumerate(names):
            for name in below:
                flat = [tensor.detach().reshape(1, -1) for tensor in arguments[name]]
                total[index] += axis_sums(flat, self.score(), 0).to("cpu")[0]
                runtime.release([name])


def _scored(unit: str, pool: Pool, flow: Flow) -> Iterable[str]:
    """Return the tensors whose entries are scored for a pool."""
    if unit == "weights":
        return (pool.tensor,)
    if pool.axis is not None:
        axis = axis_of(pool, flow.interface)
        carried = [carrier.tensor for carrier in carriers_at(pool, axis, flow, roles=("weight",))]
        return carried + [name for below in modules_of_experts(pool, flow.interface) for name in below]
    return (name for path in pool.modules for name in parameters_below(path, flow.interface))


def parameters_below(path: str, interface: Interface) -> tuple[str, ...]:
    """Return the parameters of a module and of all modules below it; of tied ones, the owner's name, once."""
    prefix = path + "." if path else ""
    found = [t for t in interface.tensors if t.role == "parameter" and t.name.startswith(prefix)]
    return tuple(dict.fromkeys(tensor.tied_to or tensor.name for tensor in found))
