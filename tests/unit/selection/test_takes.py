"""What takes pick of a ranking, against sorting all of it."""

from collections.abc import Sequence

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from surgery_dsl.interface.model import Extent
from surgery_dsl.kernels.thresholds import Scores
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection, Site
from surgery_dsl.vocabulary.takes._ranked import Ranked
from surgery_dsl.vocabulary.takes.above import Above
from surgery_dsl.vocabulary.takes.all import All
from surgery_dsl.vocabulary.takes.below import Below
from surgery_dsl.vocabulary.takes.highest import Highest
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.values import Range
from tests.unit.selection.bench import Bench, arrow, percent, static, traced
from tests.unit.selection.networks import Mlp

INTERFACE = traced(Mlp(), "N", 5)
RUNTIME = Bench(Mlp(), INTERFACE)


def pool(size: int, at: int = 0, width: int = 1) -> Pool:
    site = Site(word="linear", path=f"layer{at}", module=f"layer{at}")
    return Pool(key=f"layer{at}.weight[0]", size=size, sites=(site,), axis=at, width=width)


def weights(shape: Sequence[int], at: int = 0) -> Pool:
    size = int(torch.Size(shape).numel())
    return Pool(key=f"layer{at}.weight", size=size, sites=(), tensor=f"layer{at}.weight")


def take(
    word: Ranked | Below | Above | Only | All,
    pools: Sequence[Pool],
    scores: Sequence[Tensor],
    roundings: Sequence[Rounding] | None = None,
    per: str = "site",
) -> Picked:
    rules = tuple(roundings or [Rounding(keep_at_least=1)] * len(pools))
    context = static(INTERFACE)
    taken, total, indices = word.select(tuple(pools), rules, per, context)
    assert context.sink.found == (), [found.message for found in context.sink.found]
    selection = Selection(step="s", unit="channels", pools=tuple(pools), taken=taken, total=total, indices=indices)
    picked = word.pick(selection, {p.key: s for p, s in zip(pools, scores, strict=True)}, rules, per, RUNTIME)
    for possible, exact in zip(taken, picked.selection.taken, strict=True):
        assert possible.least <= exact.least == exact.most <= possible.most
        assert (exact.least - possible.least) % possible.step == 0
    if total is not None:
        assert total.least <= picked.selection.total.least <= total.most
    return picked


# ---- lowest and highest ------------------------------------------------------------------------------------------


def test_ties_go_to_the_lower_index() -> None:
    scores = torch.tensor([2.0, 1.0, 1.0, 0.0, 1.0, 3.0])
    assert take(Lowest(amount=3), [pool(6)], [scores]).indices == ((1, 2, 3),)
    assert take(Highest(amount=3), [pool(6)], [-scores]).indices == ((1, 2, 3),)
    assert take(Highest(amount=2), [pool(6)], [scores]).indices == ((0, 5),)


@pytest.mark.parametrize(("amount", "count"), [(25, 2), (17, 2), (16, 1), (50, 5), (94, 8)])
def test_percentages_count_the_pool(amount: int, count: int) -> None:
    picked = take(Lowest(amount=percent(amount)), [pool(9)], [torch.arange(9.0)])
    assert picked.indices == (tuple(range(count)),)


def test_an_arrow_leaves_what_it_says() -> None:
    assert take(Lowest(amount=arrow(8, 3)), [pool(8)], [torch.arange(8.0)]).indices == ((0, 1, 2, 3, 4),)


def test_counts_of_grouped_channels_go_in_sets() -> None:
    assert take(Lowest(amount=4), [pool(6, width=4)], [torch.arange(6.0)]).indices == ((0,),)
    assert take(Lowest(amount=arrow(24, 16)), [pool(6, width=4)], [torch.arange(6.0)]).indices == ((0, 1),)


def test_a_global_ranking_spans_all_pools_and_ties_go_to_the_earlier() -> None:
    one, two = torch.tensor([1.0, 5.0, 1.0]), torch.tensor([1.0, 0.0, 6.0, 7.0])
    pools = [pool(3), pool(4, 1)]
    assert take(Lowest(amount=3), pools, [one, two], per="global").indices == ((0, 2), (1,))
    assert take(Highest(amount=3), pools, [one, two], per="global").indices == ((1,), (2, 3))


