"""What a bound speaks of: whether its graphs are those of the two networks, its boxes those of the plan's region.

A bound that is computed again holds for the stored graphs over the stored boxes, whatever these are. Here they are tied
to what lies outside of the evidence: constants of the graphs to the files of weights, byte for byte, and boxes to the
words of the plan and to the data set that the lock names. What is tied to nothing is said to be trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from surgery_dsl.certificate.canonical import parse
from surgery_dsl.certificate.evidence import BoundEvidence
from surgery_dsl.certificate.integrity import LOCK
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.certificate.reproof import plan_of
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import FLOATS
from surgery_dsl.interface.shards import weight_files
from surgery_dsl.interface.staleness import read_lock, weights_digest
from surgery_dsl.language.plan import Comparison, Control, Identify
from surgery_dsl.proof.certified import Asked, asked
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.sequence import blocks_within
from surgery_dsl.proof.words import data_names, regions
from surgery_dsl.vocabulary.kinds import Region

if TYPE_CHECKING:
    from torch import Tensor

    from surgery_dsl.evidence.bounds.links import Link

BASE = "that its first graph is that of the base: no weights of the base were at hand (`--from FOLDER`)"


@final
@dataclass(frozen=True)
class Tied:
    """What came of one bound: why it speaks of something else, what was found to be as said, what is left to trust."""

    why: str = ""
    shown: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Linking:
    """Ties the bounds of one certificate. Final."""

    def __init__(self, folder: Path, statement: Statement, origin: Path | None) -> None:
        """Read plan and lock; ``origin`` is where the plan's own files lie, if they are at hand."""
        self.folder, self.statement, self.origin = folder, statement, origin
        self.plan, self.lock = plan_of(folder, statement), read_lock(folder / LOCK)
        self.within = blocks_within(self.plan)
        self.cast = bool(parse((folder / "surgery.json").read_bytes())["dtype"])
        self.asked = {
            (step.name, one.text): asked(one.statement)
            for step in self.plan.steps
            if isinstance(step, Control)
            for one in step.obligations
            if one.verb == "certify" and isinstance(one.statement, Comparison)
        }

    def tie(self, claim: Claim) -> Tied:
        """Tie one bound whose evidence has been computed again.

        Raises:
            OSError, KeyError, TypeError, ValueError: Its files are not what they should be.
        """
        from surgery_dsl.evidence.bounds import links

        if claim.verb != "certify":
            return self._silent(claim)
        line, evidence = self.asked.get((claim.step, claim.statement)), claim.evidence
        if not isinstance(line, Asked) or not isinstance(evidence, BoundEvidence):
            return Tied(left=("what it is a bound of",))
        record, tensors = links.stored(self.folder, evidence.record, evidence.tensors)
        found = [_other_claim(line, evidence, record), self._graphs(claim, record, tensors), self._boxes(line, tensors)]
        why = next((one.why for one in found if one.why), "")
        return Tied(why, sum((one.shown for one in found), ()), sum((one.left for one in found), ()))

    def _silent(self, claim: Claim) -> Tied:
        """Tie a proof that units are silent: to the region of its step, to what was taken, to weights and data."""
        from surgery_dsl.evidence.bounds import links

        assert isinstance(claim.evidence, BoundEvidence)
        record, tensors = links.stored(self.folder, claim.evidence.record, claim.evidence.tensors)
        region = self._silent_region(claim)
        if region is None or claim.evidence.region != region.said():
            return Tied("its evidence speaks of another region than the plan")
        taken = sum(
            pool.taken
            for entry in self.statement.predicate.selections
            if entry.step == claim.step
            for pool in entry.pools
        )
        if claim.verb == "always" and taken > int(claim.value):
            return Tied(f"`{claim.step}` took {taken} units, and {claim.value} are proved dead")
        boxes = self._corners(region, tensors)
        base, left = self._base(), ("that its graph is that of the network at its place", "which units were taken")
        if base is None:
            return Tied(boxes.why, boxes.shown, (*boxes.left, *left))
        found = links.link(record["new"], tensors, base[0])
        place = f"`{base[0][0].name}` ({base[1][:16]}…), that of the base"
        shown = f"{found.linked} of {found.constants} constants of its graph stand in {place}"
        return Tied(boxes.why, (*boxes.shown, shown), (*boxes.left, *left))

    def _silent_region(self, claim: Claim) -> Region | None:
        for step in self.plan.steps:
            if isinstance(step, Identify) and step.name == claim.step and step.take is not None:
                return step.take.silent_on()
            for line in step.obligations if isinstance(step, Control) and step.name == claim.step else ():
                if line.text == claim.statement and isinstance(line.statement, Comparison):
                    read = (*readings(line.statement.left), *readings(line.statement.right))
                    return next((regions(one.word)[0] for one in read), None)
        return None

    # ---- graphs ------------------------------------------------------------------------------------------------

    def _graphs(self, claim: Claim, record: Any, tensors: "dict[str, Tensor]") -> Tied:
        from surgery_dsl.evidence.bounds.links import link

        files = list(weight_files(self.folder))
        now = self._side(link(record["new"], tensors, files), "second", files[0].name, self._digest_of(files[0]))
        if claim.step in self.within:
            now = Tied(left=("that its second graph is that of the network at its block, which later steps changed",))
        base = self._base()
        if base is None:
            return Tied(now.why, now.shown, (*now.left, BASE))
        own = self._side(link(record["old"], tensors, base[0]), "first", base[0][0].name, base[1])
        if self.cast:  # the run turned the numbers of the file into others
            own = Tied("", own.shown, own.left)
        return Tied(now.why or own.why, (*now.shown, *own.shown), (*now.left, *own.left))

    def _side(self, found: "Link", which: str, file: str, digest: str) -> Tied:
        place = f"`{file}` ({digest[:16]}…)"
        why = ""
        if found.foreign:
            why = f"none of the {found.constants} constants of its {which} graph stands in {place}"
        elif found.other:
            why = f"its {which} graph computes with another `{found.other}` than stands in {place}"
        shown = f"{found.linked} of {found.constants} constants of its {which} graph stand in {place}, byte for byte"
        rest = found.constants - found.linked
        left = (f"{rest} constants of its {which} graph",) if rest else ()
        return Tied(why, (shown,), (*left, f"that its {which} graph has the operators of the network"))

    def _digest_of(self, file: Path) -> str:
        return next(one.digest.sha256 for one in self.statement.subject if one.name == file.name)

    def _base(self) -> tuple[list[Path], str] | None:
        """Return the files that the run began with, and their digest, where they are at hand."""
        block = self.plan.patient
        own = block.weights or block.load.weights()
        path = self.origin / own if self.origin is not None and own else None
        if path is None or not path.is_file() or path.suffix not in (".safetensors", ".json"):
            return None
        read = {entry.digest.sha256 for entry in self.statement.predicate.inputs if entry.role == "weights"}
        digest = weights_digest(path)
        files = [path] if path.suffix == ".safetensors" else list(weight_files(path.parent))
        return (files, digest) if digest in read else None

    # ---- boxes -------------------------------------------------------------------------------------------------

    def _boxes(self, line: Asked, tensors: "dict[str, Tensor]") -> Tied:
        if getattr(line.word, "at", ""):
            return Tied(left=(f"that its boxes are those of {line.region.said()}",))
        return self._corners(line.region, tensors)

    def _corners(self, region: Region, tensors: "dict[str, Tensor]") -> Tied:
        from surgery_dsl.vocabulary.regions._declared import missed

        base = self.lock.model(self.plan.patient.name).interface
        real = len(base.inputs) == 1 and base.values[base.inputs[0].value].dtype in FLOATS
        if not real or "box.low" not in tensors:
            return Tied(left=(f"that its boxes are those of {region.said()}",))
        facts = next((one for name in data_names(region) for one in self.lock.data if one.name == name), None)
        loaded = self._data(facts)
        inputs, targets = (None, None) if loaded is None else loaded
        why, shown = missed(region, tensors["box.low"], tensors["box.high"], facts, inputs)
        if not why and targets is not None and "labels" in tensors:
            same = tensors["labels"].tolist() == targets[: len(tensors["labels"])].tolist()
            why = "" if same else "its labels are not those of the examples"
        left = () if facts is None or inputs is not None else (f"that its boxes lie at the examples of `{facts.name}`",)
        return Tied(why, (shown,) if shown else (), left)

    def _data(self, facts: DataFacts | None) -> "tuple[Tensor, Tensor] | None":
        """Return inputs and targets of a data set that no code of the user loads, if the lock saw it."""
        from surgery_dsl.diagnostics.diagnostic import Refused
        from surgery_dsl.evidence.named_inputs import digest_of_data, main

        block = next((one for one in self.plan.data if facts is not None and one.name == facts.name), None)
        if block is None or facts is None or block.load.grant() or block.load.tokens:
            return None
        if self.origin is None and block.load.name != "digits":
            return None
        try:
            inputs, targets = block.load.load(self.origin or self.folder)
        except (Refused, OSError, ValueError, ImportError):
            return None
        return (main(inputs), targets) if digest_of_data(inputs, targets) == facts.digest else None


