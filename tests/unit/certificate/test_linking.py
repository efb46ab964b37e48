"""What a bound is tied to: its graphs to weights, its boxes to the words of the plan and to the data set."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from surgery_dsl.certificate.evidence import BoundEvidence
from surgery_dsl.certificate.verify import verify
from surgery_dsl.certificate.wording import bound_words
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.vocabulary.regions._declared import missed
from surgery_dsl.vocabulary.regions.box import Box
from surgery_dsl.vocabulary.regions.domain import Domain
from surgery_dsl.vocabulary.regions.hull import Hull
from tests.certificates import certify, edit, put_anyway, statement_of
from tests.unit.certificate.conftest import made
from tests.unit.certificate.small import RICH_NETWORK, RICH_PLAN

PLAN = (
    RICH_PLAN.replace('load = python("small:build")', 'load = python("small:build")\n  weights = "base.safetensors"')
    .replace('load = python("small:test")', 'load = safetensors("test.safetensors")')
    .replace("samples = 4), norm = inf)", "samples = 3), norm = inf)")
)


def small(network: str) -> Any:
    space: dict[str, Any] = {}
    exec(network, space)
    return space


def at_hand(folder: Path, seed: int = 0) -> Path:
    network = RICH_NETWORK.replace("seed(0)", f"seed({seed})")
    space = small(network)
    save_file(space["build"]().state_dict(), folder / "base.safetensors")
    inputs, targets = space["test"]()
    save_file({"x": inputs, "y": targets}, folder / "test.safetensors")
    return made(folder, PLAN, network)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return at_hand(tmp_path_factory.mktemp("one")), at_hand(tmp_path_factory.mktemp("two"), 5)


@pytest.fixture
def out(results: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(results[0].parent, tmp_path / "all") / "out")


def said(folder: Path, basis: str, origin: Path | None = None) -> str:
    found = verify(folder, origin=origin)
    assert found.held, found.diagnostics
    return " ".join(one.text for one in found.findings if (one.basis, one.check) == (basis, "bounds"))


def messages(folder: Path, origin: Path | None = None) -> list[str]:
    return [f"{one.code.id} {one.message}" for one in verify(folder, origin=origin).diagnostics]


def evidence(folder: Path) -> dict[str, Any]:
    (claim,) = statement_of(folder)["predicate"]["claims"]["bounded"]
    found: dict[str, Any] = claim["evidence"]
    return found


def test_a_bound_is_tied_to_the_weights_of_the_result(out: Path) -> None:
    digest = next(s["digest"]["sha256"] for s in statement_of(out)["subject"] if s["name"] == "model.safetensors")
    shown, left = said(out, "re-derived"), said(out, "trusted")
    assert "4 of 4 constants of its second graph stand in `model.safetensors`" in shown
    assert digest[:16] in shown
    assert "3 boxes of radius 0.00392157" in shown
    assert "no weights of the base were at hand" in left
    assert "that its boxes lie at the examples of `test`" in left
    assert "operators" in left


def test_and_to_those_of_the_base_and_to_the_data_where_they_are_at_hand(out: Path) -> None:
    shown, left = said(out, "re-derived", out.parent), said(out, "trusted", out.parent)
    assert "4 of 4 constants of its first graph stand in `base.safetensors`" in shown
    assert "around the first examples of `test`, which has the digest of the lock" in shown
    assert "boxes" not in left
    assert "of the base" not in left


def test_other_files_under_the_same_names_are_not_at_hand(
    out: Path, results: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "no weights of the base were at hand" in said(out, "trusted", results[1].parent)
    assert "of its first graph" not in said(out, "re-derived", results[1].parent)


def test_a_bound_of_other_networks_is_none_of_this_result(out: Path, results: tuple[Path, Path]) -> None:
    other = results[1]
    shutil.rmtree(out / "evidence")
    shutil.copytree(other / "evidence", out / "evidence")
    claims = statement_of(other)["predicate"]["claims"]
    sampled = next(claim for claim in claims["measured"] if claim["evidence"])

    def theirs(document: dict[str, Any]) -> None:
        document["predicate"]["claims"]["bounded"] = claims["bounded"]
        own = document["predicate"]["claims"]["measured"]
        own[[bool(claim["evidence"]) for claim in own].index(True)] = sampled

    edit(out, theirs)
    certify(out)
    (message,) = messages(out)
    assert message.startswith("SD612")
    assert "none of the 4 constants of its second graph stands in `model.safetensors`" in message


def spoil(out: Path, change: Any) -> None:
    """Change the tensors of a bound, and mend all digests."""
    names = evidence(out)
    tensors = load_file(out / names["tensors"])
    change(tensors, json.loads((out / names["record"]).read_text()))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "spoilt")
    data = (out / "spoilt").read_bytes()
    (out / "spoilt").unlink()
    put_anyway(out, names["tensors"], data)


def test_weights_of_one_layer_that_are_not_its_own(out: Path) -> None:
    """The bound holds for the stored graphs, whatever the limit; one of their layers is not the network's."""
    tensors = load_file(out / "model.safetensors")
    tensors["b.bias"] = tensors["b.bias"] + 1
    save_file(tensors, out / "spoilt")
    data = (out / "spoilt").read_bytes()
    (out / "spoilt").unlink()
    put_anyway(out, "model.safetensors", data)
    (message,) = messages(out)
    assert "its second graph computes with another `b.bias` than stands in `model.safetensors`" in message


