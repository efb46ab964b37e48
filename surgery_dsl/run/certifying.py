"""Deciding ``certify`` lines on a live network: a bound, a witness, or neither, always with the gap between them.

Passed: the bound is at most the limit. Failed: an input of the region was found, and put through the networks' own
modules, where the quantity is above the limit. Undecided: neither; a plan goes on only with what passed.
"""

import copy
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.evidence.bounds.alignment import Alignment
from surgery_dsl.evidence.bounds.analysis import FLOAT32, REAL
from surgery_dsl.evidence.bounds.attack import attack
from surgery_dsl.evidence.bounds.bounding import Bounding
from surgery_dsl.evidence.bounds.claimed import Claimed
from surgery_dsl.evidence.bounds.graph import Graph, Unbounded
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.evidence.bounds.rounding import Unsound
from surgery_dsl.evidence.bounds.splitting import Split, split
from surgery_dsl.language.plan import Comparison, Control, Obligation
from surgery_dsl.proof.certified import Asked, asked, not_certified
from surgery_dsl.proof.verdict import Verdict, exact_text, rounded_text, verdict_of
from surgery_dsl.run.outputs import first_output
from surgery_dsl.run.session import Session

SPLIT_DIMENSIONS = 8
"""Boxes with more coordinates that vary are not cut: halving them all takes 2^n parts."""
MOST_SHOWN = 4096
"""Numbers of a witness that a verdict holds in full."""
METHOD = (
    "the lesser of differential and joint CROWN for each output, in float64, with the rounding of its own arithmetic"
)
Grade = Literal["real", "float32"]
GRADES: dict[Grade, str] = {
    "real": "real arithmetic",
    "float32": "deployed fp32, any summation order",
}


@dataclass(frozen=True)
class Certified:
    """What was found of one ``certify`` line.

    Attributes:
        asked: What the line asks.
        said: The region in words.
        bounding: Both networks, matched, and the quantity.
        box: The region, on the run's device.
        bounds: [B], or one for each part.
        parts: Of boxes that were cut, by their number.
        points: [B, 1, *shape] the inputs that the attack found.
        attack: What the worst of them reaches.
        replayed: The same through the networks' own modules, in the run's dtype.
        status: What became of the line.
        seconds: Wall time.
    """

    asked: Asked
    said: str
    bounding: Bounding
    box: Box
    bounds: Tensor
    parts: dict[int, Split]
    points: Tensor
    attack: float
    replayed: float
    status: Literal["passed", "failed", "undecided"]
    seconds: float

    @property
    def grade(self) -> Grade:
        """The arithmetic that the bound speaks of."""
        found: Grade = getattr(self.asked.word, "arithmetic", "real")
        return found

    @property
    def bound(self) -> float:
        """The bound over the whole region."""
        return float(self.bounds.max())

    @property
    def count(self) -> int:
        """How many parts the bound is made of."""
        return len(self.bounds)

    @property
    def wording(self) -> str:
        """The claim in words, with the gap."""
        dimensions = self.box.low[0].numel()
        boxes = f"{len(self.box.low)} box{'es' * (len(self.box.low) != 1)} of {dimensions} dimensions"
        many = f" in {self.count} parts" if self.parts else ""
        return (
            f"certified ({GRADES[self.grade]}): for {self.said} ({boxes}{many}), {self.bounding.claimed.formula} ≤ "
            f"{rounded_text(self.bound)}; an attack reached {rounded_text(self.attack)}"
        )


