"""``certify`` lines on live networks: what passes holds, what fails has a witness, what is stored can be checked."""

import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import surgery_dsl
from surgery_dsl.certificate.model import Claim
from surgery_dsl.evidence.bounds.recheck import covers, recheck, rechecked
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from tests.unit.run.conftest import NETWORK, PLAN

INT8 = """\
replace q {
  at = linear("**")
  with = int8(per = "channel", symmetric = true)
}
"""
PRUNE = """\
identify weak {
  in = [linear("first"), linear("second")]
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}
excise weak { mode = remove }
"""
LEAKY = """\
replace acts {
  at = relu("act*")
  with = leaky_relu(slope = 0.01)
}
"""
SMOOTH = """\
replace acts {
  at = relu("act*")
  with = gelu()
}
"""
Write = Callable[[str], Path]


@pytest.fixture
def certified(plan: Write, tmp_path: Path) -> Callable[..., Outcome]:
    def run(steps: str, line: str, **settings: Any) -> Outcome:
        path = plan(f"{steps}control final {{ certify {line} }}\n")
        place = None if settings.pop("dry", False) else tmp_path / "out"
        return apply(path, place, allow_code=["*"], device="cpu", **settings)

    return run


def claim_of(outcome: Outcome) -> Claim:
    assert outcome.predicate is not None, [d.message for d in outcome.diagnostics]
    (claim,) = outcome.predicate.claims.bounded
    return claim


def both(folder: Path, out: Path) -> tuple[nn.Module, nn.Module]:
    """Build both networks anew, in float64: the base from its own code and weights, the result as it is loaded."""
    return first_of(folder), surgery_dsl.load(out, ["*"]).double()


def first_of(folder: Path) -> nn.Module:
    scope: dict[str, Any] = {}
    exec((folder / "network.py").read_text(), scope)
    base: nn.Module = scope["build"]()
    base.load_state_dict(load_file(folder / "net.safetensors"), strict=False)
    return base.eval().double()


