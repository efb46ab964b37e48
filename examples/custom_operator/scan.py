"""A reader of digits, row by row, with an operator and a module that no tracer knows; both say what they do to axes."""

import torch
from torch import Tensor, library, nn

import surgery_dsl

WIDTH = 48
ROWS = 8


@library.custom_op("digits_scan::scan", mutates_args=())
def scan(x: Tensor, decay: Tensor) -> Tensor:
    """h[t] = decay · h[t − 1] + x[t] along dimension 1: a kernel of one's own would stand here."""
    states, state = [], torch.zeros_like(x[:, 0])
    for row in x.unbind(1):
        state = decay * state + row
        states.append(state)
    return torch.stack(states, 1)


@scan.register_fake
def _(x: Tensor, decay: Tensor) -> Tensor:
    return torch.empty_like(x)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    decay, states = ctx.saved_tensors
    into = scan(grad.flip(1), decay).flip(1)
    before = torch.cat((torch.zeros_like(states[:, :1]), states[:, :-1]), 1)
    return into, (into * before).sum((0, 1))


def _remember(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(inputs[1], output)


scan.register_autograd(_backward, setup_context=_remember)


class RowGate(nn.Module):
    """Lets rows through by how they compare with the mean of all; counts as one operator."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.zeros(ROWS, width))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.width:
            raise ValueError(f"made for {self.width} features, given {x.shape[-1]}")
        return x * torch.sigmoid(self.weight * (x - x.mean(1, keepdim=True)))


# What flows through: the same name is the same axis. Indices of `time` mix, so that its size is fixed.
surgery_dsl.operator_signature("digits_scan::scan", "x[batch, time, c], decay[c] -> [batch, time, c]", fixed=["time"])
surgery_dsl.module_signature(
    RowGate, "x[batch, time, c], weight[time, c] -> [batch, time, c]", fixed=["time"], integers={"width": "c"}
)


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Linear(ROWS, WIDTH)
        self.place = nn.Parameter(torch.randn(ROWS, WIDTH))
        self.decay = nn.Parameter(torch.linspace(-3.0, 3.0, WIDTH))
        self.gate = RowGate(WIDTH)
        self.hidden = nn.Linear(WIDTH, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.row(x.flatten(1, 2))  # one channel: rows are steps of time
        x = scan(torch.relu(x + self.place), torch.sigmoid(self.decay))
        return self.head(torch.relu(self.hidden(self.gate(x).mean(1))))


def build() -> nn.Module:
    """Build the network without weights."""
    return Reader()
