"""What the tracer writes down: operators, paths, settings, calls, tensors, modules, and a model left as it was."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.frozen import BUFFER, FREE, INPUT, KERNEL, OUTPUT, SPATIAL, UNREAD
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.modules.insertion import insert
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import error, inputs_for, names, outputs, shaken, spec


def operator(interface: Interface, path: str) -> Operator:
    (found,) = [op for op in interface.operators if op.path == path]
    return found


def sizes(interface: Interface, value: int) -> list[int | str]:
    """Sizes of a value's dimensions, those of single free axes by name."""
    dims = interface.values[value].dims
    exact = [interface.exact(dim) for dim in dims]
    return [str(interface.axes[d[0]].size) if n is None else n for d, n in zip(dims, exact, strict=True)]


class Block(nn.Module):
    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(6, 6), act

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(F.relu(self.act(self.fc(x))))


class Net(nn.Module):
    """Shared activation, functional calls, an unread layer, a buffer, ties."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LeakyReLU(0.3)
        self.stem = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(Block(act) for _ in range(2))
        self.unread = nn.Linear(6, 2)
        self.register_buffer("mask", torch.ones(6))
        self.register_buffer("table", torch.ones(9), persistent=False)
        self.head = nn.Linear(6, 3)
        self.twin = nn.Linear(6, 3)
        self.twin.weight = self.head.weight

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x * self.mask), self.twin(x)


def test_operators_have_the_path_of_their_module_or_a_numbered_call_in_it() -> None:
    assert names(trace(Net(), spec("N", 4))) == [
        ("linear", "stem"),
        ("linear", "blocks.0.fc"),
        ("leaky_relu", "blocks.0.act"),
        ("relu", "blocks.0/relu#0"),
        ("relu", "blocks.0/relu#1"),
        ("add", "blocks.0/add#0"),
        ("linear", "blocks.1.fc"),
        ("leaky_relu", "blocks.0.act"),
        ("relu", "blocks.1/relu#0"),
        ("relu", "blocks.1/relu#1"),
        ("add", "blocks.1/add#0"),
        ("mul", "/mul#0"),
        ("linear", "head"),
        ("linear", "twin"),
    ]


def test_calls_hold_their_operators_in_order_of_entry() -> None:
    interface = trace(Net(), spec("N", 4))
    runs = [(c.module, c.parent, c.first, c.last) for c in interface.calls]
    assert runs[:5] == [
        ("", -1, 0, 14),
        ("stem", 0, 0, 1),
        ("blocks.0", 0, 1, 6),
        ("blocks.0.fc", 2, 1, 2),
        ("blocks.0.act", 2, 2, 3),
    ]
    assert [run[0] for run in runs[5:]] == ["blocks.1", "blocks.1.fc", "blocks.0.act", "head", "twin"]
    for call in interface.calls[1:]:
        last = interface.operators[call.last - 1]
        assert call.outputs == last.outputs
        assert call.inputs == interface.operators[call.first].inputs
    assert interface.calls_of("blocks.1.act") == (interface.calls[4], interface.calls[7])


def test_shared_modules_ties_buffers_and_unread_tensors() -> None:
    interface = trace(Net(), spec("N", 4))
    modules, tensors = interface.module_by_path, interface.tensor_by_name
    assert modules["blocks.1.act"].same_as == "blocks.0.act"
    assert modules["blocks.1"].same_as == ""
    assert tensors["twin.weight"].tied_to == "head.weight"
    assert tensors["twin.weight"].dims == tensors["head.weight"].dims
    assert tensors["mask"].persistent
    assert not tensors["table"].persistent
    assert interface.axes[tensors["table"].dims[0][0]].frozen == BUFFER
    assert interface.axes[tensors["unread.weight"].dims[0][0]].frozen == UNREAD
    assert tensors["mask"].dims == (tensors["stem.weight"].dims[0],)
    assert operator(interface, "/mul#0").tensors == {"other": "mask"}
    assert [m.path for m in interface.modules][:3] == ["", "stem", "blocks"]
    assert modules["stem"].type == "torch.nn.Linear"
    assert interface.network == modules[""].type
    assert interface.network.endswith("test_capture.Net")


def test_reasons_name_the_contract_with_its_constants() -> None:
    interface = trace(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1)), spec("N", 2, "H", 8))
    value = interface.values[interface.inputs[0].value]
    assert [interface.axes[dim[0]].frozen for dim in value.dims] == [FREE, INPUT, FREE, SPATIAL]
    weight = interface.tensor_by_name["0.weight"].dims
    assert [interface.axes[dim[0]].frozen for dim in weight] == ["", INPUT, KERNEL, KERNEL]
    assert interface.axes[interface.tensor_by_name["2.weight"].dims[0][0]].frozen == OUTPUT


def test_settings_are_those_of_the_call() -> None:
    class Called(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, (3, 1), stride=(2, 1), padding="same" if False else (1, 0), dilation=(1, 2))
            self.norm = nn.BatchNorm2d(4, eps=1e-3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.gelu(self.norm(self.conv(x)), approximate="tanh")
            x = F.softmax(F.elu(F.leaky_relu(x, 0.2), 0.5), dim=-3)
            x = F.max_pool2d(x, 2, stride=1, padding=1)
            return F.avg_pool2d(x, (2, 1), ceil_mode=True) * 0.5 + 2

    interface = trace(Called(), spec("N", 2, 9, 11))
    settings = {op.path: op.settings for op in interface.operators}
    assert settings["conv"] == {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 1}
    assert settings["norm"] == {"eps": 1e-3}
    assert settings["/gelu#0"] == {"approximate": "tanh"}
    assert settings["/leaky_relu#0"] == {"negative_slope": 0.2}
    assert settings["/elu#0"] == {"alpha": 0.5}
    assert settings["/softmax#0"] == {"dim": 1}
    assert settings["/max_pool2d#0"]["kernel_size"] == (2, 2)
    assert settings["/max_pool2d#0"]["padding"] == (1, 1)
    assert settings["/avg_pool2d#0"]["stride"] == (2, 1)
    assert settings["/avg_pool2d#0"]["ceil_mode"] is True
    assert settings["/mul#0"] == {"other": 0.5}
    assert settings["/add#0"] == {"other": 2}
    assert len(operator(interface, "/max_pool2d#0").outputs) == 1


def test_the_source_is_the_line_of_the_users_code() -> None:
    interface = trace(Net(), spec("N", 4))
    lines = {op.path: op.source for op in interface.operators}
    assert all(line.startswith("test_capture.py:") for line in lines.values())
    assert lines["head"] == lines["twin"] == lines["/mul#0"]
    assert lines["stem"] != lines["head"]


def test_a_linear_layer_is_one_operator_whatever_its_inputs_rank_and_layout() -> None:
    class Ranks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 5, bias=False)
            self.c, self.d = nn.Linear(5, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.a(x)).transpose(0, 1)  # what follows is not contiguous
            return self.d(self.c(x).unsqueeze(2))

    interface = trace(Ranks(), spec("N", 5, 4))
    kinds = [op.kind for op in interface.operators]
    assert kinds == ["linear", "linear", "permute", "linear", "view", "linear"]
    assert operator(interface, "c").tensors == {"weight": "c.weight", "bias": "c.bias"}
    assert sizes(interface, operator(interface, "c").outputs[0]) == [5, "N", 3]
    assert sizes(interface, operator(interface, "d").inputs[0]) == [5, "N", 1, 3]
    assert interface.module_by_path["c"].integers.keys() == {"in_features", "out_features"}


class Conv1D(nn.Module):
    """A linear layer with its weight the other way round, as GPT-2 has it."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.weight, self.bias = nf, nn.Parameter(torch.zeros(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x: Tensor) -> Tensor:
        out = (*x.size()[:-1], self.bias.shape[0])
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(out)


