"""Fixtures of the conformance suite."""

import pytest

from tests.conformance.live import operate
from tests.conformance.words import TEMPLATES, Entry
from tests.conformance.workbench import Workbench, single_threaded


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The folder that all plans of the suite stand in."""
    single_threaded()
    bench = Workbench(tmp_path_factory.mktemp("conformance"))
    (bench.folder / "result").mkdir()
    operate(bench, Entry("modes", "remove").example(TEMPLATES / "modes.surg"), folder=bench.folder / "result")
    return bench
