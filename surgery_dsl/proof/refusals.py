"""Refused steps: which line leaves what breaks, and which edit ends it, tried before it is offered.

A rule says what breaks, and knows one edit that mends it in general; whether it does so here, the whole plan followed
with that edit tells. Imported only where a step is refused; at most three changed plans are followed for one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.language.plan import Excise, Identify, Plan, Step, Target
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.selection import Selection

MOST_OFFERED = 2

Follow = Callable[[Plan], bool]
"""Whether a plan can be followed up to and including the step."""

_CHANGES = {shapes.OUTPUT_CONTRACT: "outputs", shapes.INPUT_CONTRACT: "inputs"}
_MENDED: frozenset[Code] = frozenset(
    (
        shapes.OUTPUT_CONTRACT,
        shapes.INPUT_CONTRACT,
        shapes.FIXED_AXIS,
        shapes.SUMMED_AXIS,
        shapes.WEIGHTS_STAY,
    )
)
"""What leaving sites out, allowing a change or writing zeros may end."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A step that could not be followed.

    Attributes:
        step: The step.
        before: Where the plan stood.
        plan: The whole plan.
        findings: What stands against the step.
        follow: Follows a changed plan.
    """

    step: Step
    before: State
    plan: Plan
    findings: tuple[Diagnostic, ...]
    follow: Follow


def explained(refusal: Refusal) -> dict[int, Diagnostic]:
    """Return each finding with the lines that lead to it and the edits that end it, by the ``id`` it had."""
    selection = refusal.before.selections.get(refusal.step.name) if isinstance(refusal.step, Excise) else None
    found = {id(finding): _why(finding, selection, refusal) for finding in refusal.findings}
    for code in dict.fromkeys(finding.code for finding in refusal.findings if finding.code in _MENDED):
        group = [finding for finding in refusal.findings if finding.code == code]
        offered = _offered(code, group, selection, refusal)
        if offered is not None:
            found |= {id(one): replace(found[id(one)], help=offered) for one in group}
    return found


def _why(finding: Diagnostic, selection: Selection | None, refusal: Refusal) -> Diagnostic:
    """Add the line that says how much goes, and what it leaves of the place that the finding is about."""
    span = refusal.before.choices.get(refusal.step.name)
    if selection is None or span is None or span == finding.span or finding.labels:
        return finding
    label = Label(span, f"{selection.asked} is asked for here")
    for pool, taken in zip(selection.pools, selection.taken, strict=True):
        if any(_is_at(finding.path, site.path) for site in pool.sites):
            least, most = (pool.size - taken.most) * pool.width, (pool.size - taken.least) * pool.width
            kept = str(least) if least == most else f"{least}..{most}"
            note = f"`{selection.step}` would leave {kept} of {pool.size * pool.width}"
            return replace(finding, labels=(label,), notes=(*finding.notes, note))
    return replace(finding, labels=(label,))


def _is_at(path: str, site: str) -> bool:
    return path == site or (bool(site) and path.startswith(f"{site}."))


# ---- edits -------------------------------------------------------------------------------------------------------


def _offered(code: Code, group: Sequence[Diagnostic], selection: Selection | None, refusal: Refusal) -> str | None:
    """Return the edits with which the plan was followed; ``None`` where the rule's own words stand.

    Where a step is refused for several reasons, no single edit ends it.
    """
    by_values = any(finding.help.startswith("write changes = values") for finding in group)
    if by_values or any(finding.code != code for finding in refusal.findings):
        return None
    tried = (text for text, plan in _candidates(code, group, selection, refusal) if refusal.follow(plan))
    offered = list(islice(tried, MOST_OFFERED))
    if not offered and any(not finding.help.startswith("add except") for finding in group):
        return None
    return ", or ".join(offered) or "no edit of this step is known that ends it: pick at other sites"


def _candidates(
    code: Code, group: Sequence[Diagnostic], selection: Selection | None, refusal: Refusal
) -> Iterator[tuple[str, Plan]]:
    """Yield edits in words with the plan that each makes, at most three."""
    step, plan = refusal.step, refusal.plan
    identify = next((s for s in plan.steps if isinstance(s, Identify) and s.name == step.name), None)
    if identify is not None:
        sites = [site.path for site in selection.sites] if selection is not None else []
        paths = _left_out([finding.path for finding in group], sites)
        changed = _excepting(identify, paths)
        if changed is not None:
            listed = ", ".join(f'"{path}"' for path in paths)
            yield f"add except = [{listed}] to the selection", _with(plan, identify, changed)
    if isinstance(step, Excise) and code in _CHANGES:
        allowed = _CHANGES[code]
        yield (
            f"write changes = {allowed} in this step",
            _with(plan, step, step.replaced(changes=(*step.changes, allowed))),
        )
    if isinstance(step, Excise) and step.mode.name == "remove":
        from surgery_dsl.vocabulary.modes.zero import Zero

        yield "write mode = zero in this step", _with(plan, step, step.replaced(mode=Zero()))


def _left_out(paths: Sequence[str], sites: Sequence[str]) -> list[str]:
    """Return the sites that findings are about; where none is known, the paths themselves."""
    found = [next((site for site in sites if _is_at(path, site)), path) for path in paths]
    return list(dict.fromkeys(path for path in found if path))


def _excepting(identify: Identify, paths: Sequence[str]) -> Identify | None:
    """Leave paths out of every pattern; ``None`` where no pattern can say so."""
    targets: list[Target] = []
    for target in identify.sites:
        word = target.word
        if word is None or not hasattr(word, "except_"):
            return None
        targets.append(target.replaced(word=word.replaced(except_=(*word.except_, *paths))))
    return identify.replaced(sites=tuple(targets)) if paths and targets else None


def _with(plan: Plan, step: Step, changed: Step) -> Plan:
    return plan.replaced(steps=tuple(changed if other is step else other for other in plan.steps))
