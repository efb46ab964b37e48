"""CPU time of ``check --cross-check``, the solver's child included, side by side with a plain check.

    python benchmarks/cross_check.py

Every figure is the least CPU time (user + system) of several fresh processes.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from start_up import PLAN, ROOT, cost

TOOL = [sys.executable, "-m", "surgery_dsl"]
SUMMARY = re.compile(r"^cross-check: (\d+) verdicts?, (\d+) agree.*?, (\d+) gave up, (\d+) disagree$", re.M)


def verdicts(plan: str, where: Path) -> tuple[int, ...]:
    """Return how many verdicts were looked at, agree, were left open, and were denied."""
    done = subprocess.run(
        [*TOOL, "check", "--cross-check", plan], cwd=where, capture_output=True, text=True, check=False
    )
    found = SUMMARY.search(done.stdout)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    return tuple(int(count) for count in found.groups())


def main() -> None:
    """Measure and print a table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "networks.py").write_text((ROOT / "benchmarks" / "networks.py").read_text())
        (folder / "each.surg").write_text(PLAN)
        ranked = PLAN.replace("take = lowest(40%)", "take = lowest(40%)\n  per = global").replace("0.70", "0.90")
        (folder / "ranked.surg").write_text(ranked)
        for plan in ("each.surg", "ranked.surg"):
            lock = [*TOOL, "lock", plan, "--allow-code", "networks:*"]
            subprocess.run(lock, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        rows = [
            ("500 layers, 40 % of each", "each.surg", folder),
            ("500 layers, 40 % under a global ranking", "ranked.surg", folder),
        ]
        for example in ("slim_digits", "resnet_slim", "gqa_groups", "moe_experts", "llm_shrink"):
            rows.append((f"examples/{example}", "plan.surg", ROOT / "examples" / example))
        print(f"{'plan':42} {'verdicts':>8} {'agree':>6} {'open':>5} {'denied':>6} {'check s':>8} {'with z3 s':>9}")
        for label, plan, where in rows:
            counts = verdicts(plan, where)
            plain, _ = cost([*TOOL, "check", plan], where)
            with_z3, _ = cost([*TOOL, "check", "--cross-check", plan], where)
            print(f"{label:42} {counts[0]:8} {counts[1]:6} {counts[2]:5} {counts[3]:6} {plain:8.3f} {with_z3:9.3f}")


if __name__ == "__main__":
    main()
