"""The health of a network at the end of a run: which layers moved, which still learn, what their units do.

Measured on the first batches of one data set, so that it costs little beside the gates; nothing is refused for it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar, final

from torch import Tensor, nn

from surgery_dsl.certificate.health import ActivationHealth, Health, LayerHealth, NormHealth
from surgery_dsl.evidence import activity, flow, layers
from surgery_dsl.evidence.metrics import Batches
from surgery_dsl.evidence.seen import Seen, Wanted, look, of_activations
from surgery_dsl.language.plan import Plan, Recover
from surgery_dsl.run.points import measured, readings_of
from surgery_dsl.run.session import Session

BATCHES = 4
"""How many batches are read."""
WIDEST = 1024
"""Up to how many units the products of two units of an activation are taken."""
MOST_PARAMETERS = 100_000_000
"""Up to how many parameters gradients are taken: they need as much memory again."""
DEAD, CONSTANT, REDUNDANT = 1e-6, 1e-12, 1e-3
"""What counts as silence, as no variance, and as a multiple."""

Found = TypeVar("Found")


def health(session: Session, judged: str) -> Health:
    """Return the health of the session's network; tensors, gradients and modes are left as they were.

    Args:
        session: The run, after its last step.
        judged: The data set whose loss the plan reads; empty where it reads none, and then there are no gradients.
    """
    return _Table(session, judged).filled()


@final
@dataclass
class _Table:
    session: Session
    judged: str
    notes: list[str] = field(default_factory=list)

    def filled(self) -> Health:
        session, data = self.session, self.judged or looked_at(self.session.plan)
        base = session.base()
        pairs = tuple(layers.pairs(session.base_interface, base, session.model, session.edits))
        weights = layers.weight_changes(base, session.model, session.edits)
        outputs: dict[str, layers.Moved] = {}
        activations: tuple[ActivationHealth, ...] = ()
        norms: tuple[NormHealth, ...] = ()
        count = 0
        if data:
            count = min(session.data(data).facts.count, BATCHES * session.data(data).facts.batch)
            outputs = self._measured(
                lambda: layers.output_changes(base, session.model, pairs, self._batches(data), session.outputs), {}
            )
            seen = self._measured(lambda: self._seen(data), None)
            activations = tuple(map(_activation, seen.runs.values())) if seen else ()
            shifts = seen.shifts.items() if seen else ()
            norms = tuple(NormHealth(path=path, shift=shift) for path, shift in shifts if math.isfinite(shift))
        else:
            self.notes.append("activations: the plan reads no data")
        gradients, scores = self._gradients(base)
        now = {pair.path: pair.now for pair in pairs}
        rows = [
            LayerHealth(
                path=path,
                now=now.get(path, ""),
                weight_change=finite(weights.get(path)),
                output_change=finite(outputs[path].relative) if path in outputs else None,
                gradient=finite(gradients.get(now[path])) if path in now else None,
                score=finite(scores.get(path)),
                note=outputs[path].note if path in outputs else "" if path in now else self._unpaired(path),
            )
            for path in self._paths(weights)
        ]
        return Health(
            data=data,
            examples=count,
            layers=tuple(rows),
            activations=activations,
            norms=norms,
            notes=tuple(self.notes),
        )

    def _unpaired(self, path: str) -> str:
        """Say what became of a layer of the base that is compared with none."""
        there = dict(self.session.model.named_modules()).get(path)
        own = None if there is None else next(there.parameters(recurse=False), None)
        return "it is gone" if own is None else "another stands there"

    def _paths(self, weights: dict[str, float]) -> list[str]:
        """Return the modules of the base with parameters, in the order of the forward, then those that do not run."""
        owners = (name.rpartition(".")[0] for o in self.session.base_interface.operators for name in o.tensors.values())
        return list(dict.fromkeys([*(path for path in owners if path in weights), *weights]))

    def _batches(self, data: str) -> Batches:
        return islice(self.session.data(data).batches(), BATCHES)

    def _seen(self, data: str) -> Seen | None:
        """Look at activations and norms in one pass; where a line of the plan did so on as many examples, in none."""
        session = self.session
        model, interface = session.model, session.interface
        wanted = of_activations(interface, products=WIDEST) | Wanted(norms=True)
        if session.data(data).facts.count <= BATCHES * session.data(data).facts.batch:
            seen = session.seen(model, interface, data, wanted)
            return Seen(wanted, {(one.path, one.run): one for one in seen.units(wanted)}, seen.shifts)
        return look(model, interface, wanted, self._batches(data), session.outputs)

    def _gradients(self, base: nn.Module) -> tuple[dict[str, float], dict[str, float]]:
        """Return norms of gradients now, and the first-order scores of what was changed."""
        session, why = self.session, ""
        if not self.judged:
            why = "no loss is read"
        elif sum(parameter.numel() for parameter in base.parameters()) > MOST_PARAMETERS:
            why = f"more than {MOST_PARAMETERS:,} parameters"
        if why:
            self.notes.append(f"gradients and scores: {why}")
            return {}, {}
        tokens = session.data(self.judged).facts.tokens

        def taken(model: nn.Module) -> dict[str, Tensor]:
            with self._looking(model):
                return flow.loss_gradients(model, self._batches(self.judged), session.outputs, tokens)

        norms = flow.norms(taken(session.model))
        return norms, layers.first_order_scores(base, session.model, session.edits, taken(base))

    def _measured(self, work: Callable[[], Found], nothing: Found) -> Found:
        """Look at the networks; where a part of one never ran on these examples, say so instead."""
        try:
            with self._looking(self.session.model), self._looking(self.session.base()):
                return work()
        except LookupError as error:
            self.notes.append(f"not measured: {error.args[0]}")
            return nothing

    @contextmanager
    def _looking(self, model: nn.Module) -> Iterator[None]:
        with self.session.looking("while its health was measured", None, model), self.session.deterministic():
            yield


def looked_at(plan: Plan) -> str:
    """Return the data set that a plan measures on first, or else trains on first; empty where there is none."""
    read = (reading.word for _, obligation in measured(plan) for reading in readings_of(obligation))
    named = [data for data in (getattr(word, "data", None) for word in read) if isinstance(data, str)]
    trained = [data for step in plan.steps if isinstance(step, Recover) for data in step.data]
    return next(iter([*named, *trained]), "")


def _activation(units: activity.Units) -> ActivationHealth:
    known = units.products is not None
    return ActivationHealth(
        path=units.label,
        units=len(units.loudest),
        dead=int(units.silent(DEAD).sum()),
        constant=int(units.constant(CONSTANT).sum()),
        redundant=int(units.redundant(REDUNDANT).sum()) if known else None,
        effective_rank=finite(units.effective_rank()) if known else None,
    )


def finite(value: float | None) -> float | None:
    """Return a number that JSON can say, nothing for others."""
    return value if value is not None and math.isfinite(value) else None
