"""Units that are proved dead leave evidence: graded as bounds, computed again without the network, not to be bent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from surgery_dsl.certificate.verify import verify
from surgery_dsl.run.apply import apply
from tests.certificates import edit, put_anyway, statement_of
from tests.unit.run.test_proved_dead import BOTH, NETWORK, PLAN

COUNTED = "exact(silent, on = domain(0, 1))\n  measure proved_dead(domain(0, 1)) <= 20"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("silent")
    (folder / "small.py").write_text(NETWORK)
    text = PLAN.format(build="build", take="proved_dead(domain(0, 1))", claim=COUNTED, sites=BOTH, between="")
    (folder / "plan.surg").write_text(
        text.replace("= proved_dead(domain(0, 1))", "= proved_dead(domain(0, 1))\n  cap = 40%")
    )
    outcome = apply(folder / "plan.surg", folder / "out", allow_code=("small:*",))
    assert outcome.accepted, outcome.diagnostics
    return folder / "out"


@pytest.fixture
def out(proved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proved, tmp_path / "out"))


def claims(document: Document) -> list[Document]:
    found: list[Document] = document["predicate"]["claims"]["bounded"]
    return found


def taken(document: Document) -> Document:
    return next(claim for claim in claims(document) if claim["verb"] == "always")


def codes(folder: Path) -> set[str]:
    return {found.code.id for found in verify(folder).diagnostics}


def test_what_was_proved_dead_is_a_bound_and_computed_again(out: Path) -> None:
    found = verify(out)
    assert found.held, found.diagnostics
    shown = claims(statement_of(out))
    assert {claim["verb"] for claim in shown} == {"always", "measure"}
    assert all(claim["evidence"]["claims"].startswith("z_k(x) ≤ 0 for ") for claim in shown)
    assert all(float.fromhex(claim["evidence"]["bound"]) <= 0 for claim in shown)
    text = " ".join(one.text for one in found.findings if one.check == "bounds")
    assert f"{len(shown)} claims computed again from stored evidence" in text
    assert "one box that holds the declared range" in text
    assert "that its graph is that of the network at its place" in text


def test_the_stored_units_are_dead_by_brute_force(out: Path) -> None:
    """Against the network itself, in float64, at corners of the cube and points within."""
    space: Document = {}
    exec(NETWORK, space)
    network = space["build"]().double().eval()
    x = torch.rand(3000, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = torch.cat([x, x.round()])
    given: list[torch.Tensor] = []
    network.norm.register_forward_hook(lambda *args: given.append(args[2].amax((0, 2))))
    network.fc.register_forward_hook(lambda *args: given.append(args[2].amax(0)))
    with torch.no_grad():
        network(x)
    stored = load_file(out / taken(statement_of(out))["evidence"]["tensors"])
    for at, most in enumerate(given):
        dead = stored[f"dead.{at}"]
        assert bool(dead.any())
        assert float(most[dead].max()) <= 0


CHANGES: list[Callable[[Document], object]] = [
    lambda d: taken(d).update(value=str(int(taken(d)["value"]) + 1)),
    lambda d: taken(d).update(value="1"),
    lambda d: taken(d).update(value="many"),
    lambda d: taken(d).update(evidence=None),
    lambda d: taken(d)["evidence"].update(bound=(-5.0).hex()),
    lambda d: taken(d)["evidence"].update(region="every input with numbers from 0 to 2"),
    lambda d: taken(d)["evidence"].update(claims="z_k(x) ≤ 0 for 99 of 99 ReLU units k"),
    lambda d: taken(d)["evidence"].update(arithmetic="float32"),
    lambda d: claims(d).remove(taken(d)),
    lambda d: taken(d).update(step="final"),
    lambda d: next(c for c in claims(d) if c["verb"] == "measure").update(limit="30", margin=""),
    lambda d: next(c for c in claims(d) if c["verb"] == "measure").update(evidence=taken(d)["evidence"]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_claims_that_the_proof_does_not_show(out: Path, change: Callable[[Document], object]) -> None:
    edit(out, change)
    assert codes(out) & {"SD607", "SD612"}


def more_dead(t: dict[str, torch.Tensor], r: Document) -> None:
    t["dead.1"] = torch.ones_like(t["dead.1"])


def narrower(t: dict[str, torch.Tensor], r: Document) -> None:
    t["box.high"] = t["box.high"] / 2


def another_network(t: dict[str, torch.Tensor], r: Document) -> None:
    for name in t:
        if name.startswith("new."):
            t[name] = t[name] * 2


def other_dtype(t: dict[str, torch.Tensor], r: Document) -> None:
    t["box.low"], t["box.high"] = t["box.low"].float(), t["box.high"].float()


def no_relu(t: dict[str, torch.Tensor], r: Document) -> None:
    r["relus"][0]["node"] = 0


def twice(t: dict[str, torch.Tensor], r: Document) -> None:
    r["relus"][1] = r["relus"][0]


def other_units(t: dict[str, torch.Tensor], r: Document) -> None:
    r["relus"][0]["position"] = 2


def no_box(t: dict[str, torch.Tensor], r: Document) -> None:
    t["box.low"], t["box.high"] = t["box.high"] + 1, t["box.low"]


@pytest.mark.parametrize(
    "spoil", [more_dead, narrower, another_network, other_dtype, no_relu, twice, other_units, no_box]
)
def test_files_that_were_made_up(out: Path, spoil: Callable[[dict[str, torch.Tensor], Document], None]) -> None:
    evidence = taken(statement_of(out))["evidence"]
    tensors, record = load_file(out / evidence["tensors"]), json.loads((out / evidence["record"]).read_text())
    spoil(tensors, record)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "spoilt")
    data = (out / "spoilt").read_bytes()
    (out / "spoilt").unlink()
    put_anyway(out, evidence["tensors"], data)
    put_anyway(out, evidence["record"], json.dumps(record).encode())
    assert codes(out) == {"SD612"}
