"""A run out of core: the same steps, proofs and predictions as in core, on a network without values; then the files."""

import shutil
from dataclasses import replace
from pathlib import Path

from surgery_dsl.certificate.build import certify
from surgery_dsl.certificate.build import write as write_certificate
from surgery_dsl.certificate.model import Digest, Input, Parameter, Predicate
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.interface.lock import SourceDigest, WeightFacts
from surgery_dsl.interface.shards import INDEX
from surgery_dsl.interface.staleness import compare_weights, digest_of, digest_of_files
from surgery_dsl.language.lower import value_text
from surgery_dsl.proof.sequence import last_runs, sequence
from surgery_dsl.proof.state import start
from surgery_dsl.report.files import write_reports
from surgery_dsl.run import grants, write
from surgery_dsl.run.apply import Progress
from surgery_dsl.run.assertions import Assertions
from surgery_dsl.run.environment import environment
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.execute import LOCK, PLAN
from surgery_dsl.run.load import Sources, as_built
from surgery_dsl.run.lock import write_lock
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.points import Values
from surgery_dsl.run.prepare import Checked
from surgery_dsl.run.proved import proved, refuse_other
from surgery_dsl.run.results import record_of, source_files
from surgery_dsl.run.session import Session
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.steps import Steps
from surgery_dsl.run.streaming import figures, returning
from surgery_dsl.run.streaming.eligible import weights_of
from surgery_dsl.run.streaming.journal import Journal, place_of
from surgery_dsl.run.streaming.layout import Layout, lay_out
from surgery_dsl.run.streaming.origins import Streamed
from surgery_dsl.run.streaming.shards import Writer
from surgery_dsl.run.streaming.skeleton import lighten, without_parameters
from surgery_dsl.run.touched import note_touched
from surgery_dsl.run.weights import WeightsFile, not_finite
from surgery_dsl.run.written import written
from surgery_dsl.trace.capture import trace

UNMEASURED = (
    ("finite", "outputs are finite", "no forward was run: the network was never in memory"),
    ("magnitude", "‖Δθ‖/‖θ‖ is not stated", "the base and the result were not compared value by value"),
)


def execute_streamed(checked: Checked, place: Path | None, settings: Settings, progress: Progress) -> Outcome:
    """Execute a plan that was checked and may run out of core, and write its result to ``place`` where there is one."""
    evidence = RunEvidence(unmeasured=list(UNMEASURED))
    found = tuple(d for d in checked.diagnostics if d.severity is not Severity.ERROR)
    try:
        run = _Streaming(checked, settings.replaced(device="cpu"), progress, evidence)
        found = run.found
        predicate = run.go(place)
    except Refused as refused:
        return Outcome(
            checked, tuple(evidence.verdicts), (*found, *refused.diagnostics), timings=dict(evidence.timings)
        )
    return Outcome(
        replace(checked, lock=run.lock), tuple(evidence.verdicts), found, predicate, place, dict(evidence.timings)
    )


