"""What a plan's names, words, units and references mean, and what is said where they mean nothing.

A case of ``meaning.txt`` is a title after ``=== ``, statements, and after ``---`` one line a finding: code, the line
it stands on, message. The statements follow :data:`HEAD`. ``SURGERY_UPDATE=1`` rewrites the findings; look at what
changed.
"""

import os
from pathlib import Path

import pytest

from surgery_dsl.language.read import read_plan

FILE = Path(__file__).with_name("meaning.txt")
HEAD = """surg 1

model net {
  load = python("digits:build_cnn")
  input = x("f32", [N, 1, 8, 8])
}
data train { load = digits(split = "train") }
data test { load = digits(split = "test") }

"""


def cases() -> list[tuple[str, str, str]]:
    found = []
    for part in FILE.read_text(encoding="utf-8").split("=== ")[1:]:
        title, _, rest = part.partition("\n")
        plan, _, findings = rest.partition("\n---\n")
        found.append((title, plan + "\n", findings.rstrip("\n")))
    return found


def text(title: str, plan: str) -> str:
    return plan if plan.startswith("surg 1") else HEAD + plan


def told(title: str, plan: str) -> str:
    whole = text(title, plan)
    lowered, found = read_plan(whole, "plan.surg")
    assert (lowered is None) == bool(found)
    lines = whole.split("\n")
    told = []
    for d in found:
        assert d.span is not None
        assert d.help, d
        told.append(f"{d.code.id} [{lines[d.span.line - 1].strip()[:44]}] {d.message}")
    return "\n".join(told)


@pytest.mark.parametrize(("title", "plan", "findings"), cases(), ids=[case[0] for case in cases()])
def test_what_is_said(title: str, plan: str, findings: str) -> None:
    assert told(title, plan) == findings


if os.environ.get("SURGERY_UPDATE"):
    FILE.write_text(
        "\n".join(f"=== {title}\n{plan.rstrip(chr(10))}\n---\n{told(title, plan)}\n" for title, plan, _ in cases()),
        encoding="utf-8",
    )
