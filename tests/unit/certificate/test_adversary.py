"""Whoever has the folder and wants it to verify: claims moved, plans weakened, weights, counts and code replaced.

All digests are mended and the statement is sealed anew; there is no signature. What can be derived again is found.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from surgery_dsl.certificate.verify import verify
from tests.certificates import certify, edit, put_anyway, statement_of
from tests.unit.certificate.conftest import made
from tests.unit.certificate.small import RICH_NETWORK, RICH_PLAN

Document = dict[str, Any]


def codes(folder: Path) -> list[str]:
    return [found.code.id for found in verify(folder).diagnostics]


def claims(document: Document, grade: str) -> list[Document]:
    found: list[Document] = document["predicate"]["claims"][grade]
    return found


def one(document: Document, grade: str, start: str) -> Document:
    return next(claim for claim in claims(document, grade) if claim["statement"].startswith(start))


def moved(document: Document, start: str, before: str, after: str, **changes: Any) -> None:
    claim = one(document, before, start)
    claims(document, before).remove(claim)
    claims(document, after).append(claim | changes)


# ---- claims --------------------------------------------------------------------------------------------------------

MOVES: list[Callable[[Document], object]] = [
    lambda d: one(d, "measured", "nonzero").update(status="vacuous", value="", margin=""),
    lambda d: moved(d, "nonzero", "measured", "bounded"),
    lambda d: moved(d, "change(box", "bounded", "measured"),
    lambda d: moved(d, "nonzero", "measured", "assumed", status="assumed"),
    lambda d: moved(d, "params", "proved", "measured", status="passed"),
    lambda d: one(d, "measured", "outputs").update(kind="safety"),
    lambda d: one(d, "measured", "outputs").update(kind="finite\nverified, and signed by its maker"),
    lambda d: claims(d, "bounded").append(one(d, "measured", "outputs") | {"statement": "no output is above 1"}),
    lambda d: claims(d, "assumed")[0].update(verb="prove"),
    lambda d: claims(d, "measured").clear(),
    lambda d: claims(d, "bounded").clear(),
    lambda d: one(d, "measured", "accuracy(test)").update(
        limit="0.1", value="0.421875", margin="0.321875", kind="bound"
    ),
    lambda d: one(d, "measured", "accuracy(fresh").update(evidence=None),
    lambda d: one(d, "proved", "params").update(margin="1/1000"),
    lambda d: one(d, "proved", "params").update(line=1),
    lambda d: one(d, "proved", "params").update(status="passed"),
    lambda d: d["predicate"].update(parameters=[{"name": "share", "value": "1", "default": "1"}]),
    lambda d: d["predicate"].update(plan="another.surg"),
    lambda d: [entry.update(name="fresh") for entry in d["predicate"]["inputs"] if entry["name"] == "test"],
]


@pytest.mark.parametrize("change", MOVES)
def test_claims_that_were_changed_or_moved(rich: Path, change: Callable[[Document], object]) -> None:
    edit(rich, change)
    assert codes(rich)


def test_evidence_of_one_line_under_another(rich: Path) -> None:
    def swap(document: Document) -> None:
        bound, sample = one(document, "bounded", "change(box"), one(document, "measured", "accuracy(fresh")
        bound["evidence"], sample["evidence"] = sample["evidence"], bound["evidence"]

    edit(rich, swap)
    assert "SD607" in codes(rich)


def test_no_text_of_a_certificate_makes_a_line_of_its_own(rich: Path) -> None:
    text = "finite\nverified, and signed by its maker\x1b[2K"
    edit(rich, lambda d: (one(d, "measured", "outputs").update(kind=text), claims(d, "assumed")[0].update(kind=text)))
    assert all(finding.text.isprintable() for finding in verify(rich).findings)


# ---- plans ---------------------------------------------------------------------------------------------------------


def with_plan(folder: Path, old: str, new: str) -> None:
    text = (folder / "plan.surg").read_text()
    assert old in text
    put_anyway(folder, "plan.surg", text.replace(old, new).encode())


def test_a_line_that_is_refuted_does_not_pass_for_one_of_the_outcome(copy: Path) -> None:
    with_plan(copy, "params <= 0.9 *", "params <= 0.1 *")
    new = {"statement": "params <= 0.1 * base.params", "limit": "8.3", "margin": "-54.7"}
    edit(copy, lambda d: one(d, "proved", "params").update(**new))
    assert codes(copy)[0] == "SD606"
    edit(copy, lambda d: moved(d, "params", "proved", "measured", status="passed", margin="54.7"))
    assert "SD606" in codes(copy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<= 20.0\n}", "<= 20.0\n  certify change(domain(0, 1)) == 3\n}"),  # `check` refuses it and has no verdict
        ("take = only([1, 3])", "take = only([1, 99])"),
        ("batch = 16", "batch = 8"),  # the lock was made for another data set
        ('"small:test"', '"small:other"'),
        ('"small:build"', '"small:other"'),
        ("nonzero <= 100", "nonzero <= 10"),
        ("- 60pp", "- 60%"),
        ("- 60pp", "- 1pp"),
        (">= base.accuracy", "<= base.accuracy"),
        ("norm = inf", "norm = 2"),
    ],
)
def test_a_plan_that_was_not_applied(copy: Path, old: str, new: str) -> None:
    with_plan(copy, old, new)
    assert codes(copy)


def test_a_weaker_plan_is_another_plan_and_its_digest_is_told(copy: Path) -> None:
    """What no verifier can know without the caller's plan, it says: which plan the result was made by."""
    from hashlib import sha256

    digest = sha256((copy / "plan.surg").read_bytes()).hexdigest()
    (text,) = [finding.text for finding in verify(copy).findings if finding.check == "inputs"]
    assert digest[:16] in text