class _Streaming:
    """One run out of core of one plan."""

    def __init__(self, checked: Checked, settings: Settings, progress: Progress, evidence: RunEvidence) -> None:
        assert checked.plan is not None
        self.plan, self.checked, self.settings = checked.plan, checked, settings
        self.progress, self.evidence = progress, evidence
        with evidence.phase("load"):
            allowed = grants.collect(settings.allow_code)
            self.sources = Sources(self.plan, checked.folder, allowed, False, settings.seed)
            self.lock, verdicts, self.found = proved(checked, self.sources, settings, {self.plan.patient.name})
            evidence.verdicts.extend(verdicts)
            progress("reading headers", 0, 0)
            block = self.plan.patient
            locked = self.lock.model(block.name)
            name = weights_of(self.plan)
            self.file = WeightsFile(self.sources.folder / name)
            with without_parameters():
                model = self.sources.skeleton(block, "cpu").eval()
            apart = tuple(compare_weights(self.file.header, as_built(locked.interface, model), name))
            if apart:
                raise Refused(*apart)
            lighten(model, (name for t in locked.interface.tensors if t.persistent for name in (t.name,)))
            self.streamed = Streamed(model, self.file, locked.weights)
            self.session = Session(self.sources, self.lock, settings, progress, False, self.streamed)
            self._refuse_drift()

    def go(self, place: Path | None) -> Predicate:
        """Run every step, then write."""
        session, evidence = self.session, self.evidence
        runs_in_order = sequence(self.plan)
        values = Values(session)
        with evidence.phase("measure"):
            values.keep("base")
        state = start(self.plan, self.lock, Sink(self.plan.file))
        steps = Steps(session, values, state, evidence)
        ends = last_runs(runs_in_order)
        assertions = Assertions(self.plan, runs_in_order, evidence.verdicts)
        for position, run in enumerate(runs_in_order):
            steps.execute(run)
            assertions.settle(position, steps.state)
            if position in ends:
                steps.refuse_idle(run)
        evidence.efficiency = figures.efficiency(session.base_interface, session.interface, steps.state.static())
        note_touched(session, evidence)
        layout = lay_out(self.streamed, self.settings.shard_size)
        return self._predicate(self.streamed.facts) if place is None else self._write(layout, place)

    def _refuse_drift(self) -> None:
        """Refuse a network that is not the one which the proof was about."""
        block = self.plan.patient
        free = tuple({size.name: size for spec in block.inputs for size in spec.free}.values())
        with self.evidence.phase("trace"):
            traced = trace(self.session.model, block.inputs, block.outputs or None, free)
            refuse_other(self.plan, self.session.base_interface, traced)

    # ---- after the last step -------------------------------------------------------------------------------------

    def _write(self, layout: Layout, place: Path) -> Predicate:
        write.refuse_taken(place, self.settings.force)
        partial = f"the files that are complete stay in `{place_of(place).name}`; the same command goes on from there"
        with written(place, self.plan.file, "the place of `-o`", partial):
            place.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_full(layout, place)
            with Journal(place, self.file.files, self.plan.file) as journal:
                with self.evidence.phase("stream"):
                    writer = Writer(layout, self.file, journal, lambda done, of: self.progress("writing", done, of))
                    try:
                        digests = writer.write()
                    except KeyboardInterrupt:
                        raise KeyboardInterrupt(partial) from None
                facts = self._facts(journal)
                predicate = self._rest(journal.folder, layout, digests, facts)
                write.refuse_taken(place, self.settings.force)
                write.become(journal.folder, place)
                journal.end()
        return predicate

    def _refuse_full(self, layout: Layout, place: Path) -> None:
        begun = place_of(place)
        there = sum(path.stat().st_size for path in begun.rglob("*.safetensors")) if begun.is_dir() else 0
        free = shutil.disk_usage(place.parent).free
        if layout.size - there > free:
            raise Refused(
                Diagnostic(
                    runs.NOT_WRITTEN,
                    f"`{place}` needs {layout.size - there} bytes, and {free} are free on its disk",
                    file=self.plan.file,
                    facts={"needed": layout.size - there, "free": free},
                    help="make room, or choose another disk with `-o`",
                )
            )

    def _facts(self, journal: Journal) -> WeightFacts:
        """Return what is known of the input now that it was read through; refuse it where it changed meanwhile."""
        block = self.plan.patient
        changed = journal.unchanged()
        if changed:
            raise Refused(
                Diagnostic(
                    runs.INPUT_CHANGED,
                    f"`{changed}` changed while it was read",
                    file=self.plan.file,
                    span=block.spans.get("weights", block.span),
                    help="see that nothing writes to the weights, then run the same command again",
                )
            )
        locked = self.lock.model(block.name).weights
        assert locked is not None
        digest = digest_of_files(journal.inputs)
        if digest != locked.digest:  # else they were finite when the lock was made
            self._refuse_infinite(weights_of(self.plan))
        return locked.replaced(digest=digest)

    def _refuse_infinite(self, name: str) -> None:
        bad: list[Diagnostic] = []
        for tensor_name in self.file.header.tensors:
            bad += not_finite(tensor_name, self.file.mapped(tensor_name), name)
        if bad:
            raise Refused(*bad)

    def _rest(self, folder: Path, layout: Layout, digests: dict[str, str], facts: WeightFacts) -> Predicate:
        """Write everything but the tensors, and see that the whole comes back."""
        with self.evidence.phase("write"):
            files = [SourceDigest(path=shard.name, sha256=digests[shard.name]) for shard in layout.shards]
            if layout.index:
                (folder / INDEX).write_text(layout.index, encoding="utf-8")
                files.append(SourceDigest(path=INDEX, sha256=digest_of(folder / INDEX)))
            sources = write.copy_sources(source_files(self.sources), folder)
            write.write_record(record_of(self.session, self.sources, sources, tuple(files)), folder)
            (folder / PLAN).write_text(self.checked.text, encoding="utf-8", newline="")
            write_lock(self.lock, folder / LOCK)
        with self.evidence.phase("reload"):
            self.progress("reading the result back", 0, 0)
            returning.refuse_strange(folder, self.session, self.sources, layout.size, self.evidence)
        with self.evidence.phase("write"):
            self.evidence.write_files(folder)
            predicate = self._predicate(facts)
            known = write_reports(folder, predicate, digests)
            write_certificate(folder, certify(folder, predicate, known), self.settings.sign)
        return predicate

    def _predicate(self, facts: WeightFacts | None) -> Predicate:
        session = self.session
        parameters = (
            Parameter(name=param.name, value=value_text(param.value), default=value_text(param.default))
            for param in self.plan.params
        )
        inputs = [Input(name=Path(self.plan.file).name, role="plan", digest=Digest(sha256=self.plan.digest))]
        if facts is not None:
            name = Path(weights_of(self.plan)).name
            inputs.append(Input(name=name, role="weights", digest=Digest(sha256=facts.digest)))
        for source in (source for model in self.lock.models for source in model.sources):
            inputs.append(Input(name=Path(source.path).name, role="source", digest=Digest(sha256=source.sha256)))
        for data in self.lock.data:
            inputs.append(Input(name=data.name, role="data", digest=Digest(sha256=data.digest)))
        dtype = session.interface.values[session.interface.inputs[0].value].dtype
        return self.evidence.predicate(
            Path(self.plan.file).name,
            parameters,
            inputs,
            environment(session.device, dtype, self.settings.seed, deterministic=True),
        )
