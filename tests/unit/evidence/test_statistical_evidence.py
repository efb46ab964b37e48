"""From values of examples to verdicts: forms, bounds, order, and the re-check of what is stored."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from scipy import stats  # type: ignore[import-untyped]
from torch import Tensor

from surgery_dsl.evidence.statistics import betting
from surgery_dsl.evidence.statistics.deciding import Sample, bounds, needed
from surgery_dsl.evidence.statistics.order import order_of, seed_of
from surgery_dsl.evidence.statistics.recheck import recheck, recomputed

DIGEST = "ab" * 32
LINE = "loss(test, confidence = 95%, clip = 2) <= base.loss(test) + 0.3"
SEED = seed_of(DIGEST, LINE)


def sample(items: Tensor, **changes: Any) -> Sample:
    usual = Sample(
        items=items,
        factors=(Fraction(1), Fraction(-1))[: len(items)],
        clip=2.0,
        low=Fraction(-2),
        high=Fraction(2),
        threshold=None,
        counts=False,
        below=True,
        risk=Fraction(1, 20),
        seed=SEED,
    )
    return replace(usual, **changes)


def losses(count: int = 300, seed: int = 0) -> Tensor:
    return torch.rand(2, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


def test_order_is_a_permutation_that_the_line_and_the_data_fix() -> None:
    order = order_of(SEED, 500)
    assert sorted(order.tolist()) == list(range(500))
    assert torch.equal(order, order_of(SEED, 500))
    assert not torch.equal(order, order_of(seed_of(DIGEST, LINE + " "), 500))
    start = hashlib.sha256(bytes.fromhex(SEED)).copy()
    start.update((0).to_bytes(8, "big"))
    keys = sorted(hashlib.sha256(bytes.fromhex(SEED) + n.to_bytes(8, "big")).digest() for n in range(500))
    assert keys.index(start.digest()) == order.tolist().index(0)


def test_differences_are_paired_and_clipped() -> None:
    items = losses()
    found = bounds(sample(items))
    difference = items[0].clamp(max=2) - items[1].clamp(max=2)
    assert found.value == pytest.approx(float(difference.mean()))
    ordered = difference[order_of(SEED, 300)]
    assert found.bound == pytest.approx(betting.upper_mean(ordered, -2, 2, 0.05))
    assert found.opposite == pytest.approx(betting.lower_mean(ordered, -2, 2, 0.05))
    assert found.opposite < found.value < found.bound < (found.bernstein or 0)


def test_the_other_side_is_the_same_bound_turned_round() -> None:
    items = losses()
    above = bounds(sample(items, below=False))
    turned = bounds(sample(items.flip(0)))
    assert (above.bound, above.opposite) == pytest.approx((-turned.bound, -turned.opposite))
    assert above.bernstein == pytest.approx(-(turned.bernstein or 0))


@given(st.integers(0, 60), st.integers(60, 200))
def test_rates_are_those_of_clopper_and_pearson(hits: int, count: int) -> None:
    items = torch.zeros(1, count, dtype=torch.float64)
    items[0, :hits] = 1
    found = bounds(sample(items, clip=None, low=Fraction(0), high=Fraction(1), counts=True))
    upper = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    lower = stats.beta.ppf(0.05, hits, count - hits + 1) if hits else 0.0
    assert (found.bound, found.opposite) == pytest.approx((upper, lower), abs=1e-9)
    below = bounds(sample(items, clip=None, low=Fraction(0), high=Fraction(1), counts=True, below=False))
    assert (below.bound, below.opposite) == pytest.approx((lower, upper), abs=1e-9)
    turned = replace(sample(items, clip=None, low=Fraction(-1), high=Fraction(0), counts=True), factors=(Fraction(-1),))
    assert bounds(turned).bound == pytest.approx(-lower, abs=1e-9)


def test_what_exceeds_a_threshold_is_counted_and_nan_exceeds_it() -> None:
    items = torch.tensor([[0.5, 4.0, 4.5, float("inf")] + [0.1] * 396], dtype=torch.float64)
    one = sample(items, clip=None, threshold=Fraction(4), counts=True, low=Fraction(0), high=Fraction(1))
    assert bounds(one).value == 2 / 400
    assert bounds(one).bound == pytest.approx(stats.beta.ppf(0.95, 3, 398))
    none = replace(one, threshold=Fraction(10**6), items=items.clamp(max=5))
    assert bounds(none).method == "order statistic"
    assert bounds(none).bound == pytest.approx(1 - 0.05 ** (1 / 400))
    bad = items.clone()
    bad[0, 7] = float("nan")
    assert bounds(replace(one, items=bad)).value == 3 / 400
    assert not replace(one, items=bad).finite
    assert one.finite


def test_examples_that_are_needed_suffice() -> None:
    items = losses(200)
    items[0] = items[1]  # the same network
    one = sample(items)
    assert bounds(one).bound > 0.02
    count = needed(one, Fraction(1, 50))
    assert count is not None
    assert bounds(sample(losses(count)[1].repeat(2, 1))).bound <= 0.02 * 1.02
    assert bounds(sample(losses(count * 9 // 10)[1].repeat(2, 1))).bound > 0.02
    assert needed(one, Fraction(0)) is None
    rates = torch.zeros(1, 100, dtype=torch.float64)
    rates[0, 0] = 1
    rate = sample(rates, clip=None, low=Fraction(0), high=Fraction(1), counts=True)
    found = needed(rate, Fraction(3, 100))
    assert found is not None
    assert bounds(rate).bound > 0.03 >= stats.beta.ppf(0.95, -(-found // 100) + 1, found - -(-found // 100)) - 1e-9
    assert needed(rate, Fraction(1, 100)) is None


# ---- the re-check ------------------------------------------------------------------------------------------------


def stored(folder: Path, **changes: Any) -> SimpleNamespace:
    """Write a claim's values as a run does; return the claim."""
    items = losses()
    rows = torch.arange(300, dtype=torch.int64)
    content = save({"terms": items, "rows": rows})
    (folder / "evidence").mkdir(exist_ok=True)
    (folder / "evidence" / "final-line-9.safetensors").write_bytes(content)
    found = bounds(sample(items, risk=Fraction(1, 40)))
    evidence = {
        "confidence": "19/20",
        "joint": 2,
        "risk": "1/40",
        "looks": 1,
        "form": "mean",
        "count": 300,
        "distinct": 300,
        "data_digest": DIGEST,
        "seed": SEED,
        "relation": "<=",
        "method": found.method,
        "terms": tuple(SimpleNamespace(factor=one, quantity="loss(test, clip = 2)") for one in ("1", "-1")),
        "clip": "2",
        "low": "-2",
        "high": "2",
        "threshold": "",
        "value": found.value.hex(),
        "bound": found.bound.hex(),
        "opposite": found.opposite.hex(),
        "bernstein": "" if found.bernstein is None else found.bernstein.hex(),
        "limit": "3/10",
        "items": hashlib.sha256(content).hexdigest(),
        "file": "evidence/final-line-9.safetensors",
        "touched": (),
    }
    return SimpleNamespace(statement=LINE, status="passed", evidence=SimpleNamespace(**evidence | changes))


