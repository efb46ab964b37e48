"""The run itself: load, step, control, write, reload; a transaction around all of it."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from surgery_dsl.certificate.build import certify
from surgery_dsl.certificate.build import write as write_certificate
from surgery_dsl.certificate.model import Digest, Input, Parameter, Predicate
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import defects, hosts, runs, trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.interface.staleness import weights_digest
from surgery_dsl.language.lower import value_text
from surgery_dsl.language.plan import Excise, Plan, Recover, Replace
from surgery_dsl.proof.sequence import last_runs, sequence
from surgery_dsl.proof.state import start
from surgery_dsl.report.files import write_reports
from surgery_dsl.run import grants, load, write
from surgery_dsl.run.apply import Progress
from surgery_dsl.run.assertions import Assertions
from surgery_dsl.run.chosen import Chosen
from surgery_dsl.run.environment import environment
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.failures import memory_reported
from surgery_dsl.run.figures import Figures, on_disk
from surgery_dsl.run.host_files import attention_of, copy_companions, write_host_files
from surgery_dsl.run.load import Sources
from surgery_dsl.run.lock import trace_block, write_lock
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.points import Values
from surgery_dsl.run.prepare import Checked
from surgery_dsl.run.probe import probe_inputs
from surgery_dsl.run.proved import proved, refuse_other
from surgery_dsl.run.record import Record
from surgery_dsl.run.reload import Answer, Job, Probe, Reloader
from surgery_dsl.run.results import record_of, source_files
from surgery_dsl.run.session import Session
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.steps import Steps
from surgery_dsl.run.touched import note_touched
from surgery_dsl.vocabulary.models.hf import Hf
from surgery_dsl.vocabulary.models.timm import Timm

PLAN, LOCK = "plan.surg", "plan.surg.lock"


def execute(
    checked: Checked, place: Path | None, settings: Settings, progress: Progress, reloader: Reloader
) -> Outcome:
    """Execute a plan that was checked, and write its result to ``place`` where there is one."""
    evidence = RunEvidence()
    found = tuple(d for d in checked.diagnostics if d.severity is not Severity.ERROR)
    try:
        run = _Execution(checked, settings, progress, evidence)
        found = run.found
        predicate = run.go(place, reloader)
    except Refused as refused:
        return Outcome(
            checked, tuple(evidence.verdicts), (*found, *refused.diagnostics), timings=dict(evidence.timings)
        )
    return Outcome(
        replace(checked, lock=run.lock),
        tuple(evidence.verdicts),
        found,
        predicate,
        place,
        dict(evidence.timings),
    )


class _Execution:
    """One execution of one plan."""

    def __init__(self, checked: Checked, settings: Settings, progress: Progress, evidence: RunEvidence) -> None:
        assert checked.plan is not None
        self.plan: Plan = checked.plan
        self.checked, self.settings, self.progress, self.evidence = checked, settings, progress, evidence
        self.chosen = Chosen(checked)
        with evidence.phase("load"):
            allowed = grants.collect(settings.allow_code)
            self.sources = Sources(self.plan, checked.folder, allowed, settings.allow_pickle, settings.seed)
            named = {model.name for model in self.plan.models if model.weights}
            self.lock, verdicts, self.found = proved(checked, self.sources, settings, named)
            evidence.verdicts.extend(verdicts)
            progress("loading the network", 0, 0)
            with memory_reported("load the network", self.plan.file, self.plan.patient.span):
                self.session = Session(self.sources, self.lock, settings, progress, needs_base=_changes(self.plan))
            self._refuse_drift()

    def go(self, place: Path | None, reloader: Reloader) -> Predicate:
        """Run every step, then write; whatever fails, the network is as it was, and nothing is written."""
        session, evidence = self.session, self.evidence
        with session.transaction:
            runs_in_order = sequence(self.plan)
            values = Values(session)
            with evidence.phase("measure"):
                values.keep("base")
                figures = Figures(session, values)
            steps = Steps(session, values, start(self.plan, self.lock, Sink(self.plan.file)), evidence)
            ends = last_runs(runs_in_order)
            assertions = Assertions(self.plan, runs_in_order, evidence.verdicts)
            for position, run in enumerate(runs_in_order):
                if isinstance(run.step, Recover):
                    with evidence.phase("measure"):
                        figures.before_recovery()
                steps.execute(run)
                assertions.settle(position, steps.state)
                if position in ends:
                    steps.refuse_idle(run)
            self.chosen.refuse_other(session, evidence)
            with evidence.phase("measure"):
                self._refuse_infinite()
                evidence.surgery = figures.surgery(sum(record.samples for record in evidence.training))
                evidence.efficiency = figures.efficiency()
                evidence.health = figures.health().replaced(merges=tuple(evidence.merges))
                note_touched(session, evidence)
                self.chosen.note(session, evidence)
            predicate = self._predicate() if place is None else self._write(place, reloader)
            session.transaction.commit()
        return predicate

    # ---- before the first step -----------------------------------------------------------------------------------

    def _refuse_drift(self) -> None:
        """Refuse data, or a network, that is not the one which the proof was about."""
        for facts in self.lock.data:
            seen = self.sources.data(facts.name).facts
            if seen.digest != facts.digest:
                declared = next(block for block in self.plan.data if block.name == facts.name)
                raise Refused(
                    Diagnostic(
                        trust.DATA_DIFFERS,
                        f"`{facts.name}` is not the data set that the lock saw",
                        file=self.plan.file,
                        span=declared.spans.get("load", declared.span),
                        facts={"locked": facts.digest[:12], "found": seen.digest[:12], "count": seen.count},
                        help=f"look at the change, then run `surgery-dsl lock {self.plan.file}`",
                    )
                )
        block = self.plan.patient
        with self.evidence.phase("trace"):
            refuse_other(self.plan, self.session.base_interface, trace_block(self.sources, block, self.settings))

    # ---- after the last step -------------------------------------------------------------------------------------

    def _refuse_infinite(self) -> None:
        inputs = probe_inputs(self.session)
        for output in self.session.every_output(inputs):
            if output.is_floating_point() and not bool(torch.isfinite(output).all()):
                raise Refused(
                    Diagnostic(
                        runs.OUTPUTS_NOT_FINITE,
                        f"the outputs hold NaN or infinity in {int((~torch.isfinite(output)).sum())} of "
                        f"{output.numel()} places",
                        file=self.plan.file,
                        span=self.plan.patient.span,
                        help="change less, or lower the learning rate of the last `recover`",
                    )
                )
        self.evidence.note_always("finite", "outputs are finite", "one batch of inputs")

    def _predicate(self) -> Predicate:
        settings, session = self.settings, self.session
        dtype = settings.dtype or session.interface.values[session.interface.inputs[0].value].dtype
        parameters = (
            Parameter(name=param.name, value=value_text(param.value), default=value_text(param.default))
            for param in self.plan.params
        )
        return self.evidence.predicate(
            Path(self.plan.file).name,
            parameters,
            self._inputs(),
            environment(session.device, dtype, settings.seed, deterministic=True),
        )

    def _inputs(self) -> list[Input]:
        def entry(name: str, role: str, digest: str) -> Input:
            return Input(name=name, role=role, digest=Digest(sha256=digest))

        found = [entry(Path(self.plan.file).name, "plan", self.plan.digest)]
        for model in self.plan.models:
            locked = self.lock.model(model.name)
            facts = self.session.facts if model.role == "patient" else locked.weights
            own = model.weights or model.load.weights()
            if own:  # of a checkpoint that its host converts there are no facts, but it is what was read
                digest = facts.digest if facts is not None else weights_digest(self.sources.folder / own)
                found.append(entry(Path(own).name, "weights", digest))
            found += [entry(Path(source.path).name, "source", source.sha256) for source in locked.sources]
        return found + [entry(facts.name, "data", facts.digest) for facts in self.lock.data]

    def _write(self, place: Path, reloader: Reloader) -> Predicate:
        with write.staged(place, self.settings.force, self.plan.file) as folder:
            self.progress("writing", 0, 0)
            with self.evidence.phase("write"):
                record = self._write_network(folder)
                self.evidence.efficiency += on_disk(self.sources, self.plan.patient, folder)
                write.write_record(record, folder)
                (folder / PLAN).write_text(self.checked.text, encoding="utf-8", newline="")
                write_lock(self.lock, folder / LOCK)
            self._reload(folder, reloader, record)
            with self.evidence.phase("write"):
                self.evidence.write_bounds(folder)
                self.evidence.write_files(folder)
                predicate = self._predicate()
                known = write_reports(folder, predicate)
                write_certificate(folder, certify(folder, predicate, known), self.settings.sign)
        return predicate

    def _write_network(self, folder: Path) -> Record:
        """Write weights, sources, and what a host needs where the plan has a target; return the record of it."""
        session, block = self.session, self.plan.patient
        digests = write.copy_sources(source_files(self.sources), folder)
        if block.target == "none":
            return record_of(session, self.sources, digests, write.write_weights(session.model, folder, self._most))
        facts = self.lock.model(block.name).host
        assert facts is not None
        most = self._most if block.target == "hf" else sys.maxsize  # timm reads one file
        weights, buffers = write.write_apart(session.model, folder, most)
        with load.placed_refusals(self.plan.file, block.spans.get("target", block.span)):
            loader = write_host_files(
                folder,
                session.model,
                self.sources.skeleton(block),
                facts,
                session.base_interface,
                session.interface,
                session.edits,
                block.load.arguments if isinstance(block.load, Timm) else {},
            )
            if isinstance(block.load, Hf):
                copy_companions(self.sources.folder / block.load.directory, folder)
        return record_of(session, self.sources, digests, weights, buffers, (loader,))

    @property
    def _most(self) -> int:
        return self.settings.shard_size

    def _reload(self, folder: Path, reloader: Reloader, record: Record) -> None:
        """Refuse a result that does not come back, in a clean process, with the very same outputs."""
        session = self.session
        self.progress("reloading in a clean process", 0, 0)
        inputs = probe_inputs(session)
        with self.evidence.phase("reload"), Probe(inputs, session.every_output(inputs)) as probe:
            answer = reloader.ask(
                Job(
                    result=str(folder.resolve()),
                    probe=str(probe.path),
                    inputs=tuple(inputs),
                    keyword_inputs=self.plan.patient.keyword_inputs,
                    allow_code=self.sources.grants.patterns,
                    folder=str(Path.cwd()),
                    device=str(session.device),
                    threads=torch.get_num_threads(),
                    deterministic=True,
                    by_host=bool(record.loads_with),
                    attention=attention_of(session.model) if record.loads_with else "",
                )
            )
        if answer.host_error or (record.loads_with and not answer.error and not answer.host_same_bits):
            raise Refused(self._host_differs(answer, record))
        if not answer.same_bits:
            what = answer.error or f"outputs differ by up to {answer.difference:.3g}"
            raise Refused(
                Diagnostic(
                    defects.RELOAD_DIFFERS,
                    f"the written result does not come back as it was: {what}",
                    file=self.plan.file,
                    facts={"difference": answer.difference},
                    help="this is a defect of surgery-dsl, unless the network's forward is random; please report it",
                )
            )
        self.evidence.note_always(
            "reload",
            "the written result reloads in a clean process to the same outputs",
            f"{answer.outputs} outputs compared",
            value=f"largest difference {answer.difference:g}",
        )
        for loader in record.loads_with:
            self.evidence.note_always(
                "host",
                f"`{loader}` loads the result in a clean process to the same outputs",
                f"{answer.outputs} outputs compared",
                value="largest difference 0",
            )

    def _host_differs(self, answer: Answer, record: Record) -> Diagnostic:
        what = answer.host_error or f"outputs differ by up to {answer.host_difference:.3g}"
        block = self.plan.patient
        return Diagnostic(
            hosts.HOST_LOADS_OTHERWISE,
            f"`{record.loads_with[0]}` does not load the result as it was: {what}",
            file=self.plan.file,
            span=block.spans.get("target", block.span),
            facts={"difference": answer.host_difference},
            notes=("the config can say the shapes, but not all that the network does",),
            help="write `target = none`: `surgery_dsl.load` loads every result",
        )


def _changes(plan: Plan) -> bool:
    return any(isinstance(step, Excise | Replace | Recover) for step in plan.steps)
