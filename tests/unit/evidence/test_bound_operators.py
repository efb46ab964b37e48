"""Every operator that has a bound: read as torch computes it, and enclosed; every other is refused by name."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds import assumptions
from surgery_dsl.evidence.bounds.analysis import FLOAT32, Analysis, Arithmetic
from surgery_dsl.evidence.bounds.change import Comparison, largest_change
from surgery_dsl.evidence.bounds.graph import Graph, Pointwise, Unbounded
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region, around
from surgery_dsl.evidence.bounds.rounding import U32, Unsound

F = nn.functional


class Made(nn.Module):
    """Layers and a forward through them."""

    def __init__(self, forward: Callable[..., Tensor], *layers: nn.Module, **tensors: Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.run = forward
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(self, *inputs)


def through(*layers: nn.Module) -> Made:
    return Made(lambda self, x: nn.Sequential(*self.layers)(x), *layers)


def of(function: Callable[[Tensor], Tensor], *layers: nn.Module) -> Made:
    return Made(lambda self, x: function(nn.Sequential(*self.layers)(x)), *layers)


def normed(norm: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, tensor in norm.named_buffers():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.3 if "var" in name else torch.randn_like(tensor))
        for parameter in norm.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return norm


def slopes(count: int) -> nn.PReLU:
    layer = nn.PReLU(count)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(count) * 2)
    return layer


def compared(graphs: Sequence[Graph], region: Region, moved: Callable[[str], str] = str) -> Comparison:
    old, new = graphs
    return Comparison(old, new, matches(old, new, moved=moved), region)


MASK = torch.tensor([True, False, True, True, False, True])
V, R, C, D = (6,), (3, 8), (3, 6, 6), (2, 4, 4, 4)

OPERATORS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "linear": (V, lambda: nn.Linear(6, 4)),
    "linear without bias": (V, lambda: nn.Linear(6, 4, bias=False)),
    "linear over places": ((3, 6), lambda: nn.Linear(6, 4)),
    "bilinear with a constant": (V, lambda: Made(lambda s, x: s.w @ x.T, w=torch.randn(3, 6))),
    "addmm": (V, lambda: Made(lambda s, x: torch.addmm(s.b, x, s.w, beta=0.3, alpha=-1.7), b=torch.randn(4), w=torch.randn(6, 4))),  # noqa: E501
    "bmm left": ((2, 3), lambda: Made(lambda s, x: torch.bmm(x, s.w), w=torch.randn(1, 3, 4))),
    "bmm right": ((2, 3), lambda: Made(lambda s, x: torch.bmm(s.w, x), w=torch.randn(1, 4, 2))),
    "einsum": ((2, 3), lambda: Made(lambda s, x: torch.einsum("bij,jk->bik", x, s.w), w=torch.randn(3, 4))),
    "conv1d": (R, lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2)),
    "conv1d same": (R, lambda: nn.Conv1d(3, 4, 5, padding="same")),
    "conv2d": (C, lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1)),
    "conv2d grouped": (C, lambda: nn.Conv2d(3, 6, 3, groups=3)),
    "conv2d reflected": (C, lambda: nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")),
    "conv2d replicated": (C, lambda: nn.Conv2d(3, 2, 3, padding=1, padding_mode="replicate")),
    "conv3d": (D, lambda: nn.Conv3d(2, 4, 2, groups=2, padding=(1, 0, 1))),
    "transposed 1d": (R, lambda: nn.ConvTranspose1d(3, 6, 3, stride=2, groups=3, output_padding=1)),
    "transposed 2d": (C, lambda: nn.ConvTranspose2d(3, 4, 2, stride=2, padding=1)),
    "transposed 2d grouped": (C, lambda: nn.ConvTranspose2d(3, 3, 3, stride=2, groups=3, dilation=2)),
    "transposed 3d": (D, lambda: nn.ConvTranspose3d(2, 2, 2, stride=2)),
    "batch norm": (V, lambda: normed(nn.BatchNorm1d(6))),
    "batch norm 1d": (R, lambda: normed(nn.BatchNorm1d(3))),
    "batch norm 2d": (C, lambda: normed(nn.BatchNorm2d(3))),
    "batch norm 3d": (D, lambda: normed(nn.BatchNorm3d(2, affine=False))),
    "instance norm of statistics": (C, lambda: normed(nn.InstanceNorm2d(3, affine=True, track_running_stats=True))),
    "centring": (V, lambda: of(lambda x: x - x.mean(-1, keepdim=True), nn.Linear(6, 5))),
    "relu": (V, lambda: through(nn.Linear(6, 5), nn.ReLU())),
    "relu in place": (V, lambda: through(nn.Linear(6, 5), nn.ReLU(inplace=True))),
    "maximum with zero": (V, lambda: of(lambda x: torch.maximum(x, torch.zeros(5)), nn.Linear(6, 5))),
    "relu6": (V, lambda: through(nn.Linear(6, 5), nn.ReLU6())),
    "clamp": (V, lambda: of(lambda x: x.clamp(-0.3, 0.2), nn.Linear(6, 5))),
    "clamp from below": (V, lambda: of(lambda x: x.clamp(min=-0.3), nn.Linear(6, 5))),
    "clamp from above": (V, lambda: of(lambda x: x.clamp_max(0.1), nn.Linear(6, 5))),
    "hardtanh": (V, lambda: through(nn.Linear(6, 5), nn.Hardtanh(-0.2, 0.4))),
    "leaky relu": (V, lambda: through(nn.Linear(6, 5), nn.LeakyReLU(0.3))),
    "steep leaky relu": (V, lambda: through(nn.Linear(6, 5), nn.LeakyReLU(1e9))),
    "one prelu": (V, lambda: through(nn.Linear(6, 5), slopes(1))),
    "prelu of channels": (C, lambda: through(nn.Conv2d(3, 4, 2), slopes(4))),
    "prelu of features": (V, lambda: through(nn.Linear(6, 5), slopes(5))),
    "abs": (V, lambda: of(torch.abs, nn.Linear(6, 5))),
    "hardsigmoid": (V, lambda: of(lambda x: F.hardsigmoid(4 * x), nn.Linear(6, 5))),
    "hardswish": (V, lambda: of(lambda x: F.hardswish(4 * x), nn.Linear(6, 5))),
    "elu": (V, lambda: through(nn.Linear(6, 5), nn.ELU(1.7))),
    "celu": (V, lambda: through(nn.Linear(6, 5), nn.CELU(0.4))),
    "selu": (V, lambda: through(nn.Linear(6, 5), nn.SELU())),
    "tanh": (V, lambda: through(nn.Linear(6, 5), nn.Tanh())),
    "sigmoid": (V, lambda: through(nn.Linear(6, 5), nn.Sigmoid())),
    "softplus": (V, lambda: through(nn.Linear(6, 5), nn.Softplus(3.0, 30.0))),
    "silu": (V, lambda: through(nn.Linear(6, 5), nn.SiLU())),
    "gelu": (V, lambda: through(nn.Linear(6, 5), nn.GELU())),
    "gelu tanh": (V, lambda: through(nn.Linear(6, 5), nn.GELU(approximate="tanh"))),
    "erf": (V, lambda: of(torch.erf, nn.Linear(6, 5))),
    "max pool 1d": (R, lambda: nn.MaxPool1d(3, stride=2, padding=1)),
    "max pool 2d": (C, lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)),
    "max pool dilated": (C, lambda: nn.MaxPool2d(2, stride=1, dilation=3, padding=1)),
    "max pool ceil": (R, lambda: nn.MaxPool1d(3, stride=3, ceil_mode=True)),
    "max pool 3d": (D, lambda: nn.MaxPool3d(2, stride=1)),
    "average pool 1d": (R, lambda: nn.AvgPool1d(3, stride=2, padding=1)),
    "average pool 2d": (C, lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
    "average pool by another divisor": (C, lambda: nn.AvgPool2d(2, divisor_override=-3)),
    "average pool 3d": (D, lambda: nn.AvgPool3d(2)),
    "adaptive average pool 1d": (R, lambda: nn.AdaptiveAvgPool1d(3)),
    "adaptive average pool 2d": (C, lambda: nn.AdaptiveAvgPool2d((4, 1))),
    "adaptive average pool 3d": (D, lambda: nn.AdaptiveAvgPool3d(3)),
    "mean": (C, lambda: of(lambda x: x.mean((2, 3)))),
    "mean in another type": (C, lambda: of(lambda x: x.mean((2, 3), dtype=torch.float64).float())),
    "sum": (C, lambda: of(lambda x: x.sum(1, keepdim=True))),
    "greatest": (C, lambda: of(lambda x: x.amax((1, 3)))),
    "greatest of a dimension": (C, lambda: of(lambda x: x.max(2, keepdim=True).values)),
    "add": (V, lambda: of(lambda x: torch.add(x, x.flip(1), alpha=-0.7))),
    "add a broadcast": ((1, 4), lambda: of(lambda x: x + x.transpose(1, 2))),
    "constants": (V, lambda: of(lambda x: 2 - (x - 1) * 3 / 7 + 0.5)),
    "constant tensors": (V, lambda: Made(lambda s, x: (s.c - x) * s.c / s.d - s.d, c=torch.randn(6), d=torch.randn(6))),
    "column": (V, lambda: Made(lambda s, x: x[:, None, :] * s.c + s.c, c=torch.randn(3, 1))),
    "mask": (V, lambda: Made(lambda s, x: x * s.m, m=MASK)),
    "negative": (V, lambda: of(lambda x: -x)),
    "twice the same": (V, lambda: of(lambda x: torch.cat([x, x], 1) + torch.cat([x, -x], 1))),
    "where": (V, lambda: Made(lambda s, x: torch.where(s.m, x, 0.25) + torch.where(s.m, s.c, x), m=MASK, c=torch.randn(6))),  # noqa: E501
    "where of two": (V, lambda: Made(lambda s, x: torch.where(s.m, x, 3 * x.flip(1)), m=MASK)),
    "masked fill": (V, lambda: Made(lambda s, x: x.masked_fill(s.m, -2.0), m=MASK)),
    "index by a mask": (V, lambda: Made(lambda s, x: x[:, s.m], m=MASK)),
    "index by positions": (C, lambda: of(lambda x: x[:, [2, 0, 2]][:, :, 1, -1])),
    "index two": (C, lambda: of(lambda x: x[:, torch.tensor([0, 2]), torch.tensor([5, 1])])),
    "index select": (V, lambda: of(lambda x: x.index_select(1, torch.tensor([3, 3, 0])))),
    "shapes": (C, lambda: of(lambda x: x.permute(0, 2, 3, 1).reshape(1, 6, -1).unsqueeze(1).squeeze(1).flatten(1).unflatten(1, (9, 12)))),  # type: ignore[no-untyped-call]  # noqa: E501
    "expand": (V, lambda: of(lambda x: x[:, None].expand(-1, 4, -1).repeat(1, 2, 3))),
    "roll": (C, lambda: of(lambda x: x.roll((1, -2), (2, 3)).flip(1))),
    "slices": (C, lambda: of(lambda x: x[:, 1:, ::2, -1] - x[:, :2, 1::2, 0])),
    "pad": (C, lambda: of(lambda x: F.pad(x, (1, -2, 0, 3), value=1.5))),
    "pad mirrored": (C, lambda: of(lambda x: F.pad(x, (2, 1, 0, 3), mode="reflect"))),
    "cat": (V, lambda: Made(lambda s, x: torch.cat([x, s.c, x * 2], 1), c=torch.randn(1, 3))),
    "stack": (V, lambda: of(lambda x: torch.stack([x, -x, torch.ones(1, 6)], 2))),
    "split": (V, lambda: of(lambda x: x.split([1, 5], 1)[1] * 2 + x.split([1, 5], 1)[0])),  # type: ignore[no-untyped-call]
    "chunk": (V, lambda: of(lambda x: x.chunk(3, 1)[2] - x.chunk(3, 1)[0])),
    "unbind": (C, lambda: of(lambda x: x.unbind(1)[2] - x.unbind(1)[0])),
    "copies": (V, lambda: of(lambda x: x.clone().contiguous().detach().double().float() * 2)),
    "dropout": (V, lambda: through(nn.Linear(6, 5), nn.Dropout(0.5), nn.Identity())),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(sum(map(ord, name)))
    shape, make = OPERATORS[name]
    return make().eval(), shape


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_read_as_torch_computes_it_and_enclosed(name: str) -> None:
    model, shape = made(name)
    graph = record(model, [torch.zeros(1, *shape)])
    double = copy.deepcopy(model).double()
    for radius in (0.0, 0.3, 2.0):
        region = around(torch.randn(2, *shape), radius)
        box = region.boxes[0]
        known = Analysis([graph], region).known
        low, high = known.low[0, graph.output], known.high[0, graph.output]
        share = torch.rand(60, 1, 1, *shape, dtype=torch.float64)
        share[:20] = share[:20].round()
        points = (box.low + (box.high - box.low) * share).clamp(box.low, box.high)
        outputs = graph.run(points.flatten(0, 1)).unflatten(0, (60, 2))  # type: ignore[no-untyped-call]
        assert bool(((low <= outputs) & (outputs <= high)).all())
        if radius == 0:
            assert float((high - low).max()) <= 1e-9 * (1 + float(high.abs().max()))
        for point, output in zip(points[:3, 0], outputs[:3, 0], strict=True):
            torch.testing.assert_close(double(point).double().reshape(output.shape), output, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_change_behind_and_before_an_operator_is_enclosed(name: str) -> None:
    model, shape = made(name)
    size = record(model, [torch.zeros(1, *shape)]).nodes[-1].size
    stem = nn.Conv1d(1, 1, 3, padding=1)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = stem, model, nn.Linear(size, 2)

        def forward(self, x: Tensor) -> Tensor:
            first = self.inner(self.stem(x.reshape(1, 1, -1)).reshape(x.shape))
            return self.head(first.reshape(1, -1))  # type: ignore[no-any-return]

    old = Whole().eval()
    new = copy.deepcopy(old)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    graphs = [record(one, [torch.zeros(1, *shape)]) for one in (old, new)]
    region = around(torch.randn(1, *shape), 0.5)
    bound = largest_change(compared(graphs, region), 2)
    box = region.boxes[0]
    points = (box.low + (box.high - box.low) * torch.rand(100, 1, *shape, dtype=torch.float64)).squeeze(1).unsqueeze(1)
    change = (graphs[1].run(points) - graphs[0].run(points)).abs().max()
    assert float(change) <= float(bound[0])


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "softmax": (lambda: nn.Softmax(1), "`_softmax`"),
    "layer norm": (lambda: nn.LayerNorm(6), "`native_layer_norm`"),
    "group norm": (lambda: nn.GroupNorm(2, 6), "`native_group_norm`|`native_layer_norm`|`var_mean`"),
    "square": (lambda: of(lambda x: x * x), "`mul`"),
    "power": (lambda: of(lambda x: x**2), "`pow`"),
    "quotient": (lambda: of(lambda x: 1 / (3 + x)), "`reciprocal`|`div`"),
    "floor": (lambda: of(lambda x: torch.div(x, 2, rounding_mode="floor")), "`div`"),
    "one number for all": (lambda: of(lambda x: x.sum()), "`sum`.*all examples"),
    "circular padding": (lambda: through(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")), "`new_empty`"),  # noqa: E501
    "noisy slopes": (nn.RReLU, "`empty_like`|`rrelu_with_noise`"),
    "integers": (lambda: of(lambda x: x.long().float()), "`_to_copy`.*its result is of type torch.int64"),
    "booleans": (lambda: of(lambda x: x.bool().float()), "`_to_copy`.*its result is of type torch.bool"),
    "a sum of integers": (lambda: of(lambda x: x.sum(1, dtype=torch.int64).float()), "`sum`"),
    "bits": (lambda: of(lambda x: x.half().view(torch.bfloat16).float()), "`view`.*it reads the bits"),
    "strides": (lambda: of(lambda x: x.as_strided((1, 3, 2), (6, 1, 3))), "`as_strided`"),
    "a comparison": (lambda: of(lambda x: torch.where(x > 0, x, -x)), "`gt`"),
    "a position of the greatest": (lambda: of(lambda x: x.argmax(1)), "`argmax`"),
    "the least": (lambda: of(lambda x: x.amin(1)), "`amin`"),
    "the greater of two": (lambda: of(lambda x: torch.maximum(x, x.flip(1))), "`maximum`"),
    "the greater of a constant": (lambda: of(lambda x: torch.maximum(x, torch.ones(6))), "`maximum`"),
    "noise": (lambda: of(lambda x: x + torch.rand(6)), "it is random"),
    "dropout that stays": (lambda: of(lambda x: F.dropout(x)), "`(native_dropout|bernoulli|empty_like|rand_like)`"),
    "a matrix of the input": (lambda: of(lambda x: x.T @ x), "`mm`"),
    "a slice that is written": (lambda: of(_written), "`(copy|slice_scatter|fill|select_scatter|copy_)`"),
    "a value that decides": (lambda: of(lambda x: x * 2 if float(x.sum()) > 0 else x), "."),
}  # fmt: skip


def _written(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :2] = x[:, 2:4]
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_bound_is_refused_by_name(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(Unbounded, match=said):
        record(make().eval(), [torch.zeros(1, 6)])


def test_a_network_that_counts_its_runs_is_refused() -> None:
    def forward(self: Made, x: Tensor) -> Tensor:
        self.n.add_(1)  # type: ignore[operator]
        return x * self.n  # type: ignore[operator]

    with pytest.raises(Unbounded, match="in place"):
        record(Made(forward, n=torch.zeros(1)).eval(), [torch.zeros(1, 6)])


def test_a_part_in_training_mode_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(ValueError, match="eval mode"):
        record(model, [torch.zeros(1, 2)])


DEPLOYED = (nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.ELU(), nn.Hardswish())
PRODUCTS = (nn.LeakyReLU(0.3), nn.PReLU(3, 1.7), nn.Hardtanh(-0.1, 0.1), nn.ReLU(), nn.ReLU6())


@pytest.mark.parametrize("function", [*DEPLOYED, *PRODUCTS], ids=str)
def test_what_float32_makes_of_a_function_is_within_its_bounds(function: nn.Module) -> None:
    torch.manual_seed(5)
    graph = record(through(nn.Linear(3, 3), function).eval(), [torch.zeros(1, 3)])
    assert assumptions.assumed([graph]) == () if function in PRODUCTS else len(assumptions.assumed([graph])) == 1
    points = torch.randn(3000, 3) * torch.logspace(-3, 2, 3000).unsqueeze(1)
    known = Analysis([graph], around(points, 0.0), FLOAT32).known
    end = next(at for at, node in enumerate(graph.nodes) if isinstance(node, Pointwise))
    source = graph.nodes[end].sources[0]
    middle = replace(graph, output=source).run(points.double().unsqueeze(1))  # what float32 is given is rounded once
    with torch.no_grad():
        given = function(middle.squeeze(1).float()).double()
    assert bool((known.low[0, end].flatten(1) <= given).all())
    assert bool((known.high[0, end].flatten(1) >= given).all())
    exact = function.double()(middle.squeeze(1)).detach()
    function.float()
    assert float((known.high[0, end].flatten(1) - exact).max()) < 1e-3


def test_a_library_is_tried_before_something_is_assumed_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = record(through(nn.Linear(3, 3), nn.GELU(), nn.Tanh(), nn.GELU("tanh")).eval(), [torch.zeros(1, 3)])
    gelu, tanh = assumptions.tried([graph, graph], torch.device("cpu"))
    assert (gelu.function, tanh.function) == ("gelu", "tanh")
    assert 0 < tanh.seen <= 1 < gelu.seen <= 16
    assert gelu.points > 500_000
    monkeypatch.setattr(assumptions, "ASSUMED_UNITS", 1)
    with pytest.raises(Unsound, match=r"`gelu` in `layers.1` is rounded in ways.*and 1 are assumed"):
        assumptions.tried([graph], torch.device("cpu"))


# ---- inputs, outputs, tokens ----------------------------------------------------------------------------------------


def test_several_inputs_and_outputs() -> None:
    torch.manual_seed(0)
    layers = (nn.Linear(3, 4), nn.Linear(2, 4))
    model = Made(lambda s, x, y: {"first": s.layers[0](x), "second": s.layers[0](x) - s.layers[1](y).relu()}, *layers)  # type: ignore[arg-type,return-value]
    graph = record(model.eval(), [torch.zeros(1, 3), torch.zeros(1, 2)], output=1)
    first, second = around(torch.randn(2, 3), 0.4).boxes[0], around(torch.randn(2, 2), 0.2).boxes[0]
    region = Region({0: first, 1: second})
    known = Analysis([graph], region).known
    x, y = (box.low + (box.high - box.low) * torch.rand(50, 1, 1, box.low.shape[-1]) for box in (first, second))
    for a, b in zip(x, y, strict=True):
        outputs = graph.run(a, b)
        assert bool((known.low[0, graph.output] <= outputs).all() and (outputs <= known.high[0, graph.output]).all())
    with pytest.raises(Unsound, match="nothing of input 1"):
        Analysis([graph], Region({0: first}))
    with pytest.raises(Unsound, match="another shape"):
        Analysis([graph], Region({0: second, 1: second}))


def test_outputs_of_other_shapes_are_not_compared() -> None:
    one, other = (record(nn.Linear(3, n).eval(), [torch.zeros(1, 3)]) for n in (4, 2))
    with pytest.raises(Unbounded, match="different shapes"):
        Comparison(one, other, [], around(torch.zeros(1, 3), 0.1))


def embedded(rows: int = 5) -> Made:
    return Made(
        lambda s, tokens: s.layers[1](s.layers[0](tokens).mean(1)), nn.Embedding(rows, 3), nn.Linear(3, 2)
    ).eval()


def test_tokens_are_tried_one_by_one() -> None:
    torch.manual_seed(1)
    old, new = embedded(), embedded()
    graphs = [record(model, [torch.zeros(1, 2, dtype=torch.long)]) for model in (old, new)]
    allowed = torch.ones(2, 1, 2, 5, dtype=torch.bool)
    allowed[1, 0, 0, 2:] = False
    bound = largest_change(compared(graphs, Region(tokens={0: allowed})), 2)
    for at, firsts in ((0, range(5)), (1, range(2))):
        pairs = torch.tensor([[a, b] for a in firsts for b in range(5)])
        with torch.no_grad():
            worst = float((new.double()(pairs) - old.double()(pairs)).abs().max())
        assert worst <= float(bound[at]) <= worst + 1e-9
    beyond = torch.cat([allowed, allowed[..., :1]], -1)
    for tokens, said in (
        ({}, "nothing of input"),
        ({0: beyond}, "a token may be 5, and the table of `layers.0` has 5 rows"),
    ):
        with pytest.raises(Unsound, match=said):
            Analysis(graphs, Region({1: Box(*[torch.zeros(1, 1, 1)] * 2)}, tokens))


def test_a_vocabulary_may_be_named_in_part() -> None:
    torch.manual_seed(1)
    graphs = [record(embedded(rows), [torch.zeros(1, 2, dtype=torch.long)]) for rows in (5, 7)]
    few = torch.ones(1, 1, 2, 4, dtype=torch.bool)
    bound = float(largest_change(compared(graphs, Region(tokens={0: few})), 2))
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4)).unsqueeze(1)
    worst = float((graphs[1].run(pairs) - graphs[0].run(pairs)).abs().max())
    assert worst <= bound <= worst + 1e-9
    with pytest.raises(Unsound, match="a place at which no token is allowed"):
        Analysis(graphs, Region(tokens={0: few & False}))


class Categories(nn.Module):
    """A table for each column, one column read twice, the rest in a bag."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(rows, 3) for rows in (2, 4, 3)])
        self.bag = nn.EmbeddingBag(6, 3, mode="sum", padding_idx=1)
        self.first, self.last = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        columns = [table(x[:, at]) for at, table in enumerate(self.tables)]
        turned = self.tables[1](x.flip(1)[:, -2].reshape(1, 1)).squeeze(1)
        return self.last(torch.relu(self.first(sum(columns) - turned + self.bag(x[:, 2:]))))  # type: ignore[no-any-return]


