"""Bounds and statistics are computed again from what is stored, and what is stored may not be anything."""

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest  # type: ignore[import-untyped]

from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence
from surgery_dsl.certificate.verify import verify
from surgery_dsl.certificate.wording import bound_words, rounded, sampled_words
from tests.certificates import edit, statement_of
from tests.unit.certificate.test_isolation import modules


def codes(folder: Path) -> list[str]:
    return [found.code.id for found in verify(folder).diagnostics]


def claim(document: dict[str, Any], kind: str) -> dict[str, Any]:
    claims = document["predicate"]["claims"]
    every = [*claims["bounded"], *claims["measured"]]
    return next(one for one in every if one["evidence"] and one["evidence"]["kind"] == kind)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "evidence").iterdir())


def replaced(folder: Path, name: str, data: bytes) -> None:
    """Put a file into the result as somebody would who certifies it anew, in the claim as among the subjects."""
    old = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / name).write_bytes(data)
    new = hashlib.sha256(data).hexdigest()

    def renamed(document: dict[str, Any]) -> None:
        text = json.dumps(document)
        assert text.count(old) >= 2, "a file of evidence is named by its claim and among the subjects"
        document.update(json.loads(text.replace(old, new)))

    edit(folder, renamed)


def test_stored_evidence_is_computed_again(rich: Path) -> None:
    verification = verify(rich)
    assert verification.held, verification.diagnostics
    said = {(found.basis, found.check): found.text for found in verification.findings}
    assert "1 claim computed again" in said["re-derived", "bounds"]
    assert "1 claim computed again" in said["re-derived", "statistics"]
    assert "first graph is that of the base" in said["trusted", "bounds"]
    assert "stored losses" in said["trusted", "statistics"]
    assert len(files(rich)) >= 3


def test_computing_again_needs_torch_and_neither_executor_nor_user_code(rich: Path) -> None:
    code, loaded = modules(rich)
    assert code == 0
    assert "torch" in loaded
    assert {name for name in loaded if name.startswith("surgery_dsl") or name == "small"} == set()


def test_any_byte_of_evidence(rich: Path) -> None:
    for path in files(rich):
        data = path.read_bytes()
        for at in (0, 8, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert codes(rich) == ["SD603"]
        path.write_bytes(data)
        path.unlink()
        assert codes(rich) == ["SD604"]
        path.write_bytes(data)
    assert codes(rich) == []


@pytest.mark.parametrize("kind", ["bound", "statistical"])
def test_files_of_evidence_lie_in_the_result(rich: Path, tmp_path: Path, kind: str) -> None:
    original = statement_of(rich)
    for name in ("/etc/passwd", "../outside", "evidence", "model.safetensors"):

        def point_elsewhere(document: dict[str, Any], name: str = name) -> None:
            document.update(json.loads(json.dumps(original)))
            evidence = claim(document, kind)["evidence"]
            if kind == "bound":
                digest = hashlib.sha256(b"").hexdigest()
                evidence.update(record=name, digests={name: digest, evidence["tensors"]: digest})
            else:
                evidence["file"] = name

        edit(rich, point_elsewhere)
        assert codes(rich) == ["SD612"], name


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda d: claim(d, "bound")["evidence"].update(bound=(1e-3).hex()),
    lambda d: claim(d, "bound")["evidence"].update(attack=(0.0).hex()),
    lambda d: claim(d, "bound")["evidence"].update(parts=99),
    lambda d: claim(d, "bound")["evidence"].update(arithmetic="float32"),
    lambda d: claim(d, "bound")["evidence"].update(record="", tensors="", digests={}),
    lambda d: claim(d, "statistical")["evidence"].update(bound="0.5"),
    lambda d: claim(d, "statistical")["evidence"].update(joint=0),
    lambda d: claim(d, "statistical")["evidence"].update(risk="1/2"),
    lambda d: claim(d, "statistical")["evidence"].update(confidence="0.999"),
    lambda d: claim(d, "statistical")["evidence"].update(data="test"),
    lambda d: claim(d, "statistical")["evidence"].update(data_digest="0" * 64),
    lambda d: claim(d, "statistical")["evidence"].update(count=10),
    lambda d: claim(d, "statistical")["evidence"].update(seed="0" * 64),
    lambda d: claim(d, "statistical")["evidence"].update(method="clopper-pearson"),
    lambda d: claim(d, "statistical")["evidence"].update(bernstein=""),
    lambda d: claim(d, "bound")["evidence"].update(claims="max_k |f′_k(x) − f_k(x)|, whatever x is"),
    lambda d: claim(d, "bound")["evidence"].update(dimensions=784),
]


