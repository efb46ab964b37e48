"""Between which numbers a count lies over all outcomes: global rankings fix sums, so not every corner is an outcome."""

from fractions import Fraction
from math import ceil, floor

from surgery_dsl.language.plan import Reading
from surgery_dsl.proof.amount import Amount
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.readings import Reader
from surgery_dsl.proof.state import State
from surgery_dsl.proof.summaries import Count
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.values import Point


def count_range(word: Quantity, state: State) -> Count:
    """Return the least and greatest value that are proved of a static quantity, free sizes at their least.

    Every outcome lies in the range; its ends are those of the linear relaxation, which outcomes nearly reach.
    """
    low, high = word.bounds(state.interface, state.static())
    least, most = extremes(state.interface, low)[0], extremes(state.interface, high)[1]
    if least == most or not state.sums:
        return Count(least=least, most=most)
    reader = Reader(state)
    bounds = reader.read(Reading.model_construct(node="reading", point=Point(), word=word, span=None))
    sizes = {name: domain.least for name, domain in reader.domains.items() if domain.kind == "free"}
    above = _least(bounds.high.put_in(sizes).scale(Fraction(-1)), reader, state)
    below = _least(bounds.low.put_in(sizes) - Amount.constant(most + 1), reader, state)
    return Count(
        least=least if below is None else max(least, ceil(below) + most + 1),
        most=most if above is None else min(most, floor(-above)),
    )


def _least(slack: Amount, reader: Reader, state: State) -> Fraction | None:
    """Return a lower bound of an amount that is always negative, where its variables are under sums."""
    domains = {name: domain for name, domain in reader.domains.items() if domain.kind == "axis"}
    sums = tuple(fixed for fixed in state.sums if all(name in domains for name, _, _ in fixed.parts))
    if not slack.variables <= domains.keys():
        return None
    from surgery_dsl.proof.tiers import ranking  # only plans with a global ranking need it

    answer = ranking.budget(BudgetQuestion(">=", slack, slack, domains, sums))
    return answer.bound if answer is not None else None