def data(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    scope: dict[str, Any] = {}
    exec((folder / "network.py").read_text(), scope)
    found: tuple[Tensor, Tensor] = scope["data"](count=48)
    return found[0][:count], found[1][:count]


def near(points: Tensor, eps: float, rounds: int) -> Tensor:
    """Return [rounds, n, 6] inputs of the boxes around points: corners and others."""
    torch.manual_seed(0)
    share = torch.rand(rounds, *points.shape, dtype=torch.float64) * 2 - 1
    share[::2] = share[::2].sign()
    return points.double() + eps * share


@pytest.mark.parametrize("steps", [INT8, PRUNE, LEAKY, SMOOTH])
def test_no_input_goes_beyond_what_is_certified(
    steps: str, certified: Callable[..., Outcome], folder: Path, tmp_path: Path
) -> None:
    outcome = certified(steps, "change(box(test, eps = 0.05, samples = 5), norm = inf) <= 1000")
    claim = claim_of(outcome)
    assert (claim.status, claim.verb, claim.kind) == ("passed", "certify", "bound")
    assert claim.evidence is not None
    assert claim.evidence.kind == "bound"
    bound, attack = (float.fromhex(text) for text in (claim.evidence.bound, claim.evidence.attack))
    old, new = both(folder, tmp_path / "out")
    points = near(data(folder, 5)[0], 0.05, 400).flatten(0, 1)
    with torch.no_grad():
        worst = float((new(points) - old(points)).abs().max())
    room = 1e-5 if steps is INT8 else 1e-9  # the weights that integers stand for are rounded to float32 by the network
    assert worst <= bound + room
    assert worst <= attack * 1.02 + room
    assert attack <= bound <= 2 * attack
    assert float(Fraction(claim.value)) == bound
    assert "certified (real arithmetic): for every input within 0.05 of one of the first 5 examples" in claim.note
    assert "an attack reached" in claim.note
    assert recheck(tmp_path / "out", claim) == ""
    found = rechecked(tmp_path / "out", claim.evidence.record)
    assert found.linked == found.constants > 5
    verification = surgery_dsl.verify(tmp_path / "out")
    assert verification.held


def test_units_that_are_left_are_matched(certified: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = certified(PRUNE, "change(box(test, eps = 0.01, samples = 3)) <= 1000")
    evidence: Any = claim_of(outcome).evidence
    data = json.loads((tmp_path / "out" / evidence.record).read_text())
    tensors = load_file(tmp_path / "out" / evidence.tensors)
    assert len(data["matches"]) == 2
    assert [len(tensors[f"match.{number}.old"]) for number in (0, 1)] == [9, 9]
    assert any(tensors["match.0.old"].tolist() != list(range(9)) for _ in (0,))


def test_a_witness_is_one(certified: Callable[..., Outcome], folder: Path, tmp_path: Path) -> None:
    outcome = certified(PRUNE, "change(box(test, eps = 0.05, samples = 5)) <= 0.01")
    assert not outcome.accepted
    (finding,) = outcome.diagnostics
    assert finding.code.id == "SD527"
    assert not (tmp_path / "out").exists()
    (verdict,) = (one for one in outcome.verdicts if one.verb == "certify")
    assert verdict.status == "failed"
    point = torch.tensor([float.fromhex(text) for text in str(verdict.facts["witness"]).split()], dtype=torch.float64)
    centre = data(folder, 5)[0][int(verdict.facts["box"])].double()
    assert bool(((point - centre).abs() <= 0.05 + 1e-15).all())
    assert torch.equal(point.float().double(), point), "the run's dtype holds it"
    assert apply(folder / "plan.surg", None, allow_code=["*"]).accepted is False
    (folder / "plan.surg").write_text(
        (folder / "plan.surg")
        .read_text()
        .replace("certify change", "measure change")
        .replace("box(test, eps = 0.05, samples = 5)", "test")
        .replace("0.01", "1000")
    )
    assert apply(folder / "plan.surg", tmp_path / "out", allow_code=["*"]).accepted
    old, new = both(folder, tmp_path / "out")
    with torch.no_grad():
        change = float((new(point[None]) - old(point[None])).abs().max())
    assert change == pytest.approx(float.fromhex(str(verdict.facts["attack"])), rel=1e-6)
    assert change > 0.01


@pytest.mark.parametrize(("limit", "status"), [("0.01", "failed"), ("{}", "undecided")])
def test_a_witness_is_kept_and_run_again(
    certified: Callable[..., Outcome], folder: Path, tmp_path: Path, limit: str, status: str
) -> None:
    line = "loss(hull(test)) <= base.loss(hull(test)) + {}"
    if status == "undecided":
        evidence: Any = claim_of(certified(PRUNE, line.format(1000), dry=True)).evidence
        limit = f"{(float.fromhex(evidence.bound) + float.fromhex(evidence.attack)) / 2:.4f}"
    line = line.format(limit)
    kept = tmp_path / "w" / "worst.safetensors"
    outcome = certified(PRUNE, f"{line}\n certify change(hull(test)) <= 0.001", witness=kept, certify_seconds=0)
    assert not (tmp_path / "out").exists()
    first, second = outcome.diagnostics
    assert f'`surgery_dsl.replay("{kept}")`' in first.notes[-1]
    assert "worst-2.safetensors" in second.notes[-1]
    found = surgery_dsl.replay(kept)
    assert (found.line, Fraction(found.limit)) == (line, Fraction(limit))
    (verdict,) = (one for one in outcome.verdicts if one.text == line)
    assert verdict.status == status
    assert found.value == pytest.approx(float.fromhex(str(verdict.facts["attack"])), rel=1e-9)
    assert (found.value > float(limit)) == (status == "failed")
    assert found.seen == pytest.approx(found.value, rel=1e-4)
    base = first_of(folder)
    with torch.no_grad():
        assert torch.allclose(base(found.inputs["x"].double()), found.old.flatten(0, 1), rtol=1e-6)
    assert "base: " in str(found)
    assert "after: " in str(found)


def test_how_to_keep_a_witness_is_told(certified: Callable[..., Outcome]) -> None:
    (finding,) = certified(PRUNE, "change(hull(test)) <= 0.001", dry=True).diagnostics
    assert "apply --witness FILE.safetensors" in finding.notes[-1]


def test_what_is_undecided_is_cut_until_it_is_not(certified: Callable[..., Outcome], tmp_path: Path) -> None:
    line = "change(domain(-1, 1)) <= {}"
    outcome = certified(INT8, line.format("1000"), dry=True)
    evidence: Any = claim_of(outcome).evidence
    bound, attack = float.fromhex(evidence.bound), float.fromhex(evidence.attack)
    assert attack < bound
    limit = f"{attack + 0.6 * (bound - attack):.5f}"
    undecided = certified(INT8, line.format(limit), certify_seconds=0)
    (finding,) = undecided.diagnostics
    assert (finding.code.id, finding.code.exit_code, undecided.accepted) == ("SD526", 3, False)
    low, high = map(float, re.findall(r"\[([\d.e-]+), ([\d.e-]+)\]", finding.message)[0])
    assert low < float(limit) < high
    assert "--certify-seconds" in finding.help
    decided = certified(INT8, line.format(limit))
    claim = claim_of(decided)
    evidence = claim.evidence
    assert claim.status == "passed"
    assert evidence.parts > 1
    assert float.fromhex(evidence.bound) <= float(limit)
    assert recheck(tmp_path / "out", claim) == ""
    assert "parts" in claim.note


def test_a_loss_rises_by_no_more_than_is_certified(
    certified: Callable[..., Outcome], folder: Path, tmp_path: Path
) -> None:
    line = "loss({0}) <= base.loss({0}) + 1000"
    boxes = "box(test, eps = 0.05, samples = 5)"
    claim = claim_of(certified(PRUNE, line.format(boxes)))
    evidence: Any = claim.evidence
    old, new = both(folder, tmp_path / "out")
    inputs, labels = data(folder, 5)
    points = near(inputs, 0.05, 300)
    with torch.no_grad():
        rise = [
            cross_entropy(new(part), labels, reduction="none") - cross_entropy(old(part), labels, reduction="none")
            for part in points
        ]
    worst = float(torch.stack(rise).max())
    assert worst <= float.fromhex(evidence.attack) * 1.02 + 1e-9
    assert float.fromhex(evidence.attack) <= float.fromhex(evidence.bound)
    assert "for the label y of the example" in claim.note
    change = claim_of(certified(PRUNE, f"change({boxes}) <= 1000", force=True))
    assert float.fromhex(evidence.bound) <= 2 * float.fromhex(getattr(change.evidence, "bound", "")) + 1e-9
    every = claim_of(certified(PRUNE, line.format("hull(test)"), force=True))
    assert "for every label y" in every.note
    assert float.fromhex(getattr(every.evidence, "bound", "")) >= worst
    assert recheck(tmp_path / "out", every) == ""


def test_lengths_lie_between_greatest_and_all_outputs(certified: Callable[..., Outcome]) -> None:
    line = "change(box(test, eps = 0.05, samples = 5), norm = {}) <= 1000"
    ends: Any = claim_of(certified(PRUNE, line.format("inf"), dry=True)).evidence
    length: Any = claim_of(certified(PRUNE, line.format("2"), dry=True)).evidence
    greatest, found = float.fromhex(ends.bound), float.fromhex(length.bound)
    assert greatest <= found <= 2 * greatest  # four outputs
    assert float.fromhex(ends.attack) <= float.fromhex(length.attack) <= found


# ---- arithmetic --------------------------------------------------------------------------------------------------


def test_deployed_networks_may_differ_by_more(certified: Callable[..., Outcome]) -> None:
    line = "change(box(test, eps = 0.05, samples = 5){}) <= 1000"
    real: Any = claim_of(certified(PRUNE, line.format(""), dry=True)).evidence
    claim = claim_of(certified(PRUNE, line.format(", arithmetic = float32"), dry=True))
    deployed: Any = claim.evidence
    assert deployed.arithmetic == "float32"
    assert "certified (deployed fp32, any summation order)" in claim.note
    assert float.fromhex(real.bound) < float.fromhex(deployed.bound) < float.fromhex(real.bound) + 1e-3


DEPLOYED = "change(box(test, eps = 0.05, samples = 5), arithmetic = float32) <= 1000"


@pytest.mark.parametrize(("steps", "assumed"), [(LEAKY, []), (SMOOTH, ["gelu"])])
def test_what_float32_networks_give_is_within_what_is_certified_of_them(
    steps: str, assumed: list[str], certified: Callable[..., Outcome], folder: Path, tmp_path: Path
) -> None:
    claim = claim_of(certified(steps, DEPLOYED))
    evidence: Any = claim.evidence
    assert [one.function for one in evidence.assumes] == assumed
    assert all(0 < float.fromhex(one.seen) <= one.units == 16 for one in evidence.assumes)
    assert ("assuming that gelu in float32" in claim.note) == bool(assumed)
    points = near(data(folder, 5)[0], 0.05, 100).flatten(0, 1).float()
    points = torch.min(
        torch.max(points, data(folder, 5)[0].repeat(100, 1) - 0.05), data(folder, 5)[0].repeat(100, 1) + 0.05
    )
    old, new = (network.float() for network in both(folder, tmp_path / "out"))
    with torch.no_grad():
        assert float((new(points).double() - old(points).double()).abs().max()) <= float.fromhex(evidence.bound)
    assert recheck(tmp_path / "out", claim) == ""
    if assumed:
        for changed in ((), (evidence.assumes[0].replaced(units=1),)):
            said = recheck(tmp_path / "out", claim.replaced(evidence=evidence.replaced(assumes=changed)))
            assert said == "it does not say what it assumes of float32 functions"


def test_a_library_that_breaks_what_is_assumed_is_refused(
    certified: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surgery_dsl.evidence.bounds.assumptions.ASSUMED_UNITS", 0.5)
    (finding,) = certified(SMOOTH, DEPLOYED, dry=True).diagnostics
    assert finding.code.id == "SD512"
    assert "`gelu` in `act` is rounded in ways that are not bounded: in float32 it was seen" in finding.message


def test_networks_of_other_types_are_no_float32_networks(certified: Callable[..., Outcome]) -> None:
    (finding,) = certified(INT8, DEPLOYED, dry=True, dtype="f64").diagnostics
    assert finding.code.id == "SD512"
    assert "float32 alone" in finding.message


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("change(box(test, eps = 0.1), norm = relative) <= 5%", "SD317", "a quotient"),
        ("change(hull(test)) == 0", "SD317", "at most a number"),
        ("change(hull(test)) - base.change(hull(test)) <= 1", "SD317", "a change already"),
        ("loss(hull(test)) <= base.loss(hull(train)) + 1", "SD317", "increase over the base"),
        ("loss(hull(test)) <= 1.5 * base.loss(hull(test))", "SD317", "increase over the base"),
        ("2 * change(hull(test)) + 1 >= 3", "SD317", "at most a number"),
        ("change(hull(test), confidence = 95%, exceeded = 1%) <= 5", "", ""),
        ("change(domain(test)) <= 5", "", ""),
        ("change(test) <= 5", "SD304", "names none"),
        ("change(hull(test)) < 0", "SD305", "no outcome can pass"),
    ],
)
def test_lines_that_no_bound_answers(certified: Callable[..., Outcome], line: str, code: str, says: str) -> None:
    outcome = certified(INT8, line, dry=True)
    errors = [found for found in outcome.diagnostics if found.severity == "error"]
    assert errors
    assert not outcome.accepted
    if code:
        assert errors[0].code.id == code
        assert says in errors[0].message


@pytest.mark.parametrize(
    "line",
    [
        "2 * change(hull(test)) <= 2000 + 0",
        "1000 >= change(hull(test))",
        "0.5 * loss(hull(test)) - 0.5 * base.loss(hull(test)) <= 500",
    ],
)
def test_a_limit_may_be_written_in_other_ways(certified: Callable[..., Outcome], line: str) -> None:
    claim = claim_of(certified(INT8, line, dry=True))
    assert Fraction(claim.limit) == 1000


def test_what_has_no_rule_is_named_with_its_module(
    certified: Callable[..., Outcome], folder: Path, plan: Write
) -> None:
    code = (folder / "network.py").read_text()
    (folder / "network.py").write_text(
        code.replace("self.act2(self.second(h))", "self.act2(torch.sin(self.second(h)))")
    )
    outcome = certified(INT8, "change(box(test, eps = 0.1, samples = 2)) <= 5", dry=True)
    (finding,) = outcome.diagnostics
    assert finding.code.id == "SD512"
    assert "`sin` in the network's own forward" in finding.message


def test_products_and_softmax_are_refused_before_a_weight_is_read(
    certified: Callable[..., Outcome], folder: Path
) -> None:
    from surgery_dsl.run.prepare import check

    code = (folder / "network.py").read_text()
    (folder / "network.py").write_text(
        code.replace("self.head(h) * self.scale", "torch.softmax(self.head(h), 1) * self.scale")
    )
    certified(INT8, "change(box(test, eps = 0.1, samples = 2)) <= 5", dry=True)
    found = check(folder / "plan.surg", allow_code=["*"])
    assert [one.code.id for one in found.diagnostics] == ["SD512"]
    assert "`softmax`" in found.diagnostics[0].message
    (verdict,) = (one for one in found.report.verdicts if one.verb == "certify")  # type: ignore[union-attr]
    assert verdict.status == "undecided"


# ---- one module of a network that is out of reach ------------------------------------------------------------------


def test_a_module_is_bounded_where_the_network_is_out_of_reach(
    certified: Callable[..., Outcome], folder: Path, tmp_path: Path
) -> None:
    code = (folder / "network.py").read_text()
    attends = code.replace("self.act(self.norm(self.first(x)))", "torch.softmax(self.norm(self.first(x)), 1)")
    (folder / "network.py").write_text(attends)
    (finding,) = certified(INT8, "change(hull(test)) <= 1000", dry=True).diagnostics
    assert finding.code.id == "SD512"
    assert "at = MODULE" in finding.help
    claim = claim_of(certified(INT8, 'change(hull(test), at = "second") <= 1000'))
    assert "every input of the module `second` near those that it is given in the base" in claim.note
    old, new = both(folder, tmp_path / "out")
    given: list[Tensor] = []
    first: Any = old.get_submodule("second")
    hook = first.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    old(data(folder, 48)[0].double())
    hook.remove()
    low, high = given[0].amin(0), given[0].amax(0)
    second: Any = new.get_submodule("second")
    with torch.no_grad():
        moved = second(torch.eye(12, dtype=torch.float64)) - second(torch.zeros(12, dtype=torch.float64))
    change = moved.T - first.weight.detach()  # of an affine module the greatest change over a box is a sum
    centre, radius = change @ ((low + high) / 2), change.abs() @ ((high - low) / 2)
    exact = float((centre.abs() + radius).max())
    assert float.fromhex(getattr(claim.evidence, "bound", "")) == pytest.approx(exact, rel=1e-3)
    assert recheck(tmp_path / "out", claim) == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('certify change(hull(test), at = "nowhere") <= 5', "has no module `nowhere`"),
        ('certify change(domain(0, 1), at = "second") <= 5', "says nothing of what `second` is given"),
        ('measure change(test, at = "second") <= 5', "`at` belongs to bounds"),
        ("measure change(test, arithmetic = float32) <= 5", "`arithmetic` belongs to bounds"),
    ],
)
def test_a_module_is_named_and_given_examples(plan: Write, line: str, says: str) -> None:
    outcome = apply(plan(f"{INT8}control final {{ {line} }}\n"), None, allow_code=["*"])
    assert says in outcome.diagnostics[0].message


