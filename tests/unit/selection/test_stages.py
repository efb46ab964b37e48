"""Stages of a schedule on a live network: what is gone after each is what the share of the original asks for."""

import copy
from fractions import Fraction

import pytest
import torch

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.identify import identify
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.criteria.random import Random
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.modes.zero import Zero
from surgery_dsl.vocabulary.schedules.cubic import Cubic
from surgery_dsl.vocabulary.selection import Selection
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.takes._counting import share_of, taken_nearest
from surgery_dsl.vocabulary.takes._staged import Staged
from surgery_dsl.vocabulary.units.weights import Weights
from tests.unit.selection.bench import Bench, block, percent, percents, refused, selected, static, traced
from tests.unit.selection.networks import Cnn, Mlp, settled

SHARES = Cubic(range=percents(0, 60), steps=6).stages()
IMAGE = ("N", 2, 8, 8)


def stage(at: int, *, removes: bool) -> Staged:
    return Staged(
        amount=percent(50),
        before=SHARES[at - 1] if removes and at else Fraction(0),
        reached=SHARES[at],
        last=at == len(SHARES) - 1,
    )


@pytest.mark.parametrize("attributes", [{}, {"round": 2}, {"floor": 6}, {"cap": 4}, {"cap": percent(40), "round": 3}])
@pytest.mark.parametrize("per", ["site", "global"])
def test_removal_by_stages(attributes: dict[str, object], per: str) -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, dtype="f64")
    originals = (8, 12)
    earlier: dict[str, Selection] = {}
    for at, share in enumerate(SHARES):
        take = stage(at, removes=True)
        step = block(Conv2d(pattern="features.*"), by=Magnitude(), take=take, per=per, **attributes)
        if take.last and per == "global" and attributes.keys() & {"floor", "cap"}:
            found = refused(interface, step, selections=earlier)
            assert found.code.id == "SD316", "60 % of all units are more than floor and cap let go"
            return
        selection = selected(interface, step, selections=earlier)
        picked = identify(step, selection, Bench(model, interface))
        draft = Draft(interface)
        Remove().transfer(picked.selection, draft, static(interface))
        for change in Remove().execute(picked, Bench(model, interface)):
            carry_out(model, change)
        traced_again = traced(model, *IMAGE, dtype="f64")
        assert differences(draft.finish(), traced_again) == ()
        interface, earlier = draft.finish(), {"step": picked.selection}
        left = [model.features[0].out_channels, model.features[3].out_channels]
        gone = sum(originals) - sum(left)
        if per == "site":
            floors = [rounding(attributes, original) for original in originals]
            assert left == [
                original - taken_nearest(original, share_of(share, original), rule)
                for original, rule in zip(originals, floors, strict=True)
            ]
        else:
            assert selection.gone is not None
            assert selection.gone.least <= gone <= selection.gone.most
            if not attributes:
                assert gone == share_of(share, sum(originals))


def rounding(attributes: dict[str, object], original: int) -> object:
    from surgery_dsl.proof.identify import roundings_of
    from surgery_dsl.vocabulary.selection import Pool

    one = Pool(key="", size=original, sites=(), axis=0, original=original)
    return roundings_of(block(Conv2d(pattern="**"), **attributes), [one])[0]


@pytest.mark.parametrize("per", ["site", "global"])
def test_zeros_by_stages_count_all_weights(per: str) -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    runtime = Bench(copy.deepcopy(model), interface)
    earlier: dict[str, Selection] = {}
    held: dict[str, torch.Tensor] = {}
    for at, share in enumerate(SHARES):
        step = block(Linear(pattern="**"), unit=Weights(), by=Random(seed=at), take=stage(at, removes=False), per=per)
        selection = selected(interface, step, selections=earlier)
        picked = identify(step, selection, runtime)
        for change in Zero().execute(picked, runtime):
            assert all(bool((change.zero[name] >= mask).all()) for name, mask in held.items()), "held zeros stay"
            held = dict(change.zero)
            carry_out(runtime.model, change)
        runtime.held = held
        earlier = {"step": picked.selection}
        sizes = [40, 48, 18]
        zeros = [int(mask.sum()) for mask in held.values()]
        if per == "site":
            assert zeros == [share_of(share, size) for size in sizes]
        else:
            assert sum(zeros) == share_of(share, sum(sizes))


def test_a_stage_may_take_nothing_but_not_all_of_them() -> None:
    interface = traced(Mlp(), "N", 5)
    small = Staged(amount=percent(1), reached=Fraction(1, 100))
    step = block(Linear(pattern="hidden.*"), by=Magnitude(), take=small)
    assert [extent.most for extent in selected(interface, step).taken] == [0, 0]
    last = block(Linear(pattern="hidden.0"), by=Magnitude(), take=small.replaced(last=True))
    assert refused(interface, last).code.name == "rounds-to-nothing"
    whole = Staged(amount=percent(100), reached=Fraction(1))
    assert refused(interface, block(Linear(pattern="hidden.0"), by=Magnitude(), take=whole)).code.name == "emptied-site"
