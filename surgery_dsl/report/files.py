"""The two report files of a result."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from surgery_dsl.certificate.build import certify
from surgery_dsl.certificate.model import Predicate
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.document import Document
from surgery_dsl.report.html import html
from surgery_dsl.report.markdown import markdown
from surgery_dsl.report.result import result_of

RENDERERS: Final[Mapping[str, Callable[[Document], str]]] = {"md": markdown, "html": html}
"""By the ending of the file."""


def write_reports(folder: Path, predicate: Predicate, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Write both reports of a result that is not yet certified, and return the digests of its other files.

    Args:
        folder: The result, whole but for its reports and its certificate.
        predicate: What the certificate will say.
        known: Digests of files that were taken while these were written; all others are read.
    """
    statement = certify(folder, predicate, known)
    found = document(result_of(folder, statement))
    for ending, render in RENDERERS.items():
        (folder / f"report.{ending}").write_text(render(found), encoding="utf-8", newline="")
    return {subject.name: subject.digest.sha256 for subject in statement.subject}
