"""Deciding ``certify`` lines on a live network: a bound, a witness, or neither, always with the gap between them.

Passed: the bound is at most the limit. Failed: an input of the region was found, and put through the networks' own
modules, where the quantity is above the limit. Undecided: neither; a plan goes on only with what passed.
"""

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from surgery_dsl.certificate.evidence import AssumedFunction, BoundEvidence
from surgery_dsl.certificate.wording import BY_BOUND, bound_words
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.evidence.bounds.alignment import Alignment
from surgery_dsl.evidence.bounds.analysis import FLOAT32, REAL
from surgery_dsl.evidence.bounds.assumptions import Tried, tried
from surgery_dsl.evidence.bounds.bounding import Bounding
from surgery_dsl.evidence.bounds.claimed import Claimed
from surgery_dsl.evidence.bounds.graph import Unbounded
from surgery_dsl.evidence.bounds.input_sets import Layout, enumerated
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.region import Box, Region, held
from surgery_dsl.evidence.bounds.rounding import ASSUMED_UNITS, Unsound
from surgery_dsl.evidence.bounds.seeking import Points, seek, together
from surgery_dsl.evidence.bounds.splitting import Split, split
from surgery_dsl.language.plan import Comparison, Control, Obligation
from surgery_dsl.proof.certified import Asked, asked, not_certified
from surgery_dsl.proof.verdict import Verdict, exact_text, rounded_text, verdict_of
from surgery_dsl.run.recorded_networks import Graphs, RecordedNetworks, refuse_other_kernels
from surgery_dsl.run.session import Session

SPLIT_DIMENSIONS = 8
"""Boxes with more coordinates that vary are not cut: halving them all takes 2^n parts."""
MOST_SHOWN = 4096
"""Numbers of a witness that a verdict holds in full."""
Grade = Literal["real", "float32"]


@dataclass(frozen=True)
class Witness:
    """The worst input that was found, and what both networks make of it.

    Attributes:
        region: Its number among the regions side by side.
        inputs: The networks' inputs by name, [1, …], in the run's dtype.
        point: The same as the graphs take it, [1, 1, …] each.
        old: What the base gives, in the run's dtype.
        new: What the network here gives.
        reached: The quantity there, in float64, by the graphs.
        replayed: The same through the networks' own modules, in the run's dtype.
        again: The same through the networks' own modules, in float64.
    """

    region: int
    inputs: dict[str, Tensor]
    point: Points
    old: Tensor
    new: Tensor
    reached: float
    replayed: float
    again: float


@dataclass(frozen=True)
class Certified:
    """What was found of one ``certify`` line.

    Attributes:
        asked: What the line asks.
        said: The region in words.
        bounding: Both networks, matched, and the quantity.
        region: The region, on the run's device.
        bounds: [B], or one for each part.
        parts: Of boxes that were cut, by their number.
        points: The inputs that the attack found, one for each region.
        witness: The worst of them.
        assumes: What is assumed of functions of the library, and how they kept it.
        status: What became of the line.
        seconds: Wall time.
    """

    asked: Asked
    said: str
    bounding: Bounding
    region: Region
    bounds: Tensor
    parts: dict[int, Split]
    points: Points
    witness: Witness
    assumes: tuple[Tried, ...]
    status: Literal["passed", "failed", "undecided"]
    seconds: float

    @property
    def grade(self) -> Grade:
        """The arithmetic that the bound speaks of."""
        found: Grade = getattr(self.asked.word, "arithmetic", "real")
        return found

    @property
    def attack(self) -> float:
        """What the worst input that was found reaches."""
        return self.witness.reached

    @property
    def bound(self) -> float:
        """The bound over the whole region."""
        return float(self.bounds.max())

    @property
    def count(self) -> int:
        """How many parts the bound is made of."""
        return len(self.bounds)

    @property
    def evidence(self) -> BoundEvidence:
        """What was found as evidence without files."""
        return BoundEvidence(
            region=self.said,
            boxes=self.region.count,
            dimensions=self.region.dimensions,
            claims=self.bounding.claimed.formula,
            method=BY_BOUND,
            arithmetic=self.grade,
            assumes=tuple(
                AssumedFunction(function=one.function, units=ASSUMED_UNITS, seen=one.seen.hex(), points=one.points)
                for one in self.assumes
            ),
            bound=self.bound.hex(),
            attack=self.attack.hex(),
            replayed=self.witness.replayed.hex(),
            limit=exact_text(self.asked.limit),
            parts=self.count,
            seconds=self.seconds,
        )