def test_tokens_may_be_moved_on_their_way_to_a_table() -> None:
    torch.manual_seed(4)
    old, new = Categories().eval(), Categories().eval()
    graphs = [record(model, [torch.zeros(1, 4, dtype=torch.long)]) for model in (old, new)]
    allowed = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    ranges = (2, 4, 3, 6)
    for place, rows in enumerate(ranges):
        allowed[..., place, :rows] = True
    every = torch.cartesian_prod(*(torch.arange(rows) for rows in ranges))
    with torch.no_grad():
        found = torch.stack([torch.cat([model.double()(x[None]) for x in every]) for model in (old, new)])
    assert torch.allclose(graphs[0].run(every.unsqueeze(1)).squeeze(1), found[0], atol=1e-12)
    worst = float((found[1] - found[0]).abs().max())
    assert worst <= float(largest_change(compared(graphs, Region(tokens={0: allowed})), 2)) <= 3 * worst
    one = torch.zeros_like(allowed).expand(len(every), *allowed.shape[1:]).clone()
    one.scatter_(3, every.reshape(-1, 1, 4, 1), True)
    exact = largest_change(compared(graphs, Region(tokens={0: one})), 2)
    assert bool((exact >= (found[1] - found[0]).abs().amax(1)).all())
    assert torch.allclose(exact, (found[1] - found[0]).abs().amax(1), atol=1e-9)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_a_bag_that_leaves_padding_out_of_a_mean_is_refused(mode: str) -> None:
    model = nn.EmbeddingBag(5, 3, mode=mode, padding_idx=0).eval()
    with pytest.raises(Unbounded, match="goes by the tokens"):
        record(model, [torch.zeros(1, 2, dtype=torch.long)])


