"""What bounds and statistical claims rest on: bounds beside attacks and limits, and the values of the examples."""

from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence
from surgery_dsl.certificate.model import Claim
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.report.document import Column, Histogram, Interval, IntervalPlot, Part, Section, Table, Text, table
from surgery_dsl.report.numbers import number_of, short, shown
from surgery_dsl.report.result import Result, sampled

BINS = 24
FAR = 1e150
"""A range of values beyond which they are not drawn."""
MOST_PLOTS = 12
"""Histograms of one report."""


# ---- bounds ------------------------------------------------------------------------------------------------------


def bounds(result: Result) -> Section | None:
    """Return the section about bounds over regions; nothing where none has evidence."""
    found = [(claim, claim.evidence) for claim in result.predicate.claims.bounded]
    pairs = [(claim, evidence) for claim, evidence in found if isinstance(evidence, BoundEvidence)]
    if not pairs:
        return None
    parts: list[Part] = []
    intervals = tuple(one for one in (_interval(claim, evidence) for claim, evidence in pairs) if one is not None)
    if intervals:
        said = "Each bar runs from what an attack reached to what is bounded: the greatest change lies in it."
        parts.append(IntervalPlot("Bounds, attacks and limits", said, intervals[:MOST_PLOTS]))
    parts.append(_bounds(pairs))
    return Section("bounds", "Bounds over regions", tuple(parts))


def _interval(claim: Claim, evidence: BoundEvidence) -> Interval | None:
    low, high = number_of(evidence.attack), number_of(evidence.bound)
    if low is None or high is None or low < 0 or high < 0:
        return None
    return Interval(claim.statement, low, high, number_of(evidence.limit))


def _bounds(pairs: list[tuple[Claim, BoundEvidence]]) -> Table:
    columns = (
        Column("claim"),
        Column("for every input of"),
        Column("bounded by", "number"),
        Column("attack reached", "number"),
        Column("limit", "number"),
        Column("arithmetic"),
        Column("method"),
        Column("parts", "number"),
        Column("seconds", "number"),
    )
    rows = [
        (
            f"{claim.statement}: {evidence.claims}" if evidence.claims else claim.statement,
            evidence.region,
            shown(evidence.bound),
            shown(evidence.attack),
            shown(evidence.limit),
            evidence.arithmetic,
            evidence.method,
            f"{evidence.parts:,}",
            f"{evidence.seconds:.1f}",
        )
        for claim, evidence in pairs
    ]
    return table("Bounds", columns, rows)


# ---- statistics --------------------------------------------------------------------------------------------------


def statistics(result: Result) -> Section | None:
    """Return the section about populations; nothing where no claim speaks of one."""
    found = [(claim, claim.evidence) for claim in result.predicate.claims.measured]
    pairs = [(claim, evidence) for claim, evidence in found if isinstance(evidence, StatisticalEvidence)]
    if not pairs:
        return None
    parts: list[Part] = [_statistics(pairs)]
    if result.predicate.search is not None:
        parts.append(_candidates(result.predicate.search))
    for at, (claim, evidence) in enumerate(pairs):
        parts.append(Text(f"{claim.statement}: {evidence.says}"))
        values = sampled(result, evidence) if at < MOST_PLOTS else []
        if values and max(values) - min(values) < FAR:
            parts.append(_histogram(claim, evidence, values))
    return Section("statistics", "Evidence of statistical claims", tuple(parts))


def _statistics(pairs: list[tuple[Claim, StatisticalEvidence]]) -> Table:
    columns = (
        Column("claim"),
        Column("status", "status"),
        Column("population"),
        Column("examples", "number"),
        Column("found", "number"),
        Column("bound", "number"),
        Column("limit", "number"),
        Column("confidence", "number"),
        Column("method"),
    )
    rows = [
        (
            claim.statement,
            claim.status,
            evidence.population,
            f"{evidence.count:,}"
            + (f" ({evidence.distinct:,} distinct)" if evidence.distinct != evidence.count else ""),
            shown(evidence.value),
            shown(evidence.bound),
            shown(evidence.limit),
            _confidence(evidence),
            evidence.method,
        )
        for claim, evidence in pairs
    ]
    return table("Statistical claims", columns, rows)


def _candidates(record: SearchRecord) -> Table:
    """Return what became of each candidate of the search that chose on the examples, in the order of the plan."""
    columns = (Column(record.param), Column("verdict", "status"), Column("why"), Column("bounds"))
    rows = [
        (one.value, one.verdict, one.reason, "; ".join(f"{shown(line.bound)}: {line.text}" for line in one.lines))
        for one in record.candidates
    ]
    return table(f"How {record.param} = {record.found} was chosen, by {record.method}", columns, rows)


def _confidence(evidence: StatisticalEvidence) -> str:
    value = number_of(evidence.confidence)
    said = evidence.confidence if value is None else f"{100 * value:g} %"
    return f"{said}, joint over {evidence.joint} claims" if evidence.joint > 1 else said


def _histogram(claim: Claim, evidence: StatisticalEvidence, values: list[float]) -> Histogram:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int(BINS * ((value - low) / (high - low)))))] += 1
    named: tuple[tuple[str, str], ...] = (
        ("limit", evidence.limit),
        ("bound", evidence.bound),
        ("mean", evidence.value),
    )
    if evidence.form == "exceeded":  # value, bound and limit are rates, which have no place among the examples
        named = (("threshold", evidence.threshold),)
    read = ((name, number_of(text)) for name, text in named)
    span = high - low
    marks = tuple((name, at) for name, at in read if at is not None and low - span <= at <= high + span)
    said = f"What each of {len(values):,} examples gave, from {short(min(values))} to {short(max(values))}."
    return Histogram(f"Examples of {claim.statement}", said, _sum(evidence), low, high, tuple(counts), marks)


def _sum(evidence: StatisticalEvidence) -> str:
    """Write what is added up for each example as a plan would."""
    parts = []
    for term in evidence.terms:
        factor = shown(term.factor.removeprefix("-"))
        sign = "− " if term.factor.startswith("-") else "+ "
        point = "" if term.point == "now" else f"{term.point}."
        parts.append(f"{sign}{'' if factor == '1' else f'{factor} · '}{point}{term.quantity}")
    return " ".join(parts).removeprefix("+ ")
