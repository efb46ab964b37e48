"""What each run of a step would do, in numbers, for people and reports."""

from typing import Literal

from surgery_dsl.diagnostics.codes import lints
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data, Interface
from surgery_dsl.language.plan import Identify
from surgery_dsl.proof.bookkeeping import Range, extremes
from surgery_dsl.proof.sequence import Run
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.quantities._multiplied import multiplied
from surgery_dsl.vocabulary.selection import Selection
from surgery_dsl.vocabulary.sites._paths import count_of
from surgery_dsl.vocabulary.values import Percent, number_text

FAR = 10
"""Percentage points between asked and achieved from which on a plan is told."""


class Count(Data):
    """A count that is known exactly (``least`` = ``most``) or between two numbers; free sizes at their least."""

    least: int
    most: int

    @property
    def exact(self) -> bool:
        """Whether it is one number."""
        return self.least == self.most

    def __str__(self) -> str:
        return f"{self.least:,}" if self.exact else f"{self.least:,}..{self.most:,}"


class PoolSummary(Data):
    """Asked against achieved for one pool: how many units there are, may be taken and stay, in units of the site."""

    key: str
    paths: tuple[str, ...]
    units: int
    asked: str
    taken: Count
    kept: Count


class StepSummary(Data):
    """What one run of a step would do.

    Attributes:
        step: Name of the block.
        block: Its kind.
        span: Where it stands.
        stage: From 1 within a schedule, else 0.
        stages: How many stages there are, else 0.
        matched: Sites matched.
        there: Sites of the same words that the network has in all; for ``identify``.
        words: The words that name them, sorted.
        changed: Sites changed.
        covered: Share of the parameters that the sites hold, in percent, as text.
        function: The step's effect on the function.
        reason: Why.
        pools: For ``identify``: asked against achieved.
        params: Parameters before and after.
        macs: Multiply-accumulates before and after, free sizes at their least.
        writes: Names of the tensors that may change, sorted.
        brings: Modules that are brought in.
        calls: Single calls of modules that a forward calls several times, where the sites are such.
    """

    step: str
    block: Literal["identify", "excise", "replace", "recover", "observe", "search"]
    span: Span | None = None
    stage: int = 0
    stages: int = 0
    matched: int = 0
    there: int = 0
    words: tuple[str, ...] = ()
    changed: int = 0
    covered: str = ""
    function: str = "none"
    reason: str = ""
    pools: tuple[PoolSummary, ...] = ()
    params: tuple[Count, Count]
    macs: tuple[Count, Count]
    writes: tuple[str, ...] = ()
    brings: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


class Costs:
    """Counts of interfaces, each made once. Final."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Interface, Count, Count]] = {}
        self._sites: dict[tuple[int, tuple[str, ...]], tuple[Interface, int]] = {}

    def of(self, interface: Interface) -> tuple[Count, Count]:
        """Return parameters and multiply-accumulates."""
        found = self._known.get(id(interface))
        if found is None:
            fewest, most = multiplied(interface)
            params_range = extremes(interface, _counting.parameters(interface))
            macs_range = extremes(interface, fewest)[0], extremes(interface, most)[1]
            found = (interface, _count(params_range), _count(macs_range))
            self._known[id(interface)] = found
        return found[1], found[2]

    def sites(self, words: tuple[str, ...], interface: Interface) -> int:
        """Return how many sites of some words there are."""
        found = self._sites.get((id(interface), words))
        if found is None:
            found = self._sites[id(interface), words] = (interface, count_of(words, interface))
        return found[1]


def _count(found: Range) -> Count:
    return Count.model_construct(least=found[0], most=found[1])


def summary(run: Run, before: State, after: State, costs: Costs) -> StepSummary:
    """Describe one run of a step that could be followed."""
    step = run.step
    assert step.block != "control"
    name = step.name
    selection = after.selections.get(name) if isinstance(step, Identify) else None
    effect = None if isinstance(step, Identify) else after.effects.get(name)
    params, macs = costs.of(before.interface), costs.of(after.interface)
    matched = len(selection.sites) if selection is not None else effect.matched if effect is not None else 0
    words = tuple(sorted({site.word for site in selection.sites})) if selection is not None else ()
    return StepSummary.model_construct(
        step=name,
        block=step.block,
        span=step.span,
        stage=run.stage,
        stages=run.stages,
        matched=matched,
        there=costs.sites(words, before.interface) if words else 0,
        words=words,
        changed=effect.changed if effect is not None else 0,
        covered=_share_text(after, name),
        function=effect.function if effect is not None else "none",
        reason=effect.reason if effect is not None else "",
        pools=pools(selection) if selection is not None else (),
        params=(params[0], macs[0]),
        macs=(params[1], macs[1]),
        writes=tuple(sorted(effect.writes)) if effect is not None else (),
        brings=effect.brings if effect is not None else (),
        calls=effect.calls if effect is not None else (),
    )


def _share_text(state: State, name: str) -> str:
    least, most = state.coverage.get(name, (0, 0))
    low, high = f"{float(least * 100):.3g}", f"{float(most * 100):.3g}"
    return f"{low} %" if low == high else f"{low}..{high} %"


def pools(selection: Selection) -> tuple[PoolSummary, ...]:
    """Return asked against achieved of every pool, in units of the site (channels, not groups of them)."""
    result = []
    for pool, taken in zip(selection.pools, selection.taken, strict=True):
        least, most = taken.least * pool.width, taken.most * pool.width
        units = pool.size * pool.width
        result.append(
            PoolSummary.model_construct(
                key=pool.key,
                paths=tuple(site.path for site in pool.sites),
                units=units,
                asked=selection.asked,
                taken=_count((least, most)),
                kept=_count((units - most, units - least)),
            )
        )
    return tuple(result)


def far_from_asked(step: Identify, selection: Selection, file: str) -> Diagnostic | None:
    """Warn where round, floor or cap decide how much is taken, and not the percentage that the plan asks for."""
    amount = getattr(step.take, "amount", None)
    if not isinstance(amount, Percent) or step.per != "site":
        return None
    far = []
    for pool, taken in zip(selection.pools, selection.taken, strict=True):
        achieved = 100 * taken.most / pool.size if pool.size else 0.0
        if taken.least == taken.most and abs(achieved - float(amount.value)) >= FAR and pool.size >= 100 / FAR:
            place = pool.tensor or (pool.sites[0].path if pool.sites else pool.key)
            far.append((place, achieved, (pool.size - taken.most) * pool.width, pool.size * pool.width))
    if not far:
        return None
    notes = tuple(f"`{place}`: {achieved:.3g}% taken, {kept} of {size} stay" for place, achieved, kept, size in far[:6])
    causes = [f"`{name} = {value}`" for name in ("round", "floor", "cap") if (value := getattr(step, name)) is not None]
    return Diagnostic(
        lints.FAR_FROM_ASKED,
        f"`{step.name}` asks for {amount}; {' and '.join(causes) or 'whole units'} let it take {far[0][1]:.3g}% "
        f"of `{far[0][0]}`",
        file=file,
        span=step.spans.get("take", step.span),
        facts={"asked": number_text(amount.value), "achieved": round(far[0][1], 1), "pools": len(far)},
        notes=notes,
        help=f"ask for what can be taken, about {far[0][1]:.0f}%, or loosen {causes[-1] if causes else 'the amount'}",
    )
