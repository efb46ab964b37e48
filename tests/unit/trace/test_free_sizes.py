"""Free sizes stay symbols: formulas of windows, requirements, and what is refused."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.expression import evaluate
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.trace.capture import trace
from surgery_dsl.trace.samples import samples
from tests.unit.trace.oracle import macs, spec


def output_sizes(interface: Interface, sizes: dict[str, int]) -> list[int]:
    (port,) = interface.outputs
    dims = interface.values[port.value].dims

    def size(axis: int) -> int | None:
        return evaluate(interface.axes[axis].size, sizes)  # type: ignore[arg-type]

    found = [interface.size(dim).substitute(size).value for dim in dims]
    assert None not in found
    return [n for n in found if n is not None]


WINDOWS: list[nn.Module] = [
    nn.Conv2d(2, 3, 3, stride=2, padding=1),
    nn.Conv2d(2, 3, (5, 1), stride=(3, 2), dilation=(2, 1), padding=(1, 0)),
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.MaxPool2d(3, stride=2, ceil_mode=True),
    nn.MaxPool2d(2, ceil_mode=True),
    nn.AvgPool2d(3, stride=2, ceil_mode=True, padding=1),
    nn.ConvTranspose2d(2, 3, 4, stride=3, padding=1, output_padding=2, dilation=2),
    nn.Upsample(scale_factor=2),
    nn.ZeroPad2d((1, 2, 3, 0)),
    nn.AdaptiveAvgPool2d((3, 2)),
    nn.AdaptiveAvgPool2d(1),
    nn.Sequential(nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 2, 1), nn.MaxPool2d(3, 2, 1)),
]


@pytest.mark.parametrize("module", WINDOWS, ids=str)
def test_window_formulas_hold_at_every_size(module: nn.Module) -> None:
    interface = trace(module, spec("N", 2, "H", "W"))
    for height in range(20, 43):
        given = torch.zeros(2, 2, height, height + 5)
        assert output_sizes(interface, {"N": 2, "H": height, "W": height + 5}) == list(module(given).shape)


def test_multiply_accumulates_are_a_formula_in_the_free_sizes() -> None:
    module = nn.Sequential(
        nn.Conv2d(2, 6, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3, 2, groups=2), nn.Conv2d(4, 3, 1)
    )
    interface = trace(module, spec("N", 2, "H", "W"))
    for sizes in ({"N": 2, "H": 9, "W": 14}, {"N": 1, "H": 16, "W": 31}):
        with FlopCounterMode(display=False) as counter:
            module(torch.zeros(sizes["N"], 2, sizes["H"], sizes["W"]))
        assert 2 * macs(interface, sizes) == counter.get_total_flops()


def test_a_size_that_a_layer_keeps_is_the_same_axis_and_the_batch_stays_one() -> None:
    interface = trace(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)), spec("N", 2, "H", "W"))
    first, second, third = (interface.values[op.outputs[0]].dims for op in interface.operators)
    given = interface.values[interface.inputs[0].value].dims
    assert first[0] == third[0] == given[0]
    assert (first[2], first[3]) == (given[2], given[3]) == (second[2], second[3])
    assert interface.axes[third[2][0]].size == ("//", "H", 2)


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(2, 4, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) + self.c(x)


def test_two_ways_to_a_size_make_a_requirement() -> None:
    interface = trace(Strided(), spec("N", 2, "H", 16))
    (equal,) = [r for r in interface.requirements if r.relation == "equal"]
    assert equal.operator == "/add#0"
    for height in range(1, 99):
        assert evaluate(equal.left, {"H": height}) == evaluate(equal.right, {"H": height}) == -(-height // 4)
    least = [r for r in interface.requirements if r.relation == "at_least"]
    assert {r.operator for r in least} == {"a", "b", "c"}


def test_a_table_of_positions_must_be_long_enough() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.table, self.raw = nn.Embedding(9, 4), nn.Embedding(90, 4), nn.Parameter(torch.zeros(99, 4))

        def forward(self, tokens: Tensor) -> Tensor:
            at = torch.arange(tokens.shape[1])
            return self.token(tokens) + self.table(at) + self.raw[: tokens.shape[1]]

    interface = trace(Positions(), spec("N", "T", name="tokens", dtype="i64"))
    found = {(r.relation, r.left, r.right) for r in interface.requirements}
    assert found == {("at_least", 90, "T"), ("at_least", 99, "T")}
    assert output_sizes(interface, {"N": 2, "T": 7}) == [2, 7, 4]


def test_a_fixed_table_needs_one_size() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(1, 8, 4))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.table

    free = (FreeSize(name="T", least=8, most=8),)
    interface = trace(Fixed(), spec("N", "T", 4), free=free)
    ((relation, left, right),) = [(r.relation, r.left, r.right) for r in interface.requirements]
    assert relation == "equal"
    assert {left, right} == {8, "T"}
    with pytest.raises(Refused, match=r"SD200.*T = "):
        trace(Fixed(), spec("N", "T", 4))


def test_a_view_that_takes_a_free_size_apart_needs_a_divisor() -> None:
    class Patches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.shape[0], x.shape[1] // 4, 4)

    interface = trace(Patches(), spec("N", "T"), free=(FreeSize(name="T", least=64, most=64),))
    ((relation, left, right),) = [(r.relation, r.left, r.right) for r in interface.requirements]
    assert (relation, right) == ("divides", "T")
    assert left in (4, 16)
    with pytest.raises(Refused, match="SD200"):
        trace(Patches(), spec("N", "T"))


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, 2, 1), nn.Linear(4 * 4 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).flatten(1))


def test_a_forward_that_does_not_run_is_refused_with_the_sizes_and_the_module() -> None:
    with pytest.raises(Refused) as refused:
        trace(Flat(), spec("N", 1, "H", 8))
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.code.id == "SD200"
    assert diagnostic.path == "head"
    assert diagnostic.facts["H"] == 1  # the smallest at which it fails: it runs from 7 to 8
    assert "64x3" in diagnostic.message
    assert any("test_free_sizes.py:" in note for note in diagnostic.notes)
    assert "H`, such as 8" in diagnostic.help


def test_a_forward_that_decides_by_size_is_refused() -> None:
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if x.shape[0] < 70 else self.a(x).relu()

    with pytest.raises(Refused) as refused:
        trace(Decides(), spec("N", 4))
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.code.id == "SD201"
    assert "N = 67" in diagnostic.message
    assert "N = 71" in diagnostic.message


def test_a_size_that_nothing_explains_is_refused() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(int(x.shape[0] ** 0.5), 3) + x.sum()

    with pytest.raises(Refused, match="SD202"):
        trace(Odd(), spec("N", 4))


class Looks(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if (x * x).sum() > 0 else x


def test_values_that_meta_does_not_have_are_made_up_for_small_models_alone() -> None:
    with torch.device("meta"):
        small, large = Looks(4), Looks(9000)
    with pytest.raises(Refused, match=r"SD203.*local_scalar_dense"):
        trace(small, spec("N", 4), make_up=False)
    assert [operator.kind for operator in trace(small, spec("N", 4)).operators].count("linear") == 1
    assert all(tensor.is_meta for tensor in small.parameters())
    with pytest.raises(Refused, match=r"SD203.*81,009,000 elements"):
        trace(large, spec("N", 9000))


def test_inputs_and_outputs_that_do_not_fit_are_refused() -> None:
    specs = (InputSpec(name="x", dtype="f32", dims=("N", 4)), InputSpec(name="z", dtype="f32", dims=("N", 4)))
    with pytest.raises(Refused, match=r"SD204.*`z`"):
        trace(nn.Linear(4, 3), specs)
    with pytest.raises(Refused, match=r"SD204.*q8"):
        trace(nn.Linear(4, 3), spec("N", 4, dtype="q8"))
    with pytest.raises(Refused, match=r"SD205.*returns 1.*names 2"):
        trace(nn.Linear(4, 3), spec("N", 4), ("a", "b"))


@pytest.mark.parametrize(
    ("least", "most"), [(1, None), (1, 512), (1, 7), (5, 6), (4, 4), (1, 2), (1, 1), (300, 400), (1000, None)]
)
def test_samples_lie_in_their_range_and_differ_where_they_can(least: int, most: int | None) -> None:
    one, two = samples((FreeSize(name="N"), FreeSize(name="T", least=least, most=most)))
    for sample in (one, two):
        assert sample["T"] >= least
        assert most is None or sample["T"] <= most
        assert sample["T"] > 1 or (most is not None and most <= 2)
    assert one["T"] != two["T"] or most == least
    assert one["N"] != two["N"]
    if most is None or most > 100:
        assert not {one["N"], two["N"]} & {one["T"], two["T"]}


def test_without_free_sizes_one_run_is_enough() -> None:
    assert samples(()) == ({},)
    interface = trace(nn.Linear(4, 3), spec(2, 4))
    assert output_sizes(interface, {}) == [2, 3]


PARTS = {
    "[:, 7]": lambda x: x[:, 7],
    "[:, -4]": lambda x: x[:, -4],
    "[:, -5:]": lambda x: x[:, -5:],
    "[:, 3:]": lambda x: x[:, 3:],
    "[:, :-3]": lambda x: x[:, :-3],
    "[:, 2:9]": lambda x: x[:, 2:9],
    "topk": lambda x: x.topk(8, 1).values,
    "half of topk": lambda x: x.topk(x.shape[1] // 2 + 3, 1).values,
}


@pytest.mark.parametrize("name", PARTS)
def test_what_is_read_must_be_there(name: str) -> None:
    """Where the relations hold, the forward runs and gives the predicted shape; where they do not, it does neither."""

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(PARTS[name](x))

    interface, module = trace(Reads(), spec(2, "T", 4)), Reads()
    assert interface.requirements
    for length in range(1, 20):
        needed = (
            (r.relation, evaluate(r.left, {"T": length}), evaluate(r.right, {"T": length}))
            for r in interface.requirements
        )
        try:
            real = list(module(torch.zeros(2, length, 4)).shape)
        except (IndexError, RuntimeError):
            real = []
        runs = real == output_sizes(interface, {"T": length})
        assert all(relation == "at_least" and left >= right for relation, left, right in needed) == runs, length
