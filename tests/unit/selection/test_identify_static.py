"""The static rule of identify on traced networks: what it counts, and what it says of every mistake."""

from fractions import Fraction

import pytest
from torch import nn

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Target
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.criteria.bn_scale import BnScale
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.head import Head
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.sites.param import Param
from surgery_dsl.vocabulary.sites.relu import Relu
from surgery_dsl.vocabulary.takes.all import All
from surgery_dsl.vocabulary.takes.below import Below
from surgery_dsl.vocabulary.takes.dead import Dead
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.modules import Modules
from surgery_dsl.vocabulary.units.weights import Weights
from surgery_dsl.vocabulary.values import Percent, Range
from tests.unit.selection.bench import arrow, block, percent, refused, select, selected, static, traced
from tests.unit.selection.networks import Cnn, Dense, Language, Mlp, Residual

MLP = traced(Mlp(), "N", 5)
CNN = traced(Cnn(), "N", 2, 8, 8)
GROUPED = traced(Cnn(groups=4), "N", 2, 8, 8)
RESIDUAL = traced(Residual(), "N", 5)
LANGUAGE = traced(Language(), "B", "T", dtype="i64", below=11)

HALF = Lowest(amount=percent(50), span=Span(5, 1, 5, 9))
BY = Magnitude(span=Span(4, 1, 4, 9))


def counts(interface: object, **attributes: object) -> list[tuple[int, int, int]]:
    selection = selected(interface, block(Conv2d(pattern="features.*"), by=BY, **attributes))
    return [(extent.least, extent.most, extent.step) for extent in selection.taken]


# ---- counts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "taken"),
    [
        ({"take": HALF}, [4, 6]),
        ({"take": Lowest(amount=percent(40))}, [3, 5]),
        ({"take": Lowest(amount=percent(40)), "round": 4}, [4, 4]),
        ({"take": Lowest(amount=percent(38)), "round": 4}, [4, 4]),
        ({"take": Lowest(amount=percent(90)), "floor": 6}, [2, 6]),
        ({"take": Lowest(amount=percent(90)), "floor": percent(70)}, [2, 3]),
        ({"take": Lowest(amount=percent(90)), "cap": 3}, [3, 3]),
        ({"take": Lowest(amount=percent(90)), "cap": percent(30)}, [2, 3]),
        ({"take": Lowest(amount=2)}, [2, 2]),
    ],
)
def test_exact_counts(attributes: dict[str, object], taken: list[int]) -> None:
    assert [least for least, most, _ in counts(CNN, **attributes)] == taken
    assert all(least == most for least, most, _ in counts(CNN, **attributes))


def test_asked_and_spans_are_kept() -> None:
    selection = selected(CNN, block(Conv2d(pattern="features.*"), by=BY, take=HALF))
    assert (selection.asked, selection.span, selection.unit) == ("lowest 50%", HALF.span, "channels")
    assert [pool.key for pool in selection.pools] == ["features.0.weight[0]", "features.3.weight[0]"]
    assert selection.total == Extent(least=10, most=10)


def test_a_global_ranking_leaves_each_pool_open_and_fixes_the_sum() -> None:
    selection = selected(CNN, block(Conv2d(pattern="features.*"), by=BY, take=HALF, per="global", floor=2))
    assert [(e.least, e.most) for e in selection.taken] == [(0, 6), (4, 10)]
    assert selection.total == Extent(least=10, most=10)


def test_thresholds_and_findings_leave_everything_open_down_to_the_floor() -> None:
    assert counts(CNN, take=Below(bound=1.0)) == [(0, 7, 1), (0, 11, 1)]
    assert counts(CNN, take=Below(bound=1.0), floor=3) == [(0, 5, 1), (0, 9, 1)]
    assert counts(CNN, take=Below(bound=1.0), round=4) == [(0, 4, 4), (0, 8, 4)]
    assert counts(CNN, take=Dead(data="train")) == [(0, 7, 1), (0, 11, 1)]


def test_grouped_channels_count_in_sets() -> None:
    step = block(Conv2d(pattern="features.3"), by=BY, take=Lowest(amount=arrow(12, 8)))
    (pool,) = selected(GROUPED, step).pools
    assert (pool.size, pool.width, pool.key) == (3, 4, "features.3.weight[0].1")
    step = block(Conv2d(pattern="features.3"), by=BY, take=HALF, round=8, floor=5)
    selection = selected(GROUPED, step)
    # 3 units of 4 channels: 8 channels are 2 units, and at least 5 channels are 2 units
    assert [extent.least for extent in selection.taken] == [1]


