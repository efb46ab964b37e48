"""The tables of ``benchmarks/RESULTS.md`` from results: ``python -m benchmarks.zoo.table DIR [DIR …]``."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

CLASSES = (
    ("contract", ("output of the network", "input of the network")),
    ("looked up", ("picked by index", "picked by number")),
    ("space", ("spatial", "kernel size", "size of the input")),
    ("buffers, unread", ("only buffers", "does not read")),
    ("hard-coded", ("holds its size as a number", "follows from its size", "no integer")),
    ("opaque", ("no rule follows",)),
    ("regrouped", ("regroups",)),
    ("constants", ("makes a constant",)),
)
"""Classes of reasons why an axis is frozen, by words of the reason."""


def freeze_class(reason: str) -> str:
    """Return the class of a reason."""
    return next((name for name, words in CLASSES if any(word in reason for word in words)), "other")


def read(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Return the last line of each architecture, in the order of the zoo."""
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for text in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            found[line["name"]] = line
    return list(found.values())


def row(label: str, lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the cells of one row."""
    judged = [line for line in lines if "verdicts" in line]
    kinds = Counter(verdict["kind"] for line in judged for verdict in line["verdicts"])
    joint = Counter(line["joint"]["kind"] for line in judged)
    frozen: Counter[str] = Counter()
    for line in judged:
        for reason, count in line["frozen"].items():
            frozen[freeze_class(reason)] += count
    decidable = kinds["exact"] + kinds["wrong"]
    share = f"{100 * kinds['exact'] / decidable:.1f} %" if decidable else ""
    reasons = ", ".join(f"{name} {count}" for name, count in frozen.most_common())
    refused = kinds["refused"]
    cells = [label, len(judged), sum(line["axes"] for line in judged), sum(kinds.values()), kinds["exact"], share]
    cells += [
        kinds["undecidable"],
        refused,
        f"**{kinds['wrong'] + joint['wrong']}**",
        f"{joint['exact']}/{len(judged)}",
    ]
    return [*(str(cell) for cell in cells), f"{sum(frozen.values())}: {reasons}" if frozen else "0"]


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """Return the table, one row a family and one for each suite."""
    head = ["family", "networks", "axes", "judged", "exact", "of decidable", "undecidable", "refused", "**wrong**"]
    head += ["all at once", "frozen"]
    out = [head, ["---"] * len(head)]
    for suite in dict.fromkeys(line["suite"] for line in lines):
        mine = [line for line in lines if line["suite"] == suite]
        families = list(dict.fromkeys(line["family"] for line in mine))
        out += [row(family, [line for line in mine if line["family"] == family]) for family in families]
        if len(families) > 1:
            out.append([f"*{cell}*" if cell else "" for cell in row(f"all of {suite}", mine)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in out)


def arguments(lines: Sequence[dict[str, Any]]) -> str:
    """Return how often each argument for an undecidable axis and each reason of a refusal stands."""
    counts: Counter[str] = Counter()
    for line in lines:
        for verdict in line.get("verdicts", []):
            if verdict["kind"] in ("undecidable", "refused"):
                counts[f"{verdict['kind']}: {re.sub(r'[(:].*', '', verdict['reason']).strip()}"] += 1
        for kind in ("unusable", "refused", "crashed"):
            if kind in line:
                counts[f"network {kind}: {line['name']}: {line[kind]}"] += 1
    return "\n".join(f"- {count} × {text}" for text, count in counts.most_common())


def main(folders: Sequence[str]) -> int:
    """Print the tables."""
    lines = read(Path(folder) for folder in folders)
    print(markdown(lines))
    print()
    print(arguments(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
