"""The structural record of a run's result; a result of a result goes back to the code that began it."""

from pathlib import Path

from surgery_dsl.interface.lock import SourceDigest
from surgery_dsl.run.load import Sources
from surgery_dsl.run.record import Record, read_record
from surgery_dsl.run.release import tool_version
from surgery_dsl.run.session import Session
from surgery_dsl.run.write import ties_of
from surgery_dsl.vocabulary import user_code
from surgery_dsl.vocabulary.models.result import Result

ORIGINAL = "original"
"""Folder of a result for what a loader may have read from anywhere: an absolute path, one above the plan, a link."""


def source_files(sources: Sources) -> list[tuple[Path, str]]:
    """Return the files that rebuild the patient's architecture, each with its path inside the result."""
    loader, folder = sources.plan.patient.load, sources.folder
    if isinstance(loader, Result):
        origin = folder / loader.directory
        return [(origin / source.path, source.path) for source in read_record(origin).sources]
    if loader.moved(ORIGINAL) is not loader:
        return [(path, f"{ORIGINAL}/{path.name}") for path in loader.sources(folder)]
    roots = user_code.roots(folder)
    found = []
    for path in loader.sources(folder):
        root = next((root for root in roots if path.resolve().is_relative_to(root)), path.resolve().parent)
        found.append((path, path.resolve().relative_to(root).as_posix()))
    return found


def record_of(
    session: Session,
    sources: Sources,
    digests: tuple[SourceDigest, ...],
    weights: tuple[SourceDigest, ...],
    buffers: tuple[SourceDigest, ...] = (),
    loads_with: tuple[str, ...] = (),
) -> Record:
    """Return the record of the session's network as it is; ``weights`` are the files as they were written."""
    patient, loader = session.plan.patient, session.plan.patient.load
    origin = read_record(sources.folder / loader.directory) if isinstance(loader, Result) else None
    return Record(
        tool=f"surgery-dsl {tool_version()}",
        loader=origin.loader if origin else loader.moved(ORIGINAL).replaced(span=None),
        sources=digests,
        inputs=patient.inputs,
        keyword_inputs=patient.keyword_inputs,
        outputs=patient.outputs,
        dtype=session.settings.dtype or (origin.dtype if origin else ""),
        edits=(*(origin.edits if origin else ()), *session.edits),
        ties=ties_of(session.model),
        weights=weights[-1].sha256,
        shards=weights[:-1],
        buffers=buffers,
        loads_with=loads_with,
    )
