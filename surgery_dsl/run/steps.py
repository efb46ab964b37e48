"""One step of a plan on the live network: predict, change, trace again, compare; then, and only then, go on."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from surgery_dsl.diagnostics.codes import defects, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.edits import Resize
from surgery_dsl.interface.model import Interface
from surgery_dsl.kernels.differences import bits_equal
from surgery_dsl.language.plan import Block, Control, Excise, Identify, Obligation, Recover, Replace, Search
from surgery_dsl.proof import selections
from surgery_dsl.proof.sequence import Run
from surgery_dsl.proof.state import State
from surgery_dsl.proof.statistical import with_confidence
from surgery_dsl.proof.steps import advance, place_of
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.run import controls, exactness, holds, merging, self_check, statistical
from surgery_dsl.run.changes import EditMisfit, find_tensor
from surgery_dsl.run.digests import Mark, digests, marks, named_tensors
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.failures import memory_reported
from surgery_dsl.run.identify import identify
from surgery_dsl.run.lists import dropped_lists, fails_without, no_longer_runs
from surgery_dsl.run.points import Values
from surgery_dsl.run.session import Session
from surgery_dsl.run.training import train
from surgery_dsl.trace.capture import trace
from surgery_dsl.trace.keeping import unchanged
from surgery_dsl.vocabulary.context import Change, Effect
from surgery_dsl.vocabulary.selection import Picked

if TYPE_CHECKING:
    from surgery_dsl.run.certifying import Certifying


class Steps:
    """Executes the runs of a plan in order on one session. Final.

    Attributes:
        state: Where the plan stands, with exact sizes.
        changed: Names of the steps that have changed something.
    """

    def __init__(self, session: Session, values: Values, state: State, evidence: RunEvidence) -> None:
        self.session, self.values, self.state, self.evidence = session, values, state, evidence
        self.changed: set[str] = set()
        self._certifier: Certifying | None = None

    def execute(self, run: Run) -> None:
        """Execute one run.

        Raises:
            Refused: A gate failed, a step changed nothing, or the network is not what was predicted. The caller's
                transaction undoes everything.
        """
        step = run.step
        if isinstance(step, Identify):
            self._identify(step, run.stage)
        elif isinstance(step, Excise | Replace):
            self._operate(step, run.stage)
        elif isinstance(step, Recover):
            self._recover(step, run.stage)
        elif isinstance(step, Control):
            self._control(step)
        elif not isinstance(step, Search):  # which is done before its plan runs, or tries it
            raise Refused(
                Diagnostic(
                    runs.NOT_RUNNABLE,
                    f"this release does not execute `{step.block}` blocks",
                    file=self.session.file,
                    span=step.span,
                    help=f"remove `{step.name}` from the plan",
                )
            )

    def refuse_idle(self, run: Run) -> None:
        """Refuse a step that, over all its stages, changed nothing; an optional one may match nothing."""
        step = run.step
        if not isinstance(step, Excise | Replace | Recover) or step.name in self.changed:
            return
        if self.state.effects[step.name].matched:
            raise Refused(
                Diagnostic(
                    runs.NOTHING_CHANGED,
                    f"`{step.name}` changed nothing in the network",
                    file=self.session.file,
                    span=step.span,
                    facts={"changed": 0},
                    help="remove the step, or let it select something else",
                )
            )

    # ---- identify ----------------------------------------------------------------------------------------------

    def _identify(self, step: Identify, stage: int) -> None:
        session = self.session
        session.progress(f"identifying {step.name}", 0, 0)
        with self.evidence.phase("identify"):
            possible = self._advanced(step).selections[step.name]
            before = self._untouched(Effect(function="none"))
            with (
                memory_reported(f"score `{step.name}`", session.file, step.span),
                session.looking(f"while `{step.name}` was scored", step.span),
                session.deterministic(),
                session.touched.during(step.name),
            ):
                picked = identify(step, possible, session)
            self._refuse_undeclared(step, Effect(function="none"), before)
            self.state = self._advanced(step, picked)
            session.note_picked(step.name, picked)
            self._note_state()
        proved = session.remarks()
        if proved:
            self.evidence.note_silence(proved, step.name, session.proofs)
        self.evidence.note_selection(picked.selection, self.state.interface, stage)

    def _moved(self, name: str, step: Block) -> Picked:
        """Return what an ``identify`` took, under the names that modules and tensors have now."""
        picked = self.session.picked(name)
        if picked.indices:
            picked = replace(picked, selection=picked.selection.replaced(indices=picked.indices))
        sink = Sink(self.session.file)
        state = replace(self.state, selections={**self.state.selections, name: picked.selection})
        now = selections.as_of(state, name, sink, step.span)
        if now is None:
            raise Refused(*sink.found)
        names = {pool.key: pool.tensor for pool in now.pools}
        masks = {
            names[pool.key]: picked.masks[pool.tensor]
            for pool in picked.selection.pools
            if pool.key in names and pool.tensor in picked.masks
        }
        indices = tuple(taken or () for taken in now.indices) if picked.indices else ()
        return Picked(now, indices, masks)

    # ---- excise, replace -----------------------------------------------------------------------------------------

    def _operate(self, step: Excise | Replace, stage: int) -> None:
        session, began = self.session, time.perf_counter()
        session.progress(f"{'excising' if isinstance(step, Excise) else 'replacing'} {step.name}", 0, 0)
        self.values.keep("before", step.name)
        predicted = self._advanced(step)
        effect = predicted.effects[step.name]
        before = self._untouched(effect)
        as_it_was = exactness.reference(session, effect, self.evidence)
        merge = merging.begun(session, step, effect)
        with self.evidence.phase("change"), memory_reported(f"carry out `{step.name}`", session.file, step.span):
            changes = self._changes(step)
            self_check.refuse_other(session, step, changes, predicted.interface, self.evidence)
            masks = self._carry_out(step, changes)
            masks = holds.followed(masks, effect, isinstance(step, Replace), session.model)
            session.set_zeros(holds.added(masks, changes))
        with self.evidence.phase("trace"):
            self._compare(step, predicted.interface, any(change.edit for change in changes), dropped_lists(changes))
        self._refuse_undeclared(step, effect, before)
        holds.refuse_lost(session, step, predicted)
        if as_it_was is not None and changes:
            exactness.refuse_other(session, step, effect, as_it_was, self.evidence)
        if merge is not None:
            merging.ended(session, merge, self.evidence)
        self.state, session.after = predicted, step.name
        self._note_state()
        self.values.moved()
        self.values.keep("after", step.name)
        self.evidence.note_step(step.name, step.block, stage, effect, time.perf_counter() - began)

    def _changes(self, step: Excise | Replace) -> Sequence[Change]:
        session = self.session
        with (
            torch.no_grad(),
            session.deterministic(),
            session.looking(f"while `{step.name}` was prepared", step.span),
            session.touched.during(step.name),
        ):
            if isinstance(step, Excise):
                session.changes = frozenset(step.changes)
                return step.mode.execute(self._moved(step.name, step), session)
            sink = Sink(session.file)
            context = self.state.static(step.name, sink, step.scope or "", step.tie or "", step.changes)
            place = place_of(self.state, step, context, sink)
            if sink.failed:
                raise Refused(*sink.found)
            if place is None:  # an optional step that matches nothing
                return ()
            if place.selection:
                session.note_picked(place.selection, self._moved(place.selection, step))
            return step.transform.execute(place, session)

    def _carry_out(self, step: Block, changes: Sequence[Change]) -> holds.Masks:
        session = self.session
        masks = dict(session.zeros)
        for change in changes:
            if isinstance(change.edit, Resize):
                masks = holds.sliced(masks, change.edit, session.model)
            if change.edit is not None or self._writes_something(change):
                self.changed.add(step.name)
            try:
                session.carry_out(change)
            except EditMisfit as error:
                raise Refused(
                    Diagnostic(
                        defects.EDIT_MISFIT,
                        f"`{step.name}` asked for a change that does not fit: {error}",
                        file=session.file,
                        span=step.span,
                        help="this is a defect of surgery-dsl, not of your plan; please report it",
                    )
                ) from error
            if change.edit is not None:
                session.note_edit(change.edit)
        return masks

    def _writes_something(self, change: Change) -> bool:
        model = self.session.model
        if any(not bits_equal(find_tensor(model, name), values) for name, values in change.tensors.items()):
            return True
        return any(
            bool((find_tensor(model, name).detach()[mask.to(find_tensor(model, name).device)] != 0).any())
            for name, mask in change.zero.items()
        )

    # ---- recover, control ----------------------------------------------------------------------------------------

    def _recover(self, step: Recover, stage: int) -> None:
        session, began = self.session, time.perf_counter()
        self.values.keep("before", step.name)
        predicted = self._advanced(step)
        effect = predicted.effects[step.name]
        before, trained = self._untouched(effect), self._trained(effect)
        written = digests(session.model, trained)
        session.changed()
        with (
            self.evidence.phase("train"),
            unchanged(session.model, registered=False),
            session.touched.during(step.name),
        ):
            record = train(step, session, max(1, stage))
        if digests(session.model, trained) != written:
            self.changed.add(step.name)
        self._compare(step, predicted.interface, retrace=False)
        self._refuse_undeclared(step, effect, before)
        self.state, session.after = predicted, step.name
        self._note_state()
        self.values.moved()
        self.values.keep("after", step.name)
        self.evidence.training.append(record)
        self.evidence.note_step(step.name, step.block, stage, effect, time.perf_counter() - began)

    def _trained(self, effect: Effect) -> frozenset[str]:
        """Return what must change for a recovery to have done something: parameters, where it trains any."""
        named = self.session.interface.tensor_by_name
        parameters = frozenset(name for name in effect.writes if named[name].role == "parameter")
        return parameters or effect.writes

    def _control(self, step: Control) -> None:
        found: list[Diagnostic] = []
        with self.evidence.phase("measure"):
            for obligation in step.obligations:
                if obligation.verb == "prove":
                    continue
                if obligation.verb == "certify":
                    verdict, findings, bounded = self._certifying().decide(step, obligation)
                    self.evidence.note_bound(verdict, bounded)
                else:
                    verdict, findings = self._measured(step, obligation)
                self._settle(verdict)
                self.evidence.verdicts.append(verdict)
                found += findings
        if found:
            raise Refused(*found)

    def _measured(self, step: Control, obligation: Obligation) -> tuple[Verdict, tuple[Diagnostic, ...]]:
        if not with_confidence(obligation):
            verdict, found = controls.decide(step, obligation, self.values, self.session)
            self.evidence.note_proof(verdict, self.values.proof(obligation))
            return verdict, found
        shown = statistical.decide(step, obligation, self.values, self.session)
        self.evidence.note_sample(shown.verdict, shown.evidence, shown.content)
        return shown.verdict, shown.findings

    def _certifying(self) -> "Certifying":
        if self._certifier is None:
            from surgery_dsl.run.certifying import Certifying  # few plans bound anything, and it loads torch's tracers

            self._certifier = Certifying(self.session)
        return self._certifier

    def _settle(self, decided: Verdict) -> None:
        """Take away what ``check`` said of an obligation that is decided now."""
        here = (decided.verb, decided.block, decided.text)
        self.evidence.verdicts = [
            verdict
            for verdict in self.evidence.verdicts
            if (verdict.verb, verdict.block, verdict.text) != here or not verdict.waits
        ]

    # ---- predictions ---------------------------------------------------------------------------------------------

    def _advanced(self, step: Identify | Excise | Replace | Recover, picked: Picked | None = None) -> State:
        """Return the predicted state after a step; what ``check`` could not foresee is refused here."""
        state = replace(self.state, sink=Sink(self.session.file))
        predicted = advance(state, step, self.session.plan, picked=picked.selection if picked else None)
        if state.sink.failed:
            raise Refused(*state.sink.found)
        if step.name in predicted.broken:
            raise LookupError(f"{step.name} cannot be followed, and nothing says why")
        return predicted

    def _note_state(self) -> None:
        sites = {
            name: tuple(dict.fromkeys(site.module for site in chosen.sites))
            for name, chosen in self.state.selections.items()
        }
        self.session.note_state(self.state.interface, self.state.brought, sites)
        self.session.coverage = self.state.coverage

    def _traced(self, step: Block, lists: tuple[str, ...]) -> Interface:
        session = self.session
        patient = session.plan.patient
        try:
            return trace(
                session.model,
                session.settings.cast(patient.inputs),
                patient.outputs or None,
                session.base_interface.free,
            )
        except Refused as refused:
            if lists:
                raise Refused(fails_without(step, lists, refused.diagnostics[0], session.file)) from None
            raise

    def _compare(self, step: Block, predicted: Interface, retrace: bool, lists: tuple[str, ...] = ()) -> None:
        """Refuse a network that is not the predicted one, axis for axis."""
        session = self.session
        if retrace:
            traced = self._traced(step, lists)
            found = differences(predicted, traced)
            paired = no_longer_runs(step, lists, predicted, traced, session.file) if found else None
            if paired is not None:
                raise Refused(paired)
        elif predicted is session.interface:
            return
        else:
            found = differences(predicted, session.interface)
        if found and session.interface.by_values:
            raise Refused(
                Diagnostic(
                    runs.CHOSEN_BY_VALUES,
                    f"after `{step.name}` the forward does something else than was traced: it chooses by values, "
                    f"{session.interface.by_values}",
                    file=session.file,
                    span=step.span,
                    notes=found[:6],
                    help="leave out what lies behind that choice, or let the forward treat all entries alike",
                )
            )
        if found:
            raise Refused(
                Diagnostic(
                    defects.PREDICTION,
                    f"after `{step.name}` the network is not what was predicted: {found[0]}",
                    file=session.file,
                    span=step.span,
                    facts={"differences": len(found)},
                    notes=found[1:6],
                    help="this is a defect of surgery-dsl, not of your plan; please report it",
                )
            )
        if retrace:
            self.evidence.note_always(
                "shapes", "the changed network is the predicted one, axis for axis", "trace", step.name
            )

    def _untouched(self, effect: Effect) -> dict[str, Mark]:
        """Mark what a step says it will leave alone."""
        names = {name for name, _ in named_tensors(self.session.model)}
        return marks(self.session.model, names - effect.writes)

    def _refuse_undeclared(self, step: Block, effect: Effect, before: dict[str, Mark]) -> None:
        """Refuse a step that changed a tensor which its static rule does not name; a copy of it is no change."""
        after = dict(named_tensors(self.session.model))
        for name, mark in before.items():
            tensor = after.get(effect.renamed.get(name, name))
            if tensor is None or not mark.still_is(tensor):
                raise Refused(
                    Diagnostic(
                        defects.UNDECLARED_WRITE,
                        f"`{step.name}` changed `{name}`, which it did not say it would",
                        file=self.session.file,
                        span=step.span,
                        path=name,
                        help="this is a defect of surgery-dsl, not of your plan; please report it",
                    )
                )
