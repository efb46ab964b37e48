"""Verifying runs neither the executor nor code of the result, and says so where that is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from surgery_dsl.cli.main import group
try:
    group.main(["verify", *sys.argv[1:]], standalone_mode=False)
finally:
    for name in sorted(sys.modules):
        ours = name.startswith(("surgery_dsl.run", "surgery_dsl.modules"))
        if ours or name.split(".")[0] in ("torch", "numpy", "safetensors", "small", "z3"):
            print(name, file=sys.stderr)
"""
POISON = 'raise SystemExit("code of the result ran")\n'


def modules(folder: Path, *options: str) -> tuple[int, set[str]]:
    words = [sys.executable, "-c", PROGRAM, str(folder), *options]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    return done.returncode, set(done.stderr.split("\n")) - {""}


def test_verifying_loads_neither_executor_nor_torch_nor_user_code(copy: Path) -> None:
    code, loaded = modules(copy)
    assert (code, loaded) == (0, set())


def test_reproducing_loads_both_and_needs_a_grant(copy: Path) -> None:
    code, loaded = modules(copy, "--reproduce", "--allow-code", "small:*")
    assert code == 0
    assert {"torch", "surgery_dsl.run.session"} <= loaded


@pytest.mark.parametrize("name", ["small.py", "json.py", "sitecustomize.py", "conftest.py"])
def test_code_that_lies_in_the_result_does_not_run(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).write_text(POISON)
    words = [sys.executable, "-P", "-m", "surgery_dsl", "verify", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 4
    assert "code of the result ran" not in done.stdout + done.stderr
