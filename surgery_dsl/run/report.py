"""``report.md``: the certificate for people, as Markdown tables. Text of the plan is never markup in it."""

from collections.abc import Iterable, Mapping, Sequence

from surgery_dsl.certificate.model import Claim, Predicate


def report(predicate: Predicate, timings: Mapping[str, float]) -> str:
    """Return the report of a run."""
    parts = [
        f"# Surgery report: {_plain(predicate.plan)}",
        f"Verdict: **{predicate.verdict}**, on {_plain(predicate.environment.device)} in "
        f"{predicate.environment.dtype}, seed {predicate.environment.seed}, torch {predicate.environment.torch}.",
        *_parameters(predicate),
        "## Obligations",
        _claims("Proved, for every outcome and every free size", predicate.claims.proved),
        _claims("Measured, on the stated data alone", predicate.claims.measured),
        _claims("Bounded, for every input of a region", predicate.claims.bounded),
        _claims("Assumed", predicate.claims.assumed),
        *_efficiency(predicate),
        *_surgery(predicate),
        *_selections(predicate),
        *_training(predicate),
        "## Time",
        _table(("phase", "seconds"), [(name, f"{seconds:.3f}") for name, seconds in timings.items()]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _parameters(predicate: Predicate) -> list[str]:
    if not predicate.parameters:
        return []
    rows = [(entry.name, entry.value, entry.default) for entry in predicate.parameters]
    return ["## Params", _table(("name", "value", "default"), rows)]


def _claims(title: str, claims: Sequence[Claim]) -> str:
    if not claims:
        return ""
    rows = [
        (f"{claim.verb} {claim.statement}", claim.status, claim.value, claim.limit, claim.margin, claim.method)
        for claim in claims
    ]
    return f"### {title}\n\n" + _table(("obligation", "status", "value", "limit", "margin", "how"), rows)


def _efficiency(predicate: Predicate) -> list[str]:
    if not predicate.efficiency:
        return []
    rows = []
    for row in predicate.efficiency:
        share = row.quantity == "accuracy"
        saving = f"{100 * row.saving:.2f} pp" if share else f"{100 * row.saving:.1f} %"
        numbers = [f"{100 * value:.2f} %" if share else f"{value:,.0f}" for value in (row.before, row.after)]
        rows.append((row.quantity, *numbers, saving, row.unit))
    return ["## Before and after", _table(("quantity", "before", "after", "saving", "unit"), rows)]


def _surgery(predicate: Predicate) -> list[str]:
    found = predicate.surgery
    rows = [
        ("size of the surgery, ‖Δθ‖/‖θ‖", found.magnitude),
        ("loss of the base", found.base_loss),
        ("change of the loss at once", found.immediate_loss_change),
        ("examples seen in recovery", found.samples_to_recover),
        ("loss at the end", found.recovered_loss),
    ]
    shown = [
        (name, f"{value:,.4f}" if isinstance(value, float) else str(value)) for name, value in rows if value is not None
    ]
    where = f" (losses on `{_plain(found.data)}`)" if found.data else ""
    return [f"## Surgery{where}", _table(("figure", "value"), shown)]


def _selections(predicate: Predicate) -> list[str]:
    if not predicate.selections:
        return []
    rows = [
        (_stage(record.step, record.stage), pool.pool, pool.asked, str(pool.units), str(pool.taken), str(pool.kept))
        for record in predicate.selections
        for pool in record.pools
    ]
    return ["## Asked and achieved", _table(("step", "pool", "asked", _unit(predicate), "taken", "kept"), rows)]


def _unit(predicate: Predicate) -> str:
    """Return the heading for units, by name where all selections count the same."""
    units = {record.unit for record in predicate.selections}
    return units.pop() if len(units) == 1 else "units"


def _stage(step: str, stage: int) -> str:
    return f"{step}, stage {stage}" if stage > 1 else step


def _training(predicate: Predicate) -> list[str]:
    if not predicate.training:
        return []
    rows = [
        (
            _stage(record.step, record.stage),
            str(record.epochs),
            str(record.optimizer_steps),
            str(record.samples),
            " → ".join(f"{loss:.4f}" for loss in record.losses),
            f"{record.seconds:.2f} s",
        )
        for record in predicate.training
    ]
    return ["## Training", _table(("step", "epochs", "steps", "examples", "mean loss of each epoch", "time"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head)), *(_row([_plain(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Return text in which nothing is markup, in one line."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    for character in "\\`*_[]<>|#":
        shown = shown.replace(character, "\\" + character)
    return shown