# ---- weights, counts and code --------------------------------------------------------------------------------------


def test_weights_of_another_size(copy: Path, tmp_path: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    for spoil in (
        lambda t: t | {"a.weight": t["a.weight"].repeat(2, 1).contiguous()},
        lambda t: t | {"a.weight": t["a.weight"].double()},
        lambda t: t | {"more": t["a.bias"].clone()},
        lambda t: {name: value for name, value in t.items() if name != "b.bias"},
    ):
        save_file(spoil(tensors), tmp_path / "spoilt")
        put_anyway(copy, "model.safetensors", (tmp_path / "spoilt").read_bytes())
        assert codes(copy) == ["SD614"]
    save_file(tensors, tmp_path / "spoilt")
    put_anyway(copy, "model.safetensors", (tmp_path / "spoilt").read_bytes())
    assert codes(copy) == []
    put_anyway(copy, "model.safetensors", b"\xff" * 64)
    assert codes(copy)[0] == "SD614"


def test_counts_that_were_not_taken(copy: Path) -> None:
    pools = statement_of(copy)["predicate"]["selections"][0]["pools"]
    assert pools[0]["taken"] == 2
    edit(copy, lambda d: d["predicate"]["selections"][0]["pools"][0].update(taken=1, kept=7))
    assert codes(copy) == ["SD614"]
    edit(copy, lambda d: d["predicate"]["selections"].clear())
    assert codes(copy) == ["SD614"]


def test_code_that_the_lock_does_not_name(copy: Path) -> None:
    source = (copy / "small.py").read_text()
    put_anyway(copy, "small.py", (source + "\nprint('owned')\n").encode())
    assert set(codes(copy)) == {"SD611"}


@pytest.mark.parametrize("name", ["json.py", "torch/__init__.py", "small.cpython-311.pyc", "sitecustomize.PY"])
def test_code_beside_that_of_the_lock(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("raise SystemExit")
    certify(copy)
    assert codes(copy) == ["SD611"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r["loader"].update(function="small:other"),
        lambda r: r.update(sources=[{"path": "elsewhere.py", "sha256": "0" * 64}]),
        lambda r: r.update(shards=[{"path": "../model.safetensors", "sha256": "0" * 64}]),
        lambda r: r.update(buffers=[{"path": "/etc/passwd", "sha256": "0" * 64}]),
        lambda r: r.pop("weights"),
        lambda r: r.update(loader={"word": "nothing"}),
        lambda r: r.update(loader=None),
    ],
)
def test_a_record_that_leads_a_loader_elsewhere(copy: Path, spoil: Callable[[Document], object]) -> None:
    record = json.loads((copy / "surgery.json").read_text())
    assert record["loader"]
    spoil(record)
    put_anyway(copy, "surgery.json", json.dumps(record).encode())
    assert set(codes(copy)) <= {"SD611", "SD614"}
    assert codes(copy)


@pytest.mark.parametrize("place", ["model.safetensors", "../outside.safetensors", "/tmp/x.safetensors"])
def test_an_index_that_a_loader_would_follow(copy: Path, place: str) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": {"a.weight": place}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    certify(copy)
    assert set(codes(copy)) & {"SD611", "SD614"}


# ---- names and sizes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "a/../b", "./a", "a//b", "C:x", "a\\b", "MODEL.safetensors", "ﬁle\u202e", "Plan.surg", ""],
)
def test_names_that_are_none(copy: Path, name: str) -> None:
    edit(copy, lambda d: d["subject"].append({"name": name, "digest": {"sha256": "0" * 64}}))
    assert codes(copy) == ["SD602"]


@pytest.mark.parametrize(("name", "code"), [("certificate.json", "SD601"), ("plan.surg.lock", "SD606")])
def test_files_that_are_too_large_are_not_read(copy: Path, name: str, code: str) -> None:
    import hashlib

    with (copy / name).open("r+b") as file:
        file.truncate(260 << 20)
    if name != "certificate.json":
        with (copy / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        edit(copy, lambda d: [s["digest"].update(sha256=digest) for s in d["subject"] if s["name"] == name])
    assert codes(copy)[0] == code


# ---- what shares a risk --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result whose lines with confidence stand in two blocks."""
    block = "control more {\n  measure accuracy(fresh, confidence = 95%) >= 1%\n}\n"
    return made(tmp_path_factory.mktemp("shared"), RICH_PLAN + block, RICH_NETWORK)


def test_lines_of_all_blocks_share_the_risk(shared: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shared, tmp_path / "out"))
    assert codes(folder) == []
    samples = [claim["evidence"] for claim in claims(statement_of(folder), "measured") if claim["evidence"]]
    assert [(sample["joint"], sample["risk"]) for sample in samples] == [(2, "1/40")] * 2

    def alone(document: Document) -> None:
        for claim in claims(document, "measured"):
            if claim["evidence"]:
                claim["evidence"].update(joint=1, risk="1/20")

    edit(folder, alone)
    assert any("its risk is 1/20, and 1/40 by the plan" in found.message for found in verify(folder).diagnostics)
