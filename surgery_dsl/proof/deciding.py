"""From a comparison to an answer: both sides as amounts, the tiers asked, the numbers at the worst outcome."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Comparison
from surgery_dsl.proof.amount import Domain
from surgery_dsl.proof.blame import no_outcome
from surgery_dsl.proof.bookkeeping import variable
from surgery_dsl.proof.questions import Answer, BudgetQuestion
from surgery_dsl.proof.readings import Bounds, Reader
from surgery_dsl.proof.state import State
from surgery_dsl.proof.tiers.corner import worst_corner
from surgery_dsl.proof.tiers.order import decide_budget
from surgery_dsl.proof.verdict import exact_text


@dataclass(frozen=True, slots=True)
class Decided:
    """A decided comparison: the verdict's parts before it is worded.

    Attributes:
        answer: What the tiers said.
        left: Bounds of the left side.
        right: Bounds of the right side.
        reader: Holds the variables.
        question: What the tiers were asked.
        vacuous: Why no outcome is there to be spoken of; empty where there is one.
    """

    answer: Answer
    left: Bounds
    right: Bounds
    reader: Reader
    question: BudgetQuestion
    vacuous: str = ""


def decide(state: State, statement: Comparison) -> Decided:
    """Decide a comparison of static quantities; raise :class:`NotStatic` where a part has no bounds."""
    reader = Reader(state)
    left, right = reader.read(statement.left), reader.read(statement.right)
    if statement.relation in (">=", ">"):
        slack_low, slack_high = left.low - right.high, left.high - right.low
    else:
        slack_low, slack_high = right.low - left.high, right.high - left.low
    reachable = left.loose + right.loose <= 1 and left.attained and right.attained
    relation = {"<=": ">=", ">=": ">=", "<": ">", ">": ">", "==": "=="}[statement.relation]
    names = slack_low.variables | slack_high.variables
    question = BudgetQuestion(
        relation=relation,  # type: ignore[arg-type]
        slack=slack_low,
        reached=slack_low if reachable else slack_high,
        domains=reader.domains,
        sums=tuple(fixed for fixed in state.sums if any(name in names for name, _, _ in fixed.parts)),
    )
    question = _with_domains(question, state)
    vacuous = no_outcome(question.sums, question.domains)
    if vacuous:
        answer = Answer("undecided", "intervals", reason=vacuous)
    elif relation == "==" and (slack_low.terms or slack_high.terms) and left.loose + right.loose:
        answer = Answer("undecided", "none", reason="equality of counts that are only known between two bounds")
    else:
        answer = decide_budget(question)
    return Decided(answer, left, right, reader, question, vacuous)


def _with_domains(question: BudgetQuestion, state: State) -> BudgetQuestion:
    """Add the axes of sums that nothing reads: what goes from them does not go from those that are read.

    Left out are sums that say no more than one whose every axis is read, and those over axes that no state holds.
    """
    known = question.domains.keys()
    read = [fixed for fixed in question.sums if all(name in known for name, _, _ in fixed.parts)]
    covered = {name for fixed in read for name, _, _ in fixed.parts}
    open_ = [
        fixed
        for fixed in question.sums
        if fixed not in read and any(name in known and name not in covered for name, _, _ in fixed.parts)
    ]
    if not open_:
        return replace(question, sums=tuple(read))
    missing = {name for fixed in open_ for name, _, _ in fixed.parts} - known
    domains = {**question.domains, **_domains(missing, (state, *state.after.values(), *state.before.values()))}
    kept = [fixed for fixed in question.sums if fixed in read or fixed in open_]
    kept = [fixed for fixed in kept if all(name in domains for name, _, _ in fixed.parts)]
    used = known | {name for fixed in kept for name, _, _ in fixed.parts}
    return replace(question, sums=tuple(kept), domains={name: d for name, d in domains.items() if name in used})


def _domains(names: Collection[str], states: Iterable[State]) -> dict[str, Domain]:
    """Return the values of variables that stand for open axes in some states."""
    found: dict[str, Domain] = {}
    for there in states:
        for axis in there.interface.axes if len(found) < len(names) else ():
            name = variable(axis.id, there.versions.get(axis.id, 0))
            if name in names and name not in found and isinstance(axis.size, Extent):
                found[name] = Domain(axis.size.least, axis.size.most, axis.size.step, "axis", axis.label)
    return found


def numbers(decided: Decided, statement: Comparison) -> tuple[str, str, str]:
    """Return value, limit and margin at the worst outcome, as exact text; free sizes at the witness or their least."""
    left, right = worst_sides(decided, statement)
    margin = right - left if statement.relation in ("<=", "<") else left - right
    if statement.relation == "==":
        margin = -abs(margin)
    return exact_text(left), exact_text(right), exact_text(margin)


def worst_sides(decided: Decided, statement: Comparison) -> tuple[Fraction, Fraction]:
    """Return both sides where the slack is least: at the witness, or at the corner that the proof looked at."""
    return sides_at(decided, statement, worst_sizes(decided, statement))


def sides_at(decided: Decided, statement: Comparison, sizes: Mapping[str, int]) -> tuple[Fraction, Fraction]:
    """Return both sides at an outcome, each at the end that the statement has most to fear from."""
    upper = statement.relation in ("<=", "<", "==")
    left = decided.left.high if upper else decided.left.low
    right = decided.right.low if upper else decided.right.high
    return left.at(sizes), right.at(sizes)


def worst_sizes(decided: Decided, statement: Comparison) -> dict[str, int]:
    """Return the sizes of the witness, and of the corner that the proof looked at for all others."""
    left, right = decided.left, decided.right
    slack = right.low - left.high if statement.relation in ("<=", "<", "==") else left.low - right.high
    return {**worst_corner(slack, decided.reader.domains), **decided.answer.witness}
