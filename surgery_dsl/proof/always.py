"""What holds after every step unwritten: sizes fit, nothing is empty, counts divide, the contract stands."""

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.expression import evaluate, symbols, text
from surgery_dsl.interface.model import Extent, Interface, Requirement, Size
from surgery_dsl.proof.contract import SIDES, shape_text
from surgery_dsl.proof.questions import Answer, SizeQuestion
from surgery_dsl.proof.state import State
from surgery_dsl.proof.tiers.order import decide_all_sizes, decide_sizes
from surgery_dsl.proof.transcript import Entry
from surgery_dsl.proof.verdict import Status, Verdict

RELATIONS = {"equal": "=", "at_least": "≥", "divides": "divides"}
Known = dict[tuple[str, object, object], Answer]
"""Answers by relation and sides: what a step leaves as it was is not asked again."""


def _claim(kind: str, block: str, text_: str, status: Status, tier: str, reason: str, span: Span | None) -> Verdict:
    return Verdict.model_construct(
        verb="always",
        text=text_,
        kind=kind,
        block=block,
        status=status,
        tier=tier,
        span=span,
        value="",
        limit="",
        margin="",
        reason=reason,
        paths=(),
        facts={},
    )


def of_base(state: State, span: Span | None, known: Known) -> list[Verdict]:
    """Prove what the forward needs of its sizes, before any step."""
    status, tier, reason = _sizes(state, state.base, span, known)
    return [_claim("shapes", "", "sizes fit in the network as loaded", status, tier, reason, span)]


def of_step(before: State, after: State, name: str, known: Known) -> list[Verdict]:
    """Prove what holds after a step that could be followed; findings go to the state's sink."""
    span = after.places.get(name)
    effect = after.effects[name]
    kind = "step" if effect.function != "none" else "check"
    old, new = before.interface, after.interface
    verdicts = []
    if old is not new:
        status, tier, reason = _sizes(after, new, span, known)
        verdicts.append(_claim("shapes", name, f"sizes fit after {kind} {name}", status, tier, reason, span))
        verdicts.append(_non_empty(after, name, old, new, span))
        verdicts.append(_divisibility(name, new, span))
        verdicts.append(_contract(name, old, new, span))
    written = len(effect.writes)
    reason = f"{effect.function}: {effect.reason}" if effect.reason else effect.function
    claim = f"{kind} {name} may write {written} of {len(old.tensors)} tensors and no other"
    verdicts.append(_claim("effect", name, claim, "proved", "effects", reason, span))
    return verdicts


def _sizes(state: State, interface: Interface, span: Span | None, known: Known) -> tuple[Status, str, str]:
    requirements = interface.requirements
    ranges = tuple((free.name, free.least, free.most) for free in interface.free)
    fresh = [r for r in dict.fromkeys(requirements) if _key(r) not in known]
    if fresh:
        questions = [SizeQuestion(r.relation, r.left, r.right, ranges) for r in fresh]
        for requirement, answer in zip(fresh, decide_all_sizes(questions), strict=True):
            known[_key(requirement)] = answer
        if state.transcript is not None:
            for requirement, question in zip(fresh, questions, strict=True):
                entry = Entry(_claim_text(requirement), question, known[_key(requirement)], span)
                state.transcript.note(entry)
    worst: Status = "proved"
    tiers: dict[str, None] = {}
    for requirement in requirements:
        answer = known[_key(requirement)]
        tiers[answer.tier] = None
        if answer.status != "proved":
            worst = answer.status if worst != "refuted" else worst
            if requirement in fresh:  # what a step left as it was has been told already
                from surgery_dsl.proof.misfits import misfit  # most sizes fit

                state.sink.say(misfit(state, requirement, _claim_text(requirement), answer, ranges, span))
    where = ", ".join(
        f"{name} ≥ {least}" if most is None else f"{name} in {least}..{most}" for name, least, most in ranges
    )
    reason = f"{len(requirements)} relations of sizes" if requirements else "every size follows from shared axes"
    reason += f", for all {where}" if where else ""
    return worst, ", ".join(tiers) or "normal form", reason


def _key(requirement: Requirement) -> tuple[str, object, object]:
    return requirement.relation, requirement.left, requirement.right


def _claim_text(requirement: Requirement) -> str:
    return f"{text(requirement.left)} {RELATIONS[requirement.relation]} {text(requirement.right)}"


def _non_empty(state: State, name: str, old: Interface, new: Interface, span: Span | None) -> Verdict:
    ranges = {free.name: (free.least, free.most) for free in new.free}
    changed = 0
    status: Status = "proved"
    for axis in new.axes:
        if axis.parts or (axis.id < len(old.axes) and old.axes[axis.id] is axis):
            continue
        changed += 1
        question, answer = _some_left(axis.size, ranges)
        if state.transcript is not None:
            entry = Entry(f"something of `{axis.label or 'an axis'}` is left after {name}", question, answer, span)
            state.transcript.note(entry)
        if answer.status != "proved":
            status = "refuted"
            state.sink.say(
                Diagnostic(
                    shapes.EMPTIED_SITE,
                    f"`{name}` may leave nothing of `{axis.label or 'an axis'}`",
                    file=state.file,
                    span=span,
                    path=axis.label,
                    facts={"least": evaluate(question.left, answer.witness) if answer.status == "refuted" else None},
                    help="add `floor = 1` to its selection",
                )
            )
    claim = f"no axis is empty after step {name}"
    return _claim("non-empty", name, claim, status, "intervals", f"new or resized axes: {changed}", span)


def _some_left(size: Size, ranges: dict[str, tuple[int, int | None]]) -> tuple[SizeQuestion, Answer]:
    """Decide whether an axis has an entry, whatever the choices and the free sizes."""
    if isinstance(size, Extent | int):
        least, most = (size.least, size.most) if isinstance(size, Extent) else (size, size)
        question = SizeQuestion("at_least", "size", 1, (("size", least, most),))
        if least >= 1:
            return question, Answer("proved", "intervals")
        return question, Answer("refuted", "intervals", witness={"size": least})
    question = SizeQuestion("at_least", size, 1, tuple((n, *ends) for n, ends in ranges.items() if n in symbols(size)))
    return question, decide_sizes(question)


def _divisibility(name: str, new: Interface, span: Span | None) -> Verdict:
    integers = sum(len(module.integers) for module in new.modules)
    reason = f"{integers} integer attributes are products of whole axes"
    return _claim("divisibility", name, f"counts divide after step {name}", "proved", "congruence", reason, span)


def _contract(name: str, old: Interface, new: Interface, span: Span | None) -> Verdict:
    changed = [
        f"`{port.name}` becomes {shape_text(new, now)}"
        for side in SIDES
        for port, now in zip(getattr(old, side), getattr(new, side), strict=True)
        if shape_text(old, port) != shape_text(new, now)
    ]
    reason = f"the plan says so: {', '.join(changed)}" if changed else "dtypes and sizes of all ports are equal"
    claim = f"step {name} keeps the contract of inputs and outputs"
    return _claim("contract", name, claim, "proved", "normal form", reason, span)
