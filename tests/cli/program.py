"""Running the command line as a user would, inside this process or in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from surgery_dsl.cli.main import group

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What was printed as JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The diagnostics of JSON output."""
        found: list[dict[str, Any]] = self.document["diagnostics"]
        return found

    @property
    def codes(self) -> list[str]:
        """Codes of the diagnostics of JSON output, in order."""
        return [finding["code"] for finding in self.findings]


def run(folder: Path, *arguments: object, data: bytes | None = None) -> Ran:
    """Run a command in this process, in a folder; an exception that would be a traceback fails the test."""
    with chdir(folder):
        result = CliRunner().invoke(group, [str(argument) for argument in arguments], input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{arguments} raised") from result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def command(*arguments: object) -> list[str]:
    """Return the words that run a command in a process of its own."""
    return [sys.executable, "-m", "surgery_dsl", *map(str, arguments)]


def environment(extra: Mapping[str, str] | None = None, drop: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of a process that finds this source, with plain output and one thread."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", *drop)}
    return {**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(extra or {})}


def spawn(folder: Path, *arguments: object, extra: Mapping[str, str] | None = None) -> Ran:
    """Run a command in a process of its own, in a folder."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment(extra), capture_output=True, text=True, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
