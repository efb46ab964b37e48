"""What quantities share that can speak of a population: an argument ``confidence``, and a value for each example."""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING

from pydantic import field_validator

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.kinds import Quantity, Region
from surgery_dsl.vocabulary.values import Percent

if TYPE_CHECKING:
    import torch


class Sampled(Quantity, ABC):
    """A quantity with one value for each example. Abstract.

    With ``confidence``, a line speaks of the population that the examples were drawn from, not of them.
    """

    data: str | Region
    confidence: Percent | None = None

    @field_validator("confidence")
    @classmethod
    def _between(cls, confidence: Percent | None) -> Percent | None:
        if confidence is not None and not 50 <= confidence.value < 100:
            raise ValueError(f"{confidence} is not at least 50% and below 100%")
        return confidence

    @abstractmethod
    def between(self) -> tuple[Fraction, Fraction] | None:
        """Return the least and the greatest value that an example can have; ``None`` where there is no greatest."""

    @abstractmethod
    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return the value of each example, ``[n]`` in float64 on the CPU, in the order of the data.

        Of an output with positions it is their mean: positions of one example are not independent.
        """

    def plain(self) -> "Sampled":
        """Return the quantity without what only the claim depends on: equal ones have equal items."""
        return self.replaced(span=None, confidence=None)
