"""A forward that chooses by values is told from one that does not."""

import torch
from torch import Tensor, nn

from surgery_dsl.cli.inputs_text import inputs_text
from surgery_dsl.interface.lock import ModelLock
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec


class Choosing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(4, 2), nn.ModuleList(nn.Linear(4, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        best = self.router(x).argmax(-1)
        out = torch.zeros(x.shape[0], 3)
        for i, expert in enumerate(self.experts):
            rows = (best == i).nonzero().flatten()
            if rows.numel():
                out.index_add_(0, rows, expert(x[rows]))
        return out


class Masking(Choosing):
    def forward(self, x: Tensor) -> Tensor:
        best = self.router(x).argmax(-1)
        return sum((best == i)[:, None] * expert(x) for i, expert in enumerate(self.experts))


def test_the_operator_and_its_line_are_named() -> None:
    torch.manual_seed(0)
    interface = trace(Choosing(), spec(6, 4))
    assert interface.by_values.startswith("nonzero (the network at test_choices.py:")
    lock = ModelLock(name="net", declared="", sources=(), structure="", weights=None, interface=interface)
    assert "holds for the way that it took" in next(inputs_text(lock))


def test_masks_choose_nothing() -> None:
    assert trace(Masking(), spec(6, 4)).by_values == ""


def test_a_number_that_does_not_follow_from_the_input_is_no_choice() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) * torch.linspace(0, 1, 3)[1].item()

    assert trace(Constant(), spec("N", 4)).by_values == ""
