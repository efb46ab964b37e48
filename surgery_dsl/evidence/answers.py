"""What networks answer on data sets: each network runs over each set once, whatever is measured of it."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.named_inputs import Inputs

Forward = Callable[[nn.Module, Inputs], Tensor]
"""Runs a network on a batch and returns the output that is judged."""
Batches = Iterable[tuple[Inputs, Tensor]]
"""Pairs of inputs and targets, on the network's device."""
Answered = Iterator[tuple[Tensor, Tensor]]
"""Pairs of outputs and targets, batch by batch."""

MOST_KEPT = 512 << 20
"""Bytes of outputs and targets that are kept of one network on one data set; of larger ones it runs again."""


def answers(model: nn.Module, batches: Batches, forward: Forward) -> Answered:
    """Yield what a network gives on each batch, in eval mode and without gradients; modules get their modes back.

    Modes change around each batch alone, so that the answers of several networks can be read side by side.
    """
    for inputs, targets in batches:
        training = [module for module in model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            with torch.no_grad():
                outputs = forward(model, inputs)
        finally:
            for module in training:
                module.training = True
        yield outputs, targets


class Kept:
    """Answers that stay while their network does. Final.

    Networks go by the names that the caller gives them; what was kept under one must be forgotten when its network
    changes.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Keep nothing yet; ``most`` bytes of one network on one data set."""
        self._most = most
        self._kept: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {}

    def forget(self, network: str) -> None:
        """Hear that a network changed."""
        for key in [key for key in self._kept if key[0] == network]:
            del self._kept[key]

    def of(self, network: str, data: str, fresh: Callable[[], Answered]) -> Answered:
        """Yield the answers of a network on a data set: those that are kept, else fresh ones, which are kept then.

        Only answers that were read to their end are kept.
        """
        kept = self._kept.get((network, data))
        if kept is not None:
            yield from kept
            return
        found: list[tuple[Tensor, Tensor]] = []
        size = 0
        for outputs, targets in fresh():
            size += outputs.nbytes + targets.nbytes
            if size <= self._most:
                found.append((outputs, targets))
            yield outputs, targets
        if size <= self._most:
            self._kept[network, data] = found
