"""What users of pruning tools suffer from in shapes and coupling: each is exact here, or refused with the numbers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.modes.zero import Zero
from surgery_dsl.vocabulary.sites.attention import Attention
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.embedding import Embedding
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.heads import Heads
from surgery_dsl.vocabulary.units.kv_groups import KvGroups
from tests.unit.selection.bench import block, percent, refused, selected, static, traced
from tests.unit.units import networks
from tests.unit.units.bench import assert_same, excised, with_zeros

IMAGE = ("N", 3, 8, 8)


def trace(model: nn.Module) -> Interface:
    return traced(model, *IMAGE, dtype="f64")


def images() -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Flattened(nn.Module):
    """A convolution whose reader stands behind a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Linear(6 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(F.relu(self.conv(x)).flatten(1))


def test_1_a_reader_behind_a_flattening_follows() -> None:
    model = networks.settled(Flattened())
    small, _, _ = excised(model, trace(model), block(Conv2d(pattern="conv"), take=Only(units=(1, 4))), trace)

    def silent(net: nn.Module) -> None:
        net.dense.weight.view(2, 6, 64)[:, [1, 4]] = 0

    assert small.dense.in_features == 4 * 64
    assert_same(small, with_zeros(model, silent), images())


def test_1_the_output_layer_is_a_contract() -> None:
    interface = trace(Flattened().double())
    selection = selected(interface, block(Linear(pattern="dense"), take=Only(units=(0,))))
    context = static(interface)
    Remove().transfer(selection, Draft(interface), context)
    (finding,) = context.sink.found
    assert (finding.code.id, finding.path) == ("SD227", "dense")
    assert finding.facts == {"before": 2, "after": 1}
    assert "changes = outputs" in finding.help


class Mobile(nn.Module):
    """Depthwise and grouped convolutions, a channel multiplier, and a convolution with one output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1, bias=False)
        self.dw = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.twice = nn.Conv2d(8, 16, 3, padding=1, groups=8, bias=False)
        self.grouped = nn.Conv2d(16, 12, 1, groups=4, bias=False)
        self.single = nn.Conv2d(12, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.single(self.grouped(F.relu(self.twice(F.relu(self.dw(self.stem(x))))))).flatten(1)


def test_2_depthwise_channels_take_layer_and_groups_along() -> None:
    model = networks.settled(Mobile())
    interface = trace(model)
    (pool,) = selected(interface, block(Conv2d(pattern="dw"), take=Only(units=(0, 2, 4, 6)))).pools
    assert pool.size * pool.width == 8
    small, _, _ = excised(model, interface, block(Conv2d(pattern="dw"), take=Only(units=(1, 3, 5, 7))), trace)

    def silent(net: nn.Module) -> None:
        net.twice.weight.view(8, 2, 1, 3, 3)[[1, 3, 5, 7]] = 0

    assert (small.dw.groups, small.twice.groups, small.twice.out_channels, small.grouped.groups) == (4, 4, 8, 4)
    assert_same(small, with_zeros(model, silent), images())


def test_2_counts_that_do_not_share_out_are_refused_with_the_nearest() -> None:
    interface = trace(Mobile().double())
    finding = refused(interface, block(Conv2d(pattern="grouped"), by=Magnitude(), take=Lowest(amount=3)))
    assert (finding.code.id, finding.path) == ("SD224", "grouped")
    assert finding.facts == {"taken": 3, "groups": 4}
    assert finding.help == "take 4 or another multiple of 4"


def test_2_a_convolution_with_one_output_is_not_depthwise() -> None:
    finding = refused(trace(Mobile().double()), block(Conv2d(pattern="single"), take=Only(units=(0,))))
    assert (finding.code.id, finding.path) == ("SD127", "single")


class Chunked(nn.Module):
    """A block that splits, goes on with one half, and concatenates everything, as YOLO's does."""

    def __init__(self) -> None:
        super().__init__()
        self.cv1, self.m = nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.cv2 = nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = F.silu(self.cv1(x)).chunk(2, 1)
        return self.cv2(torch.cat([first, second, F.silu(self.m(second))], 1)).mean((2, 3))


@pytest.mark.parametrize(("site", "unit", "entries"), [("m", 1, (9,)), ("m", 3, (11,))])
def test_3_splits_and_concatenations_keep_their_offsets(site: str, unit: int, entries: tuple[int, ...]) -> None:
    model = networks.settled(Chunked())
    small, _, _ = excised(model, trace(model), block(Conv2d(pattern=site), take=Only(units=(unit,))), trace)

    def silent(net: nn.Module) -> None:
        net.cv2.weight[:, list(entries)] = 0

    assert small.cv2.in_channels == 11
    assert_same(small, with_zeros(model, silent), images())


class Residual(nn.Module):
    """Three layers that write one stream of 64."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 1, bias=False)
        self.blocks = nn.ModuleList(nn.Conv2d(64, 64, 1, bias=False) for _ in range(2))
        self.head = nn.Conv2d(64, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for one in self.blocks:
            x = x + F.relu(one(x))
        return self.head(x).mean((2, 3))


def test_4_a_share_of_a_coupled_group_counts_once() -> None:
    model = networks.settled(Residual())
    sites = Conv2d(pattern="{stem,blocks.*}")
    step = block(sites, by=Magnitude(), take=Lowest(amount=percent(30)))
    (pool,) = selected(trace(model), step).pools
    assert len(pool.sites) == 3
    small, _, _ = excised(model, trace(model), step, trace)
    assert [one.out_channels for one in (small.stem, *small.blocks)] == [45, 45, 45]


class Counted(nn.Module):
    """Attention whose forward reads the numbers that its constructor was given."""

    def __init__(self, heads: int, size: int, width: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.all_head_size = heads, size, heads * size
        self.q, self.k, self.v = (nn.Linear(width, heads * size) for _ in range(3))
        self.out = nn.Linear(heads * size, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (
            layer(x).view(b, t, self.num_heads, self.head_dim).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        mixed = F.softmax(q @ k.transpose(-1, -2) / 2.0, -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, t, self.all_head_size))


def test_5_head_counts_and_what_is_derived_from_them_follow() -> None:
    model = networks.settled(networks.Stack(Counted(8, 4, networks.WIDTH)))

    def trace_it(net: nn.Module) -> Interface:
        return traced(net, "N", "T", 5, dtype="f64")

    step = block(Attention(pattern="**"), unit=Heads(), take=Only(units=(0, 1, 6)))
    small, _, _ = excised(model, trace_it(model), step, trace_it)
    attention = small.blocks[0].attn
    assert (attention.num_heads, attention.head_dim, attention.all_head_size) == (5, 4, 20)
    assert small(torch.ones(2, 3, 5, dtype=torch.float64)).isfinite().all()


def test_6_grouped_queries_have_legal_counts_and_say_them() -> None:
    interface = traced(networks.Stack(networks.Attention(14, 2)).double(), "N", "T", 5, dtype="f64")
    step = block(Attention(pattern="**"), unit=KvGroups(), by=Magnitude(), take=Lowest(amount=percent(20)))
    finding = refused(interface, step)
    assert finding.code.id == "SD222"
    assert "14 query / 2 KV heads: legal keep counts are 7 and 14 query heads" in finding.notes


def test_6_with_one_key_value_head_nothing_is_a_silent_no_op() -> None:
    interface = traced(networks.Stack(networks.Attention(4, 1)).double(), "N", "T", 5, dtype="f64")
    finding = refused(interface, block(Attention(pattern="**"), unit=KvGroups(), take=Only(units=(0,))))
    assert finding.help == "write unit = heads, which takes query heads"


class Tokens(nn.Module):
    """A class token, a position table and scales of their own, outside any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 10, 4, 4, bias=False)
        self.cls, self.pos = nn.Parameter(torch.empty(1, 1, 10)), nn.Parameter(torch.empty(1, 5, 10))
        self.fc, self.scale = nn.Linear(10, 10), nn.Parameter(torch.empty(10))
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head((x + self.scale * self.fc(x))[:, 0])


