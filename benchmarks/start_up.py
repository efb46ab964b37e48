"""CPU time and memory of the command line, cold, side by side with importing torch.

    python benchmarks/start_up.py

Every figure is the least CPU time (user + system) of several fresh processes, and the peak resident memory of one.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = 7

PLAN = """surg 1

model net {
  load = python("networks:build_residual_500")
  input = x("f32", [N, 1, 8, 8])
}

identify weak {
  in = conv2d("blocks.*.conv1")
  expect = 249
  unit = channels
  by = magnitude(p = 1)
  take = lowest(40%)
  round = 4
  floor = 8
}
excise weak { mode = remove }
control final {
  prove params <= 0.70 * base.params
  prove macs <= 0.70 * base.macs
}
"""


def cost(command: list[str], where: Path) -> tuple[float, float]:
    """Return (CPU seconds, peak MiB) of the cheapest of several runs."""
    best, peak = float("inf"), 0.0
    for _ in range(RUNS):
        pid = os.fork()
        if pid == 0:
            os.chdir(where)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.execv(command[0], command)
        _, status, usage = os.wait4(pid, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"{' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
        best = min(best, usage.ru_utime + usage.ru_stime)
        peak = max(peak, usage.ru_maxrss / 1024)
    return best, peak


def main() -> None:
    """Measure and print a table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    tool = [sys.executable, "-m", "surgery_dsl"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "residual.surg").write_text(PLAN)
        (folder / "networks.py").write_text((ROOT / "benchmarks" / "networks.py").read_text())
        lock = [*tool, "lock", "residual.surg", "--allow-code", "networks:*"]
        subprocess.run(lock, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        digits = ROOT / "examples" / "slim_digits"
        rows = [
            ("import torch", [sys.executable, "-c", "import torch"], ROOT, None),
            ("surgery-dsl --help", [*tool, "--help"], ROOT, 0.3),
            ("check, digits plan, with lock", [*tool, "check", "plan.surg"], digits, 0.25),
            ("check, 500-layer residual network, with lock", [*tool, "check", "residual.surg"], folder, 0.25),
        ]
        print(f"{'command':46} {'CPU s':>7} {'limit':>6} {'peak MiB':>9} {'x faster than import torch':>27}")
        reference = 0.0
        for label, command, where, limit in rows:
            seconds, peak = cost(command, where)
            reference = reference or seconds
            print(f"{label:46} {seconds:7.3f} {limit or '':>6} {peak:9.0f} {reference / seconds:27.1f}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
