"""``check`` with a lock imports neither torch nor anything else that is heavy; ``--help`` imports even less."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAN = ROOT / "examples" / "slim_digits" / "plan.surg"

GUARD = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {banned!r}:
            raise ImportError("banned: " + name)
sys.meta_path.insert(0, Guard())
sys.argv = {argv!r}
from surgery_dsl.cli.main import main
main()
"""


def run(banned: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = GUARD.format(banned=banned, argv=["surgery-dsl", *arguments])
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)


def test_check_needs_no_torch() -> None:
    heavy = {"torch", "numpy", "sklearn", "safetensors", "rich", "jsonschema", "cryptography"}
    done = run(heavy, "check", str(PLAN))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("plan", str(PLAN)), ("diff", str(PLAN), "--against", str(PLAN))])
def test_reviewing_needs_no_torch(arguments: tuple[str, ...]) -> None:
    done = run({"torch", "numpy", "sklearn", "safetensors", "rich", "jsonschema", "z3"}, *arguments)
    assert done.returncode == 0, done.stderr


def test_saving_needs_no_torch(tmp_path: Path) -> None:
    done = run({"torch", "numpy", "safetensors"}, "plan", str(PLAN), "-o", str(tmp_path / "saved.json"))
    assert done.returncode == 0, done.stderr


def test_the_guard_trips() -> None:
    done = run({"pydantic"}, "check", str(PLAN))
    assert done.returncode == 2
    assert "banned: pydantic" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("check", "--help"), ("apply", "--help")])
def test_help_loads_neither_language_nor_models(arguments: tuple[str, ...]) -> None:
    done = run({"torch", "numpy", "pydantic", "lark", "z3", "rich", "jsonschema"}, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_formatting_needs_no_solver() -> None:
    assert run({"torch", "numpy", "z3"}, "fmt", "--check", str(PLAN)).returncode == 0