def test_coupled_sites_share_a_pool() -> None:
    selection = selected(RESIDUAL, block(Linear(pattern="{stem,blocks.*.fc2}"), by=BY, take=HALF))
    (pool,) = selection.pools
    assert (pool.size, len(pool.sites)) == (6, 4)
    selection = selected(RESIDUAL, block(Linear(pattern="**", except_=("head",)), by=BY, take=HALF))
    assert [pool.size for pool in selection.pools] == [6, 7, 7, 7]


def test_weights_of_tied_tensors_count_once() -> None:
    step = block(Param(pattern="{embed,head}.weight"), unit=Weights(), by=BY, take=HALF)
    (pool,) = selected(LANGUAGE, step).pools
    assert (pool.key, pool.size, len(pool.sites)) == ("embed.weight", 66, 2)


def test_weights_of_a_module_are_all_its_parameters() -> None:
    step = block(Module(pattern="blocks.0"), unit=Weights(), by=BY, take=HALF)
    keys = [pool.key for pool in selected(RESIDUAL, step).pools]
    assert keys == [f"blocks.0.{name}" for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")]


def test_sizes_that_an_earlier_choice_left_open_are_all_counted() -> None:
    first = selected(CNN, block(Conv2d(pattern="features.3"), by=BY, take=Below(bound=1.0), floor=5))
    draft = Draft(CNN)
    Remove().transfer(first, draft, static(CNN))
    after = draft.finish()
    step = block(Conv2d(pattern="features.3"), by=BY, take=Lowest(amount=percent(30)), round=2)
    (extent,) = selected(after, step).taken
    brute = set()
    for size in range(5, 13):
        asked = (2 * 3 * size + 10) // 20
        nearest = min((k for k in range(2, size + 1, 2)), key=lambda kept: (abs(kept - (size - asked)), -kept))
        brute.add(size - nearest)
    assert (extent.least, extent.most) == (min(brute), max(brute))
    weights = selected(after, block(Conv2d(pattern="features.3"), unit=Weights(), by=BY, take=HALF)).taken[0]
    assert (weights.least, weights.most) == (5 * 8 * 9 // 2, 12 * 8 * 9 // 2)
    (extent,) = selected(after, block(Conv2d(pattern="features.3"), by=BY, take=HALF, per="global")).taken
    assert (extent.least, extent.most) == (0, 11)


def test_what_an_earlier_step_brought_in_is_a_set_of_sites() -> None:
    step = block(unit=Weights(), by=BY, take=HALF).replaced(sites=(Target(step="adapters", span=Span(3, 6, 3, 14)),))
    selection = selected(RESIDUAL, step, brought={"adapters": ("blocks.0.fc1", "blocks.1.fc1")})
    assert [pool.tensor for pool in selection.pools][::2] == ["blocks.0.fc1.weight", "blocks.1.fc1.weight"]
    found = refused(RESIDUAL, step, effects={"adapters": Effect(function="exact")})
    assert (found.code.name, found.span) == ("sites-do-not-fit", Span(3, 6, 3, 14))


def test_optional_selectors_may_match_nothing() -> None:
    step = block(Conv2d(pattern="nothing"), by=BY, take=HALF, optional=True)
    selection, found = select(CNN, step)
    assert selection is not None
    assert (selection.pools, found) == ((), ())


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_names_the_closest() -> None:
    found = refused(CNN, block(Conv2d(pattern="feature.*", span=Span(3, 8, 3, 30)), by=BY, take=HALF))
    assert (found.code.name, found.span) == ("selector-unmatched", Span(3, 8, 3, 30))
    assert found.facts == {"pattern": "feature.*", "matched": 0, "sites": 2}
    assert "`features.*` (2 conv2d sites)" in found.notes[-1]
    assert found.help == 'write "features.*"'


def test_a_pattern_that_matches_another_kind_says_so() -> None:
    found = refused(CNN, block(Conv2d(pattern="head"), by=BY, take=HALF))
    assert "`head` is there, but is a Linear" in found.notes


def test_each_alternative_and_each_exception_must_match() -> None:
    found = refused(MLP, block(Linear(pattern="hidden.{0,7}"), by=BY, take=HALF))
    assert "`hidden.7`, an alternative of `hidden.{0,7}`" in found.message
    found = refused(MLP, block(Linear(pattern="**", except_=("head", "neck")), by=BY, take=HALF))
    assert found.message.startswith("except: `neck` matches none")


def test_a_network_without_such_sites_says_so() -> None:
    found = refused(MLP, block(Conv2d(pattern="**"), by=BY, take=HALF))
    assert "the network has no conv2d at all" in found.notes


def test_bad_patterns_say_what_is_wrong() -> None:
    found = refused(MLP, block(Linear(pattern="hidden.{0"), by=BY, take=HALF))
    assert found.code.name == "malformed-pattern"


def test_expect_counts_sites() -> None:
    step = block(Conv2d(pattern="**"), by=BY, take=HALF, expect=1, spans={"expect": Span(9, 1, 9, 4)})
    found = refused(CNN, step)
    assert (found.code.name, found.span) == ("expect-mismatch", Span(9, 1, 9, 4))
    assert found.facts == {"matched": 2, "expected": 1}
    assert "`features.0`, `features.3`" in found.notes[0]


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"unit": None, "take": HALF, "by": BY}, "missing-unit"),
        ({"take": None, "by": BY}, "missing-take"),
        ({"take": HALF, "by": None}, "missing-criterion"),
        ({"take": HALF, "by": BnScale(), "unit": Weights()}, "criterion-does-not-fit"),
    ],
)
def test_what_a_block_lacks(attributes: dict[str, object], code: str) -> None:
    assert refused(CNN, block(Conv2d(pattern="features.*"), **attributes)).code.name == code


