"""The child process: reads jobs from standard input, asks z3, and writes each answer as soon as it has it."""

import json
import sys
from typing import Any

from surgery_dsl.proof.smt import budgets, certificates, sizes
from surgery_dsl.proof.smt.process import Message

KINDS = {
    "sizes": sizes.solve,
    "size witness": sizes.replay,
    "budget": budgets.prove,
    "outcome": budgets.replay,
    "outcomes": budgets.possible,
    "certificate": certificates.replay,
}


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Bound this process; beyond the CPU limit the system ends it."""
    try:
        import resource
    except ImportError:  # not on this platform: z3's own limits remain
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _write(message: Message) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do all jobs in order."""
    request: dict[str, Any] = json.load(sys.stdin)
    _limit(request["memory_bytes"], request["cpu_seconds"])
    import z3

    z3.set_param("memory_max_size", request["memory_bytes"] >> 20)
    _write({"version": z3.get_version_string()})
    for job in request["jobs"]:
        _write(KINDS[job["kind"]](job, request["rlimit"]))


if __name__ == "__main__":
    main()
