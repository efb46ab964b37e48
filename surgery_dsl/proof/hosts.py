"""``target = hf``: whether the config of the host can say what the result will be; decided before weights are read."""

from collections.abc import Sequence

from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.host_solution import Misfit, solve
from surgery_dsl.interface.hosts import HostFacts
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.sequence import Run
from surgery_dsl.proof.state import State
from surgery_dsl.proof.verdict import Status, Verdict

FEW = 3
"""Misfits that are told one by one."""


def loadable(
    plan: Plan, facts: HostFacts, runs: Sequence[Run], states: Sequence[State], begin: State
) -> tuple[Verdict, ...]:
    """Hold the end of a plan against what the host can load; a finding goes to the state's sink.

    Two steps may fit together where neither fits alone, so only the end counts; the finding stands at the last step
    after which no later one mends it.
    """
    end = states[-1] if states else begin
    if end.broken:
        return ()
    misfits = solve(facts, begin.base, end.interface).misfits
    text = f"the result loads with `{plan.patient.target}`"
    if not misfits:
        reason = f"{len(facts.fields)} fields of {facts.config} give every size"
        return (_verdict("proved", text, reason),)
    at = len(runs) - 1
    while at > 0 and solve(facts, begin.base, states[at - 1].interface).misfits:
        at -= 1
    step = runs[at].step if runs else plan.patient
    begin.sink.say(
        Diagnostic(
            hosts.HOST_CANNOT_EXPRESS,
            f"after `{step.name}` the result cannot load by `target = {plan.patient.target}`: {misfits[0].message}",
            file=plan.file,
            span=step.span,
            path=misfits[0].path,
            facts=_numbers(misfits),
            notes=tuple(misfit.message for misfit in misfits[1:FEW])
            + ((f"{len(misfits) - FEW} more like this",) if len(misfits) > FEW else ()),
            help=_fix(misfits[0], facts),
        )
    )
    return (_verdict("refuted", text, misfits[0].message),)


def _verdict(status: Status, text: str, reason: str) -> Verdict:
    return Verdict.model_construct(
        verb="always",
        text=text,
        kind="host",
        block="",
        status=status,
        tier="equations",
        span=None,
        value="",
        limit="",
        margin="",
        reason=reason,
        paths=(),
        facts={},
    )


def _numbers(misfits: Sequence[Misfit]) -> dict[str, int]:
    first = misfits[0]
    found = {"misfits": len(misfits)}
    if first.found is not None and first.given is not None:
        found |= {"found": first.found, "given": first.given}
    return found


def _fix(misfit: Misfit, facts: HostFacts) -> str:
    if misfit.path in misfit.fields and misfit.found and misfit.given:  # a field that must be a multiple of another
        before = {field.name: field.value for field in facts.fields}
        if before[misfit.fields[0]] == misfit.given and misfit.found > misfit.given:  # the size was cut, not the count
            less = misfit.found - misfit.found % misfit.given
            return f"let `{misfit.fields[1]}` become {less} or {less + misfit.given}, or write `target = none`"
        kept = max(count for count in range(1, misfit.given + 1) if misfit.found % count == 0)
        more = next(count for count in range(misfit.given, misfit.found + 1) if misfit.found % count == 0)
        return f"let `{misfit.fields[0]}` become {kept} or {more}, or write `target = none`"
    if len(misfit.fields) == 1:
        return (
            f"give everything that `{misfit.fields[0]}` sets one size (the same count at every site), or write "
            "`target = none`: `surgery_dsl.load` loads every result"
        )
    if misfit.fields:
        names = " and ".join(f"`{name}`" for name in misfit.fields)
        return f"remove what {names} can say at every layer alike, or write `target = none`"
    return f"leave out what {facts.config} has no field for, or write `target = none`"