def test_a_product_with_a_transposed_weight_is_a_linear_layer_too() -> None:
    interface = trace(nn.Sequential(Conv1D(6, 4), nn.Tanh(), Conv1D(3, 6)), spec("N", "T", 4))
    assert names(interface) == [("linear", "0/linear#0"), ("tanh", "1"), ("linear", "2/linear#0")]
    first = interface.operators[0]
    assert first.settings == {"input_dim": 0}
    assert sizes(interface, first.outputs[0]) == ["N", "T", 6]
    weight = interface.tensor_by_name["0.weight"]
    assert interface.values[first.outputs[0]].dims[-1] == weight.dims[1]


def test_attention_products_are_single_operators() -> None:
    class Products(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.view(x.shape[0], x.shape[1], 2, 3).transpose(1, 2)
            return torch.softmax(x @ x.transpose(-1, -2), -1) @ x

    interface = trace(Products(), spec("N", 5, 6))
    assert [op.kind for op in interface.operators] == ["view", "permute", "permute", "matmul", "softmax", "matmul"]


def test_writing_in_place_makes_new_values_of_every_name_of_the_memory() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            x[:, :2].mul_(3)
            kept = x + 1
            x.relu_()
            return self.b(x * kept)

    interface = trace(Writes(), spec("N", 4))
    by_path = {op.path: op for op in interface.operators}
    mul, relu = by_path["/mul#0"], by_path["/relu#0"]
    assert len(mul.outputs) == 2  # the slice and what it is a slice of
    assert by_path["/add#0"].inputs == relu.inputs == (mul.outputs[1],)
    assert by_path["/mul#1"].inputs == (relu.outputs[0], by_path["/add#0"].outputs[0])
    assert by_path["a"].outputs[0] != mul.outputs[1]


def test_a_constant_of_the_forward_is_said_to_be_one() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + torch.arange(6)

    interface = trace(Adds(), spec("N", 4))
    assert operator(interface, "/add#0").settings == {"other": "constant"}


def test_operators_without_a_rule_freeze_what_flows_through_them() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.relu(self.b(torch.linalg.householder_product(self.a(x), x[:, 0]))))

    interface = trace(Odd(), spec("N", 7, 4))
    reasons = [interface.axes[interface.tensor_by_name[f"{name}.weight"].dims[0][0]].frozen for name in "ab"]
    assert "linalg_householder_product" in reasons[0]
    assert "test_capture.py:" in reasons[0]
    assert reasons[1] == ""