def test_bn_scale_needs_a_norm_and_dead_an_activation() -> None:
    found = refused(MLP, block(Linear(pattern="hidden.0"), by=BnScale(), take=HALF))
    assert (found.code.name, found.path) == ("criterion-does-not-fit", "hidden.0")
    found = refused(MLP, block(Linear(pattern="head"), take=Dead(data="train")))
    assert (found.code.name, found.path) == ("criterion-does-not-fit", "head")


@pytest.mark.parametrize(
    ("attributes", "code", "facts"),
    [
        ({"take": Lowest(amount=8)}, "emptied-site", {"taken": 8, "units": 8}),
        ({"take": Lowest(amount=percent(100))}, "emptied-site", {"taken": 8, "units": 8}),
        ({"take": Lowest(amount=percent(2))}, "rounds-to-nothing", {"asked": "2% (0.16)", "achieved": 0, "units": 8}),
        ({"take": Lowest(amount=1), "round": 4}, "rounds-to-nothing", {"asked": "1", "achieved": 0, "units": 8}),
        ({"take": HALF, "floor": 8}, "rounds-to-nothing", {"units": 8, "kept": 8, "floor": 8, "multiple": 1}),
        ({"take": HALF, "round": 16}, "rounds-to-nothing", {"units": 8, "kept": 8, "floor": 1, "multiple": 16}),
        ({"take": HALF, "cap": 0}, "rounds-to-nothing", {"units": 8, "kept": 8, "floor": 1, "multiple": 1}),
        ({"take": HALF, "round": 0}, "argument-out-of-range", {}),
        ({"take": Lowest(amount=arrow(9, 4))}, "untrue-arrow", {"said": 9, "units": 8}),
        ({"take": Lowest(amount=arrow(8, 3)), "round": 4}, "count-forbidden", {"kept": 3, "nearest": 4}),
        ({"take": Lowest(amount=arrow(8, 3)), "floor": 4}, "count-forbidden", {"kept": 3, "nearest": 4}),
        ({"take": Lowest(amount=arrow(8, 3)), "cap": 2}, "count-forbidden", {"kept": 3, "nearest": 6}),
        ({"take": Only(units=()), "by": None}, "empty-selection", {}),
        ({"take": Only(units=Range(first=5, last=3)), "by": None}, "empty-selection", {}),
        ({"take": Only(units=(1, 2, 1)), "by": None}, "duplicate-index", {"index": 1}),
        ({"take": Only(units=(1, 8)), "by": None}, "index-out-of-range", {"index": 8, "units": 8}),
        ({"take": Only(units=(-1,)), "by": None}, "index-out-of-range", {"index": -1, "units": 8}),
        (
            {"take": Only(units=Range(first=0, last=10**9)), "by": None},
            "index-out-of-range",
            {"index": 10**9, "units": 8},
        ),
        ({"take": Only(units=(0, 1, 2)), "floor": 6, "by": None}, "count-forbidden", {"kept": 5, "nearest": 6}),
        ({"take": Only(units=(0,)), "round": 2, "by": None}, "count-forbidden", {"kept": 7, "nearest": 8}),
        ({"take": All(), "floor": 2, "by": None}, "count-forbidden", {"kept": 0, "nearest": 2}),
    ],
)
def test_counts_that_cannot_be(attributes: dict[str, object], code: str, facts: dict[str, object]) -> None:
    attributes = {"by": BY} | attributes
    found = refused(CNN, block(Conv2d(pattern="features.0"), **attributes))
    assert (found.code.name, dict(found.facts)) == (code, facts)
    assert found.help


