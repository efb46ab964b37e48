"""``measure`` lines with ``confidence``: what they claim of a population, and what no examples can show.

A line is brought to one form, a mean of Σ factor · value over single examples, or the rate at which a value exceeds a
threshold; all quantities are read on the same examples, so that differences are paired. Lines without such a form, and
lines on data that had a part in making the network, are refused before anything runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeVar

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label, Refused
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.language.plan import (
    Arithmetic,
    Comparison,
    Control,
    Expression,
    Obligation,
    Plan,
    Quantified,
    Reading,
)
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.measured import measurement
from surgery_dsl.proof.searching import candidates_of, search_of
from surgery_dsl.proof.state import State
from surgery_dsl.proof.touching import Touch, touches
from surgery_dsl.proof.verdict import Verdict, verdict_of
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.quantities.change import Change
from surgery_dsl.vocabulary.quantities.cosine import Cosine
from surgery_dsl.vocabulary.quantities.loss import Loss
from surgery_dsl.vocabulary.values import Percent, Point, number_text

Found = TypeVar("Found", str, Fraction)


@dataclass(frozen=True)
class Term:
    """One quantity of a line: its factor, its point, and the word, of which losses are clipped as the line says."""

    factor: Fraction
    point: Point
    word: Sampled


@dataclass(frozen=True)
class Form:
    """What a line claims.

    Attributes:
        kind: The ``mean`` of the terms' sum, or the rate at which the one term is ``exceeded``.
        data: The data block whose examples are the evidence.
        confidence: As a share.
        relation: How the mean or the rate is held against the limit.
        terms: The quantities.
        limit: The limit.
        low: Least value of an example: of the sum, or 0.
        high: Greatest value of an example, or 1.
        threshold: What an example may not exceed.
        clip: Where losses are cut.
    """

    kind: Literal["mean", "exceeded"]
    data: str
    confidence: Fraction
    relation: Literal["<=", "<", ">=", ">"]
    terms: tuple[Term, ...]
    limit: Fraction
    low: Fraction
    high: Fraction
    threshold: Fraction | None = None
    clip: float | None = None

    @property
    def counts(self) -> bool:
        """Whether an example counts or does not, where it has no positions: a rate and no mean."""
        if self.kind == "exceeded":
            return True
        return (
            len(self.terms) == 1
            and abs(self.terms[0].factor) == 1
            and not isinstance(self.terms[0].word, Cosine | Loss)
        )

    def counted(self, facts: DataFacts) -> bool:
        """Whether it is a rate on this data: an example with several positions has a share of them, and no count."""
        return self.kind == "exceeded" or (self.counts and not facts.target_shape)


def with_confidence(obligation: Obligation) -> bool:
    """Whether a line speaks of a population."""
    statement = obligation.statement
    return isinstance(statement, Comparison) and any(_confidence(reading) for reading in _read(statement))


def lines(plan: Plan) -> Iterator[tuple[Control, Obligation]]:
    """Yield the lines of a plan that speak of a population: they share the risk."""
    for step in plan.steps:
        if isinstance(step, Control):
            yield from ((step, one) for one in step.obligations if one.verb == "measure" and with_confidence(one))


def sharing(plan: Plan) -> int:
    """Return among how many claims the risk is divided (Bonferroni): lines, times candidates where a search says so."""
    search = search_of(plan)
    candidates = 1 if search is None else search.by.sharing(len(candidates_of(search, plan)))
    return max(1, candidates) * sum(1 for _ in lines(plan))


def risk(form: Form, plan: Plan) -> Fraction:
    """Return the risk of one line, so that all of them hold together with their confidence."""
    return (1 - form.confidence) / sharing(plan)


# ---- the form ----------------------------------------------------------------------------------------------------


def form_of(obligation: Obligation, data: Mapping[str, DataFacts], file: str) -> Form:
    """Return what a line with ``confidence`` claims.

    Raises:
        Refused: No examples can show it.
    """
    return _Former(obligation, data, file).form()


class _Former:
    """Brings one line to its form. Final."""

    def __init__(self, obligation: Obligation, data: Mapping[str, DataFacts], file: str) -> None:
        assert isinstance(obligation.statement, Comparison)
        self.obligation, self.comparison, self.data, self.file = obligation, obligation.statement, data, file

    def form(self) -> Form:
        readings_here = list(_read(self.comparison))
        if self.comparison.relation == "==":
            raise self._refused("no number of examples shows that two means are equal", "write `<=` or `>=`")
        words = [self._sampled(reading) for reading in readings_here]
        confidence = self._one("confidence", {w.confidence.share for w in words if w.confidence is not None})
        name = self._one("data set", {word.data for word in words if isinstance(word.data, str)})
        self._independent(name)
        if any(isinstance(word, Change) for word in words):
            return self._exceeded(words, name, confidence)
        if any(isinstance(word, Cosine) and word.over == "min" for word in words):
            raise self._refused(
                "the least cosine of a sample is no bound of the population's least", "write `over = mean`"
            )
        clip = self._clip([word for word in words if isinstance(word, Loss)])
        terms, constant = self._terms(clip)
        low, high = Fraction(0), Fraction(0)
        for term in terms:
            ends = term.word.between()
            assert ends is not None
            products = sorted(term.factor * end for end in ends)
            low, high = low + products[0], high + products[1]
        return Form("mean", name, confidence, self._relation(), terms, -constant, low, high, clip=clip)

    def _relation(self) -> Literal["<=", "<", ">=", ">"]:
        relation = self.comparison.relation
        assert relation != "=="
        return relation

    def _sampled(self, reading: Reading) -> Sampled:
        word = reading.word
        if not isinstance(word, Sampled):
            raise self._refused(
                f"`{word.name}` has no value for each example, so that no sample bounds it",
                "give it a line of its own, without `confidence`",
                reading,
            )
        if not isinstance(word.data, str):
            raise self._refused(
                "a bound over a region holds for every input of it: it has no confidence",
                "leave `confidence` out of `certify`, or name a data set",
                reading,
            )
        return word

    def _one(self, what: str, found: set[Found]) -> Found:
        if len(found) == 1:
            return next(iter(found))
        shown = " and ".join(sorted(f"{float(one) * 100:g}%" if isinstance(one, Fraction) else one for one in found))
        raise self._refused(f"one line speaks of one {what}, not of {shown}", "write a line for each")

    def _independent(self, name: str) -> None:
        facts = self.data.get(name)
        if facts is not None and facts.tokens:
            raise self._refused(
                f"the rows of `{name}` are windows of texts: they are no independent draws from a population",
                "measure without `confidence`, or give one example for each text by a `python` loader",
                code=budgets.NOT_INDEPENDENT,
            )

    # ---- a mean --------------------------------------------------------------------------------------------------

    def _clip(self, losses: list[Loss]) -> float | None:
        clips = {word.clip for word in losses if word.clip is not None}
        if losses and not clips:
            raise self._refused(
                "the loss of one example has no greatest value, and of such a mean no sample says anything certain",
                "cut the loss: `loss(…, clip = 5)`; the claim is about the clipped loss then",
                code=budgets.NEEDS_CLIP,
            )
        if len(clips) > 1:
            shown = " and ".join(f"{clip:g}" for clip in sorted(clips))
            raise self._refused(f"losses of one line are clipped alike, not at {shown}", "write one `clip`")
        return next(iter(clips), None)

    def _terms(self, clip: float | None) -> tuple[tuple[Term, ...], Fraction]:
        sums: dict[tuple[str, str, str], Term] = {}
        constant = Fraction(0)
        parts = [*self._linear(self.comparison.left, Fraction(1)), *self._linear(self.comparison.right, Fraction(-1))]
        for factor, reading in parts:
            if reading is None:
                constant += factor
                continue
            word = self._sampled(reading).plain()
            if isinstance(word, Loss):
                word = word.replaced(clip=clip)
            key = (reading.point.at, reading.point.name, word.model_dump_json())
            factor += sums[key].factor if key in sums else 0
            sums[key] = Term(factor, reading.point, word)
        terms = tuple(term for term in sums.values() if term.factor)
        if not terms:
            raise self._refused("both sides are the same", "compare `now` with `base`, or with a number")
        return terms, constant

    def _linear(self, expression: Expression, factor: Fraction) -> Iterator[tuple[Fraction, Reading | None]]:
        """Yield the terms of a sum, a number as a term without a reading."""
        if isinstance(expression, Quantified):
            yield factor * expression.number, None
        elif isinstance(expression, Reading):
            yield factor, expression
        elif isinstance(expression, Arithmetic) and expression.operator in "+-":
            yield from self._linear(expression.left, factor)
            yield from self._linear(expression.right, factor if expression.operator == "+" else -factor)
        elif (scaled := _scaled(expression)) is not None:
            yield from self._linear(scaled[0], factor * scaled[1])
        else:
            raise self._refused(
                "only sums of quantities times numbers have a mean over examples",
                "write the line as a difference: `… <= base.… + margin`",
            )

    # ---- a rate --------------------------------------------------------------------------------------------------

    def _exceeded(self, words: list[Sampled], name: str, confidence: Fraction) -> Form:
        word = words[0]
        if isinstance(word, Change) and word.norm == "relative":
            raise self._refused(
                "a relative change is one number of all the data: it has no value for each example",
                "bound the change of single examples: `change(…, norm = 2, confidence = 95%, exceeded = 1%)`",
            )
        if len(words) != 1 or not isinstance(word, Change):
            raise self._refused("a change is held against a number alone", "write `change(…) <= 4`")
        sides = self.comparison.left, self.comparison.right
        turned = isinstance(sides[1], Reading)
        limit, relation = sides[0] if turned else sides[1], self._relation()
        if not isinstance(limit, Quantified) or (relation in ("<=", "<")) == turned:
            raise self._refused("a change is held below a number", "write `change(…) <= 4`")
        if word.exceeded is None:
            raise self._refused(
                "the largest change of a sample says nothing of the largest change there is",
                "say which share of the population may lie above the limit: `exceeded = 1%`",
                code=budgets.NEEDS_EXCEEDED,
            )
        point = next(_read(self.comparison)).point
        term = Term(Fraction(1), point, word.plain())
        share, one = word.exceeded.share, Fraction(1)
        return Form("exceeded", name, confidence, "<=", (term,), share, Fraction(0), one, threshold=limit.number)

    def _refused(
        self, text: str, fix: str, reading: Reading | None = None, code: Code = budgets.NO_STATISTICAL_FORM
    ) -> Refused:
        span = (reading.word.span or reading.span) if reading is not None else self.obligation.span
        message = f"`{self.obligation.text}`: {text}"
        return Refused(Diagnostic(code, message, file=self.file, span=span or self.obligation.span, help=fix))


def _scaled(expression: Expression) -> tuple[Expression, Fraction] | None:
    """Return what a number scales, and by how much; nothing where it is no product with a number."""
    if isinstance(expression, Arithmetic) and isinstance(expression.right, Quantified) and expression.right.number:
        by = expression.right.number
        return expression.left, by if expression.operator == "*" else 1 / by
    if isinstance(expression, Arithmetic) and expression.operator == "*" and isinstance(expression.left, Quantified):
        return expression.right, expression.left.number
    return None


def _read(comparison: Comparison) -> Iterator[Reading]:
    yield from readings(comparison.left)
    yield from readings(comparison.right)


def _confidence(reading: Reading) -> Percent | None:
    return reading.word.confidence if isinstance(reading.word, Sampled) else None


# ---- what check says ---------------------------------------------------------------------------------------------


def claim(state: State, obligation: Obligation, block: str, plan: Plan) -> Verdict | None:
    """Refuse a line that no examples can show, and say of others that they will be measured."""
    try:
        form = form_of(obligation, state.data, state.file)
    except Refused as refused:
        for finding in refused.diagnostics:
            state.sink.say(finding)
        return None
    assert isinstance(obligation.statement, Comparison)
    verdict = measurement(state, obligation, obligation.statement, block)
    if verdict.status != "to measure":
        return verdict
    touched = next(touches(plan, block, form.data, state.data), None)
    if touched is not None:
        state.sink.say(_touched(state, obligation, form, touched))
        return None
    needed = _too_few(state, form, plan)
    if needed is not None:
        count = state.data[form.data].count
        shown = f"{number_text(form.limit * 100)}%"
        why = f"{needed} examples without a hit are needed to show {shown}, `{form.data}` has {count}"
        state.sink.say(
            Diagnostic(
                runs.GATE_TOO_WEAK,
                f"`{obligation.text}` cannot be shown by this data: {why}",
                file=state.file,
                span=obligation.span,
                facts={"examples": count, "needed": needed},
                help="use more examples, a wider limit, or less confidence",
            )
        )
        return verdict_of(obligation, block, "metric", "too weak", "statistics", reason=why)
    return verdict_of(obligation, block, "metric", "to measure", "statistics")


def _too_few(state: State, form: Form, plan: Plan) -> int | None:
    """Return how many examples a rate needs, where there are fewer: even none that counts shows too little."""
    facts = state.data.get(form.data)
    if facts is None or not form.counts or form.relation in (">=", ">") or not 0 < form.limit < 1:
        return None
    if form.kind == "mean" and (form.terms[0].factor < 0 or facts.target_shape):
        return None
    from surgery_dsl.evidence.statistics.largest import examples_for  # few plans have such a line

    needed = examples_for(float(form.limit), float(risk(form, plan)))
    return needed if needed > facts.count else None


def _touched(state: State, obligation: Obligation, form: Form, touch: Touch) -> Diagnostic:
    same = "" if touch.data == form.data else f" (`{touch.data}` is the same data)"
    return Diagnostic(
        budgets.TOUCHED_EVIDENCE,
        f"`{form.data}` cannot be evidence with confidence: `{touch.step}` read it{same}",
        file=state.file,
        span=obligation.span,
        labels=() if touch.span is None else (Label(touch.span, f"`{touch.step}` reads `{touch.data}` here"),),
        notes=("a network does better on the examples that made it than on the population",),
        help="measure on data that no step reads, such as another split, or leave `confidence` out",
    )
