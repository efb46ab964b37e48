"""The order in which steps run. A schedule is the only repetition: its stages are unrolled here, for all to follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from surgery_dsl.language.plan import Excise, Identify, Plan, Recover, Replace, Step
from surgery_dsl.vocabulary.kinds import Mode, Schedule
from surgery_dsl.vocabulary.takes._staged import Staged
from surgery_dsl.vocabulary.values import Percent


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a step.

    Attributes:
        step: The block. In a stage, an ``identify`` stands here with the stage's own ``take``.
        stage: Which stage it belongs to, from 1; 0 outside of schedules.
        stages: How many stages there are; 0 outside of schedules.
        schedule: Name of the scheduled ``excise`` that it belongs to.
        share: The share that the stage reaches, for the ``identify`` of a stage.
    """

    step: Step
    stage: int = 0
    stages: int = 0
    schedule: str = ""
    share: Fraction | None = None


def sequence(plan: Plan) -> tuple[Run, ...]:
    """Return every run in order.

    A scheduled ``excise`` becomes, for each stage t = 1 … T, its ``identify`` with ``lowest(s_t)``, the excision, and
    the steps that ``between`` names; those do not run in their own place, nor does the ``identify``. Where the mode
    removes units, s_t counts the original width: a stage takes (s_t − s_{t−1}) / (1 − s_{t−1}) of what is left, as near
    as whole units come to s_t of the original.
    """
    steps = {(type(step), step.name): step for step in plan.steps}
    scheduled = {step.name for step in plan.steps if isinstance(step, Excise) and step.schedule is not None}
    between = {name for step in plan.steps if isinstance(step, Excise) for name in step.between}
    runs: list[Run] = []
    for step in plan.steps:
        if isinstance(step, Excise) and step.schedule is not None:
            identify = steps.get((Identify, step.name))
            inner = [other for name in step.between for other in plan.steps if other.name == name]
            if isinstance(identify, Identify):
                runs.extend(_stages(step, identify, inner))
        elif isinstance(step, Identify) and step.name in scheduled and step.take is None:
            continue
        elif step.name not in between:
            runs.append(Run(step))
    return tuple(runs)


def last_change(plan: Plan) -> int:
    """Return the position of the last run that changes the network; −1 where none does."""
    changing = [at for at, run in enumerate(sequence(plan)) if isinstance(run.step, Excise | Replace | Recover)]
    return max(changing, default=-1)


def blocks_within(plan: Plan) -> frozenset[str]:
    """Return the blocks that speak of the network as it was before its last change."""
    last = last_change(plan)
    return frozenset(run.step.name for at, run in enumerate(sequence(plan)) if at < last)


def last_runs(sequence: Iterable[Run]) -> dict[int, Run]:
    """Return, by position, the runs after which their step runs no more."""
    found: dict[tuple[str, str], tuple[int, Run]] = {}
    for position, run in enumerate(sequence):
        found[run.step.block, run.step.name] = (position, run)
    return dict(found.values())


def _stages(excise: Excise, identify: Identify, inner: list[Step]) -> list[Run]:
    shares = stage_shares(excise.schedule)
    count = len(shares)
    runs = []
    before = Fraction(0)
    for stage, share in enumerate(shares, 1):
        gone = before if shrinks(excise.mode) else Fraction(0)
        taken = (share - gone) / (1 - gone) if gone < 1 else share
        before = share
        if taken > 0:
            block = identify
            if identify.take is None:
                take = Staged(
                    amount=Percent(value=taken * 100),
                    before=gone,
                    reached=share,
                    last=stage == count,
                    span=excise.spans.get("schedule", identify.span),
                )
                block = identify.replaced(take=take)
            runs.append(Run(block, stage, count, excise.name, share))
            runs.append(Run(excise, stage, count, excise.name, share))
        runs.extend(Run(step, stage, count, excise.name) for step in inner)
    return runs


def stage_shares(schedule: Schedule | None) -> tuple[Fraction, ...]:
    """Return the share that each stage reaches, s_1 … s_T; empty for a schedule without stages of its own."""
    stages = getattr(schedule, "stages", None)
    return tuple(stages()) if callable(stages) else ()


def shrinks(mode: Mode) -> bool:
    """Whether a mode removes what it takes, so that the next stage finds fewer units."""
    return not mode.card.interface.isdisjoint({"widths", "topology"})
