"""What runs the plans of the pages that explain codes, by the first digit of the code.

A page that needs a network is run as a user would meet its code: read, locked, checked. A family whose codes come
later than that (running, writing, verifying) has a runner of its own here.
"""

from collections.abc import Callable
from pathlib import Path

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.page import Example, Page
from surgery_dsl.language.parse import parse
from surgery_dsl.language.read import read_plan
from surgery_dsl.language.source import decode
from tests.conformance.workbench import Workbench

Runner = Callable[[Page, Example, Path], tuple[Diagnostic, ...]]

SETS = {"SD114": {"ratio": "30%"}}
"""What ``--set`` gives where a page speaks of it."""


def read(page: Page, example: Example, folder: Path) -> tuple[Diagnostic, ...]:
    """Read the text alone: nothing of its meaning."""
    text, found = decode(example.data, "plan.surg")
    return found or parse(text, "plan.surg")[1]


def lower(page: Page, example: Example, folder: Path) -> tuple[Diagnostic, ...]:
    """Read the plan; with a network, lock and check it too."""
    if page.needs:
        return tuple(_bench(folder).errors(example.text))
    return read_plan(example.text, "plan.surg", SETS.get(page.code.id, {}))[1]


_BENCHES: dict[Path, Workbench] = {}


def _bench(folder: Path) -> Workbench:
    if folder not in _BENCHES:
        _BENCHES[folder] = Workbench(folder)
    return _BENCHES[folder]


def check(page: Page, example: Example, folder: Path) -> tuple[Diagnostic, ...]:
    """Lock and check the plan; warnings count."""
    return _bench(folder).findings(example.text)


def execute(page: Page, example: Example, folder: Path) -> tuple[Diagnostic, ...]:
    """Lock and check the plan; where nothing stands against it, apply it and write nothing."""
    bench = _bench(folder)
    found = bench.findings(example.text)
    if any(finding.severity == "error" for finding in found):
        return found
    from surgery_dsl.run.apply import apply

    path = bench.folder / f"{page.code.id}.surg"
    path.write_bytes(example.data)
    return apply(path, None, allow_code=["*"], device="cpu").diagnostics


RUNNERS: dict[str, Runner] = {"0": read, "1": lower, "2": check, "3": check, "4": check, "5": execute, "7": check}
