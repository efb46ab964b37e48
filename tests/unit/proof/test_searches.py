"""Searches: what a method needs of a plan, which candidates are proved, and what their tests cost."""

from fractions import Fraction
from pathlib import Path

import pytest

import surgery_dsl
from surgery_dsl.interface.staleness import declaration
from surgery_dsl.language.plan import Block, Plan, Search
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.searching import candidates_of, chose_on, search_of
from surgery_dsl.proof.statistical import form_of, lines, risk
from surgery_dsl.run.prepare import Checked, check
from surgery_dsl.run.resolving import resolved
from tests.conformance.workbench import Workbench

PLAN = """surg 1

model net {{
  load = python("networks:mlp")
  weights = "mlp.safetensors"
  input = x("f32", [N, 16])
}}
data train {{ load = python("networks:data", network = "mlp") }}
data test {{ load = python("networks:data", network = "mlp", seed = 1, count = 400) }}
param share {{
  default = {default}  # how much goes
  in = {choices}
}}
param scores {{
  default = "magnitude"
  in = ["magnitude", "random"]
}}

identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = pick(scores, magnitude = magnitude(p = 1), random = random(seed = 1))
  take = lowest(share)
}}
excise weak {{ mode = remove }}
search chosen {{
  {search}
}}
control final {{
  {lines}
}}
"""
SEARCH = "over = share\n  by = fixed_sequence()"
FLIPS = "measure flips(test, confidence = 95%) <= 90%"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("searches"))


def text(search: str = SEARCH, *obligations: str, default: str = "10%", choices: str = "[10%, 20%, 30%]") -> str:
    said = "\n  ".join(obligations or (FLIPS,))
    return PLAN.format(search=search, lines=said, default=default, choices=choices)


def plan_of(source: str) -> Plan:
    plan, found = read_plan(source, "plan.surg")
    assert plan is not None, found
    return plan


# ---- what does not fit -------------------------------------------------------------------------------------------