def test_a_box_in_place_of_another(out: Path) -> None:
    """All of it consistent, and one example without a box: found with the data, and said to be trusted without."""

    def drop(tensors: dict[str, torch.Tensor], _: Any) -> None:
        least, most = int(tensors["bounds"].argmin()), int(tensors["bounds"].argmax())
        assert least != most
        for name in ("box.low", "box.high", "bounds", "attack.points"):
            tensors[name][least] = tensors[name][most]

    spoil(out, drop)
    assert "that its boxes lie at the examples" in said(out, "trusted")
    (message,) = messages(out, out.parent)
    assert "a stored box is not around its example of `test`" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eps = 1/255", "eps = 2/255"),
        ("samples = 3", "samples = 4"),
        ("box(test, eps = 1/255, samples = 3)", "domain(0, 1)"),
        ("samples = 3), norm = inf", "samples = 3), norm = 2"),
        ("samples = 3), norm = inf", "samples = 3), norm = inf, arithmetic = float32"),
    ],
)
def test_a_wider_claim_in_the_plan_than_in_the_evidence(out: Path, old: str, new: str) -> None:
    text = (out / "plan.surg").read_text()
    assert old in text
    put_anyway(out, "plan.surg", text.replace(old, new).encode())
    region = {"eps = 2/255": "within 2/255 of one of the first 3", "samples = 4": "within 1/255 of one of the first 4"}

    def fit(document: dict[str, Any]) -> None:
        (claim,) = document["predicate"]["claims"]["bounded"]
        claim["statement"] = claim["statement"].replace(old, new)
        text = region.get(new)
        if text:
            claim["evidence"]["region"] = f"every input {text} examples of `test`"
        elif new == "domain(0, 1)":
            claim["evidence"]["region"] = "every input with numbers from 0 to 1"
        claim["note"] = bound_words(BoundEvidence.model_validate(claim["evidence"]))

    edit(out, fit)
    found = messages(out)
    assert found
    assert all("SD612" in one or "SD606" in one for one in found), found


# ---- boxes and the words of a region -------------------------------------------------------------------------------


def facts(count: int) -> DataFacts:
    return DataFacts.model_construct(name="test", count=count)


@given(st.integers(1, 5), st.integers(1, 9), st.fractions(Fraction(1, 1000), 2), st.integers(0, 99))
def test_the_boxes_that_a_region_makes_are_its_own(count: int, samples: int, eps: Fraction, seed: int) -> None:
    from surgery_dsl.evidence.bounds.region import around

    inputs = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))
    region = Box(data="test", eps=eps, samples=samples, low=Fraction(0), high=Fraction(1))
    made = around(inputs[:samples], float(eps) * (1 + 1e-15), 0.0, 1.0).boxes[0]
    for given_inputs in (inputs, None):
        assert missed(region, made.low, made.high, facts(count), given_inputs)[0] == ""
    short = made.high.clone()
    short[-1, 0, 0] = made.low[-1, 0, 0] + (short[-1, 0, 0] - made.low[-1, 0, 0]) / 2
    if bool((short < made.high).any()) and float(made.high[-1, 0, 0]) < 1:
        assert missed(region, made.low, short, facts(count), inputs)[0]
    assert missed(region, made.low[1:], made.high[1:], facts(count), inputs)[0]


def test_domains_and_hulls() -> None:
    ends = torch.zeros(1, 1, 2, dtype=torch.float64), torch.ones(1, 1, 2, dtype=torch.float64)
    assert missed(Domain(low=Fraction(0), high=Fraction(1)), *ends, None, None) == (
        "",
        "one box that holds the declared range",
    )
    assert missed(Domain(low=Fraction(0), high=Fraction(11, 10)), *ends, None, None)[0]
    assert missed(Domain(low=Fraction(-1, 10**9), high=Fraction(1)), *ends, None, None)[0]
    inside = torch.rand(9, 2)
    assert missed(Hull(data="test"), *ends, facts(9), inside)[0] == ""
    assert missed(Hull(data="test"), *ends, facts(9), inside + 0.9)[0]
    assert missed(Hull(data="test"), *ends, facts(9), None) == ("", "")
