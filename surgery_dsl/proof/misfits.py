"""Relations of sizes that do not always hold: where they fail, and a range or a number of the input that ends it.

Imported only where a relation is refuted or undecided.
"""

from collections.abc import Callable, Mapping, Sequence

from surgery_dsl.diagnostics.codes import budgets, defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.branches import is_question
from surgery_dsl.interface.expression import evaluate, multiply, put_in, symbols
from surgery_dsl.interface.model import Interface, Requirement
from surgery_dsl.proof.nominal import USUAL
from surgery_dsl.proof.questions import Answer, SizeQuestion
from surgery_dsl.proof.state import State

LOOKED_AT = 1024
"""Sizes from the least on that are tried one by one; what is offered was then proved."""
MULTIPLES = (2, 4, 8, 16, 32, 64, 128, 256, 3, 6, 12, 24, 48, 96, 7, 14, 28, 56, 112, 224, 5, 10, 20, 40, 9, 18, 36, 72)
"""Numbers whose multiples are tried, those of strides and windows: no other is offered."""
LONGEST = 4096
"""End of a range that is offered where the plan gives none."""

Ranges = tuple[tuple[str, int, int | None], ...]


def misfit(
    state: State, requirement: Requirement, claim: str, answer: Answer, ranges: Ranges, span: Span | None
) -> Diagnostic:
    """Explain a relation of sizes that fails, or that was not decided.

    Args:
        state: Where the plan stands.
        requirement: The relation.
        claim: The relation as people write it.
        answer: What a tier said.
        ranges: Every free size with its range.
        span: The line that the finding is about: the inputs, or a step.
    """
    closing = _closing(state.interface, requirement, ranges, answer.witness)
    if answer.status == "undecided":
        return Diagnostic(
            budgets.UNDECIDED,
            f"`{claim}` could be neither proved nor refuted: {answer.reason}",
            file=state.file,
            span=span,
            path=requirement.operator,
            notes=(requirement.reason, _free_text(requirement, ranges)),
            help=closing or "give the free sizes ranges in `input`, such as `H = 8..64`",
        )
    if SizeQuestion(requirement.relation, requirement.left, requirement.right, ranges).holds(answer.witness):
        return Diagnostic(
            defects.COUNTEREXAMPLE,
            f"the sizes that were found to break `{claim}` do not, put in",
            file=state.file,
            span=span,
            path=requirement.operator,
            facts=dict(answer.witness),
            help="this is a defect of surgery-dsl, not of your plan; please report it",
        )
    sizes = ", ".join(f"{name} = {size}" for name, size in answer.witness.items())
    left, right = (evaluate(side, answer.witness) for side in (requirement.left, requirement.right))
    does = "goes another way at some sizes" if is_question(requirement.reason) else "does not run for every size"
    return Diagnostic(
        budgets.SIZES_DO_NOT_FIT,
        f"`{requirement.operator}` {does}: {claim} fails at {sizes or 'every size'}",
        file=state.file,
        span=span,
        path=requirement.operator,
        facts={"left": left, "right": right, **answer.witness},
        notes=(requirement.reason, f"there it is {left} against {right}", _free_text(requirement, ranges)),
        help=closing or "no range of the free sizes is known that ends it: give `input` sizes that the forward takes",
    )


def _free_text(requirement: Requirement, ranges: Ranges) -> str:
    used = symbols(requirement.left) | symbols(requirement.right)
    known = [
        f"`{name}` from {least} on" if most is None else f"`{name}` from {least} to {most}"
        for name, least, most in ranges
        if name in used
    ]
    return f"the plan leaves {' and '.join(known)} free" if known else "no size is free here"


# ---- what ends it ------------------------------------------------------------------------------------------------