def test_7_raw_parameters_follow_the_stream() -> None:
    model = networks.settled(Tokens())
    small, _, effect = excised(model, trace(model), block(Conv2d(pattern="embed"), take=Only(units=(2, 7))), trace)

    def silent(net: nn.Module) -> None:
        for weight in (net.head.weight, net.fc.weight):
            weight[:, [2, 7]] = 0

    assert (small.cls.shape[-1], small.pos.shape[-1], small.scale.shape[0]) == (8, 8, 8)
    assert {"cls", "pos", "scale"} <= effect.writes
    assert_same(small, with_zeros(model, silent), images())


class Tied(nn.Module):
    """A head that is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lm_head = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.lm_head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.lm_head(self.embed(x))


def test_13_a_tie_is_kept_when_its_width_shrinks() -> None:
    def trace_it(net: nn.Module) -> Interface:
        return traced(net, "N", 4, dtype="i64", below=11)

    model = networks.settled(Tied())
    small, _, _ = excised(model, trace_it(model), block(Embedding(pattern="embed"), take=Only(units=(3,))), trace_it)
    assert small.lm_head.weight is small.embed.weight
    assert small.embed.embedding_dim == small.lm_head.in_features == 5


@pytest.mark.parametrize("site", [Embedding(pattern="embed"), Linear(pattern="lm_head")])
def test_13_an_edit_of_a_tied_tensor_says_what_it_means(site: SiteWord) -> None:
    interface = traced(Tied().double(), "N", 4, dtype="i64", below=11)
    selection = selected(interface, block(site, take=Only(units=(1,))))
    context = static(interface)
    Zero().transfer(selection, Draft(interface), context)
    (finding,) = context.sink.found
    assert finding.code.id == "SD230"
    assert "tie = keep" in finding.help
