"""Searches: which candidates there are, and what a search method needs of a plan to keep its risk.

A candidate is a value of the one param that is searched. The order is that of the param's list: it stands in the plan,
and so was fixed before anything was measured. Nothing here is about how well candidates do.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.params import value_text
from surgery_dsl.language.plan import Comparison, Control, Param, ParamValue, Plan, Search
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.words import data_names

FEWEST = 2
"""Candidates without which there is nothing to choose."""


def search_of(plan: Plan) -> Search | None:
    """Return the search of a plan, the first where there are several."""
    return next((step for step in plan.steps if isinstance(step, Search)), None)


def open_search(plan: Plan) -> Search | None:
    """Return the search of a plan that nobody has made yet."""
    found = search_of(plan)
    return None if found is None or found.record else found


def param_of(search: Search, plan: Plan) -> Param:
    """Return the param that is searched; of several the first."""
    return next(param for param in plan.params if param.name == search.over[0])


def candidates_of(search: Search, plan: Plan) -> tuple[ParamValue, ...]:
    """Return the values that a search may choose among, in the order of the plan."""
    return param_of(search, plan).choices


def chose_on(plan: Plan) -> tuple[str, ...]:
    """Return the data sets that a search that was made chose by: all that lines read which are decided on data."""
    search = search_of(plan)
    if search is None or not search.record:
        return ()
    names: dict[str, None] = {}
    for step in plan.steps:
        for obligation in step.obligations if isinstance(step, Control) else ():
            statement = obligation.statement
            if obligation.verb != "prove" and isinstance(statement, Comparison):
                read = (*readings(statement.left), *readings(statement.right))
                names |= dict.fromkeys(name for reading in read for name in data_names(reading.word))
    return tuple(names)


def chosen_text(plan: Plan) -> str:
    """Say how a search chose on the evidence itself, in words that follow what is assumed of it; or nothing."""
    search = search_of(plan)
    if search is None or not search.record:
        return ""
    param = param_of(search, plan)
    count = len(param.choices)
    risk = "the whole risk" if search.by.sharing(count) == 1 else f"1/{count} of the risk"
    return (
        f", but for `{param.name}` = {value_text(param.value)}, which they chose by {search.by.says} among {count} "
        f"candidates that the plan declares, each tested at {risk}"
    )


def misfits(plan: Plan, speaks: bool) -> Iterator[Diagnostic]:
    """Yield what keeps the search of a plan from being one that keeps its risk.

    Args:
        plan: The plan.
        speaks: Whether some line of it speaks of a population.
    """
    searches = [step for step in plan.steps if isinstance(step, Search)]
    for search in searches[1:]:
        text = f"`{search.name}` is a second search, and together they would choose among more than either says"
        yield _misfit(plan, search, "", text, "keep one `search`")
    for search in searches[:1]:
        yield from _misfits(search, plan, speaks)


def _misfits(search: Search, plan: Plan, speaks: bool) -> Iterator[Diagnostic]:
    by = f"`{search.by.name}()`"
    if len(search.over) != 1:
        text = f"{by} goes through the values of one param, not of {len(search.over)}"
        yield _misfit(plan, search, "over", text, f"write `over = {search.over[0] if search.over else 'ratio'}`")
        return
    param = param_of(search, plan)
    if len(param.choices) < FEWEST:
        span = f"the range {_range(param)} has no order" if param.least is not None else "it has no list of values"
        text = f"`{param.name}` does not say which candidates {by} goes through: {span}"
        yield _misfit(plan, search, "over", text, f"give `{param.name}` a list: `in = [10%, 20%, 30%]`, safest first")
    if search.record and PurePosixPath(search.record).name != search.record:
        text = f"`{search.record}` is no file beside the plan, and a result keeps the record beside its plan"
        yield _misfit(plan, search, "record", text, 'write `record = "search.json"`, as `surgery-dsl search` does')
    for attribute, given in (("goal", search.goal), ("trials", search.trials), ("workers", search.workers != 1)):
        if given:
            text = f"{by} tests candidates in their order, one after the other: it has no `{attribute}`"
            yield _misfit(plan, search, attribute, text, f"leave `{attribute}` out")
    if not speaks:
        text = f"{by} tests candidates by `measure` lines with `confidence`, and the plan has none"
        yield _misfit(plan, search, "by", text, "write one: `measure flips(test, confidence = 95%) <= 2%`")


def _range(param: Param) -> str:
    assert param.least is not None
    assert param.most is not None
    return f"{value_text(param.least)}..{value_text(param.most)}"


def _misfit(plan: Plan, search: Search, attribute: str, text: str, fix: str) -> Diagnostic:
    span = search.spans.get(attribute, search.span)
    return Diagnostic(budgets.SEARCH_DOES_NOT_FIT, text, file=plan.file, span=span, help=fix)
