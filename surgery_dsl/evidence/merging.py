"""How far a merge moved a network's outputs: the network just before it beside the one that came of it, on data."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.layers import Moved, Pair, output_changes
from surgery_dsl.evidence.metrics import Batches, Forward
from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.kernels.stored_sums import StoredSum
from surgery_dsl.modules.insertion import inserted


@final
@dataclass(frozen=True)
class Drift:
    """How far outputs moved over a data set.

    Attributes:
        examples: How many examples were run.
        largest: max |f′(x)_k − f(x)_k| over examples x and outputs k; NaN where an output is.
        mean: The mean of the same.
        answers: How many largest outputs were compared: one for each example and position; 0 of a single output.
        changed: How many of them stand at another class.
        layers: How far what each merged layer gives has moved, by the layer's path.
        roundings: What the rounding of each merged weight took away, by the layer's path.
    """

    examples: int
    largest: float
    mean: float
    answers: int
    changed: int
    layers: Mapping[str, Moved]
    roundings: Mapping[str, StoredSum] = field(default_factory=dict)

    def worst(self) -> str:
        """Say in which layer most of an update was lost to rounding; nothing where none was."""
        path = max(self.roundings, key=lambda one: self.roundings[one].lost, default="")
        if not path or not self.roundings[path].lost:
            return ""
        found, every = self.roundings[path], sum(self.roundings.values(), StoredSum())
        return (
            f"rounding took {every.lost:.2g} of the norm of the updates, {100 * every.share_vanished:.2g} % of whose "
            f"entries vanished; most in `{path}` ({found.lost:.2g}, {100 * found.share_vanished:.2g} %)"
        )


@final
@dataclass
class Merges:
    """What was seen of merges in a run.

    Attributes:
        roundings: What was lost when sums were stored, by layer, since it was last taken.
        drifts: How far each merge moved the outputs, by step and data set.
    """

    roundings: dict[str, StoredSum] = field(default_factory=dict)
    drifts: dict[str, Mapping[str, Drift]] = field(default_factory=dict)

    def taken(self) -> dict[str, StoredSum]:
        """Return what was lost to rounding since this was last asked, by layer."""
        found, self.roundings = self.roundings, {}
        return found

    def drift(self, step: str, data: str, file: str) -> Drift:
        """Return how far a merge moved the outputs on a data set.

        Raises:
            Refused: It was not measured when the step ran.
        """
        if data in self.drifts.get(step, {}):
            return self.drifts[step][data]
        what = f"how far `{step}` moved the outputs on `{data}` was not measured when it ran"
        raise Refused(
            Diagnostic(
                runs.POINT_NOT_KEPT, what, file=file, help="read it after the merge; see whether it can be copied"
            )
        )


def twin(model: nn.Module, adapters: Iterable[str]) -> nn.Module:
    """Return a copy of a network that shares every tensor with it but those of the layers with these adapters.

    What is merged into the network later leaves the copy as it is.
    """
    hosts = {host_of(path) for path in adapters}
    own = {id(tensor) for host in hosts for tensor in _tensors(model.get_submodule(host))}
    shared: dict[int, Any] = {id(tensor): tensor for tensor in _tensors(model) if id(tensor) not in own}
    return deepcopy(model, shared)


def host_of(adapter: str) -> str:
    """Return the layer that an adapter was inserted into."""
    return adapter.rpartition(".")[0]


def drift(
    before: nn.Module, after: nn.Module, adapters: Iterable[str], batches: Batches, forward: Forward, tokens: bool
) -> Drift:
    """Run both networks on data, once each, and compare what they give and what their merged layers give.

    In eval mode, each in its own dtype; differences in float64.

    Args:
        before: The network with its adapters.
        after: The network without.
        adapters: Paths of the adapters.
        batches: Pairs of inputs and targets.
        forward: How inputs go through a network.
        tokens: Whether classes stand along the last dimension of an output whatever its shape.
    """
    outermost = {host_of(path): path for path in adapters}
    for host in outermost:
        outermost[host] = f"{host}.{list(inserted(before.get_submodule(host)))[-1]}"
    pairs = [Pair(path, host, -1) for host, path in outermost.items()]
    sums = _Sums(tokens)

    def run(model: nn.Module, inputs: Inputs) -> Tensor:
        outputs = forward(model, inputs)
        sums.hear(outputs, first=model is before)
        return outputs

    layers = output_changes(before, after, pairs, batches, run)
    return sums.drift({host: layers[path] for host, path in outermost.items()})


@dataclass
class _Sums:
    tokens: bool
    examples: int = 0
    entries: int = 0
    total: float = 0.0
    largest: float = 0.0
    answers: int = 0
    changed: int = 0
    waiting: list[Tensor] = field(default_factory=list)

    def hear(self, outputs: Tensor, first: bool) -> None:
        if first:
            self.waiting.append(outputs)
            return
        before, after = self.waiting.pop(), outputs
        gaps = (after.double() - before.double()).abs()
        most = float(gaps.max()) if gaps.numel() else 0.0
        self.largest = most if most != most else max(self.largest, most)
        self.total += float(gaps.sum())
        self.entries += gaps.numel()
        self.examples += len(after)
        dim = 1 if after.dim() >= 4 and not self.tokens else after.dim() - 1
        if after.dim() > 1 and after.shape[dim] > 1:
            apart = before.argmax(dim) != after.argmax(dim)
            self.answers += apart.numel()
            self.changed += int(apart.sum())

    def drift(self, layers: Mapping[str, Moved]) -> Drift:
        mean = self.total / self.entries if self.entries else 0.0
        return Drift(self.examples, self.largest, mean, self.answers, self.changed, layers)


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
