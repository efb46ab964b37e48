"""What ``check`` found, as text and as JSON."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from surgery_dsl.cli.inputs_text import inputs_text
from surgery_dsl.interface.folding import fold, fold_paths
from surgery_dsl.language.params import quoted, value_text
from surgery_dsl.proof.searching import open_search
from surgery_dsl.proof.summaries import StepSummary
from surgery_dsl.proof.verdict import Verdict, rounded_text

if TYPE_CHECKING:
    from surgery_dsl.run.prepare import Checked


def proof_text(checked: "Checked", verdicts: tuple[Verdict, ...] = ()) -> str:
    """Return steps, obligations and one summary line; ``verdicts`` are later ones, as far as a run came."""
    report = checked.report
    assert report is not None
    verdicts = verdicts or report.verdicts
    lines = [f"{checked.path}"]
    if checked.lock is not None:
        lines += [f"  {line}" for model in checked.lock.models for line in inputs_text(model)]
    lines += [line for step in report.steps for line in step_lines(step)]
    written = [verdict for verdict in verdicts if verdict.verb != "always"]
    always = [verdict for verdict in verdicts if verdict.verb == "always"]
    lines.append("")
    lines += [_verdict(verdict) for verdict in written]
    lines += [_verdict(verdict) for verdict in always if not verdict.holds]
    held = sum(verdict.holds for verdict in always)
    lines.append(
        f"  {'proved' if held == len(always) else 'held':10} {held} obligations that hold without being written"
    )
    for param, covered in checked.ranges:
        wanted = ", ".join(quoted(choice) for choice in param.choices)
        if not wanted and param.least is not None and param.most is not None:
            wanted = f"{value_text(param.least)}..{value_text(param.most)}"
        claim = f"all of {wanted}" if covered.covers else f"{covered.shown} of {wanted}"
        lines.append(f"  param {param.name} = {value_text(param.value)}: the proof covers {claim}; {covered.reason}")
    lines += candidates_text(checked)
    lines += ["", _summary(checked, verdicts)]
    return "\n".join(lines)


def step_lines(step: StepSummary) -> list[str]:
    """Return what one run of a step does; pools of repeated blocks are folded."""
    if step.stages and step.stage not in (1, step.stages):
        return ["    ..."] if step.stage == 2 and step.block == "excise" else []
    name = f"{step.block} {step.step}" + (f" (stage {step.stage} of {step.stages})" if step.stages else "")
    params, macs = step.params, step.macs
    changed = "" if params[0] == params[1] else f"; params {params[0]} -> {params[1]}"
    changed += "" if macs[0] == macs[1] else f"; macs {macs[0]} -> {macs[1]}"
    lines = [f"  {name}{_coverage(step)}{changed}"]
    if step.calls:
        lines.append(f"    calls: {', '.join(step.calls)}")
    told = [(", ".join(fold_paths(pool.paths)) or pool.key, pool) for pool in step.pools]
    for one in fold(
        (where, (f"{p.units} units, asked {p.asked}, takes {p.taken}, keeps {p.kept}",)) for where, p in told
    ):
        lines.append(f"    {one.path}: {one.texts[0]}{' each' if one.count > 1 else ''}")
    return lines


def _coverage(step: StepSummary) -> str:
    """Say how many sites there are and how many of them the step means, and what share of the parameters they hold."""
    if not step.matched:
        return ""
    if step.there:
        return f": {step.matched} of {step.there} {' and '.join(step.words)} sites, {step.covered} of the parameters"
    left = step.matched - step.changed if step.block != "recover" else 0
    skipped = f", {left} left as {'it is' if left == 1 else 'they are'}" if left > 0 else ""
    return f": {step.matched} site{'s' * (step.matched != 1)}{skipped}"


def _verdict(verdict: Verdict) -> str:
    line = f"  {verdict.status:10} {verdict.verb} {verdict.text}"
    if verdict.value and verdict.limit:
        numbers = f"{number_of(verdict.value)} against {number_of(verdict.limit)}"
        line += f"   [{numbers}{f', margin {number_of(verdict.margin)}' if verdict.margin else ''}; {verdict.tier}]"
    elif verdict.status in ("proved", "refuted", "undecided"):
        line += f"   [{verdict.tier}]"
    if not verdict.holds and verdict.reason:
        line += f"\n             {verdict.reason}"
    return line


def number_of(text: str) -> str:
    """Write the exact text of a number for people."""
    try:
        return rounded_text(Fraction(text))
    except ValueError:
        return text


def candidates_text(checked: "Checked") -> list[str]:
    """Return how many candidates of an open search are proved, and what stands against the others."""
    search = None if checked.plan is None else open_search(checked.plan)
    if search is None or not checked.candidates:
        return []
    proved = [value_text(value) for value, against in checked.candidates.items() if not against]
    count = f"{len(proved)} of {len(checked.candidates)}"
    named = ", ".join(proved) or "none"
    lines = [f"  search {search.name}: {count} candidates for {search.over[0]} are proved: {named}"]
    refused = ((value, against) for value, against in checked.candidates.items() if against)
    return lines + [f"    {value_text(value)}: {against}" for value, against in refused]


def candidates_json(checked: "Checked") -> list[dict[str, Any]]:
    """Return the same as data."""
    return [
        {"value": value_text(value), "proved": not against, "reason": against}
        for value, against in checked.candidates.items()
    ]


def _summary(checked: "Checked", verdicts: tuple[Verdict, ...]) -> str:
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
    return f"{checked.path}: " + ", ".join(f"{count} {status}" for status, count in counts.items())


def proof_json(checked: "Checked") -> dict[str, Any]:
    """Return the same as data."""
    report = checked.report
    return {
        "file": str(checked.path),
        "lock_made": checked.lock_made,
        "verdicts": [] if report is None else [verdict.model_dump(mode="json") for verdict in report.verdicts],
        "steps": [] if report is None else [step.model_dump(mode="json") for step in report.steps],
        "params": [
            {
                "name": param.name,
                "value": value_text(param.value),
                "covered": covered.covers,
                "proved": covered.shown,
                "reason": covered.reason,
            }
            for param, covered in checked.ranges
        ],
        "candidates": candidates_json(checked),
    }