@pytest.mark.parametrize("change", CHANGES)
def test_claims_that_evidence_does_not_show(rich: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(rich, change)
    found = codes(rich)
    assert found
    assert set(found) <= {"SD602", "SD607", "SD612"}


def test_evidence_that_was_made_up_to_fit(rich: Path) -> None:
    """The files, their digests in the claim, the subjects and the seal: all of it changed together, and yet found."""
    evidence = claim(statement_of(rich), "bound")["evidence"]
    record = json.loads((rich / evidence["record"]).read_text())
    record["bound"] = (1e-3).hex()
    replaced(rich, evidence["record"], json.dumps(record).encode())

    def fit(document: dict[str, Any]) -> None:
        claim(document, "bound").update(value="0.001", margin="19.999")
        claim(document, "bound")["evidence"].update(bound=(1e-3).hex())
        words = bound_words(BoundEvidence.model_validate(claim(document, "bound")["evidence"]))
        claim(document, "bound").update(note=words)

    edit(rich, fit)
    assert codes(rich) == ["SD612"]


def test_values_of_examples_that_were_made_up(rich: Path, tmp_path: Path) -> None:
    evidence = claim(statement_of(rich), "statistical")["evidence"]
    tensors = load_file(rich / evidence["file"])
    values = next(name for name, tensor in tensors.items() if tensor.dtype == torch.float64)
    tensors[values] = torch.zeros_like(tensors[values])
    save_file(tensors, tmp_path / "made.safetensors")
    replaced(rich, evidence["file"], (tmp_path / "made.safetensors").read_bytes())
    assert codes(rich) == ["SD612"]


def test_garbage_in_place_of_evidence(rich: Path) -> None:
    for kind, key in (("bound", "record"), ("bound", "tensors"), ("statistical", "file")):
        name = claim(statement_of(rich), kind)["evidence"][key]
        before, certificate = (rich / name).read_bytes(), (rich / "certificate.json").read_bytes()
        for data in (b"", b"{}", b"[1]", b"\xff" * 64, (2**60).to_bytes(8, "little") + b"{}", b"[" * 100_000):
            replaced(rich, name, data)
            assert codes(rich) == ["SD612"], (name, data[:8])
            (rich / name).write_bytes(before)
            (rich / "certificate.json").write_bytes(certificate)


# ---- the line of the plan ------------------------------------------------------------------------------------------

OTHERWISE: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("limit", lambda d: claim(d, "bound").update(limit="30", margin=str(30 - float(claim(d, "bound")["value"])))),
    ("value", lambda d: claim(d, "bound").update(value="0.125", margin="19.875")),
    ("limit", lambda d: claim(d, "statistical").update(limit="-1/2")),
    ("value", lambda d: claim(d, "statistical").update(value="0", margin="0.6")),
    ("is none", lambda d: claim(d, "bound").update(evidence=None)),
    ("is none", lambda d: claim(d, "statistical").update(evidence=None)),
    ("confidence", lambda d: claim(d, "statistical")["evidence"].update(confidence="3/4", risk="1/4")),
    ("risk", lambda d: claim(d, "statistical")["evidence"].update(joint=2, risk="1/40")),
    ("another claim", lambda d: claim(d, "statistical")["evidence"].update(relation="<=")),
    ("least value", lambda d: claim(d, "statistical")["evidence"].update(low="-2")),
    ("threshold", lambda d: claim(d, "statistical")["evidence"].update(threshold="1")),
    ("another claim", lambda d: claim(d, "statistical")["evidence"]["terms"][0].update(point="base")),
    ("its note", lambda d: claim(d, "bound").update(note=claim(d, "bound")["note"].replace("≤", "≤ 1e-9, not"))),
    ("its note", lambda d: claim(d, "statistical").update(note="STATISTICAL 99.9%: nothing changes.")),
    ("its method", lambda d: claim(d, "bound").update(method="a proof in exact arithmetic")),
    ("its method", lambda d: claim(d, "statistical").update(method="a census")),
    ("method of its evidence", lambda d: claim(d, "bound")["evidence"].update(method="a proof in exact arithmetic")),
    ("claim in words", lambda d: claim(d, "statistical")["evidence"].update(says="nothing changes")),
    ("population", lambda d: claim(d, "statistical")["evidence"].update(population="everything there is")),
]


