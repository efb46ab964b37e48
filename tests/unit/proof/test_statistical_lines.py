"""Lines with confidence: what they are brought to, and what no examples can show."""

from fractions import Fraction

import pytest

from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.statistical import Form, form_of, lines, risk
from surgery_dsl.proof.touching import touches
from tests.conformance.workbench import Workbench

PLAN = """surg 1

model net {{
  load = python("networks:mlp")
  weights = "mlp.safetensors"
  input = x("f32", [N, 16])
}}
data train {{ load = python("networks:data", network = "mlp") }}
data again {{ load = python("networks:data", network = "mlp") }}
data test {{ load = python("networks:data", network = "mlp", seed = 1, count = 400) }}

identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = {by}
  take = lowest(10%)
}}
excise weak {{ mode = remove }}
{steps}
control final {{
  {lines}
}}
"""
TUNE = """recover tune {
  data = again
  epochs = 1
  optimizer = adamw(lr = 1e-3)
  loss = cross_entropy
}"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("lines"))


def text(*obligations: str, by: str = "magnitude(p = 1)", steps: str = "") -> str:
    return PLAN.format(lines="\n  ".join(f"measure {one}" for one in obligations), by=by, steps=steps)


def plan_of(bench: Workbench, *obligations: str) -> Plan:
    plan, found = bench.read(text(*obligations))
    assert plan is not None, found
    return plan


def form(bench: Workbench, line: str) -> Form:
    ((_, obligation),) = lines(plan_of(bench, line))
    return form_of(obligation, {}, "plan.surg")


def test_a_difference_is_one_mean(bench: Workbench) -> None:
    found = form(bench, "loss(test, confidence = 95%, clip = 2.5) <= 1.5 * base.loss(test) + 0.05")
    assert [str(term.factor) + term.point.at for term in found.terms] == ["1now", "-3/2base"]
    assert (found.limit, found.low, found.high) == (Fraction(1, 20), Fraction(-15, 4), Fraction(5, 2))
    assert all(getattr(term.word, "clip", None) == 2.5 for term in found.terms)
    assert not found.counts


def test_sides_may_be_turned_and_terms_fall_together(bench: Workbench) -> None:
    found = form(bench, "base.accuracy(test) - 1pp <= accuracy(test, confidence = 90%)")
    assert [str(term.factor) + term.point.at for term in found.terms] == ["1base", "-1now"]
    assert (found.limit, found.low, found.high) == (Fraction(1, 100), Fraction(-1), Fraction(1))
    assert found.relation == "<="
    halves = form(bench, "flips(test, confidence = 95%) / 2 + 0.5 * flips(test) <= 2%")
    assert [term.factor for term in halves.terms] == [Fraction(1)]
    assert halves.counts


def test_a_threshold_is_a_rate(bench: Workbench) -> None:
    found = form(bench, "change(test, norm = 2, confidence = 95%, exceeded = 2%) <= 4")
    assert found.kind == "exceeded"
    assert found.counts
    assert (found.threshold, found.limit) == (Fraction(4), Fraction(1, 50))
    turned = form(bench, "4 >= change(test, norm = 2, confidence = 95%, exceeded = 2%)")
    assert (turned.threshold, turned.limit) == (Fraction(4), Fraction(1, 50))


def test_all_lines_share_the_risk(bench: Workbench) -> None:
    plan = plan_of(
        bench, "flips(test, confidence = 90%) <= 20%", "flips(test, confidence = 95%) <= 20%", "dead(test) == 0"
    )
    risks = [risk(form_of(obligation, {}, ""), plan) for _, obligation in lines(plan)]
    assert risks == [Fraction(1, 20), Fraction(1, 40)]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("loss(test, confidence = 95%) <= base.loss(test) + 1", "SD322"),
        ("loss(test, confidence = 95%, clip = 5) <= base.loss(test, clip = 4) + 1", "SD324"),
        ("loss(test, confidence = 95%, clip = 5) <= base.loss(train) + 1", "SD324"),
        ("accuracy(test, confidence = 95%) == base.accuracy(test)", "SD324"),
        ("accuracy(test, confidence = 95%) >= base.accuracy(test, confidence = 90%) - 5pp", "SD324"),
        ("accuracy(test, confidence = 95%) * accuracy(test) >= 5%", "SD199"),
        ("max(accuracy(test, confidence = 95%), base.accuracy(test)) >= 5%", "SD324"),
        ("loss(test, confidence = 95%, clip = 5) <= grad_flow(test) + 4", "SD324"),
        ("change(test, confidence = 95%) <= 4", "SD323"),
        ("change(test, exceeded = 1%) <= 4", "SD324"),
        ("change(test, norm = relative, confidence = 95%, exceeded = 1%) <= 50%", "SD324"),
        ("change(test, confidence = 95%, exceeded = 1%) >= 4", "SD324"),
        ("change(test, confidence = 95%, exceeded = 1%) <= 4 * base.loss(test)", "SD324"),
        ("change(box(test, eps = 0.1), confidence = 95%, exceeded = 1%) <= 4", "SD324"),
        ("flips(test, confidence = 95%) - flips(test) <= 1pp", "SD324"),
        ("flips(test, confidence = 95%) <= 0.5%", "SD511"),
        ("change(test, confidence = 95%, exceeded = 0.5%) <= 4", "SD511"),
        ("flips(test, confidence = 100%) <= 50%", "SD112"),
        ("flips(test, confidence = 40%) <= 50%", "SD112"),
        ("flips(test, confidence = 95%) <= 100%", "SD701"),
    ],
)
def test_what_no_examples_can_show_is_refused(line: str, code: str, bench: Workbench) -> None:
    found = [finding.code.id for finding in bench.findings(text(line))]
    if code == "SD199":  # products of quantities have no unit to begin with
        assert found
    else:
        assert found == [code]


def test_certify_takes_no_confidence(bench: Workbench) -> None:
    line = "change(box(test, eps = 0.1), confidence = 95%, exceeded = 1%) <= 4"
    found = bench.findings(text(line).replace("measure", "certify"))
    assert [finding.code.id for finding in found] == ["SD324"]


LINE = "flips(train, confidence = 95%) <= 60%"


@pytest.mark.parametrize(
    ("by", "steps", "step"),
    [
        ("taylor(train, batches = 2)", "", "weak"),
        ("taylor(again, batches = 2)", "", "weak"),
        ("magnitude(p = 1)", TUNE, "tune"),
    ],
)
def test_data_that_made_the_network_is_no_evidence(by: str, steps: str, step: str, bench: Workbench) -> None:
    (found,) = bench.findings(text(LINE, by=by, steps=steps))
    assert (found.code.id, f"`{step}` read it" in found.message) == ("SD321", True)
    assert found.labels[0].span.line != found.span.line if found.span else False
    without = text(LINE.replace(", confidence = 95%", ""), by=by, steps=steps)
    assert bench.findings(without) == ()


def test_data_that_a_later_step_reads_is_evidence_until_then(bench: Workbench) -> None:
    plain = text("flips(test, confidence = 95%) <= 60%")
    early = plain.replace("control final", "control early").replace("(test,", "(train,") + TUNE
    assert bench.findings(early) == ()
    plan, _ = bench.read(early)
    assert plan is not None
    assert list(touches(plan, "early", "again", {})) == []
    assert [touch.step for touch in touches(plan, "later", "again", {})] == ["tune"]


def test_samples_that_are_large_enough_are_told_from_those_that_are_not(bench: Workbench) -> None:
    few = bench.findings(text("flips(test, confidence = 95%) <= 0.7%"))
    assert [finding.facts for finding in few] == [{"examples": 400, "needed": 427}]
    assert bench.findings(text("flips(test, confidence = 95%) <= 0.8%")) == ()
