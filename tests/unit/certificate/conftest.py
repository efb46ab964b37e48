"""A small result, made once, and copies of it to spoil."""

import shutil
from pathlib import Path

import pytest

from surgery_dsl.run.apply import apply
from tests.unit.certificate.small import NETWORK, PLAN, RICH_NETWORK, RICH_PLAN


def made(folder: Path, plan: str = PLAN, network: str = NETWORK) -> Path:
    (folder / "plan.surg").write_text(plan)
    (folder / "small.py").write_text(network)
    outcome = apply(folder / "plan.surg", folder / "out", allow_code=["small:*"], device="cpu")
    assert outcome.accepted, outcome.diagnostics
    return folder / "out"


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="session")
def other_result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(
        tmp_path_factory.mktemp("other"),
        PLAN.replace("only([1, 3])", "only([0, 2, 5])"),
        NETWORK.replace("seed(0)", "seed(5)"),
    )


@pytest.fixture(scope="session")
def rich_result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result with a bound and a statistic, and the evidence of both."""
    return made(tmp_path_factory.mktemp("rich"), RICH_PLAN, RICH_NETWORK)


@pytest.fixture
def rich(rich_result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rich_result, tmp_path / "rich"))


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(result, tmp_path / "out"))