def test_a_claim_is_found_again(tmp_path: Path) -> None:
    claim = stored(tmp_path)
    assert recheck(tmp_path, claim) == ""
    value, bound = recomputed(tmp_path, claim.evidence)
    assert (value.hex(), bound.hex()) == (claim.evidence.value, claim.evidence.bound)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bound": (0.1).hex()}, "bound is stored"),
        ({"value": (0.1).hex()}, "value is stored"),
        ({"opposite": (0.1).hex()}, "opposite is stored"),
        ({"limit": "1/100"}, "line is said to have passed"),
        ({"seed": seed_of(DIGEST, "another line")}, "order"),
        ({"risk": "1/20"}, "no confidence"),
        ({"confidence": "99/100"}, "no confidence"),
        ({"joint": 1}, "no confidence"),
        ({"looks": 7}, "one look"),
        ({"clip": "1"}, "does not follow"),
        ({"clip": "1", "low": "-1", "high": "1"}, "is stored"),
        ({"clip": "", "low": "-1", "high": "1"}, "outside the range"),
        ({"low": "-1"}, "does not follow"),
        ({"items": "0" * 64}, "is not the file"),
        ({"file": "../secret.safetensors"}, "no file of"),
        ({"count": 299}, "299 examples"),
        ({"distinct": 299}, "299 examples"),
        ({"method": "clopper-pearson"}, "is stored"),
        ({"touched": (SimpleNamespace(name="train", digest=DIGEST),)}, "`train` had a part"),
    ],
)
def test_a_claim_that_its_values_do_not_show_is_found(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    assert why in recheck(tmp_path, stored(tmp_path, **changes))


def test_examples_that_made_the_network_are_found_in_the_result(tmp_path: Path) -> None:
    claim = stored(tmp_path)
    made = {"cd" * 32: torch.tensor([5, 7, 1000], dtype=torch.int64)}
    (tmp_path / "evidence" / "touched.safetensors").write_bytes(save(made))
    assert recheck(tmp_path, claim).startswith("2 examples of the evidence")
