"""Batches for training: shuffled anew every epoch on the CPU, so that every device sees the same order."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.named_inputs import Inputs, joined
from surgery_dsl.run.data import TensorData


class Batches:
    """One or several data sets as one, cut into batches. Final.

    The last batch of an epoch may be smaller; a single left-over example joins the batch before it, because a norm
    over one example has no variance.
    """

    def __init__(self, sets: Sequence[TensorData], size: int) -> None:
        """Join sets; ``size`` is the number of examples of a batch.

        Raises:
            Refused: The sets cannot be joined.
        """
        self._first = sets[0]
        try:
            self._inputs = joined([data.inputs for data in sets])
        except ValueError as error:
            names = " and ".join(f"`{data.facts.name}`" for data in sets)
            raise Refused(
                Diagnostic(
                    budgets.DATA_SHAPE_MISMATCH,
                    f"{names} cannot be joined: {error}",
                    facts={"sets": len(sets)},
                    help="give the sets examples of one shape, such as `seq = 64` for each",
                )
            ) from None
        self._targets = sets[0].targets if len(sets) == 1 else torch.cat([data.targets for data in sets])
        self._size = size

    def __len__(self) -> int:
        count, size = len(self._inputs), self._size
        whole, rest = divmod(count, size)
        return max(1, whole + (rest > 1 or (rest == 1 and whole == 0)))

    def shuffled(self, generator: torch.Generator) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield one epoch in a new order, on the run's device."""
        yield from self._cut(torch.randperm(len(self._inputs), generator=generator))

    def ordered(self) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield one epoch in the order of the data."""
        yield from self._cut(torch.arange(len(self._inputs)))

    def _cut(self, order: Tensor) -> Iterator[tuple[Inputs, Tensor]]:
        for index in range(len(self)):
            last = len(order) if index == len(self) - 1 else (index + 1) * self._size
            part = order[index * self._size : last]
            yield self._first.brought(self._inputs[part]), self._first.moved(self._targets[part])
