"""The overhead of ``apply`` on slim_digits: side by side with the same job as a script.

    python benchmarks/overhead.py

Both run as fresh processes, in turn, several times; the table gives the least wall and CPU seconds of each.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5


def once(command: list[str]) -> tuple[float, float]:
    """Return (wall, CPU) seconds of one process, children included."""
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.chdir(ROOT)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print a table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    best = {"by hand": (9e9, 9e9), "surgery-dsl apply": (9e9, 9e9)}
    with tempfile.TemporaryDirectory() as name:
        for run in range(RUNS + 1):  # the first warms the file cache
            out = Path(name) / str(run)
            hand = [sys.executable, "benchmarks/slim_digits_by_hand.py", f"{out}.safetensors"]
            ours = [sys.executable, "-m", "surgery_dsl", "apply", "examples/slim_digits/plan.surg", "-o", str(out)]
            for label, command in (("by hand", hand), ("surgery-dsl apply", ours)):
                found = once(command)
                if run:
                    best[label] = (min(best[label][0], found[0]), min(best[label][1], found[1]))
    print(f"{'slim_digits':20} {'wall s':>8} {'CPU s':>8}")
    for label, (wall, cpu) in best.items():
        print(f"{label:20} {wall:8.2f} {cpu:8.2f}")
    hand_wall, our_wall = best["by hand"][0], best["surgery-dsl apply"][0]
    share = 100 * (our_wall - hand_wall) / our_wall
    print(f"overhead: {share:.0f} % of the run (limit 20 %), ratio {our_wall / hand_wall:.2f}")


if __name__ == "__main__":
    main()
