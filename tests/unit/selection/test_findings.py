"""Redundant units, against cosines taken one by one, and the boxes of all that finds and compares."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.model import Interface
from surgery_dsl.kernels.scores import axis_products
from surgery_dsl.run.identify import identify
from surgery_dsl.vocabulary.selection import Pool, Rounding
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.takes._beyond import open_counts
from surgery_dsl.vocabulary.takes._counting import shared_out, taken_nearest, taken_within
from surgery_dsl.vocabulary.takes.redundant import Redundant
from surgery_dsl.vocabulary.units.weights import Weights
from tests.unit.selection.bench import Bench, Examples, block, refused, selected, traced
from tests.unit.selection.networks import Cnn, Mlp, settled

GENERATOR = torch.Generator().manual_seed(5)
ROWS = torch.randn(40, 5, generator=GENERATOR, dtype=torch.float64)
IMAGES = torch.randn(12, 2, 8, 8, generator=GENERATOR, dtype=torch.float64)


def mlp() -> tuple[nn.Module, Interface]:
    model = settled(Mlp())
    return model, traced(model, "N", 5, dtype="f64")


def expected(outputs: Tensor, least: float) -> tuple[int, ...]:
    """Units, in order, that are like an earlier one that stays; ``outputs`` is (units, entries)."""
    found: list[int] = []
    stays: list[int] = []
    for unit, own in enumerate(outputs):
        alike = [nn.functional.cosine_similarity(own, outputs[other], dim=0) for other in stays]
        if own.abs().max() > 0 and any(float(one) >= least for one in alike):
            found.append(unit)
        else:
            stays.append(unit)
    return tuple(found)


def taken(model: nn.Module, interface: Interface, step: object, data: Tensor, batch: int = 7) -> tuple[int, ...]:
    examples = Examples(data, torch.zeros(len(data), dtype=torch.int64), batch=batch)
    selection = selected(interface, step)
    picked = identify(step, selection, Bench(model, interface, examples))
    (extent,), (found,) = selection.taken, picked.indices
    assert extent.least <= len(found) <= extent.most
    return found


@pytest.mark.parametrize("least", [0.3, 0.6, 0.9])
def test_units_that_point_where_an_earlier_one_points_are_found(least: float) -> None:
    model, interface = mlp()
    step = block(Linear(pattern="hidden.0"), take=Redundant(data="train", cosine=least))
    outputs = model.hidden[0](ROWS).relu().T.detach()
    assert taken(model, interface, step, ROWS) == expected(outputs, least)


def test_multiples_are_redundant_at_a_cosine_of_one_and_dead_units_are_not() -> None:
    model, interface = mlp()
    with torch.no_grad():
        for copy, factor in ((3, 2.0), (5, 0.25)):
            model.hidden[0].weight[copy] = factor * model.hidden[0].weight[1]
            model.hidden[0].bias[copy] = factor * model.hidden[0].bias[1]
        for dead in (0, 6):
            model.hidden[0].weight[dead] = 0
            model.hidden[0].bias[dead] = -1
    step = block(Linear(pattern="hidden.0"), take=Redundant(data="train", cosine=1.0))
    assert taken(model, interface, step, ROWS) == (3, 5)


def test_channels_are_compared_over_all_positions() -> None:
    model = settled(Cnn(bias=True))
    interface = traced(model, "N", 2, 8, 8, dtype="f64")
    step = block(Conv2d(pattern="features.0"), take=Redundant(data="train", cosine=0.7))
    outputs = model.features[2](model.features[1](model.features[0](IMAGES))).transpose(0, 1).flatten(1).detach()
    assert taken(model, interface, step, IMAGES, batch=5) == expected(outputs, 0.7)


def test_under_a_cap_the_most_alike_go() -> None:
    model, interface = mlp()
    outputs = model.hidden[0](ROWS).relu().T.detach()
    found = expected(outputs, 0.1)
    assert len(found) > 2
    stays = [unit for unit in range(len(outputs)) if unit not in found]

    def nearest(unit: int) -> float:
        alike = [nn.functional.cosine_similarity(outputs[unit], outputs[s], dim=0) for s in stays if s < unit]
        return max(map(float, alike))

    step = block(Linear(pattern="hidden.0"), take=Redundant(data="train", cosine=0.1), cap=2)
    assert taken(model, interface, step, ROWS) == tuple(sorted(sorted(found, key=nearest)[-2:]))


def test_one_of_equal_units_stays() -> None:
    model, interface = mlp()
    with torch.no_grad():
        model.hidden[0].weight.copy_(model.hidden[0].weight[:1].expand_as(model.hidden[0].weight))
        model.hidden[0].bias.fill_(0.5)
    step = block(Linear(pattern="hidden.0"), take=Redundant(data="train"))
    assert taken(model, interface, step, ROWS) == tuple(range(1, 8))


def test_what_has_no_output_of_its_own_is_refused() -> None:
    _, interface = mlp()
    step = block(Linear(pattern="hidden.0"), unit=Weights(), take=Redundant(data="train"))
    assert refused(interface, step).code.id == "SD127"
    assert refused(interface, block(Linear(pattern="head"), take=Redundant(data="train"))).code.id == "SD126"


def test_products_are_those_of_a_plain_formula() -> None:
    tensor = torch.randn(3, 4 * 5 * 2, 6, generator=GENERATOR)
    wide = tensor.double().view(3, 4, 5, 2, 6).permute(2, 0, 1, 3, 4).flatten(1)
    torch.testing.assert_close(
        axis_products(tensor, 1, sizes=(4, 5, 2), position=1), wide @ wide.T, rtol=1e-12, atol=1e-12
    )


# ---- boxes -------------------------------------------------------------------------------------------------------


def pool(size: int) -> Pool:
    return Pool(key=f"of {size}", size=size, sites=(), axis=0)


RULES = [
    Rounding(multiple=multiple, keep_at_least=floor, remove_at_most=cap)
    for multiple, floor, cap in product((1, 2, 3, 4), (1, 2, 5), (None, 0, 1, 4))
]


@pytest.mark.parametrize("size", range(1, 13))
def test_whatever_is_found_lies_in_the_box_and_each_end_of_the_box_is_reached(size: int) -> None:
    for rule in RULES:
        ((extent,), total, _) = open_counts((pool(size),), (rule,))
        assert total is None
        reached = {taken_within(size, found, rule) for found in range(size + 1)}
        assert {extent.least, extent.most} <= reached <= set(range(extent.least, extent.most + 1, extent.step))
        for count in reached - {0}:
            kept = size - count
            assert kept >= rule.keep_at_least
            assert kept % rule.multiple == 0
            assert rule.remove_at_most is None or count <= rule.remove_at_most


@pytest.mark.parametrize("sizes", [(3, 4), (2, 5, 3), (4, 4, 4)])
def test_every_way_to_share_out_a_ranking_lies_in_its_boxes_and_its_sum(sizes: tuple[int, ...]) -> None:
    for rule in (Rounding(keep_at_least=1), Rounding(keep_at_least=2), Rounding(keep_at_least=1, remove_at_most=2)):
        rules = (rule,) * len(sizes)
        limits = [size - max(rule.keep_at_least, size - (rule.remove_at_most or size)) for size in sizes]
        for asked in range(1, sum(sizes)):
            extents, total = shared_out(sizes, asked, rules)
            wanted = min(asked, sum(max(0, limit) for limit in limits))
            ways = [c for c in product(*(range(max(0, n) + 1) for n in limits)) if sum(c) == wanted]
            assert (total.least, total.most) == (wanted, wanted)
            for at, extent in enumerate(extents):
                seen = {way[at] for way in ways}
                assert (extent.least, extent.most) == (min(seen), max(seen))


def test_rounding_after_a_ranking_stays_in_the_boxes_and_the_sum() -> None:
    sizes, rule = (6, 8, 5), Rounding(multiple=2, keep_at_least=1)
    for asked in range(1, sum(sizes)):
        extents, total = shared_out(sizes, asked, (rule,) * 3)
        limits = [4, 6, 3]  # at least two stay
        for way in product(*(range(limit + 1) for limit in limits)):
            if sum(way) == min(asked, sum(limits)):
                counts = [taken_nearest(size, count, rule) for size, count in zip(sizes, way, strict=True)]
                assert all(e.least <= c <= e.most for e, c in zip(extents, counts, strict=True))
                assert total.least <= sum(counts) <= total.most
