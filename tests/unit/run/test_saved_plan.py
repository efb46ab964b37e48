"""Saved plans: what was reviewed runs, and nothing else does."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import surgery_dsl
from surgery_dsl.interface.lock import sealed
from surgery_dsl.proof import deciding
from surgery_dsl.proof.questions import Answer, BudgetQuestion
from surgery_dsl.proof.tiers import order
from surgery_dsl.resources import read_resource
from surgery_dsl.run.saved_plan import SavedPlan, read_saved
from tests.certificates import statement_of
from tests.cli.program import EXAMPLES, Ran, run, tree

FILES = ("plan.surg", "plan.surg.lock", "digits.py", "digits_cnn.safetensors")


@pytest.fixture
def slim(tmp_path: Path) -> Path:
    """A folder with an example and its saved plan beside it, in a folder of its own."""
    folder = tmp_path / "slim"
    (folder / "reviews").mkdir(parents=True)
    for name in FILES:
        shutil.copy(EXAMPLES / "slim_digits" / name, folder / name)
    saved = run(folder, "plan", "plan.surg", "-o", "reviews/slim.json", "--set", "ratio=30%", "--seed", "3")
    assert saved.code == 0, saved.err
    return folder


def apply(folder: Path, *more: str) -> Ran:
    arguments = ("apply", "reviews/slim.json", "-o", "out", "--allow-code", "digits:*", "--output-format", "json")
    return run(folder, *arguments, *more)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a saved plan and seal it again, as someone would who knows how."""
    document = json.loads(path.read_text())
    change(document)
    saved = SavedPlan.model_validate(document)
    path.write_text(saved.replaced(digest=saved.sealed()).model_dump_json())


def test_a_saved_plan_holds_what_a_review_needs(slim: Path) -> None:
    text = (slim / "reviews" / "slim.json").read_text(encoding="utf-8")
    document = json.loads(text)
    jsonschema.validate(document, json.loads(read_resource("specs/saved_plan.schema.json")))
    assert "\n".join(document["text"]) == (slim / "plan.surg").read_text()
    assert document["file"] == "../plan.surg"
    assert (document["sets"], document["seed"], document["grants"]) == ({"ratio": "30%"}, 3, ["digits:build_cnn"])
    assert document["preview"]["params"] == {"ratio": "30%"}
    digest = hashlib.sha256((slim / "digits_cnn.safetensors").read_bytes()).hexdigest()
    assert document["weights"] == [{"path": "digits_cnn.safetensors", "sha256": digest}]
    assert str(slim) not in text
    assert run(slim, "plan", "plan.surg", "-o", "again.json", "--set", "ratio=30%", "--seed", "3").code == 0
    again = json.loads((slim / "again.json").read_text())
    assert {key for key in document if document[key] != again[key]} == {"file", "digest"}


def test_apply_runs_exactly_the_saved_plan(slim: Path) -> None:
    ran = apply(slim)
    assert ran.code == 0, ran.out
    assert (slim / "out" / "plan.surg").read_bytes() == (slim / "plan.surg").read_bytes()
    predicate = statement_of(slim / "out")["predicate"]
    assert [(one["name"], one["value"]) for one in predicate["parameters"]] == [("ratio", "30%")]
    assert predicate["environment"]["seed"] == 3
    assert [pool["kept"] for pool in predicate["selections"][0]["pools"]] == [16, 24, 44]
    outcome = surgery_dsl.apply(slim / "reviews" / "slim.json", dry_run=True, allow_code=["digits:*"])
    assert outcome.accepted


def test_grants_are_not_part_of_a_saved_plan(slim: Path) -> None:
    ran = run(slim, "apply", "reviews/slim.json", "-o", "out", "--output-format", "json")
    assert (ran.code, ran.codes[-1]) == (1, "SD401")
    assert not (slim / "out").exists()


@pytest.mark.parametrize(
    "option",
    [("--set", "ratio=40%"), ("--seed", "4"), ("--dtype", "f64"), ("--allow-pickle",), ("--allow-undecided",)],
    ids=lambda option: option[0],
)
def test_what_changes_the_meaning_is_refused(slim: Path, option: tuple[str, ...]) -> None:
    ran = apply(slim, *option)
    assert (ran.code, ran.codes) == (2, ["SD428"])
    assert " ".join(option) in ran.findings[0]["message"]
    assert not (slim / "out").exists()


