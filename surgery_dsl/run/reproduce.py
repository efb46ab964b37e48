"""``verify --reproduce``: what a run measured on its result, measured once more.

Unlike the rest of a verification this runs the network, and the code that builds it and loads its data: under grants
of whoever asks. Numbers of points that only the run has seen (``before`` and ``after`` a step, a control block that
further steps follow) stay the word of the run, and so do those of the base where its weights are not at hand.
"""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import final

import torch
from torch import nn

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.finding import Finding, Verification
from surgery_dsl.certificate.integrity import LOCK
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.certificate.reproof import plan_of
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.plain import plain
from surgery_dsl.interface.staleness import read_lock
from surgery_dsl.language.plan import Control, Obligation
from surgery_dsl.proof.sequence import blocks_within
from surgery_dsl.proof.statistical import with_confidence
from surgery_dsl.run import controls, grants, statistical
from surgery_dsl.run.completion import completed
from surgery_dsl.run.load import Sources
from surgery_dsl.run.lock import trace_block
from surgery_dsl.run.points import Values, measured, readings_of
from surgery_dsl.run.record import read_record
from surgery_dsl.run.session import Session
from surgery_dsl.run.settings import FLOATS, Settings
from surgery_dsl.vocabulary.models.result import Result

SLACK = Fraction(1, 10**6)
"""Share of a number by which kernels of other machines may move it."""
HELP = "measure on the device and with the versions that the certificate names; else do not rely on this result"


def reproduce(
    folder: Path, verification: Verification, allow_code: Iterable[str] = (), origin: Path | None = None
) -> Verification:
    """Measure again what can be measured again, and add what came of it.

    Args:
        folder: The result; it was verified.
        verification: What was found of it.
        allow_code: Globs of user code that may run.
        origin: Where the plan's own files lie: data, and the weights of the base; the result itself by default.

    Returns:
        The verification with further findings; a number that came out otherwise is one of the diagnostics.
    """
    assert verification.statement is not None
    try:
        again = _Again(folder.resolve(), verification.statement, tuple(allow_code), (origin or folder).resolve())
        again.measure()
    except Refused as refused:
        finding = Finding("reproduce", "failed", f"nothing could be measured: {refused.diagnostics[0].message}")
        return replace(
            verification,
            findings=(*verification.findings, finding),
            diagnostics=(*verification.diagnostics, *refused.diagnostics),
        )
    return replace(
        verification,
        findings=(*verification.findings, *again.findings()),
        diagnostics=(*verification.diagnostics, *again.diagnostics),
    )


