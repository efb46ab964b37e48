"""What a merge did to the outputs: measured as its step runs, while the network of before it can still be had."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import final

from torch import nn

from surgery_dsl.certificate.health import MergedLayer, MergeHealth
from surgery_dsl.evidence import merging
from surgery_dsl.evidence.merging import Drift
from surgery_dsl.kernels.stored_sums import StoredSum
from surgery_dsl.language.plan import Block
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.health import BATCHES, finite, looked_at
from surgery_dsl.run.points import measured, readings_of
from surgery_dsl.run.session import Session
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.quantities.merge_drift import MergeDrift


@final
@dataclass(frozen=True)
class Merging:
    """A merge that is about to run.

    Attributes:
        step: The step.
        adapters: Paths of what it folds.
        before: The network with them; ``None`` where it cannot be copied.
    """

    step: Block
    adapters: tuple[str, ...]
    before: nn.Module | None


def begun(session: Session, step: Block, effect: Effect) -> Merging | None:
    """Keep the network as it is before a merge; ``None`` for steps that merge nothing."""
    if not effect.merges or not session.holds_values:
        return None
    before = None
    if any(_data_of(session, step)):
        with suppress(RuntimeError, TypeError):  # a module that cannot be copied
            before = merging.twin(session.model, effect.merges)
    return Merging(step, effect.merges, before)


def ended(session: Session, merge: Merging, evidence: RunEvidence) -> None:
    """Run both networks on the data that the plan names; the session keeps what was found, the evidence records it."""
    with evidence.phase("measure"):
        evidence.merges.append(_measured(session, merge))


def _measured(session: Session, merge: Merging) -> MergeHealth:
    found: dict[str, Drift] = {}
    roundings = session.merges.taken()
    before = merge.before
    for data, whole in _data_of(session, merge.step):
        if before is None:
            break
        session.progress("measuring merge_drift", 0, 0)
        loaded = session.data(data)
        batches = loaded.batches() if whole else islice(loaded.batches(), BATCHES)
        what = f"while the drift of `{merge.step.name}` was measured"
        with session.looking(what, merge.step.span), session.deterministic():
            drift = merging.drift(before, session.model, merge.adapters, batches, session.outputs, loaded.facts.tokens)
        found[data] = replace(drift, roundings=roundings)
    session.merges.drifts[merge.step.name] = found
    return _health(session, merge.step.name, roundings, found)


def _data_of(session: Session, step: Block) -> Iterator[tuple[str, bool]]:
    """Yield the data sets of lines that read the drift of a step; where there are none, the plan's first, in part."""
    read = (reading.word for _, line in measured(session.plan) for reading in readings_of(line))
    named = dict.fromkeys(word.data for word in read if isinstance(word, MergeDrift) and word.step == step.name)
    yield from ((data, True) for data in named)
    looked = "" if named else looked_at(session.plan)
    if looked:
        yield looked, False


def _health(session: Session, step: str, roundings: Mapping[str, StoredSum], found: Mapping[str, Drift]) -> MergeHealth:
    data, drift = next(iter(found.items()), ("", None))
    layers = []
    for path, rounding in roundings.items():
        moved = drift.layers.get(path) if drift else None
        weight = session.model.get_submodule(path).get_parameter("weight")
        layers.append(
            MergedLayer(
                path=path,
                dtype=name_of(weight.dtype),
                lost=finite(rounding.lost),
                vanished=rounding.share_vanished,
                output_change=finite(moved.relative) if moved else None,
            )
        )
    return MergeHealth(
        step=step,
        data=data,
        examples=drift.examples if drift else 0,
        largest=finite(drift.largest) if drift else None,
        mean=finite(drift.mean) if drift else None,
        answers=drift.answers if drift else 0,
        changed=drift.changed if drift else 0,
        layers=tuple(layers),
    )