def test_integers_follow_axes() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 12, 3, groups=1), nn.BatchNorm2d(12), nn.Conv2d(12, 24, 1, groups=4), nn.GroupNorm(3, 24)
    )
    interface = trace(nn.Sequential(model, nn.Flatten(), nn.Linear(24 * 9, 6), nn.LayerNorm(6)), spec("N", 2, 5, 5))
    found = {m.path: {k: interface.exact(d) for k, d in m.integers.items()} for m in interface.modules}
    assert found["0.0"] == {"in_channels": 2, "out_channels": 12}
    assert found["0.1"] == {"num_features": 12}
    assert found["0.2"] == {"in_channels": 12, "out_channels": 24, "groups": 4}
    assert found["0.3"] == {"num_channels": 24, "num_groups": 3}
    assert found["2"] == {"in_features": 216, "out_features": 6}
    assert found["3"] == {"normalized_shape.0": 6}


def test_inserted_children_do_not_rename_their_hosts_call() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    insert(model[0], "adapter", "after", nn.Linear(6, 6))
    interface = trace(model, spec("N", 4))
    assert names(interface) == [("linear", "0"), ("linear", "0.adapter"), ("relu", "1"), ("linear", "2")]
    assert interface.module_by_path["0"].type == "torch.nn.Linear"
    assert interface.module_by_path["0"].integers.keys() == {"in_features", "out_features"}


