"""A value that is chosen on the data of its claim: found, recorded, applied, verified; and refused where it changed."""

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import surgery_dsl
from surgery_dsl.certificate.chosen import check_search
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.integrity import read_statement
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.devtools.specs import FOLDER as SPECS
from surgery_dsl.language.format import format_source
from tests.cli.program import EXAMPLES, Ran, run

NAME = "pruned_with_confidence"
EXPECTED: dict[str, Any] = json.loads((EXAMPLES / NAME / "expected.json").read_text(encoding="utf-8"))
GRANT = ("--allow-code", "digits:*")
CONFIDENT = "flips(test, confidence = 95%) <= 2%"


class Found:
    """The example, searched and applied once."""

    def __init__(self, folder: Path) -> None:
        self.folder = shutil.copytree(EXAMPLES / NAME, folder / NAME)
        options = ("--device", "cpu", "--output-format", "json", "--no-progress", *GRANT)
        self.searched: Ran = run(self.folder, "search", "plan.surg", "-o", "found", *options)
        self.applied: Ran = run(folder, "apply", f"{NAME}/found/plan.surg", "-o", "out", *options)
        self.out = folder / "out"
        self.verified: Ran = run(folder, "verify", "out", "--output-format", "json")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return Found(tmp_path_factory.mktemp(NAME))


@pytest.fixture
def copy(found: Found, tmp_path: Path) -> Path:
    return shutil.copytree(found.folder, tmp_path / NAME)


def codes(plan: Path, **options: Any) -> list[str]:
    return [one.code.id for one in surgery_dsl.check(plan, make_lock=False, **options).diagnostics]


# ---- what the README says ----------------------------------------------------------------------------------------


