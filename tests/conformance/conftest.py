"""Fixtures of the conformance suite."""

import pytest

from tests.conformance.workbench import Workbench, single_threaded


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The folder that all plans of the suite stand in."""
    single_threaded()
    return Workbench(tmp_path_factory.mktemp("conformance"))