class Certifying:
    """Decides the ``certify`` lines of one run; the base is read once for each shape of input. Final."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bases: Graphs = {}
        self._witnesses = 0

    def decide(
        self, control: Control, obligation: Obligation
    ) -> tuple[Verdict, tuple[Diagnostic, ...], Certified | None]:
        """Bound and attack one line; the verdict is ``passed``, ``failed`` or ``undecided``.

        Raises:
            Refused: The network fails as it runs.
        """
        session = self._session
        assert isinstance(obligation.statement, Comparison)
        line = asked(obligation.statement)
        if isinstance(line, str):
            raise ValueError(f"`{obligation.text}` asks for no bound: {line}")
        session.progress(f"bounding {line.word.name}", 0, 0)
        try:
            with session.looking(f"while `{line.word.name}` was bounded", obligation.span), session.deterministic():
                found = self._certify(line)
        except (Unbounded, Unsound) as why:
            reason = str(why)
            verdict = verdict_of(obligation, control.name, "bound", "undecided", "bound propagation", reason=reason)
            return verdict, (not_certified(obligation, reason, session.file),), None
        kept = "" if found.status == "passed" else self._kept(obligation, found)
        return self._verdict(control, obligation, found), tuple(self._findings(obligation, found, kept)), found

    def _kept(self, obligation: Obligation, found: Certified) -> str:
        """Keep the worst input in the file that was asked for; return how it is run again, or how to ask."""
        wanted = self._session.settings.witness
        if not wanted:
            return "to keep the worst input that was found: `apply --witness FILE.safetensors`"
        from surgery_dsl.run.witness import write_witness

        asked_for = Path(wanted)
        self._witnesses += 1
        number = f"-{self._witnesses}" if self._witnesses > 1 else ""
        path = asked_for.with_name(f"{asked_for.stem}{number}{asked_for.suffix}")
        write_witness(path, found, obligation.text)
        return f'the worst input that was found is kept: `surgery_dsl.replay("{path}")` runs both networks on it again'

    # ---- networks and region ------------------------------------------------------------------------------------

    def _certify(self, line: Asked) -> Certified:
        began = time.monotonic()
        session = self._session
        inside = getattr(line.word, "at", "")
        if getattr(line.word, "arithmetic", "real") == "float32":
            refuse_other_kernels(session)
        try:
            layout = Layout(line.region.input_sets(session, inside))
        except LookupError as why:
            raise Unbounded(str(why.args[0])) from why
        claimed = line.word.claimed(session)
        labels = claimed.labels
        if labels is not None:
            claimed = _on(claimed, session.device)
        networks = RecordedNetworks(session, layout, inside, self._bases)
        region = enumerated(layout.region(networks.old)).to(session.device)
        bounding = self._bounding(networks, claimed, getattr(line.word, "arithmetic", "real"))
        bounds = bounding.over(region, claimed.labels)
        points, reached = self._attacked(bounding, region, networks)
        parts, bounds = self._cut(line, bounding, region, bounds, reached)
        worst = int(reached.argmax())
        witness = _witness(networks, bounding, tuple(one[worst : worst + 1] for one in points), worst)
        assumes = tried((networks.old, networks.new), session.device) if bounding.arithmetic.unit else ()
        status = self._status(line, bounds, witness)
        seconds = time.monotonic() - began
        found = (bounds, parts, points, witness, assumes, status, seconds)
        said = line.region.said()
        if inside:
            said = f"every input of the module `{inside}` near those that it is given in the base: {said}"
        return Certified(line, said, bounding, region, *found)

    def _bounding(self, networks: RecordedNetworks, claimed: Claimed, grade: Grade) -> Bounding:
        session, old, new = self._session, networks.old, networks.new
        alignment = Alignment(session.edits)
        pairs = matches(old, new, alignment.units(old, session.device), alignment.moved)
        return Bounding(old, new, pairs, claimed, FLOAT32 if grade == "float32" else REAL)

    # ---- witness and parts ---------------------------------------------------------------------------------------

    def _attacked(self, bounding: Bounding, region: Region, networks: RecordedNetworks) -> tuple[Points, Tensor]:
        """Return inputs that the run's dtype can hold, one in each region, and what each reaches, in float64."""
        claimed, seed = bounding.claimed, self._session.mixed_seed(0)
        points, values = [], []
        for part in torch.split(torch.arange(region.count), together(region)):
            labels = None if claimed.labels is None else claimed.labels[part]

            def value(old: Tensor, new: Tensor, labels: Tensor | None = labels) -> Tensor:
                return claimed.value(old, new, labels)

            here = region.part(part)
            found = seek(bounding.old, bounding.new, here, value, seed)
            found = tuple(
                held(one, here.boxes[at], networks.dtype) if at in here.boxes else one for at, one in enumerate(found)
            )
            points.append(found)
            with torch.no_grad():
                values.append(value(bounding.old.run(*found), bounding.new.run(*found)))
        return tuple(torch.cat(column) for column in zip(*points, strict=True)), torch.cat(values)

    def _cut(
        self, line: Asked, bounding: Bounding, region: Region, bounds: Tensor, reached: Tensor
    ) -> tuple[dict[int, Split], Tensor]:
        """Cut boxes of few dimensions whose bound is above the limit, unless a witness settles the line."""
        over = [at for at, bound in enumerate(bounds.tolist()) if not _keeps(line, bound)]
        if region.tokens:
            return {}, bounds
        box = region.boxes[0]
        few = int((box.high > box.low).flatten(1).any(0).sum()) <= SPLIT_DIMENSIONS
        if not over or not few or not _keeps(line, float(reached.max())):
            return {}, bounds
        parts: dict[int, Split] = {}
        left = self._session.settings.certify_seconds
        limit = float(line.limit)
        limit = (
            limit if Fraction(limit) <= line.limit else torch.nextafter(torch.tensor(limit), torch.tensor(-1.0)).item()
        )
        for at in over:
            label = None if bounding.claimed.labels is None else bounding.claimed.labels[at : at + 1]

            def bound(region: Region, label: Tensor | None = label) -> Any:
                return bounding.one(region, None if label is None else label.expand(region.count))

            parts[at] = split(
                bound, Region({0: Box(box.low[at : at + 1], box.high[at : at + 1])}), limit, max(left, 0.0)
            )
            left -= parts[at].seconds
            if not _keeps(line, parts[at].bound):
                break
        pieces = [parts[at].bounds if at in parts else bounds[at : at + 1] for at in range(len(bounds))]
        return parts, torch.cat(pieces)

    def _status(self, line: Asked, bounds: Tensor, witness: Witness) -> Literal["passed", "failed", "undecided"]:
        if _keeps(line, float(bounds.max())):
            return "passed"
        shown = not _keeps(line, witness.reached) and not _keeps(line, witness.again)
        return "failed" if shown else "undecided"

    # ---- what is said ----------------------------------------------------------------------------------------------

    def _verdict(self, control: Control, obligation: Obligation, found: Certified) -> Verdict:
        value = found.attack if found.status == "failed" else found.bound
        limit, exact = found.asked.limit, Fraction(value)
        facts: dict[str, str | int] = {"bound": found.bound.hex(), "attack": found.attack.hex(), "parts": found.count}
        if found.status == "failed":
            facts |= self._shown(found)
        return verdict_of(
            obligation,
            control.name,
            "bound",
            found.status,
            BY_BOUND,
            exact_text(exact),
            exact_text(limit),
            exact_text(limit - exact),
            bound_words(found.evidence),
        ).replaced(facts=facts)

    def _shown(self, found: Certified) -> dict[str, str | int]:
        """Return the input that breaks the limit, without loss."""
        facts: dict[str, str | int] = {"box": found.witness.region, "replayed": found.witness.replayed.hex()}
        several = len(found.witness.inputs) > 1
        for name, value in found.witness.inputs.items():
            if value.numel() <= MOST_SHOWN:
                of = f"_{name}" if several else ""
                numbers = value.double() if value.is_floating_point() else value.long()
                texts = (n.hex() if isinstance(n, float) else str(n) for n in numbers.flatten().tolist())
                facts[f"witness{of}"] = " ".join(texts)
                facts[f"witness_shape{of}"] = "x".join(map(str, value.shape[1:]))
        return facts

    def _findings(self, obligation: Obligation, found: Certified, kept: str) -> list[Diagnostic]:
        if found.status == "passed":
            return []
        limit = float(found.asked.limit)
        gap = f"[{rounded_text(found.attack)}, {rounded_text(found.bound)}]"
        facts: dict[str, Any] = {"attack": found.attack, "bound": found.bound, "limit": limit}
        where = f"for {found.said}: {found.bounding.claimed.formula}"
        notes: tuple[str, ...]
        if found.status == "failed":
            text = f"an input was found that reaches {rounded_text(found.attack)}, the limit is {rounded_text(limit)}"
            notes = (
                where,
                "through the networks' own modules, in the run's dtype, it reaches "
                f"{rounded_text(found.witness.replayed)}",
                kept,
            )
            fix = "change less, or set a limit that this network can keep"
            code = runs.WITNESS_FOUND
        else:
            text = f"the greatest value lies in {gap}, and the limit {rounded_text(limit)} between"
            notes = (where, kept)
            fix = "use a smaller region or a wider limit" + (
                ", or give it more time: `--certify-seconds`" if found.parts else ""
            )
            code = runs.BOUND_TOO_WIDE
        message = (
            f"`{obligation.text}` does not hold: {text}"
            if found.status == "failed"
            else f"`{obligation.text}` is undecided: {text}"
        )
        file = self._session.file
        return [Diagnostic(code, message, file=file, span=obligation.span, facts=facts, notes=notes, help=fix)]