@pytest.mark.parametrize(("what", "change"), OTHERWISE)
def test_a_claim_answers_its_line(rich: Path, what: str, change: Callable[[dict[str, Any]], object]) -> None:
    edit(rich, change)
    found = [finding for finding in verify(rich).diagnostics if finding.code.id == "SD607"]
    assert any(what in finding.message for finding in found), verify(rich).diagnostics


def test_a_mean_does_not_pass_for_a_rate(rich: Path) -> None:
    """Counted as what differs from zero, a fall of the accuracy would be no fall: the plan says which of both it is."""
    evidence = claim(statement_of(rich), "statistical")["evidence"]
    terms = load_file(rich / evidence["file"])["terms"]
    hits, count = int((terms[0] != terms[1]).sum()), terms.shape[1]
    risk = float(Fraction(evidence["risk"]))
    least, most = (proportion(hits, count, risk, side) for side in ("low", "high"))

    def as_a_rate(document: dict[str, Any]) -> None:
        one = claim(document, "statistical")
        one.update(value=repr(least), margin=repr(least + 0.6))
        numbers = {"value": hits / count, "bound": least, "opposite": most}
        one["evidence"].update({name: number.hex() for name, number in numbers.items()})
        one["evidence"].update(method="clopper-pearson", bernstein="")

    edit(rich, as_a_rate)
    assert "SD607" in codes(rich)


def proportion(hits: int, count: int, risk: float, side: str) -> float:
    interval = binomtest(hits, count, alternative="greater" if side == "low" else "less")
    return float(getattr(interval.proportion_ci(1 - risk, "exact"), side))


def test_words_never_say_more_than_numbers() -> None:
    for value in (5.7256649, -0.123456789, 1e-9, 123456.789, 0.0):
        assert float(rounded(value, up=True, digits=6)) >= value >= float(rounded(value, up=False, digits=6))
        assert float(rounded(value, up=True, digits=6)) == pytest.approx(value, rel=1e-5)


def test_examples_that_come_again_are_told(rich: Path) -> None:
    """Copies of one example are no independent draws: whoever reads how many there are reads how many differ."""
    evidence = StatisticalEvidence.model_validate(claim(statement_of(rich), "statistical")["evidence"])
    assert "over 400 examples)." in sampled_words(evidence)
    assert "over 400 examples, 7 of which differ)." in sampled_words(evidence.replaced(distinct=7))


def test_the_limit_of_a_measured_line_is_that_of_the_plan(copy: Path) -> None:
    def looser(document: dict[str, Any]) -> None:
        claims = document["predicate"]["claims"]["measured"]
        next(one for one in claims if one["statement"] == "nonzero <= 100").update(limit="1000", margin="937")

    edit(copy, looser)
    (found,) = verify(copy).diagnostics
    assert (found.code.id, "limit is 1000, and 100 by the plan" in found.message) == ("SD607", True)
