"""Every frequent mistake, what is said about it, and that the rest of the plan is still read.

A case of ``mistakes.txt`` is a title after ``=== ``, a plan, and after ``---`` one line a finding: code, place,
message; then the blocks that were read with the attributes that each of them has. ``SURGERY_UPDATE=1`` rewrites the
findings; look at what changed.
"""

import os
from pathlib import Path

import pytest

from surgery_dsl.language.parse import parse
from surgery_dsl.language.syntax import Attribute, Block

FILE = Path(__file__).with_name("mistakes.txt")


def cases() -> list[tuple[str, str, str]]:
    found = []
    for part in FILE.read_text(encoding="utf-8").split("=== ")[1:]:
        title, _, rest = part.partition("\n")
        plan, _, findings = rest.partition("\n---\n")
        found.append((title, plan + "\n", findings.rstrip("\n")))
    return found


def read(block: Block) -> str:
    name = f"{block.kind.text} {block.name.text or '?'}"
    if block.body is None:
        return name
    statements = [s.name.text if isinstance(s, Attribute) else s.verb.text for s in block.body.statements]
    broken = [f"!{broken.name}" for broken in block.body.broken]
    return f"{name} {{ {' '.join(statements + broken)} }}"


def told(plan: str) -> str:
    tree, found = parse(plan)
    lines = []
    for d in found:
        place = f"{d.span.line}:{d.span.column}-{d.span.end_column}" if d.span else "-"
        lines.append(f"{d.code.id} {place} {d.message}")
        lines.append(f"      {d.help}")
    lines.extend(f"> {read(block)}" for block in tree.blocks)
    return "\n".join(lines)


@pytest.mark.parametrize(("title", "plan", "findings"), cases(), ids=[case[0] for case in cases()])
def test_what_is_said(title: str, plan: str, findings: str) -> None:
    assert told(plan) == findings


@pytest.mark.parametrize(("title", "plan", "findings"), cases(), ids=[case[0] for case in cases()])
def test_each_line_is_reported_once(title: str, plan: str, findings: str) -> None:
    _, found = parse(plan)
    places = [(d.span.line, d.span.column) for d in found if d.span]
    assert len(places) == len(set(places))
    assert all(d.help for d in found)


def test_every_code_of_the_family_has_a_case() -> None:
    from surgery_dsl.diagnostics.page import all_codes

    told_here = {line.split()[0] for _, _, findings in cases() for line in findings.splitlines() if line[:2] == "SD"}
    by_size = {"SD020", "SD022", "SD023", "SD024", "SD025", "SD027"}  # their pages show them
    assert {code.id for code in all_codes() if code.id.startswith("SD0")} - by_size == told_here


if os.environ.get("SURGERY_UPDATE"):
    FILE.write_text(
        "\n".join(f"=== {title}\n{plan.rstrip(chr(10))}\n---\n{told(plan)}\n" for title, plan, _ in cases()),
        encoding="utf-8",
    )