class Certifying:
    """Decides the ``certify`` lines of one run; the base is read once for each shape of input. Final."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bases: dict[tuple[str, tuple[int, ...]], Graph] = {}
        self._inside = ""

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
        return self._verdict(control, obligation, found), tuple(self._findings(obligation, found)), found

    # ---- networks and region ------------------------------------------------------------------------------------

    def _certify(self, line: Asked) -> Certified:
        began = time.monotonic()
        session = self._session
        self._inside = getattr(line.word, "at", "")
        try:
            corners = line.region.corners(session, self._inside).to(session.device)
        except LookupError as why:
            raise Unbounded(str(why.args[0])) from why
        box = Box(corners[0], corners[1])
        claimed = line.word.claimed(session)
        labels = claimed.labels
        if labels is not None:
            claimed = _on(claimed, session.device)
        bounding = self._bounding(box, claimed, getattr(line.word, "arithmetic", "real"))
        bounds = bounding.over(box, claimed.labels)
        points, reached = self._attacked(bounding, box)
        parts, bounds = self._cut(line, bounding, box, bounds, reached)
        worst = int(reached.argmax())
        replayed = self._replayed(bounding, points[worst : worst + 1], worst, None)
        status = self._status(line, bounding, bounds, points, reached)
        seconds = time.monotonic() - began
        found = (bounds, parts, points, float(reached.max()), replayed, status, seconds)
        said = line.region.said()
        if self._inside:
            said = f"every input of the module `{self._inside}` near those that it is given in the base: {said}"
        return Certified(line, said, bounding, box, *found)

    def _bounding(self, box: Box, claimed: Claimed, grade: Grade) -> Bounding:
        session = self._session
        if grade == "float32":
            self._refuse_other_kernels()
        dtype = self._dtype()
        example = ((box.low[:1, 0] + box.high[:1, 0]) / 2).to(dtype)
        key = (self._inside, tuple(example.shape))
        if key not in self._bases:
            self._bases[key] = record(session.base(), [example], forward=lambda x: self._run(0, session.base(), x))
        old = self._bases[key]
        new = record(session.model, [example], forward=lambda x: self._run(1, session.model, x))
        if old.nodes[old.output].shape != new.nodes[new.output].shape:
            raise Unbounded("the outputs of the two networks have different shapes")
        for side, (graph, model) in enumerate(((old, session.base()), (new, session.model))):
            self._refuse_other_outputs(graph, side, model, example)
        alignment = Alignment(session.edits)
        pairs = matches(old, new, alignment.units(old, session.device), alignment.moved)
        return Bounding(old, new, pairs, claimed, FLOAT32 if grade == "float32" else REAL)

    def _run(self, side: int, model: nn.Module, value: Tensor) -> Tensor:
        """Run the first or the second network, or the module of it that is meant."""
        session, path = self._session, self._inside
        if not path:
            return session.outputs(model, value)
        path = path if side == 0 else Alignment(session.edits).moved(path)
        try:
            module = model.get_submodule(path)
        except AttributeError:
            raise Unbounded(f"the module `{self._inside}` of the base is gone") from None
        return first_output(module(value))

    def _dtype(self) -> torch.dtype:
        from surgery_dsl.trace.dtypes import BY_NAME

        session = self._session
        locked = session.base_interface.values[session.base_interface.inputs[0].value].dtype
        floats = (tensor.dtype for tensor in session.base().parameters() if tensor.is_floating_point())
        given = next(floats, torch.float32) if self._inside else BY_NAME[locked]
        return session.settings.torch_dtype() or given

    def _refuse_other_outputs(self, graph: Graph, side: int, model: nn.Module, example: Tensor) -> None:
        """Refuse a recorded forward that gives other outputs than the network: it would be another network's bound."""
        with torch.no_grad():
            own = self._run(side, model, example).double()
            found = graph.run(example.double().unsqueeze(0))[0].reshape(own.shape)
        room = torch.finfo(example.dtype).eps ** 0.5 * (1 + float(own.abs().max()))
        if not float((own - found).abs().max()) <= room:
            raise Unbounded("the forward does not do the same on every input: it is random, or goes by values")

    def _refuse_other_kernels(self) -> None:
        """Refuse a claim about float32 where kernels may round otherwise than operation by operation."""
        device, dtype = self._session.device, self._session.settings.torch_dtype()
        precision = torch.get_float32_matmul_precision()
        if device.type != "cpu":
            raise Unsound(f"kernels on `{device}` are not known to round operation by operation (TF32, Winograd)")
        if precision != "highest":
            raise Unsound(f"torch's float32 products run at precision `{precision}`, not in float32")
        own = {parameter.dtype for parameter in self._session.model.parameters() if parameter.is_floating_point()}
        if (own | ({dtype} if dtype else set())) - {torch.float32}:
            raise Unsound("the network does not run in float32 alone")

    # ---- witness and parts ---------------------------------------------------------------------------------------

    def _attacked(self, bounding: Bounding, box: Box) -> tuple[Tensor, Tensor]:
        """Return inputs that the run's dtype can hold, one in each box, and what each reaches, in float64."""
        claimed, seed = bounding.claimed, self._session.mixed_seed(0)
        points, values = [], []
        for start in range(0, len(box.low), 64):
            part = slice(start, start + 64)
            labels = None if claimed.labels is None else claimed.labels[part]

            def value(old: Tensor, new: Tensor, labels: Tensor | None = labels) -> Tensor:
                return claimed.value(old, new, labels)

            here = Box(box.low[part], box.high[part])
            found = attack(bounding.old, bounding.new, here, value, seed)
            held = _held(found.points, here, self._dtype())
            points.append(held)
            with torch.no_grad():
                values.append(value(bounding.old.run(held), bounding.new.run(held)))
        return torch.cat(points), torch.cat(values)

    def _cut(
        self, line: Asked, bounding: Bounding, box: Box, bounds: Tensor, reached: Tensor
    ) -> tuple[dict[int, Split], Tensor]:
        """Cut boxes of few dimensions whose bound is above the limit, unless a witness settles the line."""
        over = [at for at, bound in enumerate(bounds.tolist()) if not _keeps(line, bound)]
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

    def _replayed(self, bounding: Bounding, point: Tensor, at: int, dtype: "torch.dtype | None") -> float:
        """Return the quantity at an input, through the networks' own modules, in the run's dtype or another."""
        session, labels = self._session, bounding.claimed.labels
        outputs = []
        value = point[0].to(dtype or self._dtype())
        for side, model in enumerate((session.base(), session.model)):
            with torch.no_grad():
                network = model if dtype is None else copy.deepcopy(model).to(dtype)
                outputs.append(self._run(side, network, value).double())
        own = None if labels is None else labels[at : at + 1]
        return float(bounding.claimed.value(outputs[0], outputs[1], own))

    def _status(
        self, line: Asked, bounding: Bounding, bounds: Tensor, points: Tensor, reached: Tensor
    ) -> Literal["passed", "failed", "undecided"]:
        if _keeps(line, float(bounds.max())):
            return "passed"
        worst = int(reached.argmax())
        if _keeps(line, float(reached[worst])):
            return "undecided"
        again = self._replayed(bounding, points[worst : worst + 1], worst, torch.float64)
        return "undecided" if _keeps(line, again) else "failed"

    # ---- what is said ----------------------------------------------------------------------------------------------

    def _verdict(self, control: Control, obligation: Obligation, found: Certified) -> Verdict:
        value = found.attack if found.status == "failed" else found.bound
        limit, exact = found.asked.limit, Fraction(value)
        facts: dict[str, str | int] = {"bound": found.bound.hex(), "attack": found.attack.hex(), "parts": found.count}
        if found.status == "failed":
            facts |= self._witness(found)
        return verdict_of(
            obligation,
            control.name,
            "bound",
            found.status,
            METHOD,
            exact_text(exact),
            exact_text(limit),
            exact_text(limit - exact),
            found.wording,
        ).replaced(facts=facts)

    def _witness(self, found: Certified) -> dict[str, str | int]:
        """Return the input that breaks the limit, without loss."""
        worst = int(found.bounding.values(found.points).argmax())
        point = found.points[worst, 0].flatten()
        facts: dict[str, str | int] = {"box": worst, "replayed": found.replayed.hex()}
        if point.numel() <= MOST_SHOWN:
            facts["witness"] = " ".join(number.hex() for number in point.tolist())
            facts["witness_shape"] = "x".join(map(str, found.points.shape[2:]))
        return facts

    def _findings(self, obligation: Obligation, found: Certified) -> list[Diagnostic]:
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
                f"through the networks' own modules, in the run's dtype, it reaches {rounded_text(found.replayed)}",
            )
            fix = "change less, or set a limit that this network can keep"
            code = runs.WITNESS_FOUND
        else:
            text = f"the greatest value lies in {gap}, and the limit {rounded_text(limit)} between"
            notes = (where,)
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


def _held(points: Tensor, box: Box, dtype: torch.dtype) -> Tensor:
    """Return inputs of the boxes that a dtype holds, near the given ones; else the given ones."""
    near = points.to(dtype)
    if dtype in (torch.float32, torch.float64):
        inf = torch.full_like(near, torch.inf)
        near = torch.where(near.double() < box.low, torch.nextafter(near, inf), near)
        near = torch.where(near.double() > box.high, torch.nextafter(near, -inf), near)
    inside = (near.double() >= box.low) & (near.double() <= box.high)
    return torch.where(inside, near.double(), points)
