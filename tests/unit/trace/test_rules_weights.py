"""Rules of computed weights, experts and recurrent layers, held to brute force."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from surgery_dsl.trace import trial
from tests.unit.trace.oracle import assert_rule, names, spec


class WeightNormed(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)
        self.b = weight_norm(nn.Linear(6, 5), dim=dim)
        self.c = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(torch.relu(self.a(x)))))


@pytest.mark.parametrize("dim", [0, 1])
def test_weight_norm(dim: int) -> None:
    # A direction of zeros has no length: what is cut cannot be planted along the dimension of the lengths.
    free = ["a.weight[0]", "c.weight[1]"]
    assert_rule(lambda: WeightNormed(dim), spec("N", 4), free=free, sizes={"N": 3}, removable=False)


class WeightNormedConv(nn.Module):
    """Positional convolution of speech encoders: the norm runs over all but the kernel's positions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(2, 8, 1)
        self.b = weight_norm(nn.Conv1d(8, 8, 4, groups=2, padding=2), dim=2)
        self.c = nn.Conv1d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.c(x + F.gelu(self.b(x)[..., :-1]))


def test_weight_norm_of_a_grouped_convolution() -> None:
    assert_rule(WeightNormedConv, spec(2, 2, 9), free=["a.weight[0]", "b.parametrizations.weight.original1[1]"])


class Standardised(nn.Module):
    """Weights brought to mean zero and variance one over what each output reads: cutting that would change the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 5, 3), nn.Conv2d(5, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        w = self.b.weight
        w = F.batch_norm(w.reshape(1, 5, -1), None, None, training=True, momentum=0.0).reshape(w.shape)
        return self.c(F.relu(F.conv2d(F.relu(self.a(x)), w, self.b.bias)))


def test_standardised_weights_hold_what_they_average_over() -> None:
    held = {"a.weight[0]": "norm"}
    assert_rule(Standardised, spec(2, 2, 5, 5), free=[], held=held, removable=False, retraceable=False)


class Recurrent(nn.Module):
    def __init__(self, kind: str, layers: int = 1, both: bool = False, first: bool = True) -> None:
        super().__init__()
        self.a = nn.Linear(4, 6)
        self.r = getattr(nn, kind)(6, 5, num_layers=layers, bidirectional=both, batch_first=first)
        self.b = nn.Linear(10 if both else 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.r(torch.tanh(self.a(x)))[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, False), (1, True), (2, True)])
def test_recurrent_layers(kind: str, layers: int, both: bool) -> None:
    interface = assert_rule(
        lambda: Recurrent(kind, layers, both, first=layers == 1),
        spec(3, 4, 4),
        free=["a.weight[0]", "r.weight_hh_l0[1]", "r.weight_ih_l0[0]", "b.weight[1]"],
    )
    assert set(interface.module_by_path["r"].integers) == {"input_size", "hidden_size"}
    assert ("recurrent", "r/recurrent#0") in names(interface) or kind != "LSTM" or layers > 1 or both


class Cell(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.r, self.b = getattr(nn, kind)(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for one in x.unbind(1):
            state = self.r(one, state)
        return self.b(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_recurrent_cells(kind: str) -> None:
    assert_rule(lambda: Cell(kind), spec(3, 4, 4), free=["r.weight_hh[1]", "b.weight[1]"])


class Experts(nn.Module):
    """Experts chosen by ``topk`` and read by index: the experts are an axis, the router's rows go with them."""

    def __init__(self, shift: bool = False) -> None:
        super().__init__()
        self.shift = shift
        self.router = nn.Linear(4, 5)
        self.up, self.down = nn.Parameter(torch.randn(5, 6, 4)), nn.Parameter(torch.randn(5, 4, 6))
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight, chosen = self.router(x).softmax(-1).topk(2, -1)
        if self.shift:
            chosen = (chosen + 1) % 5
        hidden = torch.relu(torch.einsum("nkhd,nd->nkh", self.up[chosen], x))
        return self.out((torch.einsum("nkdh,nkh->nkd", self.down[chosen], hidden) * weight[..., None]).sum(1))