class Tape(nn.Module):
    """A forward that does to itself what forwards should not."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("count", torch.zeros(()))
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x
        self.count.add_(1)
        self.seen = True
        return self.norm(self.a(x))


@pytest.mark.parametrize("looks", [False, True])
def test_the_model_is_as_it_was(looks: bool) -> None:
    class Looking(Tape):
        def forward(self, x: Tensor) -> Tensor:
            if looks and float(x.sum()) > 1e9:
                return x
            return super().forward(x)

    model = Looking()
    model.train()
    model.norm.eval()
    state, before = model.state_dict(keep_vars=True), copy.deepcopy(model.state_dict())
    attributes = {path: dict(vars(module)) for path, module in model.named_modules()}
    trace(model, spec("N", 4))
    after = model.state_dict(keep_vars=True)
    assert all(after[name] is state[name] and torch.equal(after[name], before[name]) for name in state)
    for path, module in model.named_modules():
        assert vars(module).keys() == attributes[path].keys()
        assert all(vars(module)[name] is value for name, value in attributes[path].items())
    assert model.training
    assert not model.norm.training


def test_a_forward_that_looks_at_values_is_traced_on_them() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            return self.b(x) if x.abs().max() >= 0 else self.c(x)

    interface = trace(Looks(), spec("N", 4))
    assert [op.path for op in interface.operators if op.kind == "linear"] == ["a", "b"]
    width = interface.tensor_by_name["a.weight"].dims[0]
    assert interface.axes[width[0]].frozen == ""
    assert interface.tensor_by_name["b.weight"].dims[1] == width


def test_a_model_on_meta_gives_the_same_interface() -> None:
    with torch.device("meta"):
        model = Net()
    assert trace(model, spec("N", 4)) == trace(Net(), spec("N", 4))
    assert all(parameter.is_meta for parameter in model.parameters())


def test_several_inputs_are_keywords_and_outputs_get_names() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.a = nn.Embedding(7, 4), nn.Linear(5, 4)

        def forward(self, *, tokens: Tensor, extra: Tensor) -> dict[str, Tensor]:
            x = self.table(tokens) + self.a(extra)
            return {"x": x, "mean": x.mean(1)}

    tokens = InputSpec(name="tokens", dtype="i64", dims=("N", 3), below=7)
    extra = InputSpec(name="extra", dtype="f32", dims=("N", 3, 5))
    interface = trace(Two(), (extra, tokens))
    assert [port.name for port in interface.inputs] == ["extra", "tokens"]
    assert [port.name for port in interface.outputs] == ["x", "mean"]
    assert interface.values[interface.inputs[1].value].dtype == "i64"
    assert [port.name for port in trace(Two(), (extra, tokens), ("mean",)).outputs] == ["mean"]
    assert [port.name for port in trace(Two(), (extra, tokens), ("a", "b")).outputs] == ["a", "b"]
    assert operator(interface, "table").tensors == {"weight": "table.weight"}
    mean = operator(interface, "/mean#0")
    assert mean.settings == {"dim": (1,), "keepdim": False}


def test_the_oracle_can_fail() -> None:
    """A trace with one coupling taken away does not pass."""
    from tests.unit.trace.oracle import assert_permutable

    model = shaken(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    interface = trace(copy.deepcopy(model).float(), spec("N", 4))
    last = interface.tensor_by_name["2.weight"]
    loose = interface.axes[0].replaced(id=len(interface.axes), size=6, frozen="", parts=())
    broken = interface.replaced(
        axes=(*interface.axes, loose),
        tensors=tuple(t.replaced(dims=(t.dims[0], (loose.id,))) if t is last else t for t in interface.tensors),
    )
    given = inputs_for(spec("N", 4), {"N": 3})
    assert error(outputs(model, given), outputs(model, given)) == 0
    assert_permutable(model, interface, given)
    with pytest.raises(AssertionError, match="not whole"):
        assert_permutable(model, broken, given)


class Compares(nn.Module):
    """A forward that compares an integer of its own with tensors, in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.first, self.head = 6, nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        at = torch.arange(6)
        n = self.width
        signs = (n <= at, n >= at, n < at, n > at, n == at, n != at)
        out: Tensor = self.head(self.first(x)) * sum(sign.sum() for sign in signs)
        return out


def test_an_integer_of_the_code_may_be_compared_with_tensors() -> None:
    model = Compares()
    x = torch.randn(2, 4)
    assert torch.allclose(model(x), model.head(model.first(x)) * 18)
    interface = trace(model, spec("N", 4))
    assert [operator.kind for operator in interface.operators][:2] == ["linear", "linear"]