def test_tokens_that_are_computed_are_refused() -> None:
    model = Made(lambda s, tokens: s.layers[0](tokens + 1), nn.Embedding(5, 3)).eval()
    with pytest.raises(Unbounded, match=r"`add`.*torch.int64"):
        record(model, [torch.zeros(1, 2, dtype=torch.long)])


# ---- what a shared module, or a pool with another border, is matched with -------------------------------------------


def test_a_module_that_runs_twice_is_matched_run_by_run() -> None:
    torch.manual_seed(2)
    act = nn.Tanh()
    old = Made(
        lambda s, x: s.layers[1](s.layers[2](s.layers[0](s.layers[2](x)))), nn.Linear(4, 4), nn.Linear(4, 2), act
    )
    new = copy.deepcopy(old)
    with torch.no_grad():
        new.layers[1].weight.add_(1e-3)  # type: ignore[operator]
    graphs = [record(model.eval(), [torch.zeros(1, 4)]) for model in (old, new)]
    assert len(matches(graphs[0], graphs[1])) == 2
    assert float(largest_change(compared(graphs, around(torch.zeros(1, 4), 1.0)), 2)) < 5e-3


def test_windows_that_reach_over_different_edges() -> None:
    old = through(nn.MaxPool1d(3, stride=1, padding=1))
    new = Made(lambda s, x: s.layers[0](F.pad(x, (1, 1), value=9.0)), nn.MaxPool1d(3, stride=1))
    graphs = [record(model.eval(), [torch.zeros(1, 1, 4)]) for model in (old, new)]
    region = around(torch.zeros(1, 1, 4), 1.0)
    bound = compared(graphs, region, moved=lambda _: "layers.0")
    forms = torch.eye(4, dtype=torch.float64)
    box = region.boxes[0]
    points = box.low + (box.high - box.low) * torch.rand(500, 1, 1, 4, dtype=torch.float64)
    change = (graphs[1].run(points) - graphs[0].run(points)).flatten(1).amax(0)
    assert bool((change <= bound.bound(forms).differential[0]).all())