def test_experts_are_an_axis_from_the_router_to_their_matrices() -> None:
    free = ["router.weight[0]", "up[0]", "down[0]", "up[1]"]
    interface = assert_rule(Experts, spec(7, 4), free=free, removable=False)
    router, up = interface.tensor_by_name["router.weight"], interface.tensor_by_name["up"]
    assert router.dims[0] == up.dims[0]


def test_experts_that_are_computed_with_hold_their_number() -> None:
    held = {"router.weight[0]": "picked by index", "up[0]": "picked by index"}
    assert_rule(lambda: Experts(shift=True), spec(7, 4), free=["up[1]"], held=held, removable=False)


class Scattered(nn.Module):
    """Gates written back to where ``topk`` found them: a sparse mixture over all experts."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.experts, self.out = nn.Linear(4, 5), nn.Parameter(torch.randn(5, 4, 6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.router(x)
        best, chosen = logits.topk(2, -1)
        gates = torch.zeros_like(logits).scatter(-1, chosen, best.sigmoid())
        return self.out(torch.einsum("nd,edh,ne->nh", x, self.experts, gates))


def test_scattering_to_what_topk_found() -> None:
    free = ["router.weight[0]", "experts[0]", "out.weight[1]"]
    assert_rule(Scattered, spec(7, 4), free=free, removable=False)


class Codes(nn.Module):
    """The nearest of a table's rows: the rows are an axis, whatever their order."""

    def __init__(self, leak: bool = False) -> None:
        super().__init__()
        self.leak = leak
        self.a, self.table, self.out = nn.Linear(4, 6), nn.Embedding(7, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(self.a(x), self.table.weight).argmin(-1)
        out = self.out(self.table(nearest))
        return out + nearest[..., None] if self.leak else out


def test_codes_picked_by_distance() -> None:
    assert_rule(Codes, spec(9, 4), free=["table.weight[0]", "a.weight[0]"], removable=False)
    held = {"table.weight[0]": "picked by index"}
    assert_rule(lambda: Codes(leak=True), spec(9, 4), free=["a.weight[0]"], held=held, removable=False)


class GroupedProducts(nn.Module):
    """Rows sorted by expert; torch computes them in float32 alone, the loop below in any precision."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 16), nn.Linear(8, 3)
        self.experts, self.bias = nn.Parameter(torch.randn(3, 16, 8)), nn.Parameter(torch.randn(8))
        self.register_buffer("offsets", torch.tensor([2, 5, 8], dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if x.dtype == torch.float32:
            return self.b(torch._grouped_mm(x, self.experts, offs=self.offsets) + self.bias)
        ends = [0, *self.offsets.tolist()]
        parts = [x[i:j] @ w for i, j, w in zip(ends[:-1], ends[1:], self.experts, strict=True)]
        return self.b(torch.cat(parts) + self.bias)


def test_grouped_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_AMOUNTS", (8, 16, 24))  # torch wants rows of whole 16 bytes
    torch.manual_seed(0)
    model, x = GroupedProducts(), torch.randn(8, 4)
    assert torch.allclose(model(x).double(), model.double()(x.double()), atol=1e-4)
    free = ["a.weight[0]", "experts[1]", "experts[2]", "b.weight[1]"]
    held = {"experts[0]": "picked by index"}
    assert_rule(GroupedProducts, spec(8, 4), free=free, held=held, retraceable=False)


class OneHot(nn.Module):
    """Experts by masks: what torch computes for one-hot rows where values are not known."""

    def __init__(self, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset
        self.router, self.experts, self.out = nn.Linear(4, 5), nn.Parameter(torch.randn(5, 4, 6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.router(x).argmax(-1)
        numbers = torch.arange(self.router.weight.shape[0]) if not self.offset else torch.arange(1, 6)
        mask = (chosen[:, None] == numbers).to(x.dtype)
        return self.out(torch.einsum("nd,edh,ne->nh", x, self.experts, mask))


def test_one_hot_rows_of_what_was_found() -> None:
    assert_rule(OneHot, spec(7, 4), free=["router.weight[0]", "experts[0]"], removable=False)
    held = {"experts[0]": "arange", "router.weight[0]": "picked by index"}
    assert_rule(lambda: OneHot(1), spec(7, 4), free=["out.weight[1]"], held=held, removable=False, retraceable=False)
