"""What quantities share that look inside a network while data runs through it: all of them are served by one pass."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.kinds import Quantity

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.activity import Units
    from surgery_dsl.evidence.seen import Seen, Wanted


class Watching(Quantity, ABC):
    """A quantity of what a network does inside on a data set. Abstract."""

    data: str

    @abstractmethod
    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return what must be seen of a network."""

    def seen(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "Seen":
        """Return what was seen of it, and of others' wishes, in one pass."""
        return runtime.seen(model, interface, self.data, self.wants(interface, runtime))

    def units(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "list[Units]":
        """Return what the units did that this quantity asks for."""
        return self.seen(model, interface, runtime).units(self.wants(interface, runtime))
