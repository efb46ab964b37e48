"""An edit is offered where the edited text, checked again, lacks the finding and has no new one."""

from surgery_dsl.diagnostics.codes import budgets, names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.mending import MOST_ALIKE, Judged, mended

PLAN = """\
surg 1

model net {
  load = python("m:net")
  input = x("f32", [N, 16])
}
identify weak {
  in = linear("hidden.*")
  take = all
  floor = 64
}
excise weak
"""
AT = Span(10, 3, 10, 13)


def plan() -> Plan:
    found, wrong = read_plan(PLAN, "p.surg")
    assert found is not None, wrong
    return found


def finding(help_text: str, message: str = "m") -> Diagnostic:
    return Diagnostic(budgets.REFUTED, message, file="p.surg", span=AT, help=help_text)


def judged_by(**found: tuple[Diagnostic, ...]):  # type: ignore[no-untyped-def]
    """Return a judge that knows what each value of ``floor`` leads to."""
    seen: list[str] = []

    def judge(text: str) -> Judged:
        seen.append(text)
        value = text.partition("floor = ")[2].partition("\n")[0]
        return Judged(read_plan(text, "p.surg")[0], found.get(f"at_{value}", ()), True)

    return judge, seen


def test_an_edit_that_ends_it_is_offered() -> None:
    wrong = finding("write `floor = 8`")
    judge, seen = judged_by()
    (found,) = mended(PLAN, Judged(plan(), (wrong,), True), judge)
    assert found.help == wrong.help
    assert [(fix.title, fix.verified, fix.replacements[0].text) for fix in found.fixes] == [
        ("write `floor = 8`", "accepted", "8")
    ]
    assert seen == [PLAN.replace("floor = 64", "floor = 8")]


def test_an_edit_that_does_not_is_left_out() -> None:
    wrong = finding("write `floor = 8`, or `floor = 4`")
    judge, _ = judged_by(at_8=(wrong,))
    (found,) = mended(PLAN, Judged(plan(), (wrong,), True), judge)
    assert found.help == "write `floor = 4`"
    assert [fix.replacements[0].text for fix in found.fixes] == ["4"]


def test_what_an_edit_leads_to_is_told_where_nothing_helps() -> None:
    wrong, other = finding("write `floor = 8`"), Diagnostic(names.WRONG_VALUE, "another", span=AT)
    judge, _ = judged_by(at_8=(other,))
    (found,) = mended(PLAN, Judged(plan(), (wrong,), True), judge)
    assert found.fixes == ()
    assert found.help == "write `floor = 8`; but this alone leads to SD107: another"


def test_other_findings_that_were_there_do_not_count() -> None:
    wrong, other = finding("write `floor = 8`"), finding("look elsewhere", "another")
    judge, _ = judged_by(at_8=(other,))
    found, _ = mended(PLAN, Judged(plan(), (wrong, other), True), judge)
    assert [fix.verified for fix in found.fixes] == ["ended"]


def test_a_limit_that_is_relaxed_is_marked() -> None:
    text = PLAN + "control final {\n  prove params <= 10\n}\n"
    at = Span(14, 3, 14, 21)
    wrong = Diagnostic(budgets.REFUTED, "m", span=at, help="write `params <= 12`, or write `unit = channels` in `weak`")
    judge, _ = judged_by()
    (found,) = mended(text, Judged(read_plan(text, "p.surg")[0], (wrong,), True), judge)
    assert [(fix.title, fix.loosens) for fix in found.fixes] == [
        ("write `params <= 12`", True),
        ("write `unit = channels` in `weak`", False),
    ]


def test_of_a_plan_that_cannot_be_read_claims_are_not_touched_lightly() -> None:
    text = PLAN.replace("lin", "lni").replace("hidden", "hiden") + "control final {\n  prove parms <= 10\n}\n"
    judge, _ = judged_by()
    edits = {"did you mean `linear`?": Span(8, 8, 8, 14), "did you mean `params`?": Span(14, 9, 14, 14)}
    wrong = tuple(Diagnostic(names.UNKNOWN_WORD, help_text, span=at, help=help_text) for help_text, at in edits.items())
    found = mended(text, Judged(None, wrong, False), judge)
    assert [[fix.loosens for fix in one.fixes] for one in found] == [[False], [True]]


def test_trials_are_bounded() -> None:
    many = tuple(finding(f"write `floor = {number}`", str(number)) for number in range(1, 20))
    judge, seen = judged_by()
    mended(PLAN, Judged(plan(), many, True), judge)
    assert len(seen) == MOST_ALIKE
    judge, seen = judged_by()
    mended(PLAN, Judged(plan(), many, True), judge, most=2)
    assert len(seen) == 2


def test_advice_stays_as_it_is() -> None:
    wrong = finding("take other sites")
    judge, seen = judged_by()
    assert mended(PLAN, Judged(plan(), (wrong,), True), judge) == (wrong,)
    assert seen == []