@final
class _Again:
    """One reproduction."""

    def __init__(self, folder: Path, statement: Statement, allow_code: tuple[str, ...], origin: Path) -> None:
        self.predicate = statement.predicate
        self.same: list[Claim] = []
        self.near: list[tuple[Claim, str]] = []
        self.left: list[str] = []
        self.diagnostics: list[Diagnostic] = []
        lock = read_lock(folder / LOCK)
        self.plan = completed(plan_of(folder, statement), lock)
        self.settings = _settings(folder, statement)
        patient, allowed = self.plan.patient, grants.collect(allow_code)
        after = patient.replaced(load=Result(directory=str(folder)), weights=None)
        plan = self.plan.replaced(models=tuple(after if one is patient else one for one in self.plan.models))
        self.sources = Sources(plan, origin, allowed, seed=self.settings.seed)
        interface = trace_block(self.sources, after, self.settings)
        now = lock.replaced(
            models=tuple(one.replaced(interface=interface) if one.name == patient.name else one for one in lock.models)
        )
        self.session = Session(self.sources, now, self.settings, _silent, needs_base=False)
        self.lock, self.base = lock, Sources(self.plan, origin, allowed, seed=self.settings.seed)
        self.session.compare_with(self._load_base, lock.model(patient.name).interface)
        self.missing = ""
        self.values = Values(self.session)
        self.values.moved()  # the network is not the base, and stands for nothing else that is kept

    def measure(self) -> None:
        """Measure every line that can be."""
        self._refuse_other_data()
        early = blocks_within(self.plan)
        claims = {(claim.step, claim.statement): claim for claim in self.predicate.claims.measured}
        for control, obligation in measured(self.plan):
            claim = claims.get((control.name, obligation.text))
            if claim is None or claim.verb != "measure":
                continue
            read = list(readings_of(obligation))
            within = any(one.point.at in ("before", "after") or one.word.within_run for one in read)
            if control.name in early or within:
                self.left.append(f"`{claim.statement}` (it reads the network within the run)")
            else:
                self._compare(claim, control, obligation)

    def _load_base(self) -> nn.Module:
        """Load what the run began with; where it is not here, lines that read it are left."""
        block = self.plan.patient
        own = block.weights or block.load.weights()
        if own and not (self.base.folder / own).exists():
            raise self._missing(f"it reads the base, and `{Path(own).name}` is not here: name its folder by `--from`")
        network = self.base.network(block, self.lock.model(block.name).interface)
        read = {entry.digest.sha256 for entry in self.predicate.inputs if entry.role == "weights"}
        if network.facts is not None and network.facts.digest not in read:
            raise self._missing(f"it reads the base, and `{Path(own or '').name}` is not the file that the run read")
        return network.model

    def _missing(self, why: str) -> Refused:
        self.missing = why
        return Refused(Diagnostic(codes.NOT_REPRODUCED, why, file=CERTIFICATE, help=HELP))

    def _compare(self, claim: Claim, control: Control, obligation: Obligation) -> None:
        self.missing = ""
        try:
            if with_confidence(obligation):
                verdict = statistical.decide(control, obligation, self.values, self.session).verdict
            else:
                verdict, _ = controls.decide(control, obligation, self.values, self.session)
        except Refused:
            if not self.missing:
                raise
            self.left.append(f"`{claim.statement}` ({self.missing})")
            return
        found = (verdict.status, verdict.value, verdict.limit)
        if found == (claim.status, claim.value, claim.limit):
            self.same.append(claim)
        elif verdict.status == claim.status and all(map(_near, found[1:], (claim.value, claim.limit))):
            self.near.append((claim, verdict.value))
        else:
            message = f"`{claim.statement}` differs: it is certified as {claim.status} with {claim.value} "
            message += f"against {claim.limit}, "
            message += f"and measures as {verdict.status} with {verdict.value} against {verdict.limit}"
            message += f" (one part in {1 / SLACK} is allowed)"
            facts = {"line": claim.line, "certified": claim.value, "measured": verdict.value}
            self.diagnostics.append(Diagnostic(codes.NOT_REPRODUCED, message, file=CERTIFICATE, facts=facts, help=HELP))

    def _refuse_other_data(self) -> None:
        read = {
            getattr(reading.word, "data", None)
            for _, obligation in measured(self.plan)
            for reading in readings_of(obligation)
        }
        for facts in self.lock.data:
            if facts.name in read and self.sources.data(facts.name).facts.digest != facts.digest:
                message = f"`{facts.name}` is not the data set that was measured on"
                raise Refused(Diagnostic(codes.NOT_REPRODUCED, message, file=CERTIFICATE, help=HELP))

    def findings(self) -> list[Finding]:
        """Return what came of it, a line for each claim, with both numbers where they are not the same."""
        found = [Finding("reproduce", "failed", one.message) for one in self.diagnostics]
        parts = f"one part in {1 / SLACK}"
        if self.same or self.near:
            text = f"{len(self.same)} line{'s' * (len(self.same) != 1)} measured again with the very same numbers"
            text += f", {len(self.near)} within {parts}" if self.near else ""
            found.append(Finding("reproduce", "re-derived", text))
        for claim in self.same:
            text = f"line {claim.line}: `{claim.statement}` reproduced: {claim.value} again"
            found.append(Finding("reproduce", "re-derived", plain(text)))
        for claim, value in self.near:
            text = (
                f"line {claim.line}: `{claim.statement}` reproduced: {value}, certified {claim.value}: within {parts}"
            )
            found.append(Finding("reproduce", "re-derived", plain(text)))
        code = "the code of the network and its data, which was run, torch and this machine"
        found.append(Finding("reproduce", "trusted", code))
        if self.left:
            found.append(Finding("reproduce", "trusted", f"not measured again: {'; '.join(self.left)}"))
        return found


def _settings(folder: Path, statement: Statement) -> Settings:
    """Return the settings of the run, on its device where there is one."""
    environment = statement.predicate.environment
    device = environment.device.split(" ")[0]
    here = device == "cpu" or (device.startswith("cuda") and torch.cuda.is_available())
    dtype = read_record(folder).dtype
    return Settings(
        device=device if here else "cpu", seed=environment.seed, **({"dtype": dtype} if dtype in FLOATS else {})
    )


def _near(one: str, other: str) -> bool:
    try:
        a, b = Fraction(one), Fraction(other)
    except (ValueError, ZeroDivisionError):
        return one == other
    return abs(a - b) <= SLACK * max(abs(a), abs(b))


def _silent(_text: str, _done: int, _total: int) -> None:
    """Tell nobody."""
