"""``verify`` against everything that can be wrong with a result directory."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from surgery_dsl.certificate.verify import verify
from tests.certificates import edit


def found(folder: Path) -> list[str]:
    return [diagnostic.code.id for diagnostic in verify(folder).diagnostics]


def test_what_apply_wrote_is_verified_and_said_to_be_unsigned(copy: Path) -> None:
    verification = verify(copy)
    assert verification.held
    assert [(finding.basis, finding.check) for finding in verification.findings] == [
        ("re-derived", "certificate"),
        ("trusted", "signature"),
        ("re-derived", "schema"),
        ("re-derived", "seal"),
        ("re-derived", "digests"),
        ("re-derived", "inputs"),
        ("re-derived", "proofs"),
        ("trusted", "proofs"),
        ("re-derived", "weights"),
        ("trusted", "weights"),
        ("trusted", "measured"),
        ("trusted", "assumed"),
        ("re-derived", "verdict"),
    ]
    assert "whoever changes files and certificate together stays unseen" in verification.findings[1].text


@pytest.mark.parametrize("name", ["model.safetensors", "surgery.json", "plan.surg", "plan.surg.lock", "report.md"])
def test_a_changed_or_missing_file_is_found(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    assert found(copy) == ["SD603"]
    (copy / name).unlink()
    assert found(copy) == ["SD604"]


def test_a_file_that_does_not_belong_is_found(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    assert found(copy) == ["SD605"]


def test_an_unreadable_certificate_is_refused(copy: Path, tmp_path: Path) -> None:
    path = copy / "certificate.json"
    for text in ("{", "[]", '{"a": 1, "a": 2}', "[" * 100_000):
        path.write_text(text)
        assert found(copy) == ["SD601"], text[:10]
    path.write_bytes(b"\xff\xfe")
    assert found(copy) == ["SD601"]
    path.unlink()
    assert found(copy) == ["SD601"]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("subject"),
        lambda d: d.update(extra=1),
        lambda d: d["predicate"].update(verdict="fine"),
        lambda d: d["subject"][0]["digest"].update(sha256="00"),
        lambda d: d.update(predicateType="urn:another:1"),
    ],
)
def test_a_certificate_of_another_form_is_refused(copy: Path, change: Callable[[dict], None]) -> None:
    edit(copy, change)
    assert found(copy) == ["SD602"]


def test_a_proof_that_the_plan_does_not_carry_is_found(copy: Path) -> None:
    def claim_more(document: dict) -> None:
        for claim in document["predicate"]["claims"]["proved"]:
            if claim["verb"] == "prove":
                claim["statement"] = "params <= 0.1 * base.params"

    edit(copy, claim_more)
    assert found(copy) == ["SD606"]


def test_a_failed_claim_contradicts_acceptance(copy: Path) -> None:
    edit(copy, lambda d: d["predicate"]["claims"]["measured"][0].update(status="failed"))
    assert found(copy) == ["SD607"]


def _one(document: dict, group: str, verb: str) -> dict:
    return next(claim for claim in document["predicate"]["claims"][group] if claim["verb"] == verb)


def test_numbers_of_a_proof_are_proved_again(copy: Path) -> None:
    edit(copy, lambda d: _one(d, "proved", "prove").update(value="1"))
    assert found(copy)[0] == "SD606"


def test_a_claim_of_the_plan_cannot_be_left_out(copy: Path) -> None:
    def drop(document: dict) -> None:
        document["predicate"]["claims"]["measured"].remove(_one(document, "measured", "measure"))

    edit(copy, drop)
    assert found(copy) == ["SD607"]


def test_a_measured_number_must_leave_its_margin(copy: Path) -> None:
    edit(copy, lambda d: _one(d, "measured", "measure").update(value="123"))
    assert found(copy) == ["SD607"]


def test_a_refusal_must_have_a_reason(copy: Path) -> None:
    edit(copy, lambda d: d["predicate"].update(verdict="refused"))
    assert found(copy) == ["SD607"]


@pytest.mark.parametrize("name", ["plan.surg", "plan.surg.lock"])
def test_a_certificate_that_forgets_what_is_proved_from_is_refused(copy: Path, name: str) -> None:
    def forget(document: dict) -> None:
        document["subject"] = [subject for subject in document["subject"] if subject["name"] != name]

    edit(copy, forget)
    assert found(copy) == ["SD605"]
    (copy / name).unlink()
    assert found(copy) == ["SD604"]


@pytest.mark.parametrize(("name", "data"), [("plan.surg", b"\xff\x00"), ("plan.surg.lock", b"{}")])
def test_files_that_do_not_read_are_refused_whatever_their_digest(copy: Path, name: str, data: bytes) -> None:
    (copy / name).write_bytes(data)

    def certify_anyway(document: dict) -> None:
        subject = next(subject for subject in document["subject"] if subject["name"] == name)
        subject["digest"]["sha256"] = hashlib.sha256(data).hexdigest()

    edit(copy, certify_anyway)
    assert found(copy)[0] == "SD606"


def test_every_finding_has_a_fix(copy: Path) -> None:
    (copy / "report.md").unlink()
    (copy / "more.txt").write_text("mine")
    (copy / "sub").mkdir()
    (copy / "sub" / "certificate.json").write_text("{}")
    findings = verify(copy).diagnostics
    assert [finding.code.id for finding in findings] == ["SD605", "SD604", "SD605"]
    assert all(finding.help for finding in findings)
