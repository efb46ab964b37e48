"""What a run found out, gathered as it goes and put into the words of the certificate at its end."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surgery_dsl.certificate.build import CONVENTIONS
from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence, TouchedData
from surgery_dsl.certificate.health import Health, MergeHealth
from surgery_dsl.certificate.model import (
    Claim,
    Claims,
    EfficiencyRow,
    Environment,
    Input,
    Parameter,
    PoolRecord,
    Predicate,
    SelectionRecord,
    StepRecord,
    Surgery,
    TrainingRecord,
)
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.interface.model import Interface
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.selection import Selection
from surgery_dsl.vocabulary.sites._paths import count_of

if TYPE_CHECKING:
    from surgery_dsl.evidence.silence import Proof
    from surgery_dsl.run.certifying import Certified

ASSUMED = (
    ("exactness", "`exact` holds in real arithmetic; floating-point kernels round"),
    ("data", "measured claims without confidence speak of the stated examples and of no others"),
    ("software", "torch, Python and the user's own code do what their documentation says"),
)


@dataclass
class RunEvidence:
    """The record of one run, filled step by step.

    Attributes:
        verdicts: Every obligation and what became of it: static ones first.
        selections: Asked against achieved, one for each ``identify`` and stage.
        steps: What each step did.
        training: What each run of a ``recover`` did.
        surgery: The surgery certificate.
        efficiency: Before, after, saving.
        health: How layers and units fared.
        timings: Seconds by phase.
        unmeasured: What this run did not measure, as kind, statement and reason; stated as assumed.
        bounds: What was found of ``certify`` lines, by block and text.
        touched: The data that had a part in making the network.
        files: What claims rest on, by the file of the result that holds it.
        silences: What proves that units are silent, with the region in words, by block and text.
        search: How the value of a param was chosen, where that was done by a search.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    selections: list[SelectionRecord] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    training: list[TrainingRecord] = field(default_factory=list)
    merges: list[MergeHealth] = field(default_factory=list)
    surgery: Surgery = field(
        default_factory=lambda: Surgery(
            magnitude=None, immediate_loss_change=None, samples_to_recover=0, recovered_loss=None, base_loss=None
        )
    )
    efficiency: tuple[EfficiencyRow, ...] = ()
    health: Health | None = None
    timings: dict[str, float] = field(default_factory=dict)
    unmeasured: list[tuple[str, str, str]] = field(default_factory=list)
    bounds: "dict[tuple[str, str], Certified]" = field(default_factory=dict)
    touched: tuple[TouchedData, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    silences: "dict[tuple[str, str], tuple[str, Proof]]" = field(default_factory=dict)
    search: SearchRecord | None = None
    _shown: dict[tuple[str, str], BoundEvidence | StatisticalEvidence] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of a block to a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - began

    def note_always(self, kind: str, statement: str, method: str, step: str = "", value: str = "") -> None:
        """Record something that holds without being written, found true while the plan ran; once for each step."""
        verdict = Verdict(
            verb="always",
            text=statement,
            kind=kind,
            block=step,
            status="passed",
            tier=method,
            value=value,
        )
        if verdict not in self.verdicts:
            self.verdicts.append(verdict)

    def note_bound(self, verdict: Verdict, found: "Certified | None") -> None:
        """Record how a bound was found; its files are written with the result."""
        if found is not None:
            self.bounds[verdict.block, verdict.text] = found
            self._shown[verdict.block, verdict.text] = found.evidence

    def note_silence(self, statement: str, step: str, proofs: "list[tuple[str, Proof]]") -> None:
        """Record what an ``identify`` proved of the units that it takes, with the last of its proofs."""
        proof = proofs.pop() if proofs else None
        value = "" if proof is None else str(proof[1].count)
        self.note_always("silence", statement, "bound propagation in float64", step, value)
        self.note_proof(self.verdicts[-1], proof)

    def note_proof(self, verdict: Verdict, proof: "tuple[str, Proof] | None") -> None:
        """Record what proves that units are silent; its files are written with the result."""
        if proof is not None and proof[1].count:
            self.silences[verdict.block, verdict.text] = proof

    def note_sample(self, verdict: Verdict, evidence: StatisticalEvidence | None, content: bytes) -> None:
        """Record what a line with confidence rests on."""
        if evidence is not None:
            self._shown[verdict.block, verdict.text] = evidence
            self.files[evidence.file] = content

    def samples(self) -> dict[tuple[str, str], StatisticalEvidence]:
        """Return what lines with confidence rest on, by block and text."""
        return {key: one for key, one in self._shown.items() if isinstance(one, StatisticalEvidence)}

    def write_files(self, folder: Path) -> None:
        """Write what claims with confidence rest on into a result, and which examples made it."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)

    def write_bounds(self, folder: Path) -> None:
        """Write what bounds rest on into a result."""
        for number, (key, (region, proof)) in enumerate(self.silences.items(), 1):
            from surgery_dsl.run.silence_evidence import write_silence

            self._shown[key] = write_silence(region, proof, f"{key[0]}-silent-{number}", folder)
        if not self.bounds:
            return
        from surgery_dsl.run.bound_evidence import write_evidence

        for number, (key, found) in enumerate(self.bounds.items(), 1):
            self._shown[key] = write_evidence(found, f"{key[0]}-{number}", folder)

    def note_selection(self, selection: Selection, interface: Interface, stage: int) -> None:
        """Record what an ``identify`` took."""
        kinds = {site.word for site in selection.sites}
        pools = tuple(
            PoolRecord(
                pool=pool.key,
                units=pool.size,
                asked=selection.asked,
                taken=taken.least,
                kept=pool.size - taken.least,
            )
            for pool, taken in zip(selection.pools, selection.taken, strict=True)
        )
        self.selections.append(
            SelectionRecord(
                step=selection.step,
                unit=selection.unit,
                stage=max(1, stage),
                sites=len(selection.sites),
                sites_of_kind=max(count_of(kinds, interface), len(selection.sites)),
                words=tuple(sorted(kinds)),
                pools=pools,
            )
        )

    def note_step(self, name: str, block: str, stage: int, effect: Effect, seconds: float) -> None:
        """Record what a step did."""
        self.steps.append(
            StepRecord(
                step=name,
                block=block,
                stage=max(1, stage),
                effect=effect.function,
                reason=effect.reason,
                matched=effect.matched,
                changed=effect.changed,
                tensors_written=len(effect.writes | effect.creates),
                seconds=seconds,
            )
        )

    def predicate(
        self, plan: str, parameters: Iterable[Parameter], inputs: Iterable[Input], environment: Environment
    ) -> Predicate:
        """Return the certificate's predicate for a run that was accepted."""
        claims = [(verdict, _claim(verdict, self._shown)) for verdict in self.verdicts]
        return Predicate(
            verdict="accepted",
            plan=plan,
            parameters=tuple(parameters),
            inputs=tuple(inputs),
            environment=environment,
            claims=Claims(
                proved=tuple(claim for verdict, claim in claims if verdict.status == "proved"),
                bounded=tuple(claim for _, claim in claims if _is_bound(claim)),
                measured=tuple(
                    claim for verdict, claim in claims if verdict.status != "proved" and not _is_bound(claim)
                ),
                assumed=tuple(
                    Claim(verb="always", kind=kind, statement=text, status="assumed", method="not checked", note=why)
                    for kind, text, why in (*((kind, text, "") for kind, text in ASSUMED), *self.unmeasured)
                ),
            ),
            selections=tuple(self.selections),
            steps=tuple(self.steps),
            training=tuple(self.training),
            surgery=self.surgery,
            efficiency=self.efficiency,
            health=self.health,
            touched=self.touched,
            search=self.search,
            conventions=CONVENTIONS,
        )


def _is_bound(claim: Claim) -> bool:
    return claim.verb == "certify" or isinstance(claim.evidence, BoundEvidence)


def _claim(verdict: Verdict, shown: Mapping[tuple[str, str], BoundEvidence | StatisticalEvidence]) -> Claim:
    return Claim(
        verb=verdict.verb,
        kind=verdict.kind,
        statement=verdict.text,
        step=verdict.block,
        line=verdict.line,
        status=verdict.status,
        method=verdict.tier or "static",
        value=verdict.value,
        limit=verdict.limit,
        margin=verdict.margin,
        note=verdict.reason,
        evidence=shown.get((verdict.block, verdict.text)) if verdict.status != "proved" else None,
    )