def test_what_is_undecided_may_be_saved_where_that_is_allowed(slim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided = order.decide_budget

    def gives_up(question: BudgetQuestion) -> Answer:
        return Answer("undecided", "none", reason="told to") if question.slack.variables else decided(question)

    monkeypatch.setattr(deciding, "decide_budget", gives_up)
    text = (slim / "plan.surg").read_text().replace("  round = 4\n  floor = 8\n", "  per = global\n  floor = 8\n")
    (slim / "plan.surg").write_text(text)
    options = ("-o", "reviews/slim.json", "--output-format", "json")
    assert run(slim, "plan", "plan.surg", *options).code == 3
    ran = run(slim, "plan", "plan.surg", *options, "--allow-undecided")
    assert (ran.code, ran.document["saved"]) == (0, "slim.json")
    assert "undecided" in ran.document["preview"]["summary"]
    assert read_saved(slim / "reviews" / "slim.json").allow_undecided
    assert apply(slim, "--dry-run").code == 0


def test_what_says_the_same_is_no_contradiction(slim: Path) -> None:
    assert apply(slim, "--set", "ratio=30%", "--seed", "3", "--device", "cpu", "--dry-run").code == 0


@pytest.mark.parametrize("name", FILES)
def test_anything_that_changed_since_is_refused_with_both_digests(slim: Path, name: str) -> None:
    path = slim / name
    if name.endswith(".lock"):
        text = path.read_text()
        content = text[: text.rindex(',"digest":"')] + "}"
        path.write_text(sealed(content.replace('"torch":"', '"torch":"0')))
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if name.endswith("safetensors") else data + b"\n")
    before = tree(slim)
    ran = apply(slim)
    assert ran.code == 4
    first = ran.findings[0]
    assert first["code"] == "SD427"
    assert name in first["message"]
    assert first["facts"]["saved"] != first["facts"]["found"]
    assert first["facts"]["saved"][:16] in first["notes"][0]
    assert first["facts"]["found"][:16] in first["notes"][0]
    assert "surgery-dsl plan plan.surg -o slim.json" in first["help"]
    assert tree(slim) == before


def test_a_missing_plan_is_told(slim: Path) -> None:
    (slim / "plan.surg").unlink()
    ran = apply(slim)
    assert (ran.code, ran.codes[0]) == (4, "SD427")
    assert ran.findings[0]["facts"]["found"] == "nothing"


@pytest.mark.parametrize(
    ("old", "new"),
    [('"seed": 3', '"seed": 4'), ('"sets": {\n  "ratio": "30%"', '"sets": {\n  "ratio": "40%"'), ("lowest", "highest")],
)
def test_a_tampered_saved_plan_is_refused(slim: Path, old: str, new: str) -> None:
    path = slim / "reviews" / "slim.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    ran = apply(slim)
    assert (ran.code, ran.codes) == (4, ["SD424"])
    assert not (slim / "out").exists()


def test_a_reformatted_saved_plan_is_the_same(slim: Path) -> None:
    path = slim / "reviews" / "slim.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True), encoding="utf-8")
    assert apply(slim, "--dry-run").code == 0


def test_a_preview_that_its_plan_does_not_make_is_refused_though_it_is_sealed(slim: Path) -> None:
    def prettier(document: dict[str, Any]) -> None:
        document["preview"]["changes"]["changes"] = document["preview"]["changes"]["changes"][1:]
        document["preview"]["summary"] = "plan: nothing to see"

    rewritten(slim / "reviews" / "slim.json", prettier)
    ran = apply(slim)
    assert (ran.code, ran.codes[-1]) == (4, "SD424")
    assert "other changes and summary than it shows" in ran.findings[-1]["message"]


def test_a_text_that_is_not_the_plan_is_refused_though_it_is_sealed(slim: Path) -> None:
    rewritten(slim / "reviews" / "slim.json", lambda document: document["text"].append("# more"))
    assert apply(slim).codes == ["SD424"]


@pytest.mark.parametrize("content", [b"{}", b'{"format": "2"}', b"{ \xff", b"{" * 100_000])
def test_files_that_are_no_saved_plan(slim: Path, content: bytes) -> None:
    (slim / "reviews" / "slim.json").write_bytes(content)
    assert (apply(slim).code, apply(slim).codes) == (1, ["SD423"])


def test_only_saved_plans_are_replaced(slim: Path) -> None:
    before = (slim / "digits.py").read_bytes()
    ran = run(slim, "plan", "plan.surg", "-o", "digits.py", "--output-format", "json")
    assert (ran.code, ran.codes) == (1, ["SD522"])
    assert (slim / "digits.py").read_bytes() == before
    assert run(slim, "plan", "plan.surg", "-o", "reviews/slim.json").code == 0
    assert read_saved(slim / "reviews" / "slim.json").sets == {}