def test_a_floor_of_one_pool_moves_the_rest_to_the_others() -> None:
    one, two = torch.tensor([0.0, 0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    rules = [Rounding(keep_at_least=3), Rounding(keep_at_least=1)]
    picked = take(Lowest(amount=4), [pool(4), pool(4, 1)], [one, two], rules, per="global")
    assert picked.indices == ((0,), (0, 1, 2))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("largest", [False, True])
def test_global_choices_against_sorting_everything(seed: int, largest: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = [5, 9, 3, 7]
    scores = [torch.randint(0, 4, (size,), generator=generator).double() for size in sizes]
    floors = torch.randint(1, 4, (4,), generator=generator).tolist()
    count = int(torch.randint(1, 12, (1,), generator=generator))
    order = sorted(
        ((-s if largest else s, at, index) for at, one in enumerate(scores) for index, s in enumerate(one.tolist())),
    )
    wanted: list[list[int]] = [[] for _ in sizes]
    for _, at, index in order:
        if sum(map(len, wanted)) < count and len(wanted[at]) < sizes[at] - min(floors[at], sizes[at]):
            wanted[at].append(index)
    word = Highest(amount=count) if largest else Lowest(amount=count)
    rules = [Rounding(keep_at_least=floor) for floor in floors]
    picked = take(word, [pool(size, at) for at, size in enumerate(sizes)], scores, rules, per="global")
    assert picked.indices == tuple(tuple(sorted(one)) for one in wanted)


def test_a_multiple_moves_each_count_of_a_global_ranking_to_the_nearest() -> None:
    one, two = torch.arange(8.0), torch.arange(8.0) + 3.5
    rules = [Rounding(multiple=4, keep_at_least=1)] * 2
    picked = take(Lowest(amount=5), [pool(8), pool(8, 1)], [one, two], rules, per="global")
    # four of the first and one of the second are lowest; one rounds to none
    assert picked.indices == ((0, 1, 2, 3), ())


def test_weights_are_taken_by_masks_from_streams() -> None:
    first, second = torch.tensor([[0.5, -3.0], [0.1, 2.0]]), torch.tensor([-0.2, 4.0, 0.3])
    pools = [weights((2, 2)), weights((3,), 1)]
    streams = {p.key: Scores((w,)) for p, w in zip(pools, (first, second), strict=True)}
    rules = (Rounding(keep_at_least=1),) * 2
    word = Lowest(amount=percent(50))
    taken, total, _ = word.select(tuple(pools), rules, "global", static(INTERFACE))
    assert total == Extent(least=4, most=4)
    selection = Selection(step="s", unit="weights", pools=tuple(pools), taken=taken, total=total)
    picked = word.pick(selection, streams, rules, "global", RUNTIME)
    assert picked.masks["layer0.weight"].tolist() == [[True, False], [True, False]]
    assert picked.masks["layer1.weight"].tolist() == [True, False, True]
    assert [extent.least for extent in picked.selection.taken] == [2, 2]


# ---- bounds and lists --------------------------------------------------------------------------------------------


def test_bounds_are_strict_and_exact() -> None:
    third = 1 / 3
    scores = torch.tensor([third, third - 1e-9, 0.5, third + 1e-9], dtype=torch.float64)
    assert take(Below(bound=third), [pool(4)], [scores]).indices == ((1,),)
    assert take(Above(bound=third), [pool(4)], [scores]).indices == ((2, 3),)
    # a float32 score just below the bound is below it, though both round to one float32
    coarse = torch.tensor([0.1, 0.1, 0.2], dtype=torch.float32)
    assert take(Below(bound=0.1), [pool(3)], [coarse]).indices == ((),)
    assert take(Below(bound=0.10000001), [pool(3)], [coarse]).indices == ((0, 1),)


def test_a_floor_keeps_those_nearest_to_the_bound() -> None:
    scores = torch.tensor([0.3, 0.1, 0.2, 0.9])
    picked = take(Below(bound=0.5), [pool(4)], [scores], [Rounding(keep_at_least=2)])
    assert picked.indices == ((1, 2),)
    picked = take(Above(bound=0.0), [pool(4)], [scores], [Rounding(keep_at_least=3)])
    assert picked.indices == ((3,),)


def test_lists_name_units() -> None:
    assert take(Only(units=(5, 1)), [pool(6)], [torch.zeros(6)]).indices == ((1, 5),)
    span = Range(first=2, last=4)
    assert take(Only(units=span), [pool(6), pool(6, 1)], [torch.zeros(6)] * 2).indices == ((2, 3, 4), (2, 3, 4))
    assert take(All(), [pool(3)], [torch.zeros(3)], [Rounding(keep_at_least=1)]).indices == ((0, 1, 2),)


def test_lists_of_weights_are_row_major() -> None:
    linear = Mlp()
    runtime = Bench(linear, INTERFACE)
    one = Pool(key="head.weight", size=18, sites=(), tensor="head.weight")
    word = Only(units=(0, 7, 17))
    taken, total, indices = word.select((one,), (Rounding(keep_at_least=1),), "site", static(INTERFACE))
    selection = Selection(step="s", unit="weights", pools=(one,), taken=taken, total=total, indices=indices)
    mask = word.pick(selection, {}, (Rounding(),), "site", runtime).masks["head.weight"]
    assert mask.shape == linear.head.weight.shape
    assert mask.nonzero().tolist() == [[0, 0], [1, 1], [2, 5]]


# ---- amounts that cannot be written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount", [percent(0), percent(-5), percent("100.1"), 0, -3, arrow(4, 4), arrow(4, 8), arrow(4, 0)]
)
def test_amounts_out_of_range_cannot_be_built(amount: object) -> None:
    with pytest.raises(ValidationError):
        Lowest(amount=amount)


def test_amounts_survive_json() -> None:
    for amount in (percent("12.5"), arrow(8, 4), 7):
        word = Lowest(amount=amount)
        assert Lowest.model_validate_json(word.model_dump_json()) == word
        assert word.asked.startswith("lowest ")
    for units in ((1, 2), Range(first=1, last=2)):
        only = Only(units=units)
        assert Only.model_validate_json(only.model_dump_json()) == only
