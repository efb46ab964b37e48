"""A real Ctrl-C, sent to a real process in the middle of training."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_training(plan: Callable, tmp_path: Path) -> None:
    path = plan(
        """
        recover tune {
          data = train
          epochs = 100000
          optimizer = sgd(lr = 1e-6)
          loss = cross_entropy
        }
        """
    )
    command = [sys.executable, "-m", "surgery_dsl", "apply", str(path), "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        [*command, "--allow-code", "network:*", "--device", "cpu"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "training tune" in line:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group, the child included
    assert process.returncode == 130, said
    assert said[-1].strip() == "interrupted: nothing half-done is left behind"
    assert not any("Traceback" in line for line in said)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plans"]
