"""``certify`` lines, as far as ``check`` can say: what is asked, and whether any bound can answer it."""

from dataclasses import dataclass
from fractions import Fraction

from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.reach import out_of_reach
from surgery_dsl.language.plan import Arithmetic, Comparison, Expression, Obligation, Quantified, Reading
from surgery_dsl.proof.gates import foregone
from surgery_dsl.proof.state import State
from surgery_dsl.proof.verdict import Verdict, verdict_of
from surgery_dsl.proof.words import data_names, regions, spanless
from surgery_dsl.vocabulary.kinds import Quantity, Region


@dataclass(frozen=True, slots=True)
class Asked:
    """What a ``certify`` line asks: quantity ≤ limit over a region.

    Attributes:
        word: The quantity, as it is read here.
        region: The inputs that are meant.
        limit: What it may be at most; for an increase over the base, by how much.
        strict: Whether it must stay below the limit.
    """

    word: Quantity
    region: Region
    limit: Fraction
    strict: bool


def asked(statement: Comparison) -> "Asked | str":
    """Return what a line asks, or why it is no upper bound of a change."""
    left, right = _terms(statement.left), _terms(statement.right)
    if left is None or right is None or statement.relation == "==":
        return "a bound says that one quantity over a region is at most a number, and no more"
    sign = 1 if statement.relation in ("<=", "<") else -1
    total = [(sign * factor, reading) for factor, reading in left]
    total += [(-sign * factor, reading) for factor, reading in right]
    limit = -sum((factor for factor, reading in total if reading is None), Fraction(0))
    read = _merged([(factor, reading) for factor, reading in total if reading is not None])
    here = [(factor, reading) for factor, reading in read if reading.point.at == "now"]
    there = [(factor, reading) for factor, reading in read if reading.point.at != "now"]
    if len(here) != 1 or here[0][0] <= 0:
        return "a bound says that one quantity over a region is at most a number, and no more"
    factor, reading = here[0]
    word = reading.word
    why = _unsupported(word) or _against(word, factor, there)
    if why:
        return why
    return Asked(word, regions(word)[0], limit / factor, statement.relation in ("<", ">"))


def _unsupported(word: Quantity) -> str:
    if not word.certifies or word.certifies == "count" or not regions(word):
        return f"no bound is known for `{word.name}` over a region"
    if word.counts_in() == "share":
        return f"`{word.written()}` is a quotient, and is not bounded over a region"
    for name in ("confidence", "exceeded", "clip"):
        if getattr(word, name, None) is not None:
            return f"a bound holds for every input: `{name}` belongs to `measure`"
    return ""


def _against(word: Quantity, factor: Fraction, there: list[tuple[Fraction, Reading]]) -> str:
    """Say what is wrong with what a quantity is held against, besides a number."""
    if word.certifies == "itself":
        return f"`{word.name}` is a change already: hold it against a number" if there else ""
    for by, base in there if len(there) == 1 else ():
        if by == -factor and base.point.at == "base" and spanless(base.word) == spanless(word):
            return ""
    name = f"{word.name}({regions(word)[0].name}(…))"
    return f"of `{word.name}` the increase over the base is bounded: write `{name} <= base.{name} + NUMBER`"


def _terms(expression: Expression) -> "list[tuple[Fraction, Reading | None]] | None":
    """Return an expression as a sum of factors and readings, a number as a factor of none; ``None`` for any other."""
    if isinstance(expression, Quantified):
        return [(expression.number, None)]
    if isinstance(expression, Reading):
        return [(Fraction(1), expression)]
    if not isinstance(expression, Arithmetic):
        return None
    left, right = _terms(expression.left), _terms(expression.right)
    if left is None or right is None:
        return None
    if expression.operator in "+-":
        sign = 1 if expression.operator == "+" else -1
        return left + [(sign * factor, reading) for factor, reading in right]
    for number, other in ((right, left), (left, right)):
        if all(reading is None for _, reading in number) and (expression.operator == "*" or number is right):
            by = sum((factor for factor, _ in number), Fraction(0))
            if expression.operator == "/" and not by:
                return None
            return [(factor * by if expression.operator == "*" else factor / by, reading) for factor, reading in other]
    return None


