"""The reports of two examples as Markdown, in full but for what varies by machine; ``SURGERY_DSL_UPDATE=1`` anew."""

import os
import re
import shutil
from pathlib import Path

import pytest

from surgery_dsl.interface.safetensors_header import read_weights
from surgery_dsl.report.result import read_result
from tests.cli.program import EXAMPLES, run

FOLDER = Path(__file__).parent / "reports"


@pytest.fixture(scope="module", params=["slim_digits", "int8_certified"])
def applied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    for path in (EXAMPLES / request.param).iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    ran = run(folder, "apply", "plan.surg", "-o", "out", "--device", "cpu", "--allow-code", "digits:*", "--no-progress")
    assert ran.code == 0, ran.err
    return folder / "out"


def masked(text: str) -> str:
    """Put ``#`` for digests, versions, and numbers that are no whole ones: they vary in their last digits or at all."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "…", text)
    text = re.sub(r"^\| (tool|python|torch|threads) \|.*$", r"| \1 | # |", text, flags=re.MULTILINE)
    text = re.sub(r"[▁▂▃▄▅▆▇█]+", "▒", text)
    lines = []
    for line in text.splitlines(keepends=True):
        cells = line.split(" | ")
        shown = [cells[0], *(re.sub(r"[-+]?\d[\d,]*\.\d+(e-?\d+)?", "#", cell) for cell in cells[1:])]
        lines.append(" | ".join(shown))
    return "".join(lines)


def test_reports_are_as_they_were_reviewed(applied: Path) -> None:
    shown = masked((applied / "report.md").read_text(encoding="utf-8"))
    path = FOLDER / f"{applied.parent.name.rstrip('0123456789')}.md"
    if os.environ.get("SURGERY_DSL_UPDATE"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


def test_the_shapes_that_are_told_are_those_of_the_written_tensors(applied: Path) -> None:
    changes = read_result(applied).changes
    assert changes is not None
    written = read_weights(applied).tensors
    told = [one for one in changes.changes if one.kind == "tensor" and one.action == "changed" and one.count == 1]
    for change in told:
        sizes = tuple(int(size) for size in re.findall(r"(?<![a-z0-9])\d+", change.after))  # `i8 64 × 32`
        assert sizes == written[change.path].shape, change
    if applied.parent.name.startswith("slim"):
        assert len(told) == 16
