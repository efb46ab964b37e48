"""Numbers of points that pass.

What an obligation reads of the base, or ``before`` or ``after`` a step, is measured while the network is there, and
kept instead of a copy of the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.silence import Proof
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Comparison, Control, Obligation, Plan, Reading
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.statistical import form_of, with_confidence
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.values import Point

KEPT = ("base", "now", "model", "before", "after")


def measured(plan: Plan) -> Iterator[tuple[Control, Obligation]]:
    """Yield the ``measure`` lines of a plan with their blocks."""
    for step in plan.steps:
        if isinstance(step, Control):
            yield from ((step, obligation) for obligation in step.obligations if obligation.verb == "measure")


def readings_of(obligation: Obligation) -> Iterator[Reading]:
    """Yield every quantity that an obligation reads."""
    if isinstance(obligation.statement, Comparison):
        yield from readings(obligation.statement.left)
        yield from readings(obligation.statement.right)


class Values:
    """Measured numbers by point and quantity. Final.

    A number is measured once for each state of the network: ``version`` counts the steps that changed it.
    """

    def __init__(self, session: Session) -> None:
        """Find what the plan will read of which point.

        Raises:
            Refused: An obligation reads a point whose numbers are not kept.
        """
        self._session = session
        self._kept: dict[tuple[str, str, str], float] = {}
        self._now: dict[str, float] = {}
        self._remarks: dict[tuple[str, str, str], str] = {}
        self._proofs: dict[tuple[str, str, str], tuple[str, Proof]] = {}
        self._wanted: dict[tuple[str, str], list[Reading]] = {}
        self._sampled: dict[tuple[str, str], list[Sampled]] = {}
        self._items: dict[tuple[str, str, str], Tensor] = {}
        for _, obligation in measured(session.plan):
            sampled = with_confidence(obligation)
            for term in form_of(obligation, session.data_facts, session.file).terms if sampled else ():
                self._sampled.setdefault((term.point.at, term.point.name), []).append(term.word)
            for reading in readings_of(obligation):
                if reading.point.at not in KEPT:
                    raise Refused(_not_kept(reading, obligation, session.file))
                if sampled:
                    continue
                self._wanted.setdefault((reading.point.at, reading.point.name), []).append(reading)
        words = (reading.word for readings in self._wanted.values() for reading in readings)
        session.watching = tuple(word for word in words if isinstance(word, Watching))

    def moved(self) -> None:
        """Hear that the network changed: what was measured of it holds no more."""
        self._now = {}
        self._session.changed()

    def keep(self, at: str, name: str = "") -> None:
        """Measure and keep what will be read of this place; call it while the network is there."""
        for word in self._sampled.get((at, name), ()):
            self._items[at, name, _key(word.plain())] = self.items(Point(at="now"), word)
        for reading in self._wanted.get((at, name), ()):
            key = _key(reading.word)
            self._kept[at, name, key] = self.now(reading.word)
            self._remarks[at, name, key] = self._remarks.get(("now", "", key), "")

    def items(self, point: Point, word: Sampled) -> Tensor:
        """Return the value of each example of a quantity at a point, ``[n]`` in float64, in the order of the data."""
        key = (point.at, point.name, _key(word.plain()))
        if point.at == "now" or key not in self._items:
            model, interface = self._session.point(point)
            with self._measuring(word, model):
                found = word.plain().items(model, interface, self._session)
            if point.at == "now":
                return found
            self._items[key] = found
        return self._items[key]

    def value(self, point: Point, word: Quantity) -> float:
        """Return a quantity at a point."""
        if point.at == "now":
            return self.now(word)
        key = (point.at, point.name, _key(word))
        if key not in self._kept:
            model, interface = self._session.point(point)
            self._kept[key] = self._measure(word, model, interface)
            self._remarks[key] = self._session.remarks()
        return self._kept[key]

    def remark(self, point: Point, word: Quantity) -> str:
        """Return what a word said when it was measured at a point; empty where it said nothing."""
        return self._remarks.get((point.at, point.name, _key(word)), "")

    def proof(self, obligation: Obligation) -> tuple[str, Proof] | None:
        """Return what proves the one number that a line reads, with the region that it is about."""
        read = list(readings_of(obligation))
        if len(read) != 1 or read[0].point.at != "now":
            return None
        return self._proofs.get(("now", "", _key(read[0].word)))

    def now(self, word: Quantity) -> float:
        """Return a quantity of the network as it is."""
        key = _key(word)
        if key not in self._now:
            self._session.proofs.clear()
            self._now[key] = self._measure(word, self._session.model, self._session.interface)
            if self._session.proofs:
                self._proofs["now", "", key] = self._session.proofs.pop()
            self._remarks["now", "", key] = self._session.remarks()
        return self._now[key]

    def _measure(self, word: Quantity, model: nn.Module, interface: Interface) -> float:
        with self._measuring(word, model):
            return self._session.measure(word, model, interface)

    @contextmanager
    def _measuring(self, word: Quantity, model: nn.Module) -> Iterator[None]:
        session = self._session
        session.progress(f"measuring {word.name}", 0, 0)
        with session.looking(f"while `{word.name}` was measured", word.span, model), session.deterministic():
            yield


def _key(word: Quantity) -> str:
    return word.replaced(span=None).model_dump_json()


def _not_kept(reading: Reading, obligation: Obligation, file: str) -> Diagnostic:
    return Diagnostic(
        runs.POINT_NOT_KEPT,
        f"`{obligation.text}` reads `{reading.point.at}`, which this release does not keep",
        file=file,
        span=reading.span or obligation.span,
        help="read `base`, `before(STEP)` or `after(STEP)`",
    )