SECOND = f"{SEARCH}\n}}\nsearch again {{\n  over = scores\n  by = fixed_sequence()"
MISFITS = {
    "a range": (text(choices="10%..30%"), "the range 10%..30% has no order"),
    "one candidate": (text(choices="[10%]"), "does not say which candidates"),
    "two params": (text("over = [share, scores]\n  by = fixed_sequence()"), "the values of one param, not of 2"),
    "trials": (text(SEARCH + "\n  trials = 3"), "it has no `trials`"),
    "workers": (text(SEARCH + "\n  workers = 2"), "it has no `workers`"),
    "a record elsewhere": (text(SEARCH + '\n  record = "../search.json"'), "no file beside the plan"),
    "nothing with confidence": (text(SEARCH, "measure flips(test) <= 90%"), "the plan has none"),
    "two searches": (text(SECOND), "`again` is a second search"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_what_would_not_keep_its_risk_is_refused(what: str, bench: Workbench) -> None:
    source, said = MISFITS[what]
    findings = [one for one in bench.findings(source) if one.code.id != "SD434"]
    assert [one.code.id for one in findings] == ["SD326"]
    assert said in findings[0].message
    assert findings[0].help


def test_over_names_params(bench: Workbench) -> None:
    (finding,) = bench.errors(text("over = shar\n  by = fixed_sequence()"))
    assert (finding.code.id, finding.help) == ("SD106", "did you mean `share`?")


def test_methods_that_are_not_there_are_refused_by_name() -> None:
    _, found = read_plan(text("over = share\n  by = hyperband(rung = 3)"), "plan.surg")
    assert [one.code.id for one in found] == ["SD105"]
    assert "`hyperband`" in found[0].message


@pytest.mark.parametrize("choices", ["[10%, 10%]", "[10%, 0.1]", '[10%, "a"]', "[]"])
def test_lists_of_params_are_of_one_kind_and_without_repetition(choices: str) -> None:
    _, found = read_plan(text(choices=choices), "plan.surg")
    assert [one.code.id for one in found] == ["SD107"]


# ---- candidates --------------------------------------------------------------------------------------------------


def test_every_candidate_is_proved_and_the_first_that_is_stands_for_the_plan(bench: Workbench) -> None:
    base = check_text(bench, text())
    assert [bool(against) for against in base.candidates.values()] == [False] * 3
    budget = text(SEARCH, "prove params <= 0.8 * base.params", FLIPS)
    checked = check_text(bench, budget)
    assert [bool(against) for against in checked.candidates.values()] == [True, False, False]
    assert checked.diagnostics == ()
    assert checked.plan is not None
    assert str(next(param.value for param in checked.plan.params if param.name == "share")) == "20%"
    none = check_text(bench, text(SEARCH, "prove params <= 0.1 * base.params", FLIPS))
    assert all(none.candidates.values())
    assert [one.code.id for one in none.diagnostics] == ["SD301"]


def check_text(bench: Workbench, source: str) -> Checked:
    path = bench.folder / "searched.surg"
    path.write_text(source, encoding="utf-8")
    path.with_name("searched.surg.lock").unlink(missing_ok=True)
    return check(path, allow_code=["*"])


@pytest.mark.parametrize(("by", "shares"), [("fixed_sequence", 1), ("bonferroni", 3)])
def test_the_risk_of_a_line_is_divided_among_lines_and_candidates(by: str, shares: int) -> None:
    plan = plan_of(text(f"over = share\n  by = {by}()", FLIPS, "measure accuracy(test, confidence = 95%) >= 10%"))
    for _, obligation in lines(plan):
        assert risk(form_of(obligation, {}, "plan.surg"), plan) == Fraction(1, 20) / (2 * shares)


def test_data_chose_where_a_line_was_decided_on_it() -> None:
    obligations = ("prove params <= 2 * base.params", FLIPS, "measure loss(train) <= 9")
    assert chose_on(plan_of(text(SEARCH, *obligations))) == ()
    assert chose_on(plan_of(text(SEARCH + '\n  record = "search.json"', *obligations))) == ("test", "train")


# ---- the plan that it leads to -----------------------------------------------------------------------------------


def test_a_resolved_plan_is_the_same_plan_with_the_value_and_the_record() -> None:
    source = text()
    written = resolved(source, "chosen", {"share": "30%", "scores": '"random"'}, "search.json", "plan.surg")
    assert "# how much goes" in written
    found, wanted = plan_of(written), read_plan(source, "plan.surg", {"share": "30%", "scores": "random"})[0]
    assert wanted is not None
    assert [str(param.default) for param in found.params] == ["30%", "random"]
    assert search_of(found) is not None
    assert [bare(step) for step in found.steps] == [bare(step) for step in wanted.steps]


def bare(step: object) -> object:
    assert isinstance(step, Block)
    return declaration(step, set(type(step).model_fields) - {"span", "spans", "record"})


def test_a_search_that_is_made_is_not_made_again(tmp_path: Path, bench: Workbench) -> None:
    path = bench.folder / "none.surg"
    path.write_text(text().replace(f"search chosen {{\n  {SEARCH}\n}}\n", ""), encoding="utf-8")
    made = surgery_dsl.search(path, tmp_path / "found", allow_code=["*"])
    assert [one.code.id for one in made.diagnostics] == ["SD326"]
    path.write_text(text(), encoding="utf-8")
    made = surgery_dsl.search(path, tmp_path / "found", allow_code=["*"], sets={"share": "10%"})
    assert [one.code.id for one in made.diagnostics] == ["SD326"]
    assert "`--set share=10%`" in made.diagnostics[0].message
    assert not (tmp_path / "found").exists()


def test_candidates_may_be_words() -> None:
    plan = plan_of(text("over = scores\n  by = fixed_sequence()"))
    search = search_of(plan)
    assert isinstance(search, Search)
    assert candidates_of(search, plan) == ("magnitude", "random")