def test_the_least_share_that_is_named_does_take_one() -> None:
    for size in (2, 3, 7, 16, 31, 59):
        network = nn.Sequential(nn.Linear(3, size), nn.ReLU(), nn.Linear(size, 2))
        interface = traced(network, "N", 3)
        share = Percent(value=Fraction(1, 10))
        found = refused(interface, block(Linear(pattern="0"), by=BY, take=Lowest(amount=share)))
        least = found.help.removeprefix("take at least ").removesuffix("%")
        taken = selected(interface, block(Linear(pattern="0"), by=BY, take=Lowest(amount=percent(least)))).taken
        assert taken[0].least == 1


def test_groups_must_stay_equal() -> None:
    found = refused(GROUPED, block(Conv2d(pattern="features.3"), by=BY, take=Lowest(amount=3)))
    assert (found.code.name, found.facts) == ("group-indivisible", {"taken": 3, "groups": 4})
    assert found.help == "take 4 or another multiple of 4"
    found = refused(GROUPED, block(Conv2d(pattern="features.3"), take=Only(units=(0, 3))))
    assert (found.code.name, found.facts) == ("group-indivisible", {"named": 2, "complete": 4, "groups": 4})
    assert found.help == "the smallest completion is only([0, 3, 6, 9])"


def test_units_that_sites_do_not_have() -> None:
    found = refused(MLP, block(Relu(pattern="act.0"), unit=Weights(), by=BY, take=HALF))
    assert (found.code.name, found.path, found.span) == ("unit-does-not-fit", "act.0", Span(3, 1, 3, 9))
    found = refused(RESIDUAL, block(Param(pattern="stem.weight"), by=BY, take=HALF))
    assert found.code.name == "unit-does-not-fit"
    found = refused(MLP, block(Module(pattern="."), unit=Modules(), by=BY, take=HALF))
    assert found.code.name == "unit-does-not-fit"


def test_modules_have_one_parent() -> None:
    found = refused(RESIDUAL, block(Module(pattern="blocks.*.fc1"), unit=Modules(), take=Only(units=(0,))))
    assert (found.code.name, found.facts) == ("several-parents", {"parents": 3, "modules": 3})


def test_a_dimension_that_a_tensor_lacks() -> None:
    found = refused(MLP, block(Param(pattern="hidden.0.bias", dim=1), by=BY, take=HALF))
    assert (found.code.name, found.facts) == ("index-out-of-range", {"dim": 1, "dimensions": 1})


def test_axes_of_the_input_size_have_no_units() -> None:
    conv = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU())
    interface = traced(conv, "N", 2, "H", "W")
    assert [pool.size for pool in selected(interface, block(Relu(pattern="1"), take=Only(units=(0,)))).pools] == [3]


# ---- heads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interface", "paths"),
    [(MLP, ["head"]), (CNN, ["head"]), (LANGUAGE, ["head"]), (traced(Dense(), "N", 2, 6, 6), ["head"])],
)
def test_heads_write_the_outputs(interface: object, paths: list[str]) -> None:
    sites = Head().resolve(interface, static(interface))
    assert [site.path for site in sites] == paths


def test_two_heads_are_found_through_what_joins_them() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return (self.a(x) + self.b(x)).softmax(-1)

    interface = traced(Two(), "N", 4)
    assert [site.path for site in Head().resolve(interface, static(interface))] == ["a", "b"]
