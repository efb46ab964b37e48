"""A small multilayer perceptron for flat 8x8 digits."""

from itertools import pairwise

from torch import Tensor, nn


class DigitsMlp(nn.Module):
    """Hidden layers of the given widths, ReLU after each, then a linear head.

    Input ``[N, 64]`` in [0, 1], output ``[N, 10]`` logits.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 128, 64), classes: int = 10) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise((64, *widths)))
        self.act = nn.ModuleList(nn.ReLU() for _ in widths)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        for hidden, act in zip(self.hidden, self.act, strict=True):
            x = act(hidden(x))
        return self.head(x)


def build_mlp() -> nn.Module:
    return DigitsMlp()