def test_check_says_which_candidates_are_proved() -> None:
    ran = run(EXAMPLES / NAME, "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.codes) == (0, [])
    said = {one["value"]: one["proved"] for one in ran.document["plans"][0]["candidates"]}
    assert said == {value: verdict != "refused" for value, (verdict, _) in EXPECTED["candidates"].items()}


def test_an_open_search_is_not_applied(tmp_path: Path) -> None:
    outcome = surgery_dsl.apply(EXAMPLES / NAME / "plan.surg", tmp_path / "out", allow_code=["digits:*"])
    assert [one.code.id for one in outcome.diagnostics] == ["SD532"]
    assert not (tmp_path / "out").exists()


def test_candidates_are_tested_in_order_up_to_the_first_that_fails(found: Found) -> None:
    ran = found.searched
    assert (ran.code, ran.codes, ran.document["found"]) == (0, [], EXPECTED["found"])
    seen = {one["value"]: one for one in ran.document["candidates"]}
    assert {value: one["verdict"] for value, one in seen.items()} == {
        value: verdict for value, (verdict, _) in EXPECTED["candidates"].items()
    }
    for value, (_, bounds) in EXPECTED["candidates"].items():
        lines = seen[value]["lines"]
        assert len(lines) == (bounds is not None)
        for line in lines:
            assert bounds[0] <= float(Fraction(line["bound"])) <= bounds[1]
            assert (line["risk"], line["count"]) == ("1/20", 355)


def test_plan_lock_and_record_are_written(found: Found) -> None:
    written = found.folder / "found"
    assert sorted(path.name for path in written.iterdir()) == ["plan.surg", "plan.surg.lock", "search.json"]
    text = (written / "plan.surg").read_text(encoding="utf-8")
    assert format_source(text) == (text, ())
    assert "default = 30%" in text
    document = json.loads((written / "search.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads((SPECS / "search.schema.json").read_text(encoding="utf-8")))
    assert codes(written / "plan.surg") == []


def test_the_claim_stands_in_the_certificate_with_how_it_was_chosen(found: Found) -> None:
    assert (found.applied.code, found.applied.codes) == (0, [])
    predicate = read_statement(found.out).predicate
    assert predicate.search is not None
    assert (predicate.search.found, predicate.search.folder) == ("30%", ".")
    (claim,) = (one for one in predicate.claims.measured if one.statement == CONFIDENT)
    assert claim.status == "passed"
    assert claim.evidence is not None
    assert claim.evidence.kind == "statistical"
    said = "but for `ratio` = 30%, which they chose by fixed-sequence testing among 5 candidates"
    assert said in claim.evidence.population
    assert {one.name: one.steps for one in predicate.touched}["test"] == ("furthest",)
    after = sum(one.numel() for one in surgery_dsl.load(found.out, ("digits:*",)).parameters())
    assert after == EXPECTED["params"][1]


def test_what_chose_is_no_evidence_for_plans_that_begin_with_the_result(found: Found) -> None:
    later = found.out.parent / "later.surg"
    later.write_text(
        'surg 1\n\nmodel net {\n  load = result("out")\n  input = x("f32", [N, 1, 8, 8])\n}\n'
        'data test { load = digits(split = "test") }\n\nreplace q {\n  at = linear("**")\n  with = int8()\n}\n'
        "control final { measure flips(test, confidence = 95%) <= 9% }\n",
        encoding="utf-8",
    )
    outcome = surgery_dsl.apply(later, None, allow_code=["digits:*"], device="cpu")
    assert [one.code.id for one in outcome.diagnostics] == ["SD531"]
    assert "`furthest`" in outcome.diagnostics[0].message


def test_what_was_found_can_be_reviewed_and_runs_as_it_was_reviewed(copy: Path) -> None:
    planned = surgery_dsl.plan(copy / "found/plan.surg", copy / "reviewed.json")
    assert planned.diagnostics == ()
    outcome = surgery_dsl.apply(copy / "reviewed.json", copy / "out", allow_code=["digits:*"], dry_run=True)
    assert outcome.diagnostics == ()
    (copy / "digits_cnn.safetensors").write_bytes(b"")
    outcome = surgery_dsl.apply(copy / "reviewed.json", copy / "out", allow_code=["digits:*"], dry_run=True)
    assert [one.code.id for one in outcome.diagnostics] == ["SD427"]


# ---- what is refused ---------------------------------------------------------------------------------------------


def edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "plan.surg"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return edit


def recorded(change: Callable[[dict[str, Any]], object], seal: bool = True) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "search.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document)
        record = SearchRecord.model_validate(document)
        path.write_bytes((record.sealed() if seal else record).written())

    return edit


def accept(document: dict[str, Any]) -> None:
    """Say that the candidate passed which was too weak, and that it was found."""
    document["candidates"][3]["verdict"] = "accepted"
    document["found"] = "40%"


REFUSED = {
    "another value": (edited("default = 30%", "default = 10%"), "SD435", "10%"),
    "another order": (edited("[5%, 10%, 30%,", "[10%, 5%, 30%,"), "SD435", "now are 10%, 5%"),
    "more candidates": (edited("40%, 50%]", "40%, 50%, 60%]"), "SD435", "60%"),
    "another method": (edited("fixed_sequence()", "bonferroni()"), "SD435", "fixed_sequence"),
    "longer training": (edited("epochs = 1", "epochs = 2"), "SD435", "`recover tune` was changed"),
    "another limit": (edited("<= 2%", "<= 3%"), "SD435", "`control final` was changed"),
    "no record": (lambda folder: (folder / "search.json").unlink(), "SD434", "search.json"),
    "no JSON": (lambda folder: (folder / "search.json").write_text("{"), "SD434", "not JSON"),
    "an edited record": (
        recorded(lambda one: one["candidates"][3].update(verdict="accepted"), seal=False),
        "SD435",
        "",
    ),
    "a test after a failure": (
        recorded(lambda one: one["candidates"][1].update(verdict="failed")),
        "SD435",
        "10% did not pass, and 30% was tested",
    ),
    "a bound that breaks the limit": (
        recorded(lambda one: one["candidates"][2]["lines"][0].update(bound="0.03", margin="0.01")),
        "SD435",
        "30% is accepted",
    ),
    "a larger risk": (
        recorded(lambda one: one["candidates"][2]["lines"][0].update(risk="1/10")),
        "SD435",
        "is not what the plan asks for",
    ),
    "other data": (recorded(lambda one: one["data"].update(test="0" * 64)), "SD435", "the data of `test`"),
    "another network": (recorded(lambda one: one["structure"].update(net="0" * 64)), "SD435", "structure of `net`"),
    "a candidate that failed": (
        lambda folder: (recorded(accept)(folder), edited("default = 30%", "default = 40%")(folder)),
        "SD435",
        "",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_was_changed_since_is_refused_with_both_values(what: str, copy: Path) -> None:
    change, code, said = REFUSED[what]
    change(copy / "found")
    findings = surgery_dsl.check(copy / "found/plan.surg", make_lock=False).diagnostics
    assert [one.code.id for one in findings] == [code]
    assert said in findings[0].message
    assert findings[0].span is not None
    assert findings[0].help
    if code == "SD435":
        assert findings[0].facts["recorded"] != findings[0].facts["found"]


def test_spelling_and_comments_change_nothing(copy: Path) -> None:
    edited("epochs = 1", "epochs = 1  # short")(copy / "found")
    edited("surg 1\n", "surg 1\n\n# a note\n")(copy / "found")
    assert codes(copy / "found/plan.surg") == []


def test_other_settings_of_the_run_are_refused(copy: Path) -> None:
    plan = copy / "found/plan.surg"
    assert codes(plan, sets={"ratio": "10%"}) == ["SD435"]
    for options in ({"seed": 1}, {"dtype": "f64"}):
        outcome = surgery_dsl.apply(plan, None, allow_code=["digits:*"], dry_run=True, **options)
        assert [one.code.id for one in outcome.diagnostics] == ["SD435"]


def test_a_network_that_measures_otherwise_is_not_the_one_that_was_tested(copy: Path) -> None:
    recorded(lambda one: one["candidates"][2]["lines"][0].update(items="0" * 64))(copy / "found")
    outcome = surgery_dsl.apply(copy / "found/plan.surg", copy / "out", allow_code=["digits:*"], device="cpu")
    assert [one.code.id for one in outcome.diagnostics] == ["SD435"]
    assert not (copy / "out").exists()


# ---- other ends of a search --------------------------------------------------------------------------------------


def test_an_interrupted_search_leaves_nothing(copy: Path) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if "training" in text:
            raise KeyboardInterrupt

    before = sorted(copy.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        surgery_dsl.search(copy / "plan.surg", copy / "new/again", allow_code=["digits:*"], progress=interrupt)
    assert [path for path in sorted(copy.rglob("*")) if "__pycache__" not in path.parts] == before


def test_nothing_is_found_where_the_first_candidate_is_too_weak(copy: Path) -> None:
    edited("[5%, 10%, 30%, 40%, 50%]", "[50%, 10%]")(copy)
    edited("default = 5%", "default = 10%")(copy)
    made = surgery_dsl.search(copy / "plan.surg", copy / "again", allow_code=["digits:*"], device="cpu")
    assert [(one.code.id, one.severity.value) for one in made.diagnostics] == [("SD511", "error"), ("SD533", "note")]
    assert [(one.value, one.verdict) for one in made.candidates] == [("50%", "too weak"), ("10%", "not tested")]
    assert not (copy / "again").exists()


def test_bonferroni_tests_all_each_at_its_share(copy: Path) -> None:
    edited("[5%, 10%, 30%, 40%, 50%]", "[50%, 10%]")(copy)
    edited("default = 5%", "default = 50%")(copy)
    edited("fixed_sequence()", "bonferroni()")(copy)
    made = surgery_dsl.search(copy / "plan.surg", copy / "again", allow_code=["digits:*"], device="cpu")
    assert (made.found, made.diagnostics) == ("10%", ())
    assert [(one.verdict, one.lines[0].risk) for one in made.candidates] == [("too weak", "1/40"), ("accepted", "1/40")]
    assert codes(copy / "again/plan.surg") == []


def test_the_result_verifies_and_a_changed_search_does_not(found: Found, tmp_path: Path) -> None:
    assert (found.verified.code, found.verified.codes) == (0, [])
    result = shutil.copytree(found.out, tmp_path / "out")
    said = {one.basis for one in surgery_dsl.verify(result).findings if one.check == "search"}
    assert said == {"re-derived", "trusted"}
    record = SearchRecord.model_validate_json((result / "search.json").read_bytes())
    failed = record.candidates[3].replaced(verdict="failed")
    other = record.replaced(candidates=(*record.candidates[:3], failed, record.candidates[4])).sealed()
    (result / "search.json").write_bytes(other.written())
    statement = read_statement(result)
    log = Log()
    check_search(result, statement, log)
    assert [(one.check, one.basis) for one in log.findings] == [("search", "failed")]