# ---- what is stored ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Claim]:
    """A bound that took several parts, applied once."""
    place = tmp_path_factory.mktemp("stored")
    (place / "network.py").write_text(NETWORK)
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    torch.manual_seed(3)
    (place / "net.safetensors").write_bytes(save({k: v.clone() for k, v in scope["build"]().state_dict().items()}))
    path = place / "plan.surg"

    def run(limit: float, out: Path | None) -> Claim:
        line = f"change(domain(-1, 1)) <= {limit:.6f}"
        path.write_text(f"{PLAN}{INT8}control final {{ certify {line} }}\n")
        return claim_of(apply(path, out, allow_code=["*"], device="cpu"))

    bound = float.fromhex(getattr(run(1000, None).evidence, "bound", ""))
    claim = run(0.8 * bound, place / "out")
    assert getattr(claim.evidence, "parts", 0) > 1
    return place / "out", claim


@pytest.fixture
def stored(result: tuple[Path, Claim], tmp_path: Path) -> tuple[Path, Claim]:
    shutil.copytree(result[0], tmp_path / "copy")
    return tmp_path / "copy", result[1]


def _edit(folder: Path, claim: Claim, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> str:
    evidence: Any = claim.evidence
    tensors = load_file(folder / evidence.tensors)
    data = json.loads((folder / evidence.record).read_text())
    change(tensors, data)
    (folder / evidence.tensors).write_bytes(save(tensors))
    (folder / evidence.record).write_text(json.dumps(data))
    return rechecked(folder, evidence.record).why


def _bound(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    tensors["bounds"][tensors["bounds"].argmax()] *= 0.9


def _said(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    data["bound"] = (float.fromhex(data["bound"]) * 0.9).hex()


def _corner(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    tensors["box.high"][0, 0, 0] += 0.25


def _part(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    for name in ("part.low", "part.high", "part.of", "bounds"):
        tensors[name] = tensors[name][1:].clone()


def _weight(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    name = next(name for name, tensor in tensors.items() if name.startswith("new.") and tensor.dim() == 2)
    tensors[name] = tensors[name] * 1.01


def _operator(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    call = next(call for call in data["new"]["calls"] if call["operator"] == "relu")
    call["operator"] = "sigmoid"


def _witness(tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
    tensors["attack.points"][0, 0, 0] = 3.0


@pytest.mark.parametrize("change", [_bound, _said, _corner, _part, _weight, _operator, _witness])
def test_evidence_that_was_changed_shows_nothing(
    stored: tuple[Path, Claim], change: Callable[[dict[str, Tensor], dict[str, Any]], None]
) -> None:
    folder, claim = stored
    assert _edit(folder, claim, lambda tensors, data: None) == ""
    assert _edit(folder, claim, change) != ""
    assert "is not the file that was certified" in recheck(folder, claim)
    assert not surgery_dsl.verify(folder).held


@pytest.mark.parametrize(
    ("field", "value"), [("bound", (1e-6).hex()), ("limit", "1/1000000"), ("boxes", 3), ("arithmetic", "float32")]
)
def test_a_claim_that_says_other_than_its_evidence_is_not_shown(
    stored: tuple[Path, Claim], field: str, value: object
) -> None:
    folder, claim = stored
    assert claim.evidence is not None
    assert recheck(folder, claim) == ""
    assert recheck(folder, claim.replaced(evidence=claim.evidence.replaced(**{field: value}))) != ""
    assert recheck(folder, claim.replaced(status="failed")) != ""
    assert recheck(folder, claim.replaced(evidence=claim.evidence.replaced(digests={}))) == "no files show it"


def test_parts_must_cover_a_box() -> None:
    low, high = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    lows = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]], dtype=torch.float64)
    highs = torch.tensor([[0.5, 1.0], [1.0, 0.5], [1.0, 1.0]], dtype=torch.float64)
    assert covers(low, high, lows, highs)
    assert covers(low, high, low[None], high[None])
    for missing in range(3):
        kept = [at for at in range(3) if at != missing]
        assert not covers(low, high, lows[kept], highs[kept])
    assert not covers(low, high, lows, highs - 1e-12)