def test_a_plan_that_is_refused_is_not_saved(slim: Path) -> None:
    text = (slim / "plan.surg").read_text().replace("0.65 * base.params", "0.1 * base.params")
    (slim / "tight.surg").write_text(text)
    shutil.copy(slim / "plan.surg.lock", slim / "tight.surg.lock")
    ran = run(slim, "plan", "tight.surg", "-o", "tight.json", "--output-format", "json")
    assert ran.code == run(slim, "check", "tight.surg").code == 1
    assert ran.document["preview"]["changes"]["tensors"] == 16
    assert ran.document["saved"] is None
    assert not (slim / "tight.json").exists()


def test_the_json_of_a_preview_follows_its_schema(slim: Path) -> None:
    ran = run(slim, "plan", "plan.surg", "--output-format", "json")
    jsonschema.validate(ran.document["preview"], json.loads(read_resource("specs/preview.schema.json")))
    assert run(slim, "schema", "preview").out == read_resource("specs/preview.schema.json")


# ---- diff --------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(slim: Path) -> Path:
    """The folder as a repository with one commit; nothing of the user's own configuration is read."""
    for arguments in (
        ("init", "-q"),
        ("add", "plan.surg"),
        ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "first"),
    ):
        subprocess.run(["git", *arguments], cwd=slim, check=True, capture_output=True)
    return slim


def test_a_revision_is_read_from_the_repository(repository: Path) -> None:
    assert run(repository, "diff", "plan.surg", "--against", "HEAD").out.endswith("same meaning, same text\n")
    text = (repository / "plan.surg").read_text()
    (repository / "plan.surg").write_text(text.replace("0.65", "0.75"))
    ran = run(repository.parent, "diff", "slim/plan.surg", "--against", "HEAD")
    assert ran.code == 1
    assert "loosened: control final: the limit goes from `<= 0.65 * base.params` to `<= 0.75 * base.params`" in ran.out
    (repository / "plan.surg").write_text("# a comment\n" + text)
    ran = run(repository, "diff", "plan.surg", "--against", "HEAD", "--output-format", "json")
    assert (ran.code, ran.document["meaning"]["same"], ran.document["meaning"]["same_text"]) == (0, True, False)
    jsonschema.validate(ran.document["meaning"], json.loads(read_resource("specs/meaning.schema.json")))


@pytest.mark.parametrize(
    ("against", "why"),
    [
        ("nowhere", "there is no revision `nowhere`"),
        ("--output=out", "neither a file nor the name of a revision"),
        ("HEAD:digits.py", "neither a file nor the name of a revision"),
    ],
)
def test_revisions_that_are_none(repository: Path, against: str, why: str) -> None:
    ran = run(repository, "diff", "plan.surg", f"--against={against}", "--output-format", "json")
    assert (ran.code, ran.codes) == (2, ["SD429"])
    assert why in ran.findings[0]["message"]
    assert not (repository / "out").exists()


def test_a_plan_that_the_revision_does_not_have(repository: Path) -> None:
    shutil.copy(repository / "plan.surg", repository / "new.surg")
    ran = run(repository, "diff", "new.surg", "--against", "HEAD", "--output-format", "json")
    assert "`new.surg` is not in revision `HEAD`" in ran.findings[0]["message"]


def test_no_repository(slim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(slim.parent))
    ran = run(slim, "diff", "plan.surg", "--against", "HEAD", "--output-format", "json")
    assert "it is in no git repository" in ran.findings[0]["message"]
    monkeypatch.setenv("PATH", str(slim))
    ran = run(slim, "diff", "plan.surg", "--against", "HEAD", "--output-format", "json")
    assert "git is not installed" in ran.findings[0]["message"]


def test_mistakes_of_either_plan_are_told(slim: Path) -> None:
    (slim / "broken.surg").write_text("surg 1\nmodel net {\n")
    for pair in (("plan.surg", "broken.surg"), ("broken.surg", "plan.surg")):
        ran = run(slim, "diff", pair[0], "--against", pair[1], "--output-format", "json")
        assert ran.code == 1
        assert ran.document["meaning"] is None
        assert {finding["file"] for finding in ran.findings} == {"broken.surg"}
    assert surgery_dsl.diff(slim / "plan.surg", slim / "plan.surg").meaning is not None


def test_a_lock_beside_the_plan_makes_limits_comparable(slim: Path) -> None:
    text = (slim / "plan.surg").read_text()
    for limit, code in (("17663", 0), ("17664", 1)):
        (slim / "plan.surg").write_text(text.replace("0.65 * base.params", limit))
        (slim / "old.surg").write_text(text)
        assert run(slim, "diff", "plan.surg", "--against", "old.surg").code == code
