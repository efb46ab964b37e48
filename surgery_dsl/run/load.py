"""Building the networks that a plan names and filling them with their weights; data sets, each loaded once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.lock import WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.staleness import placed
from surgery_dsl.language.plan import Model, Plan
from surgery_dsl.run import data as data_sets
from surgery_dsl.run import record, weights
from surgery_dsl.run.data import TensorData
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.memory import in_own_memory
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.models.result import Result


@dataclass(frozen=True)
class Network:
    """A network with its weights, on the CPU, in eval mode.

    Attributes:
        model: The network.
        facts: Facts of its weights file, where it has one.
        file: The open weights file, where the tensors can be read again.
    """

    model: nn.Module
    facts: WeightFacts | None = None
    file: weights.WeightsFile | None = None

    def readers(self, device: torch.device, dtype: torch.dtype | None) -> dict[str, Callable[[], Tensor]]:
        """Say how tensors that stand in the weights file are read again, in a run's device and dtype."""
        if self.file is None:
            return {}
        file = self.file

        def read(name: str) -> Tensor:
            value = file.read(name)
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        return {name: partial(read, name) for name in file.header.tensors}


@dataclass
class Sources:
    """Everything that a plan loads, under the grants of one run. Data sets are kept once loaded.

    Attributes:
        plan: The plan.
        folder: The plan's folder: all its paths are relative to it.
        grants: Which user code may run.
        allow_pickle: Whether weights may be a pickle.
        seed: Seed of what factories draw at random.
    """

    plan: Plan
    folder: Path
    grants: Grants
    allow_pickle: bool = False
    seed: int = 0
    _data: dict[str, TensorData] = field(default_factory=dict)

    def data(self, name: str) -> TensorData:
        """Return a data set of the plan, on the CPU."""
        if name not in self._data:
            block = next(block for block in self.plan.data if block.name == name)
            self._data[name] = data_sets.load(block, self.folder, self.grants, self.plan.file, self._near())
        return self._data[name]

    def _near(self) -> tuple[Path, ...]:
        """Return the folders that the patient's structure is read from."""
        sources = self.plan.patient.load.sources(self.folder)
        return tuple(dict.fromkeys(path if path.is_dir() else path.parent for path in sources))

    def skeleton(self, block: Model, device: str = "meta") -> nn.Module:
        """Build a model, by default without memory; on the CPU where its factory cannot do without."""
        if device == "cpu":
            return self._build(block, "cpu")
        try:
            return self._build(block, "meta")
        except Refused:
            return self._build(block, "cpu")

    def network(self, block: Model, interface: Interface) -> Network:
        """Build a model on the CPU and load its weights.

        Raises:
            Refused: Its code is not granted or failed, or the weights do not fit ``interface``.
        """
        if not block.weights and block.load.weights():
            with placed_refusals(self.plan.file, block.spans.get("load", block.span)):
                return Network(in_own_memory(block.load.pretrained(self.folder).eval()))
        model = self._build(block, "cpu")
        model.eval()
        if not block.weights:
            return Network(model)
        span = block.spans.get("weights", block.span)
        with placed_refusals(self.plan.file, span):
            if self.allow_pickle and weights.is_pickle(self.folder / block.weights):
                return Network(model, weights.load_pickle(model, self.folder / block.weights, interface, block.weights))
            file = weights.WeightsFile(self.folder / block.weights)
            return Network(model, weights.load(model, file, as_built(interface, model), block.weights), file)

    def _build(self, block: Model, device: str) -> nn.Module:
        span = block.spans.get("load", block.span)
        with placed_refusals(self.plan.file, span):
            require(block.load, self.folder, self.grants)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                return block.load.build(self.folder, device)


def as_built(interface: Interface, model: nn.Module) -> Interface:
    """Return an interface with the dtypes that a network has before a run turns them into its own.

    A weights file holds what the factory builds, whatever dtype the run asks for.
    """
    dtypes = {name: name_of(tensor.dtype) for name, tensor in named_tensors(model)}
    return interface.replaced(
        tensors=tuple(tensor.replaced(dtype=dtypes.get(tensor.name, tensor.dtype)) for tensor in interface.tensors)
    )


def require(loader: ModelLoader, folder: Path, grants: Grants) -> None:
    """Ask for the grant that building a model needs, going back through results to the code they began with."""
    if isinstance(loader, Result):
        origin = folder / loader.directory
        require(record.read_record(origin).loader, origin, grants)
    else:
        grants.require(loader.grant())


@contextmanager
def placed_refusals(file: str, span: Span | None) -> Iterator[None]:
    """Give diagnostics that pass the plan's file and line where they have none."""
    try:
        yield
    except Refused as refused:
        raise Refused(*(placed(found, file, span) for found in refused.diagnostics)) from None
