"""The child process in which z3 runs, seen from its parent: started, limited, read, and replaced when it dies.

Limits within z3 are not always kept, so it has a process of its own. What decides a verdict is ``rlimit``, which counts
work and is the same on every machine and under every load. The limits of CPU time, memory and wall time only stop a
child that went astray; they are far above what ``rlimit`` allows. The child answers line by line: when it dies, what
it had answered counts, the job at which it died is given up with the reason, and a new child goes on after it.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
CHILD = (sys.executable, "-m", "surgery_dsl.proof.smt.child")


@dataclass(frozen=True, slots=True)
class Limits:
    """What z3 may use.

    Attributes:
        rlimit: Work units for one query; a million takes about a tenth of a second.
        cpu_seconds: CPU time of one child.
        wall_seconds: Wall time of one child.
        memory_bytes: Address space of one child.
        children: How many children may be started for one list of jobs.
    """

    rlimit: int = 5_000_000
    cpu_seconds: int = 60
    wall_seconds: float = 300.0
    memory_bytes: int = 2 << 30
    children: int = 4


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Replies:
    """What z3 said: one message for each job, in order, and z3's version (empty where no child came so far)."""

    messages: list[Message]
    version: str = ""


def ask(jobs: Sequence[Message], limits: Limits = LIMITS) -> Replies:
    """Let z3 do jobs; one that it did not do has ``{"status": "unknown", "reason": …}``."""
    messages: list[Message] = []
    version = ""
    for _ in range(limits.children):
        if len(messages) == len(jobs):
            break
        lines, reason = _child(jobs[len(messages) :], limits)
        version = next((line["version"] for line in lines if "version" in line), version)
        messages += [line for line in lines if "version" not in line]
        if len(messages) < len(jobs):
            messages.append({"status": "unknown", "reason": reason})
    rest = len(jobs) - len(messages)
    reason = f"{limits.children} children died before it was its turn"
    return Replies(messages + [{"status": "unknown", "reason": reason} for _ in range(rest)], version)


def _child(jobs: Sequence[Message], limits: Limits) -> tuple[list[Message], str]:
    """Run one child; return what it said, and why it said no more."""
    import os
    import subprocess
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    request = {
        "rlimit": limits.rlimit,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "jobs": list(jobs),
    }
    try:
        done = subprocess.run(
            CHILD,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=limits.wall_seconds,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired as stopped:
        return _lines(stopped.stdout or b"", len(jobs)), f"the solver was stopped after {limits.wall_seconds:g} s"
    except OSError as error:
        return [], f"the solver could not be started: {error}"
    said = _lines(done.stdout, len(jobs))
    if done.returncode < 0:
        return said, f"the solver was killed by signal {-done.returncode}"
    last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing more"])[-1]
    return said, f"the solver ended with code {done.returncode}: {last[:200]}"


def _lines(output: bytes, most: int) -> list[Message]:
    """Return the messages up to the first line that is none: whatever follows a torn line is not to be trusted."""
    found: list[Message] = []
    for line in output.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            break
        if not isinstance(message, dict) or not ("version" in message or "status" in message):
            break
        found.append(message)
    answers = sum("version" not in message for message in found)
    return found if answers <= most else []