def _closing(interface: Interface, broken: Requirement, ranges: Ranges, witness: Mapping[str, int]) -> str:
    """Return a range, or else a number, with which every relation is proved; empty where none was found."""
    used = symbols(broken.left) | symbols(broken.right)
    names = [name for name, _, _ in ranges if name in used]
    if not names:
        return ""
    concerned = [r for r in interface.requirements if not used.isdisjoint(symbols(r.left) | symbols(r.right))]
    least = max(low for name, low, _ in ranges if name in used)
    most = min((high for name, _, high in ranges if name in used and high is not None), default=None)
    last = _last_before(lambda size: _fits(concerned, names, size, ranges), least, witness.get(names[0], least))
    if last > least and _proved(concerned, names, (least, last), ranges):  # a table of positions ends there
        return f"write `{', '.join(f'{name} = {least}..{last}' for name in names)}` in `input`"
    tried = range(least, min(least + LOOKED_AT, LONGEST if most is None else most) + 1)
    fits = [size for size in tried if _fits(concerned, names, size, ranges)]
    if not fits:
        return ""
    start = _last_run(fits, tried)
    end = LONGEST if most is None else most
    if start is not None and start < end and _proved(concerned, names, (start, end), ranges):
        return f"write `{', '.join(f'{name} = {start}..{end}' for name in names)}` in `input`"
    multiple = _multiple(concerned, names, ranges)
    if multiple:
        return f"write {' and '.join(f'`{multiple} * {name}`' for name in names)} for {' and '.join(names)} in `input`"
    if len(names) == 2 and _alike(concerned, names, ranges):
        return f"write `{names[0]}` in place of `{names[1]}` in `input`"
    usual = [size for size in reversed(USUAL) if size in set(fits) and size >= 8]
    number = usual[0] if usual else fits[0]
    if _proved(concerned, names, (number, number), ranges):
        return f"write {number} in place of {' and '.join(f'`{name}`' for name in names)} in `input`"
    return ""


def _multiple(concerned: Sequence[Requirement], names: Sequence[str], ranges: Ranges) -> int:
    """Return the first number at whose multiples all relations are proved; 0 where none is found."""
    from surgery_dsl.proof.tiers.order import decide_all_sizes

    for factor in MULTIPLES:
        times = {name: multiply(factor, name) for name in names}
        ends = tuple(
            (n, *divided(least, most, factor)) if n in names else (n, least, most) for n, least, most in ranges
        )
        if any(most is not None and most < least for _, least, most in ends):
            continue
        questions = [SizeQuestion(r.relation, put_in(r.left, times), put_in(r.right, times), ends) for r in concerned]
        at_first = {name: least for name, least, _ in ends}
        if all(one.holds(at_first) for one in questions) and all(
            answer.status == "proved" for answer in decide_all_sizes(questions)
        ):
            return factor
    return 0


def _alike(concerned: Sequence[Requirement], names: Sequence[str], ranges: Ranges) -> bool:
    """Whether all relations are proved where two sizes are one: a forward may ask which side of an image is smaller."""
    from surgery_dsl.proof.tiers.order import decide_all_sizes

    one, other = names
    ends = tuple((name, low, high) for name, low, high in ranges if name != other)
    equal = [(put_in(r.left, {other: one}), put_in(r.right, {other: one}), r.relation) for r in concerned]
    questions = [SizeQuestion(relation, left, right, ends) for left, right, relation in equal]
    return all(answer.status == "proved" for answer in decide_all_sizes(questions))


def divided(least: int, most: int | None, factor: int) -> tuple[int, int | None]:
    """Return the range of the multiples of a number that lie in a range; none do where it ends before it begins."""
    return -(-least // factor), None if most is None else most // factor


def _fits(concerned: Sequence[Requirement], names: Sequence[str], size: int, ranges: Ranges) -> bool:
    """Whether all relations hold with some sizes equal to a number, others at their least."""
    sizes: Mapping[str, int] = {name: low for name, low, _ in ranges} | dict.fromkeys(names, size)
    return all(SizeQuestion(r.relation, r.left, r.right, ranges).holds(sizes) for r in concerned)


def _last_before(fits: Callable[[int], bool], least: int, bad: int) -> int:
    """Return the last size that fits where all below it do; ``least`` where that one does not, or ``bad`` does."""
    if not fits(least) or fits(bad):
        return least
    good = least
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _last_run(fits: Sequence[int], tried: range) -> int | None:
    """Return where the sizes begin that fit up to the last that was tried; ``None`` where too few do."""
    start = len(fits)
    while start and fits[start - 1] == tried[-1] - (len(fits) - start):
        start -= 1
    return fits[start] if len(fits) - start >= min(64, len(tried)) else None


def _proved(concerned: Sequence[Requirement], names: Sequence[str], ends: tuple[int, int], ranges: Ranges) -> bool:
    from surgery_dsl.proof.tiers.order import decide_all_sizes

    narrowed = tuple((name, *ends) if name in names else (name, low, high) for name, low, high in ranges)
    questions = [SizeQuestion(r.relation, r.left, r.right, narrowed) for r in concerned]
    return all(answer.status == "proved" for answer in decide_all_sizes(questions))
