"""Whole plans against a perceptron whose interface is written by hand."""

from fractions import Fraction

import pytest

from surgery_dsl.interface.model import Requirement
from surgery_dsl.proof import deciding
from surgery_dsl.proof.check import check
from surgery_dsl.proof.questions import Answer
from surgery_dsl.proof.verdict import Verdict
from tests.unit.proof.builders import chain, checked, codes, facts, finding, full, line_of, lock, plan

SLIM = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}
excise weak
control final {
  OBLIGATION
}
"""
# 8-16-12-4 has 8*16+16 + 16*12+12 + 12*4+4 = 400 parameters; at 12 and 9 units 108 + 117 + 40 = 265
BEFORE, AFTER = 400, 265


def slim(obligation: str) -> str:
    return SLIM.replace("OBLIGATION", obligation)


def written(body: str) -> Verdict:
    (verdict,) = [v for v in checked(body).verdicts if v.verb != "always"]
    return verdict


@pytest.mark.parametrize(
    ("obligation", "status", "value", "limit"),
    [
        ("prove params <= 265", "proved", "265", "265"),
        ("prove params <= 264", "refuted", "265", "264"),
        ("prove params < 265", "refuted", "265", "265"),
        ("prove params == 265", "proved", "265", "265"),
        ("prove params <= 0.6625 * base.params", "proved", "265", "265"),
        ("prove params <= 66% * base.params", "refuted", "265", "264"),
        ("prove params >= 0.60 * base.params", "proved", "265", "240"),
        ("prove base.params - params >= 135", "proved", "135", "135"),
        ("prove params / base.params <= 67%", "proved", "0.6625", "0.67"),
        ("prove before(weak).params == base.params", "proved", "400", "400"),
        ("prove after(weak).params == params", "proved", "265", "265"),
        ("prove 1024 * weight_bytes <= 1060KiB", "proved", "1085440", "1085440"),
        ("prove 1024 * weight_bytes < 1060KiB", "refuted", "1085440", "1085440"),
        ("prove macs <= 0.70 * base.macs", "proved", "240", "257.6"),
        ("prove macs <= 0.60 * base.macs", "refuted", "240", "220.8"),
        ("prove coverage(weak) >= 80%", "proved", None, "0.8"),
        ("prove max(params, 3) <= 265", "proved", "265", "265"),
    ],
)
def test_comparisons(obligation: str, status: str, value: str | None, limit: str) -> None:
    verdict = written(slim(obligation))
    assert verdict.status == status, verdict
    assert verdict.limit == limit
    if value is not None:
        assert verdict.value == value
        sign = 1 if "<" in obligation else -1
        if "==" not in obligation:
            assert Fraction(verdict.margin) == sign * (Fraction(limit) - Fraction(value))


def test_counts_of_the_summaries() -> None:
    report = checked(slim("prove params <= 400"))
    identify, excise = report.steps
    assert [(pool.paths, pool.units, str(pool.kept)) for pool in identify.pools] == [
        (("hidden.0",), 16, "12"),
        (("hidden.1",), 12, "9"),
    ]
    assert [str(count) for count in excise.params] == [str(BEFORE), str(AFTER)]
    assert (excise.matched, excise.changed, excise.function) == (2, 2, "changing")
    assert identify.covered == "87 %"
    sliced = {"hidden.0.weight", "hidden.0.bias", "hidden.1.weight", "hidden.1.bias", "head.weight"}
    assert set(excise.writes) == sliced | {"head.bias"}  # which takes over what dead units still give


def test_always_on_obligations_hold_after_the_step() -> None:
    report = checked(slim("prove params <= 400"))
    kinds = [(v.kind, v.status) for v in report.verdicts if v.verb == "always" and v.block == "weak"]
    assert kinds == [(k, "proved") for k in ("shapes", "non-empty", "divisibility", "contract", "effect")]
    assert len({(v.verb, v.text) for v in report.verdicts}) == len(report.verdicts)


def test_a_refuted_budget_teaches() -> None:
    body = slim("prove params <= 0.50 * base.params")
    found = finding(checked(body), "refuted")
    assert found.span is not None
    assert found.span.line == line_of(body, "prove params")
    assert found.facts["value"] == "265"
    assert found.facts["limit"] == "200"
    assert found.facts["over"] == "65"
    text = " ".join(found.notes)
    assert "`hidden.0` 12 of 16" in text
    assert "66.25 %" in text
    assert "`0.67 * base.params`" in text
    assert [label.span.line for label in found.labels] == [line_of(body, "take = lowest")]
    assert found.help.startswith("write `take = lowest(")
    share = found.help.split("lowest(")[1].split("%")[0]
    fixed = checked(body.replace("25%", f"{share}%"))
    assert codes(fixed) == []
    assert "refuted" in codes(checked(body.replace("25%", f"{int(share) - 1}%")))


def test_the_proposed_limit_is_the_smallest() -> None:
    body = slim("prove params <= 0.50 * base.params")
    assert codes(checked(body.replace("0.50", "0.67"))) == []
    assert codes(checked(body.replace("0.50", "0.66"))) == ["refuted"]


def test_a_limit_from_below_is_mended_by_taking_less() -> None:
    body = slim("prove params >= 0.80 * base.params")
    found = finding(checked(body), "refuted")
    share = found.help.split("lowest(")[1].split("%")[0]
    assert codes(checked(body.replace("25%", f"{share}%"))) == []
    assert codes(checked(body.replace("25%", f"{int(share) + 1}%"))) == ["refuted"]


def test_a_param_is_proposed_where_one_is_used() -> None:
    body = "\nparam ratio {\n  default = 25%\n  in = 10%..60%\n}\n" + slim("prove params <= 0.50 * base.params")
    found = finding(checked(body.replace("lowest(25%)", "lowest(ratio)")), "refuted")
    assert found.help.startswith("set `ratio` to ")


def test_open_choices_are_proved_for_every_outcome() -> None:
    body = slim("prove params <= base.params").replace("take = lowest(25%)", "take = below(0.5)\n  floor = 4")
    verdict = written(body)
    assert (verdict.status, verdict.value) == ("proved", "400")
    refuted = checked(body.replace("<= base.params", "<= 0.9 * base.params"))
    found = finding(refuted, "refuted")
    assert "can be 400" in found.message
    low = written(body.replace("<= base.params", ">= 56 + 20"))
    assert low.status == "proved", "at 4 and 4 units there are 36 + 20 + 20 parameters"
    assert written(body.replace("<= base.params", ">= 77")).status == "refuted"


def test_a_global_ranking_is_bounded_by_its_sum() -> None:
    body = slim("prove params <= base.params").replace("lowest(25%)", "lowest(25%)\n  per = global\n  floor = 2")
    report = checked(body)
    assert [v.status for v in report.verdicts if v.verb == "prove"] == ["proved"]
    after = report.end
    (fixed,) = after.sums
    assert (fixed.least, fixed.most) == (7, 7)


def test_a_contradiction_points_at_both_lines() -> None:
    body = slim("prove params <= 0.80 * base.params\n  prove params >= 0.90 * base.params")
    report = checked(body)
    both = [d for d in report.diagnostics if "contradicts" in d.message]
    assert len(both) == 1
    assert both[0].span is not None
    assert both[0].span.line == line_of(body, ">= 0.90")
    assert both[0].labels[0].span.line == line_of(body, "<= 0.80")
    upper_twice = checked(slim("prove params <= 0.50 * base.params\n  prove params <= 0.60 * base.params"))
    assert all("contradicts" not in d.message for d in upper_twice.diagnostics)


def test_what_follows_a_broken_step_is_not_decided() -> None:
    body = slim("prove params <= 1").replace('"hidden.*"', '"nowhere.*"')
    report = checked(body)
    assert codes(report) == ["selector-unmatched"]
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    assert (verdict.status, verdict.reason) == ("undecided", "`weak` could not be followed")


@pytest.mark.parametrize(
    ("obligation", "code"),
    [
        ("prove params <= 65%", None),
        ("prove 65% >= params", None),
        ("prove params <= 20KiB", "wrong-unit"),
        ("prove weight_bytes <= 2000", "wrong-unit"),
        ("prove params <= 0.65 * base.weight_bytes", "wrong-unit"),
        ("prove params * base.params <= 3", "wrong-unit"),
        ("measure accuracy(test) >= base.accuracy(test) - 1%", "wrong-unit"),
        ("measure accuracy(test) >= 90pp", "wrong-unit"),
        ("measure loss(test) <= 5%", "relative-limit"),
        ("measure loss(test) <= 3ms", "wrong-unit"),
        ("prove accuracy(test) >= 90%", "needs-measure"),
        ("measure exact(weak)", "wrong-verb"),
        ("certify params <= 300", "wrong-verb"),
        ("measure change(box(test, eps = 1/255)) <= 3", "wrong-verb"),
        ("certify change(box(test, eps = 1/255)) >= 3", "not-a-bound"),
        ("certify change(box(test, eps = 1/255), norm = relative) <= 3%", "not-a-bound"),
        ("certify loss(box(test, eps = 1/255)) <= 3", "not-a-bound"),
        ("certify change(box(test, eps = 1/255)) <= -1", "impossible-gate"),
        ("measure accuracy(test) >= 0%", "vacuous-gate"),
        ("measure accuracy(test) <= 100%", "vacuous-gate"),
        ("measure loss(test) >= 0", "vacuous-gate"),
        ("measure change(test) >= 0", "vacuous-gate"),
        ("measure dead(test) >= 0", "vacuous-gate"),
        ("measure accuracy(test) >= base.accuracy(test) - 100pp", "vacuous-gate"),
        ("measure loss(test) - loss(test) <= 0", "vacuous-gate"),
        ("measure accuracy(test) >= 90", "impossible-gate"),
        ("measure loss(test) <= -1", "impossible-gate"),
        ("measure accuracy(test) > 100%", "impossible-gate"),
        ("prove exact(weak)", "refuted"),
        ("prove frozen()", "refuted"),
    ],
)
def test_lines_that_are_refused_or_say_nothing(obligation: str, code: str | None) -> None:
    body = slim(obligation)
    if code is None:
        from surgery_dsl.language.read import read_plan
        from tests.unit.proof.builders import HEAD

        assert [d.code.name for d in read_plan(HEAD + body, "plan.surg")[1]] == ["relative-limit"]
        return
    report = checked(body)
    assert codes(report) == [code]
    found = finding(report, code)
    assert found.span is not None
    assert found.span.line == line_of(body, obligation)
    assert found.help


@pytest.mark.parametrize(
    "obligation",
    [
        "measure accuracy(test) >= 90%",
        "measure accuracy(test) >= 0.9",
        "measure accuracy(test) - base.accuracy(test) >= -1pp",
        "measure accuracy(test) >= 98% * base.accuracy(test)",
        "measure loss(test) <= base.loss(test) + 0.10",
        "measure loss(test) <= 1.1 * base.loss(test)",
        "measure change(test, norm = relative) <= 5%",
        "measure change(test, norm = 2) <= 0.5",
        "measure dead(test) == 0",
        "measure grad_flow(train) > 0",
        "measure magnitude <= 50%",
        "measure params <= 0.65 * base.params",
        "prove coverage(weak) >= 50%",
    ],
)
def test_lines_that_are_fine(obligation: str) -> None:
    assert codes(checked(slim(obligation))) == []


def test_a_bias_that_may_take_constants_of_dead_units_over_is_not_frozen() -> None:
    report = checked(slim('prove frozen(param("head.bias"))'))
    assert codes(report) == ["refuted"]
    assert "`weak`" in finding(report, "refuted").message


def test_undecided_is_an_error_with_its_own_exit_code() -> None:
    body = slim("prove nonzero <= 0.9 * base.nonzero")
    report = checked(body, nonzero=None)
    found = finding(report, "undecided")
    assert found.code.exit_code == 3
    assert report.failed


def test_a_share_of_nothing_is_no_limit() -> None:
    interface = chain((8, 16, 12, 4))
    zeros = dict.fromkeys(full(interface), 0)
    report = checked(slim("prove nonzero <= 0.5 * base.nonzero"), nonzero=zeros)
    assert codes(report) == ["zero-baseline"]


def test_free_sizes_of_budgets_are_all_proved() -> None:
    verdict = written(slim("prove macs <= 1000"))
    assert verdict.status == "refuted"
    found = finding(checked(slim("prove macs <= 1000")), "refuted")
    assert any(note.startswith("at N = ") for note in found.notes)
    assert "N = " in found.notes[0]


def test_sizes_that_do_not_fit_are_found_before_any_step() -> None:
    even = Requirement(relation="divides", left=2, right="N", operator="pool", reason="it halves the batch")
    interface = chain((8, 16, 12, 4), (even,))
    report = check(plan(slim("prove params <= 400")), lock(interface, nonzero=full(interface)))
    found = finding(report, "sizes-do-not-fit")
    assert found.path == "pool"
    assert "N = 1" in found.message
    shapes = [v for v in report.verdicts if v.kind == "shapes"]
    assert {v.status for v in shapes} == {"refuted"}


def test_the_report_is_a_function_of_plan_and_lock() -> None:
    body = slim("prove params <= 0.50 * base.params")
    one, two = checked(body), checked(body)
    assert one.diagnostics == two.diagnostics
    assert one.verdicts == two.verdicts
    assert one.steps == two.steps


def test_data_that_does_not_fit_is_found_where_it_is_used() -> None:
    body = slim("measure accuracy(test) >= 90%")
    interface = chain((8, 16, 12, 4))
    wrong = check(plan(body), lock(interface, facts("test", (1, 2, 4), (0, 3)), facts("train", (9,), (0, 3))))
    found = finding(wrong, "data-shape-mismatch")
    assert found.facts["data"] == "[n, 1, 2, 4]"
    assert found.help == "add `flat = true` to the loader"
    assert codes(wrong) == ["data-shape-mismatch"], "nothing uses `train`"
    dtype = check(plan(body), lock(interface, facts("test", (8,), (0, 3), input_dtype="i64")))
    assert codes(dtype) == ["data-dtype-mismatch"]
    labels = check(plan(body), lock(interface, facts("test", (8,), (0, 4))))
    assert codes(labels) == ["labels-do-not-fit"]


def test_gates_on_targets_and_outputs_that_do_not_fit() -> None:
    interface = chain((8, 16, 12, 4))
    head = 'replace head {\n  at = linear("head")\n  with = linear(3)\n  changes = outputs\n}\n'
    for quantity in ("loss(test) <= 3", "grad_flow(test) > 0", "accuracy(test) >= 3%"):
        body = f"control final {{\n  measure {quantity}\n}}\n"
        assert codes(check(plan(body), lock(interface, facts("test", (8,), (0, 4))))) == ["labels-do-not-fit"]
        assert codes(check(plan(body), lock(interface, facts("test", (8,), (0, 3))))) == []
        assert codes(check(plan(head + body), lock(interface, facts("test", (8,), (0, 3))))) == ["labels-do-not-fit"]
    change = "control final {\n  measure change(test) <= 3\n}\n"
    assert codes(check(plan(head + change), lock(interface, facts("test", (8,))))) == ["targets-do-not-fit"]


def test_amounts_far_from_what_was_asked_are_told() -> None:
    body = slim("prove params <= 400").replace("lowest(25%)", "lowest(90%)\n  floor = 8")
    found = finding(checked(body), "far-from-asked")
    assert found.severity == "warning"
    assert found.facts["achieved"] == 50.0
    assert "8 of 16 stay" in found.notes[0]
    assert codes(checked(slim("prove params <= 400"))) == []


def test_without_explanations_a_refutation_is_only_said() -> None:
    body = slim("prove params <= 0.50 * base.params")
    interface = chain((8, 16, 12, 4))
    short = check(plan(body), lock(interface, nonzero=full(interface)), explain=False)
    (found,) = [d for d in short.diagnostics if d.code.name == "refuted"]
    assert found.message == finding(checked(body), "refuted").message
    assert (found.notes, found.help) == ((), "")
    assert [v.status for v in short.verdicts] == [v.status for v in checked(body).verdicts]


@pytest.mark.parametrize(
    ("claim", "least", "bound", "interval"),
    [
        ("params <= 264", 2, -3, "between 262 (witness) and 267 (bound), the limit is 264"),
        ("params >= 264", 2, -3, "between 261 (bound) and 266 (witness), the limit is 264"),
        ("params <= 264", None, -3, "at most at 267 (bound), the limit is 264"),
    ],
)
def test_what_is_undecided_names_the_interval_of_the_worst_case(
    monkeypatch: pytest.MonkeyPatch, claim: str, least: int | None, bound: int, interval: str
) -> None:
    slack = None if least is None else Fraction(least)
    answer = Answer("undecided", "none", least=slack, bound=Fraction(bound), reason="the tiers were told to give up")
    monkeypatch.setattr(deciding, "decide_budget", lambda question: answer)
    found = finding(checked(slim(f"prove {claim}")), "undecided")
    assert interval in found.message
    assert found.notes == ("the tiers were told to give up",)
    assert "--allow-undecided" in found.help
    assert found.code.exit_code == 3
