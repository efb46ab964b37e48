"""What ``apply`` did, as text and as JSON."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from surgery_dsl.certificate.model import EfficiencyRow, Predicate
from surgery_dsl.cli.health_text import health_text
from surgery_dsl.cli.proof_text import proof_json, proof_text
from surgery_dsl.proof.verdict import Verdict, rounded_text

if TYPE_CHECKING:
    from surgery_dsl.run.outcome import Outcome


def outcome_text(outcome: "Outcome") -> str:
    """Return the outcome for people: what changed, asked against achieved, every gate, one last line."""
    if outcome.predicate is None:
        head = proof_text(outcome.checked, outcome.verdicts) + "\n" if outcome.checked.report is not None else ""
        return head + ("fine, and nothing was written" if outcome.accepted else "refused: nothing was written")
    lines = [*_selections(outcome.predicate), *_training(outcome.predicate), *_efficiency(outcome.predicate)]
    if outcome.predicate.health is not None:
        lines += health_text(outcome.predicate.health)
    lines.append("")
    lines += [_verdict(verdict) for verdict in outcome.verdicts if verdict.verb != "always" or not verdict.holds]
    held = sum(verdict.verb == "always" and verdict.holds for verdict in outcome.verdicts)
    lines.append(f"  {'held':10} {held} obligations that hold without being written")
    lines.append("")
    if outcome.accepted:
        lines.append(f"accepted: wrote {outcome.output}" if outcome.output else "accepted: nothing was to be written")
    else:
        lines.append("refused: the network is as it was, and nothing was written")
    return "\n".join(lines)


def _selections(predicate: Predicate) -> list[str]:
    lines = []
    last = {selection.step: selection.stage for selection in predicate.selections}
    for selection in predicate.selections:
        if selection.stage not in (1, last[selection.step]):
            continue
        stage = f" (stage {selection.stage} of {last[selection.step]})" if last[selection.step] > 1 else ""
        words = " and ".join(selection.words) + " sites"
        lines.append(
            f"  {selection.step}{stage}: {selection.unit} of {selection.sites} of {selection.sites_of_kind} {words}"
        )
        for pool in selection.pools:
            lines.append(f"    {pool.pool}: asked {pool.asked}, took {pool.taken} of {pool.units}, kept {pool.kept}")
    for step in predicate.steps:
        if step.block in ("excise", "replace") and step.changed < step.matched:
            lines.append(f"  {step.step}: {step.changed} of {step.matched} sites changed")
    return lines


def _training(predicate: Predicate) -> list[str]:
    return [
        f"  {record.step}: {record.epochs} epochs, {record.samples:,} examples, "
        f"loss {record.first_loss:.4f} -> {record.last_loss:.4f}"
        for record in predicate.training[-1:]
    ]


def _efficiency(predicate: Predicate) -> list[str]:
    """Return each figure on a line of its own: zeros are not parameters removed, and neither is speed."""
    if not predicate.efficiency:
        return []
    lines = ["", f"  {'':11} {'before':>12} {'after':>12} {'saved':>9}"]
    for row in predicate.efficiency:
        if row.quantity == "accuracy":
            points = 100 * (row.after - row.before)  # less is no saving here
            before, after, saved = f"{100 * row.before:.2f} %", f"{100 * row.after:.2f} %", f"{points:+.2f} pp"
        else:
            before, after = (_figure(row, value) for value in (row.before, row.after))
            share = f"{100 * row.saving:.1f} %".replace("-0.0 %", "0.0 %")
            saved = "-" if row.within_spread else share
        line = f"  {row.quantity:11} {before:>12} {after:>12} {saved:>9}"
        lines.append(f"{line}   {_held_for(row)}".rstrip())
    known = {row.quantity for row in predicate.efficiency}
    return lines + [f"  {name:11} not measured" for name in ("disk", "peak_memory", "latency") if name not in known]


def _figure(row: EfficiencyRow, value: float) -> str:
    return f"{1000 * value:,.3g} ms" if row.quantity == "latency" else f"{value:,.0f}"


def _held_for(row: EfficiencyRow) -> str:
    """Say how a figure was found, where it was not counted, and within what the runs lie."""
    said: str = "" if row.how == "counted" or row.quantity == "accuracy" else row.how
    if row.conditions:
        said += f", {row.conditions}" if said else row.conditions
    if row.before_spread is not None and row.after_spread is not None:
        (low, high), (first, last) = ((1000 * a, 1000 * b) for a, b in (row.before_spread, row.after_spread))
        said += f"; half of the runs within {low:.3g} to {high:.3g}, and {first:.3g} to {last:.3g} ms"
        said += ": no difference that this spread tells" if row.within_spread else ""
    return f"({said})" if said else ""


def _verdict(verdict: Verdict) -> str:
    line = f"  {verdict.status:10} {verdict.verb} {verdict.text}"
    if verdict.value and verdict.limit:
        line += f"   [{_short(verdict.value)} against {_short(verdict.limit)}]"
    if verdict.reason and (verdict.verb == "certify" or verdict.tier == "statistics" or not verdict.holds):
        line += f"\n             {verdict.reason}"
    return line


def _short(text: str) -> str:
    try:
        return rounded_text(Fraction(text), 5)
    except ValueError:
        return text


def outcome_json(outcome: "Outcome") -> dict[str, Any]:
    """Return the same as data; the certificate holds the rest."""
    return {
        "accepted": outcome.accepted,
        "output": str(outcome.output) if outcome.output else None,
        "plan": proof_json(outcome.checked),
        "verdicts": [verdict.model_dump(mode="json") for verdict in outcome.verdicts],
        "efficiency": [
            row.model_dump(mode="json") for row in (outcome.predicate.efficiency if outcome.predicate else ())
        ],
        "timings": dict(outcome.timings),
    }