def _merged(read: list[tuple[Fraction, Reading]]) -> list[tuple[Fraction, Reading]]:
    """Add up the factors of equal readings; what cancels is gone."""
    found: dict[str, tuple[Fraction, Reading]] = {}
    for factor, reading in read:
        key = f"{reading.point.model_dump_json()} {spanless(reading.word).model_dump_json()}"
        found[key] = (found[key][0] + factor if key in found else factor, reading)
    return [item for item in found.values() if item[0]]


# ---- a line of a plan --------------------------------------------------------------------------------------------


def bound(state: State, obligation: Obligation, block: str) -> Verdict | None:
    """Return that a line will be certified, or report why no bound can answer it."""
    statement = obligation.statement
    assert isinstance(statement, Comparison)
    found = asked(statement)
    if isinstance(found, str):
        _refuse(state, obligation, found)
        return None
    before = len(state.sink.found)
    inside = getattr(found.word, "at", "")
    if inside:
        _check_inside(state, obligation, inside, found.region)
    else:
        found.region.check(state.static())
    if len(state.sink.found) > before:
        return None
    if foregone(statement) == "never":
        text = f"no outcome can pass `{obligation.text}`"
        fix = "correct the limit"
        state.sink.say(Diagnostic(budgets.IMPOSSIBLE_GATE, text, file=state.file, span=obligation.span, help=fix))
        return verdict_of(obligation, block, "bound", "failed", "intervals", reason="no outcome can pass it")
    constants = found.region.constants(state.base)
    for interface in (state.base,) if inside else (state.base, state.interface):
        beyond = next(out_of_reach(interface, inside, constants), None)
        if beyond is not None:
            state.sink.say(not_certified(obligation, beyond[0], state.file, beyond[1]))
            return verdict_of(obligation, block, "bound", "undecided", "none", reason=beyond[0])
    return verdict_of(obligation, block, "bound", "to certify", "bound propagation")


def _check_inside(state: State, obligation: Obligation, inside: str, region: Region) -> None:
    """Report a module that is not there, and a region that no examples make for it."""
    if inside not in state.base.module_by_path:
        why, fix = f"the base has no module `{inside}`", "name a module by its path"
    elif not data_names(region):
        why, fix = (
            f"`{region.name}(…)` says nothing of what `{inside}` is given",
            "write `hull(DATA)` or `box(DATA, …)`",
        )
    else:
        return
    text = f"`{obligation.text}` has no meaning: {why}"
    code = budgets.REGION_DOES_NOT_FIT
    state.sink.say(Diagnostic(code, text, file=state.file, span=obligation.span, path=inside, help=fix))


def not_certified(obligation: Obligation, why: str, file: str, path: str = "") -> Diagnostic:
    """Return the refusal of a line that no bound can decide."""
    return Diagnostic(
        runs.NOT_CERTIFIED,
        f"`{obligation.text}` cannot be decided: {why}",
        file=file,
        span=obligation.span,
        path=path,
        notes=("nothing was assumed: without a bound the line is neither kept nor broken",),
        help="measure the change on data: `measure change(…) <= …`; or bound a module that holds no such operator: "
        "`change(hull(DATA), at = MODULE)`",
    )


def _refuse(state: State, obligation: Obligation, why: str) -> None:
    state.sink.say(
        Diagnostic(
            budgets.NOT_A_BOUND,
            f"`{obligation.text}` cannot be certified: {why}",
            file=state.file,
            span=obligation.span,
            help="write `certify change(REGION) <= NUMBER` or `certify loss(REGION) <= base.loss(REGION) + NUMBER`, "
            "or measure",
        )
    )
