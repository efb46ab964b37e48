"""Whether a result that was written out of core comes back: its structure always, its values where memory allows."""

import os
from pathlib import Path

import torch

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.run import restore
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.load import Sources
from surgery_dsl.run.probe import probe_inputs
from surgery_dsl.run.reload import Job, Probe, Reloader
from surgery_dsl.run.session import Session
from surgery_dsl.run.streaming.eligible import available


def refuse_strange(folder: Path, session: Session, sources: Sources, size: int, evidence: RunEvidence) -> None:
    """Refuse a result that does not rebuild to the files that stand there, or whose outputs are not finite.

    Args:
        folder: The result, but for its report and certificate.
        session: The run; its interface is the predicted one.
        sources: The plan's sources.
        size: Bytes of the result's tensors.
        evidence: Where it is noted what was found, and what was not looked at.
    """
    _refuse_other_structure(folder, session)
    evidence.note_always(
        "reload",
        "the recorded edits, replayed on the original architecture, fit the written files tensor for tensor",
        "names, shapes, dtypes and ties compared; no values",
    )
    if size > available():  # it is mapped, not copied
        evidence.unmeasured.append(
            (
                "reload",
                "the written result reloads in a clean process",
                "it was not loaded: there is not memory enough for it; its structure was compared",
            )
        )
        return
    _load_elsewhere(folder, session, sources, evidence)


def _refuse_other_structure(folder: Path, session: Session) -> None:
    found = restore.forms(folder)
    predicted = {
        tensor.name: (tensor.dtype, tuple(session.interface.exact(dim) for dim in tensor.dims))
        for tensor in session.interface.tensors
        if not tensor.tied_to
    }
    apart = sorted(name for name in found.keys() | predicted.keys() if found.get(name) != predicted.get(name))
    if apart:
        name = apart[0]
        raise Refused(_strange(session, f"`{name}` is {found.get(name)}, predicted is {predicted.get(name)}"))


def _load_elsewhere(folder: Path, session: Session, sources: Sources, evidence: RunEvidence) -> None:
    inputs = probe_inputs(session)
    with Reloader() as reloader, Probe(inputs, ()) as probe:
        answer = reloader.ask(
            Job(
                result=str(folder.resolve()),
                probe=str(probe.path),
                inputs=tuple(inputs),
                keyword_inputs=session.plan.patient.keyword_inputs,
                allow_code=sources.grants.patterns,
                folder=str(Path.cwd()),
                device="cpu",
                threads=min(torch.get_num_threads(), os.cpu_count() or 1),
                deterministic=True,
                finite=True,
            )
        )
    if not answer.same_bits:
        raise Refused(_strange(session, answer.error or "its outputs hold NaN or infinity"))
    evidence.unmeasured[:] = [entry for entry in evidence.unmeasured if entry[0] != "finite"]
    evidence.note_always(
        "finite",
        "the written result loads in a clean process and its outputs are finite",
        f"{answer.outputs} outputs of one batch; there are none to compare with",
    )


def _strange(session: Session, what: str) -> Diagnostic:
    return Diagnostic(
        defects.RELOAD_DIFFERS,
        f"the written result does not come back as it was: {what}",
        file=session.file,
        help="if the original weights give finite outputs, this is a defect of surgery-dsl; please report it",
    )
