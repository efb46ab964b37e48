"""How far the running statistics of norms are from those of data."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn


@final
@dataclass
class _Moments:
    count: int
    mean: Tensor
    squares: Tensor

    def add(self, rows: Tensor) -> None:
        """Add vectors ``(n, channels)``: Chan, Golub and LeVeque (1983), equation 2.1."""
        count, mean = len(rows), rows.mean(0)
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + ((rows - mean) ** 2).sum(0) + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total


def norms_with_statistics(model: nn.Module) -> dict[str, nn.modules.batchnorm._NormBase]:
    """Return the norms that keep running statistics, by path."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.running_mean is not None:
            found[path] = module
    return found


@final
class Moments:
    """Is shown what norms with running statistics are given; says how far it is from what they remember."""

    def __init__(self, model: nn.Module) -> None:
        """Find the norms of a network."""
        self.norms = norms_with_statistics(model)
        self._seen: dict[str, _Moments] = {}

    def note(self, path: str, value: Tensor) -> None:
        """See what a norm is given."""
        channels = value.shape[1]
        rows = value.double().movedim(1, -1).reshape(-1, channels)
        zero = rows.new_zeros(channels)
        self._seen.setdefault(path, _Moments(0, zero, zero)).add(rows)

    def shifts(self) -> dict[str, float]:
        """Return, for each norm, how far running statistics are from the data's, in running deviations.

        The greater, over channels, of |m − μ| / σ and |s / σ − 1|, with μ and σ = √(running variance + eps) as the norm
        has them, m and s the mean and the (unbiased) deviation of what it is given. In float64; infinite where fewer
        than two numbers are seen of a channel.
        """
        return {path: _shift(norm, self._seen[path]) for path, norm in self.norms.items()}


def _shift(norm: nn.modules.batchnorm._NormBase, data: _Moments) -> float:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if data.count < 2:
        return float("inf")
    deviation = (norm.running_var.double() + norm.eps).sqrt()
    means = (data.mean - norm.running_mean.double()).abs() / deviation
    deviations = ((data.squares / (data.count - 1)).sqrt() / deviation - 1).abs()
    return float(torch.maximum(means, deviations).max())