def _other_claim(line: Asked, evidence: BoundEvidence, record: Any) -> Tied:
    """Return what the evidence bounds, where it is another quantity, region or arithmetic than the line names."""
    word, claim = line.word, record["claim"]
    if evidence.arithmetic != getattr(word, "arithmetic", "real"):
        return Tied(f"its evidence is about {evidence.arithmetic} arithmetic, and its line about another")
    if word.name == "change" and claim != {"kind": "change", "norm": str(getattr(word, "norm", ""))}:
        return Tied("its evidence bounds another quantity than its line")
    if word.name == "loss" and claim != {"kind": "loss"}:
        return Tied("its evidence bounds another quantity than its line")
    if not evidence.region.endswith(line.region.said()):
        return Tied("its evidence speaks of another region than its line")
    return Tied(shown=("the quantity, the region and the arithmetic are those of its line",))


def told(claim: Claim, tied: Tied) -> Iterator[tuple[str, str]]:
    """Yield what to say of a claim that was tied, as basis and text."""
    where = f"line {claim.line}" if claim.line else f"`{claim.statement}`"
    if tied.shown:
        yield "re-derived", f"{where}: {'; '.join(tied.shown)}"
    if tied.left:
        yield "trusted", f"{where}: {'; '.join(tied.left)}"
