"""A wheel built from the repository works outside it, without torch: grammar, pages and schemas are inside."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import EXAMPLES, ROOT

GUARD = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "numpy"):
            raise ImportError("banned: " + name)
sys.meta_path.insert(0, Guard())
import surgery_dsl
assert surgery_dsl.__file__.startswith(sys.argv.pop(1)), surgery_dsl.__file__
from surgery_dsl.cli.main import main
main()
"""


@pytest.mark.slow
def test_the_wheel_stands_alone(tmp_path: Path) -> None:
    wheels, site, work = tmp_path / "wheels", tmp_path / "site", tmp_path / "work"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    assert subprocess.run(install, capture_output=True, check=False).returncode == 0
    work.mkdir()
    for name in ("plan.surg", "plan.surg.lock", "digits.py", "digits_cnn.safetensors"):
        shutil.copy(EXAMPLES / "slim_digits" / name, work / name)

    def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = f"import sys; sys.path.insert(0, {str(site)!r})\n{GUARD}"
        return subprocess.run(
            [sys.executable, "-P", "-c", program, str(site), *arguments],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )

    assert '"$schema"' in tool("schema", "certificate").stdout
    assert "SD113" in tool("explain", "SD113").stdout
    assert tool("fmt", "--check", "plan.surg").returncode == 0
    checked = tool("check", "plan.surg")
    assert checked.returncode == 0, checked.stderr
    assert "9 proved" in checked.stdout