def _keeps(line: Asked, value: float) -> bool:
    """Whether a value keeps the limit; what is not a number does not."""
    if value != value or value in (float("inf"), float("-inf")):
        return value == float("-inf")
    return Fraction(value) < line.limit if line.strict else Fraction(value) <= line.limit


def _on(claimed: Claimed, device: torch.device) -> Claimed:
    from dataclasses import replace

    from surgery_dsl.evidence.bounds.claimed import CrossEntropy

    assert isinstance(claimed, CrossEntropy)
    assert claimed.labels is not None
    return replace(claimed, labels=claimed.labels.to(device))


def _witness(networks: RecordedNetworks, bounding: Bounding, point: Points, at: int) -> Witness:
    """Return the worst input that was found, and what both networks' own modules make of it."""
    labels = None if bounding.claimed.labels is None else bounding.claimed.labels[at : at + 1]
    given = tuple(one[0] for one in point)
    outputs = [networks.outputs(side, *given) for side in (0, 1)]
    wide = [networks.outputs(side, *given, dtype=torch.float64) for side in (0, 1)]
    graphs = [graph.run(*point) for graph in (bounding.old, bounding.new)]
    reached, replayed, again = (
        float(bounding.claimed.value(old.double(), new.double(), labels)) for old, new in (graphs, outputs, wide)
    )
    return Witness(at, networks.named(*given), point, outputs[0], outputs[1], reached, replayed, again)
