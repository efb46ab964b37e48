"""Plans that contradict themselves: which of their own lines cannot all be kept, and by how much.

From facts that exclude each other everything follows, so that nothing which rests on them may be called proved: it is
``vacuous``. The conflicts are found by arithmetic before any tier is asked. An aggregate conflict (many caps against
one total) has no core smaller than all of its members; it is told grouped by the lines of the plan, at most
:data:`MOST_GROUPS` of them, with the number that is missing.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import budgets, names, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.plan import Comparison, Control, Identify, Obligation, Reading
from surgery_dsl.proof.amount import Domain
from surgery_dsl.proof.gates import foregone
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.readings import NotStatic, Reader
from surgery_dsl.proof.state import State
from surgery_dsl.proof.tiers.intervals import span_of
from surgery_dsl.proof.verdict import Verdict, rounded_text
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.selection import Pool, Rounding
from surgery_dsl.vocabulary.takes._counting import most_taken, share_of
from surgery_dsl.vocabulary.takes._ranked import Ranked, together
from surgery_dsl.vocabulary.takes._reports import path_of
from surgery_dsl.vocabulary.takes._staged import Staged, original_of
from surgery_dsl.vocabulary.values import Percent

MOST_GROUPS = 5
"""Most lines of a plan that a conflict is told by."""

CONTRADICTIONS: frozenset[Code] = frozenset(
    (
        budgets.CONTRADICTORY,
        budgets.TWO_AMOUNTS,
        budgets.STALE_SELECTION,
        names.EXPECT_MISMATCH,
        shapes.UNTRUE_ARROW,
        shapes.EMPTIED_SITE,
        shapes.ROUNDS_TO_NOTHING,
        shapes.COUNT_FORBIDDEN,
    )
)
"""Findings that say of a plan that its lines exclude each other, or what they say of the network."""


def contradicted(sink: Sink) -> Diagnostic | None:
    """Return the first contradiction that was found so far; what depends on the plan is vacuous then."""
    return next((finding for finding in sink.found if finding.code in CONTRADICTIONS), None)


def reason_text(finding: Diagnostic) -> str:
    """Say why an obligation is vacuous."""
    line = f" (line {finding.span.line})" if finding.span is not None else ""
    return f"the plan contradicts itself{line}: no outcome reaches this line"


def without_meaning(verdicts: Iterable[Verdict], sink: Sink) -> list[Verdict]:
    """Call vacuous what would be proved of a plan that contradicts itself.

    What is claimed of the network as loaded, and of steps before the contradiction, does not rest on it.
    """
    finding = contradicted(sink)
    if finding is None:
        return list(verdicts)
    why, line = reason_text(finding), finding.span.line if finding.span is not None else 0
    return [
        verdict.replaced(status="vacuous", reason=why)
        if verdict.status == "proved" and (verdict.verb == "prove" or (verdict.block and (verdict.line or 0) > line))
        else verdict
        for verdict in verdicts
    ]


# ---- sums that no outcome keeps ----------------------------------------------------------------------------------


def no_outcome(sums: Sequence[Sum], domains: Mapping[str, Domain]) -> str:
    """Say why no sizes within their ranges keep a sum; empty where each sum, taken alone, is kept by some outcome.

    What can be removed lies between two numbers and on a grid, the greatest common divisor of the steps; a sum whose
    two ends hold no point of the grid is kept by none (Bézout).
    """
    for fixed in sums:
        scale = lcm(*(weight.denominator for _, _, weight in fixed.parts)) if fixed.parts else 1
        least = most = step = 0
        for name, whole, weight in fixed.parts:
            domain = domains[name]
            each = int(weight * scale)
            if domain.most is None:
                return ""
            top = domain.most - (domain.most - domain.least) % domain.step
            least += each * (whole - top)
            most += each * (whole - domain.least)
            step = gcd(step, each * domain.step) if top > domain.least else step
        low, high = max(least, fixed.least * scale), min(most, fixed.most * scale)
        first = low if not step else least + -(-(low - least) // step) * step
        if first > high:
            wanted = _range(Fraction(fixed.least), Fraction(fixed.most))
            return f"{wanted} units are to go, and the layers can lose {_range(least / scale, most / scale)}"
    return ""


def _range(least: Fraction | float, most: Fraction | float) -> str:
    low, high = rounded_text(least), rounded_text(most)
    return low if low == high else f"{low} to {high}"


# ---- what a ranking asks for, and what round, floor and cap leave it ---------------------------------------------


@dataclass(frozen=True, slots=True)
class _Group:
    """Layers that one rule of an ``identify`` holds back."""

    rule: str
    span: Span | None
    layers: int
    loses: int
    of: int

    @property
    def text(self) -> str:
        where = f" (line {self.span.line})" if self.span is not None else ""
        layers = f"{self.layers} layer{'s' * (self.layers != 1)}"
        return f"{self.rule}{where} lets {layers} lose at most {self.loses:,} of {self.of:,} units"


def over_asked(
    step: Identify, take: Take, pools: Sequence[Pool], roundings: Sequence[Rounding], file: str
) -> Diagnostic | None:
    """Report a ranking over all layers that asks for more than its own round, floor and cap let go.

    Rounding alone is no contradiction: a total goes to the nearest multiples.
    """
    if step.per != "global" or not isinstance(take, Ranked) or (isinstance(take, Staged) and not take.last):
        return None
    sizes = [original_of(pool) for pool in pools]
    every = sum(sizes)
    asked = share_of(take.reached, every) if isinstance(take, Staged) else take.count(together(tuple(pools)))
    limits = [most_taken(size, rounding) for size, rounding in zip(sizes, roundings, strict=True)]
    room, nearest = sum(limits), sum(rounding.multiple // 2 for rounding in roundings)
    if asked <= room + nearest or not room:  # that nothing at all can go is told by the take
        return None
    groups = _groups(step, sizes, limits, roundings)
    short = asked - room
    first = groups[0]
    amount = f"`{take.asked}`"
    needs = f"{asked:,} of {every:,} units ({_share(asked, every)})"
    allows = f"{room:,} ({_share(room, every)})"
    span = step.spans.get("take", step.span)
    return Diagnostic(
        budgets.CONTRADICTORY,
        f"`{step.name}` contradicts itself: {amount} needs {needs}, {first.rule} and what else limits the "
        f"{len(sizes)} layers allow at most {allows}"
        if len(groups) > 1
        else f"`{step.name}` contradicts itself: {amount} needs {needs}, {first.rule} allows at most {allows}",
        file=file,
        span=span,
        label=f"{asked:,} units are to go here",
        labels=tuple(Label(g.span, f"this lets {g.loses:,} of them go") for g in groups if g.span is not None),
        path=path_of(pools[0]) if len(pools) == 1 else "",
        facts={"asked": asked, "allowed": room, "short": short, "units": every, "layers": len(sizes)},
        notes=(*(group.text for group in groups), f"{short:,} units are missing"),
        help=_closing(step, pools, asked, room),
    )


def _groups(step: Identify, sizes: Sequence[int], limits: Sequence[int], roundings: Sequence[Rounding]) -> list[_Group]:
    """Group the layers by the rule that holds each of them back, those that hold back most first."""
    found: dict[str, list[int]] = {}
    for size, limit, rounding in zip(sizes, limits, roundings, strict=True):
        entry = found.setdefault(_rule(size, rounding, step), [0, 0, 0])
        entry[0] += 1
        entry[1] += limit
        entry[2] += size
    groups = []
    for name, (layers, loses, of) in found.items():
        value = getattr(step, name, None)
        rule = f"`{name} = {value}`" if value is not None else "the rule that at least one unit stays"
        groups.append(_Group(rule, step.spans.get(name), layers, loses, of))
    return sorted(groups, key=lambda group: (group.loses - group.of, group.rule))[:MOST_GROUPS]


def _rule(size: int, rounding: Rounding, step: Identify) -> str:
    """Return the attribute that leaves the most of a layer; later ones of equal force count for nothing."""
    kept = {
        "cap": size - rounding.remove_at_most if rounding.remove_at_most is not None else 0,
        "floor": rounding.keep_at_least if step.floor is not None or step.cap is None else 0,
        "": 1,
    }
    name = max(kept, key=lambda rule: kept[rule])
    if name == "floor" and step.floor is None:
        name = ""
    least = max(kept.values())
    beyond = -(-least // rounding.multiple) * rounding.multiple - least if step.round is not None else 0
    return "round" if beyond > least else name


def _share(count: int, every: int) -> str:
    return f"{float(Fraction(count * 100, every)):.4g} %"


def _closing(step: Identify, pools: Sequence[Pool], asked: int, room: int) -> str:
    """Say the edits that end it: a smaller amount, and of each rule the nearest value that lets as much go."""
    most = Fraction(room * 100, sum(map(original_of, pools)))
    amount = getattr(step.take, "amount", None)
    less = f"{Percent(value=Fraction(int(most * 10), 10))}" if amount is None or isinstance(amount, Percent) else None
    word = step.take.name if step.take is not None else "lowest"
    first = f"write `take = {word}({less if less is not None else room})`" if step.take is not None else ""
    first = first or f"end the schedule at {less}"
    looser = (
        _looser(step, name, pools, asked) for name in ("cap", "floor", "round") if getattr(step, name) is not None
    )
    return ", or ".join((first, *(text for text in looser if text)))


def _looser(step: Identify, name: str, pools: Sequence[Pool], asked: int) -> str:
    """Return a rule with the nearest value that lets as many units go as are asked for; empty where none does."""
    from surgery_dsl.proof.identify import roundings_of  # reads this module where it finds a contradiction

    value = getattr(step, name)
    number = int(value.value if isinstance(value, Percent) else value)
    most = 100 if isinstance(value, Percent) else max(map(original_of, pools))
    values: Sequence[int] = range(number + 1, most + 1) if name == "cap" else range(number - 1, 0, -1)
    if name == "round":  # what is a multiple of the other too stays legal
        values = [one for one in values if number % one == 0]

    def lets_go(index: int) -> bool:
        other = Percent(value=Fraction(values[index])) if isinstance(value, Percent) else values[index]
        roundings = roundings_of(step.replaced(**{name: other}), tuple(pools))
        return sum(most_taken(original_of(p), r) for p, r in zip(pools, roundings, strict=True)) >= asked

    found = bisect_left(range(len(values)), True, key=lets_go)
    if found == len(values):
        return ""
    return f"write `{name} = {Percent(value=Fraction(values[found])) if isinstance(value, Percent) else values[found]}`"


# ---- limits of a control block -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Limit:
    obligation: Obligation
    statement: Comparison

    @property
    def strict(self) -> bool:
        return self.statement.relation in ("<", ">")


def exclusive(state: State, block: Control) -> list[tuple[Obligation, Obligation, str]]:
    """Return pairs of lines that no outcome keeps both of, each with the arithmetic; at most one for each quantity.

    A limit from above and one from below on the same side of a comparison exclude each other where the lower one is
    greater for every outcome and every size.
    """
    above: dict[str, list[_Limit]] = {}
    below: dict[str, list[_Limit]] = {}
    for obligation in block.obligations:
        statement = obligation.statement
        if not isinstance(statement, Comparison):
            continue
        key = obligation.text.partition(f" {statement.relation} ")[0]
        if statement.relation in ("<=", "<", "=="):
            above.setdefault(key, []).append(_Limit(obligation, statement))
        if statement.relation in (">=", ">", "=="):
            below.setdefault(key, []).append(_Limit(obligation, statement))
    found = []
    for key in above.keys() & below.keys():
        pair = next(_apart(state, above[key], below[key]), None)
        if pair is not None:
            found.append(pair)
    order = {id(obligation): at for at, obligation in enumerate(block.obligations)}
    return sorted(found, key=lambda pair: order[id(pair[1])])


def _apart(state: State, above: list[_Limit], below: list[_Limit]) -> Iterator[tuple[Obligation, Obligation, str]]:
    for high in above:
        for low in below:
            if high.obligation is low.obligation:
                continue
            why = _distance(state, high, low)
            if why:
                first, second = high.obligation, low.obligation
                if first.span is not None and second.span is not None and first.span > second.span:
                    first, second = second, first
                yield first, second, why


def _distance(state: State, high: _Limit, low: _Limit) -> str:
    """Say how far two limits lie apart; empty where some outcome may keep both."""
    strict = high.strict or low.strict
    reader = Reader(state)
    try:
        most, least = reader.read(high.statement.right), reader.read(low.statement.right)
    except NotStatic:
        needed = Comparison(relation="<" if strict else "<=", left=low.statement.right, right=high.statement.right)
        never = foregone(needed) == "never"
        return "the limits of the two lines exclude each other, whatever is measured" if never else ""
    between = span_of(most.high - least.low, reader.domains)[1]
    if between is None or between > 0 or (between == 0 and not strict):
        return ""
    if most.number is None or least.number is None:
        return f"between the two limits {rounded_text(-between)} are missing, whatever is chosen"
    ends = f"at most {rounded_text(most.number)}", f"at least {rounded_text(least.number)}"
    missing = f", {rounded_text(-between)} more" if between else " and neither end counts"
    return f"one line allows {ends[0]}, the other asks for {ends[1]}{missing}"


def excluded(state: State, first: Obligation, second: Obligation, why: str) -> Diagnostic:
    """Report two lines of a control block that no outcome keeps both of."""
    line = f" (line {first.span.line})" if first.span is not None else ""
    return Diagnostic(
        budgets.CONTRADICTORY,
        f"`{second.text}` contradicts `{first.text}`{line}: no outcome keeps both",
        file=state.file,
        span=second.span,
        labels=(Label(first.span, "this line asks for the opposite"),) if first.span is not None else (),
        notes=(why,),
        help="keep one of the two, or let the limits overlap",
    )


# ---- what weighs most --------------------------------------------------------------------------------------------


def largest_part(state: State, statement: Comparison, sizes: Mapping[str, int]) -> list[str]:
    """Say which parts of the network make up most of what a limit from above speaks of, at a given outcome.

    With the outcome fixed, the line and one of these facts conflict: no solver is needed to find which.
    """
    if not isinstance(statement.left, Reading) or statement.relation not in ("<=", "<"):
        return []
    from surgery_dsl.proof import replay
    from surgery_dsl.proof.folding import pattern

    there = replay.network_of(state, statement.left, sizes)
    found = sorted(replay.parts(statement.left.word, there), key=lambda part: -part[2])
    total = sum(amount for _, _, amount in found)
    if not total or len(found) < 2:
        return []
    path, shape, amount = found[0]
    text = f"the largest part of it: `{path}` {shape} with {amount:,} ({_share(amount, total)})"
    alike = [part for part in found[1:] if part[1:] == found[0][1:] and pattern(part[0]) == pattern(path)]
    return [f"{text}, and {len(alike)} more like it" if alike else text]


def out_of_reach(state: State, statement: Comparison) -> str:
    """Say so where what no step changes is already more than a limit from above; empty where it is not."""
    if not isinstance(statement.left, Reading) or statement.relation not in ("<=", "<"):
        return ""
    from surgery_dsl.proof import replay

    word, limit = statement.left.word, None
    try:
        limit = Reader(state).read(statement.right).number
    except NotStatic:
        return ""
    if limit is None or word.name not in ("params", "weight_bytes") or statement.left.point.at != "now":
        return ""
    written = {name for effect in state.effects.values() for name in (*effect.writes, *effect.creates)}
    network = replay.network_of(state, statement.left, {})
    held = Fraction(sum(n for name, _, n in replay.parts(word, network) if name not in written), word.denominator)
    if held <= limit:
        return ""
    return (
        f"no amount closes it: tensors that no step changes hold {rounded_text(held)}, more than the limit of "
        f"{rounded_text(limit)}; take other sites too"
    )


def impossible(state: State, obligation: Obligation, why: str) -> Diagnostic:
    """Report that what the rankings fix is kept by no outcome, so that a line speaks of none."""
    steps = [name for name, selection in state.selections.items() if selection.total is not None]
    spans = [(name, state.choices.get(name)) for name in steps]
    return Diagnostic(
        budgets.CONTRADICTORY,
        f"`{obligation.text}` speaks of no outcome at all: {why}",
        file=state.file,
        span=obligation.span,
        labels=tuple(Label(span, f"`{name}` fixes a total here") for name, span in spans if span is not None)[
            :MOST_GROUPS
        ],
        help="take less, or rank each site by itself (`per = site`)",
    )