# ---- numbers with which nothing is claimed --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["weight", "bias"])
def test_weights_that_are_no_numbers_refuse(number: float, place: str) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    with torch.no_grad():
        getattr(model[0], place).flatten()[1] = number
    graph = record(model, [torch.zeros(1, 3)])
    with pytest.raises(Unsound, match="not finite"):
        Analysis([graph], around(torch.ones(1, 3), 0.1))


def test_inputs_that_are_no_numbers_refuse() -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(Unsound, match="not finite"):
            around(torch.tensor([[number]]), 0.0)
    with pytest.raises(Unsound, match="not in order"):
        Box(torch.ones(1, 1, 1), torch.zeros(1, 1, 1))


def test_float32_is_not_claimed_of_coarser_numbers() -> None:
    region = around(torch.zeros(1, 3), 0.1)
    half = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval().bfloat16()
    part = of(lambda x: x.half().float(), nn.Linear(3, 3)).eval()
    for model, dtype in ((half, torch.bfloat16), (part, torch.float32)):
        graph = record(model, [torch.zeros(1, 3, dtype=dtype)])
        Analysis([graph], region)
        with pytest.raises(Unsound, match="unit roundoff"):
            Analysis([graph], region, FLOAT32)
    smooth = record(through(nn.Linear(3, 3), nn.GELU()).eval(), [torch.zeros(1, 3)])
    with pytest.raises(Unsound, match="rounded in ways"):
        Analysis([smooth], region, Arithmetic(U32))  # nothing is assumed of the library
    Analysis([smooth], region, FLOAT32)
    with pytest.raises(Unsound, match="overflow"):
        Analysis([record(of(lambda x: x * 1e38 * 1e3).eval(), [torch.zeros(1, 3)])], region, FLOAT32)
    wide = record(nn.Linear(200_000, 1).eval(), [torch.zeros(1, 200_000)])
    with pytest.raises(Unsound, match="rounding has no bound"):
        Analysis([wide], around(torch.zeros(1, 200_000), 0.1), FLOAT32)
