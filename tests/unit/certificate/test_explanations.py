"""Every grade, status and kind of claim that a certificate can hold is explained."""

import ast
from collections.abc import Iterator
from pathlib import Path

import surgery_dsl
from surgery_dsl.certificate.explanations import GRADES, KINDS, explanations, names
from surgery_dsl.run.evidence_record import ASSUMED
from surgery_dsl.run.streaming.execute import UNMEASURED
from surgery_dsl.vocabulary import catalogue
from tests.certificates import statement_of
from tests.cli.program import run

PLACE = {"verdict_of": 2, "note_always": 0, "_claim": 0}
"""Where functions that make claims take the kind."""
MAKERS = ("Verdict", "Verdict.model_construct", "Verdict.made", "Claim", "Claim.made")


def kinds_in_the_code() -> Iterator[str]:
    """Yield every kind that is written where a claim is made."""
    package = Path(surgery_dsl.__file__).parent
    for path in (*(package / "proof").rglob("*.py"), *(package / "run").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            at = PLACE.get(called.split(".")[-1]) if called != "_claim" or path.name == "always.py" else None
            given = [word.value for word in node.keywords if word.arg == "kind" and called in (*MAKERS, *PLACE)]
            given += [node.args[at]] if at is not None and len(node.args) > at else []
            yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_every_kind_that_the_code_makes_is_explained() -> None:
    found = set(kinds_in_the_code())
    assert {"budget", "shapes", "finite", "reload", "metric", "coupling", "non-empty"} <= found
    found |= {assumption[0] for assumption in (*ASSUMED, *UNMEASURED)}
    found |= set(catalogue.names("predicates"))
    assert found - KINDS.keys() == set(), "write what these say in certificate/explanations.py"


def test_every_kind_of_a_real_certificate_is_explained(result: Path) -> None:
    groups = statement_of(result)["predicate"]["claims"]
    found = {claim["kind"] for group in groups.values() for claim in group}
    assert found
    assert found <= KINDS.keys()


def test_every_group_of_a_certificate_has_its_grade(result: Path) -> None:
    groups = statement_of(result)["predicate"]["claims"].keys()
    assert {"certified" if name == "bounded" else name for name in groups} <= GRADES.keys()


def test_an_explanation_says_all_four_things(tmp_path: Path) -> None:
    for name in names():
        (text, *_) = explanations(name)
        for part in ("says", "does not say", "assumes", "is checked"):
            assert f"{part}.** " in text, name
        assert not GRADES.keys() & KINDS.keys()
    assert list(explanations("claim:nothing")) == []
    assert run(tmp_path, "explain", "claim:budget").out == next(explanations("budget"))
    assert "# exact (predicate" in (both := run(tmp_path, "explain", "exact").out)
    assert "# exact (kind of claim)" in both
    assert "did you mean claim:budget?" in run(tmp_path, "explain", "claim:bugdet").err
