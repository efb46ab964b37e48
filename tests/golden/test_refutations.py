"""What a refusal says, word for word, and that every edit it offers ends it.

Each situation is a plan for a perceptron of some widths. ``python -m tests.golden.test_refutations`` writes the texts
anew, to be read before they are committed.
"""

import re
from fractions import Fraction
from pathlib import Path

import pytest

from surgery_dsl.diagnostics.render_text import render_text
from surgery_dsl.interface.model import FreeSize, Requirement
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.proof.verdict import Verdict
from tests.unit.proof.builders import HEAD, chain, facts, full, lock

FOLDER = Path(__file__).parent / "refutations"
SLIM = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = TAKE
}
excise weak { mode = remove }

control final {
  CLAIM
}
"""
ZERO = SLIM.replace("mode = remove", "mode = zero").replace("channels", "weights").replace("hidden.*", "hidden.0")
TWO = SLIM.replace(
    "\ncontrol",
    """
identify more {
  in = linear("hidden.1")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(2)
}
excise more { mode = remove }

control""",
)
RANKED = "lowest(40%)\n  per = global"
DEEP = (8, *[32] * 20, 4)

STATED_SIZE = re.compile(r"(?:N = |\[)(\d+(?:\.\.\d+)?)(?:\)|, 8\])")
"""What the plan's input says of ``N``, which a new lock would say too."""

Situation = tuple[str, str, str, tuple[int, ...]]
SITUATIONS: dict[str, Situation] = {
    "an amount that takes too little": (SLIM, "lowest(25%)", "prove params <= 0.50 * base.params", (8, 16, 12, 4)),
    "an amount that takes too much": (SLIM, "lowest(25%)", "prove params >= 0.80 * base.params", (8, 16, 12, 4)),
    "a limit that is met exactly": (SLIM, "lowest(25%)", "prove params < 265", (8, 16, 12, 4)),
    "a limit in bytes": (SLIM, "lowest(25%)", "prove weight_bytes <= 1KiB", (8, 16, 12, 4)),
    "a count": (SLIM, "lowest(2)", "prove params <= 250", (8, 16, 12, 4)),
    "an arrow": (SLIM.replace("*", "0"), "lowest(16 -> 12)", "prove params <= 200", (8, 16, 12, 4)),
    "two selections": (TWO, "lowest(10%)", "prove params <= 0.60 * base.params", (8, 16, 12, 4)),
    "an even outcome of a ranking": (SLIM, RANKED, "prove params <= 0.30 * base.params", DEEP),
    "an outcome of a ranking that is not even": (SLIM, RANKED, "prove params <= 0.45 * base.params", DEEP),
    "the least of a ranking": (SLIM, RANKED, "prove params >= 0.30 * base.params", DEEP),
    "a threshold from above": (SLIM, "below(0.5)", "prove params <= 0.90 * base.params", DEEP),
    "a threshold from below": (SLIM, "below(0.5)", "prove params >= 0.50 * base.params", DEEP),
    "a threshold under a cap": (SLIM, "below(0.5)\n  cap = 90%", "prove params >= 0.50 * base.params", DEEP),
    "a ranking in coarse steps": (
        SLIM,
        "lowest(80%)\n  per = global\n  round = 32\n  cap = 97%",
        "prove params <= base.params",
        (8, *[48] * 6, 4),
    ),
    "what no step touches": (SLIM.replace("*", "0"), "lowest(50%)", "prove params <= 20", (8, 16, 12, 4)),
    "a forward of any size": (SLIM, "lowest(25%)", "prove macs <= 1000", (8, 16, 12, 4)),
    "an equality": (SLIM, "lowest(25%)", "prove params == 266", (8, 16, 12, 4)),
    "zeros": (ZERO, "lowest(25%)", "prove nonzero <= 0.60 * base.nonzero", (8, 16, 12, 4)),
    "caps against a total": (SLIM, RANKED + "\n  cap = 30%", "prove params <= base.params", DEEP),
    "limits that exclude each other": (
        SLIM,
        "lowest(25%)",
        "prove params <= 0.80 * base.params\n  prove params >= 0.90 * base.params",
        (8, 16, 12, 4),
    ),
    "an arrow that is not true": (SLIM, "lowest(15 -> 8)", "prove params <= base.params", (8, 16, 16, 4)),
    "nothing that may go": (SLIM, "lowest(25%)\n  floor = 40", "prove params <= base.params", DEEP),
    "outputs that would change, every site": (
        SLIM.replace('"hidden.*"', '"head"'),
        "lowest(25%)",
        "prove params <= base.params",
        (8, 16, 12, 4),
    ),
    "outputs that would change": (
        SLIM.replace('"hidden.*"', '"**"'),
        "lowest(25%)",
        "prove params <= base.params",
        (8, 16, 12, 4),
    ),
}
SIZES: dict[str, Requirement] = {
    "a size that must be even": Requirement(
        relation="divides", left=2, right="N", operator="halves", reason="the rows are folded by two"
    ),
    "a pool that leaves nothing": Requirement(
        relation="at_least",
        left=("//", "N", 32),
        right=1,
        operator="stages.4.pool",
        reason="nothing is left",
    ),
    "a flatten for one size": Requirement(
        relation="equal", left=("*", 16, "N"), right=512, operator="head", reason="`head.weight` has 512 columns"
    ),
    "a flatten for no size": Requirement(
        relation="equal", left=("*", 16, "N"), right=513, operator="head", reason="`head.weight` has 513 columns"
    ),
}


def body_of(name: str) -> str:
    template, take, claim, _ = SITUATIONS[name]
    return template.replace("TAKE", take).replace("CLAIM", claim)


def report_on(text: str, widths: tuple[int, ...], requirements: tuple[Requirement, ...] = ()) -> CheckReport:
    interface = chain(widths, requirements)
    if stated := STATED_SIZE.search(text):
        least, _, most = stated[1].partition("..")
        interface = interface.replaced(free=(FreeSize(name="N", least=int(least), most=int(most or least)),))
    plan, diagnostics = read_plan(text, "plan.surg")
    assert plan is not None, [d.message for d in diagnostics]
    data = [facts(name, (widths[0],), (0, widths[-1] - 1)) for name in ("train", "test")]
    return check(plan, lock(interface, *data, nonzero=full(interface)))


def told(text: str, report: CheckReport) -> str:
    rendered = render_text(report.diagnostics, {"plan.surg": text}, color=False)
    verdicts = [_line(v) for v in report.verdicts if v.verb != "always" or v.status != "proved"]
    return "\n".join([text.removeprefix(HEAD).strip("\n"), "-" * 20, rendered.strip("\n"), "-" * 20, *verdicts, ""])


def _line(verdict: Verdict) -> str:
    return f"{verdict.status}: {verdict.verb} {verdict.text}"


def _file(name: str) -> str:
    return f"{name.replace(',', '').replace(' ', '_')}.txt"


def situation(name: str) -> tuple[str, CheckReport]:
    if name in SIZES:
        text = HEAD
        return text, report_on(text, (8, 16, 12, 4), (SIZES[name],))
    text = HEAD + body_of(name)
    return text, report_on(text, SITUATIONS[name][3])


@pytest.mark.parametrize("name", [*SITUATIONS, *SIZES])
def test_what_is_said(name: str) -> None:
    text, report = situation(name)
    assert told(text, report) == (FOLDER / f"{_file(name)}").read_text(encoding="utf-8")


# ---- every edit that is offered ends it --------------------------------------------------------------------------

ATTRIBUTE = re.compile(r"write `(\w+) = ([^`]+)` in `(?!input`)(\w+)`")
LIMIT = re.compile(r"write `([^`=]+ (?:<=|>=|<|>) [^`]+)`")
STATED = re.compile(r"`([^`]+ <= [^`]+)` is proved")
RANGE = re.compile(r"write `(\w+) = (\d+\.\.\d+)` in `input`")
EXCEPT = re.compile(r"add except = (\[[^]]*\]) to the selection")
NUMBER = re.compile(r"write (\d+) in place of `(\w+)` in `input`")


def edits(text: str, help_text: str, line: int) -> list[str]:
    """Return the plan with each edit that a finding offers made in its text."""
    found = []
    for attribute, value, block in ATTRIBUTE.findall(help_text):
        found.append(_with_attribute(text, block, attribute, value))
    for claim in [*LIMIT.findall(help_text), *STATED.findall(help_text)]:
        lines = text.split("\n")
        lines[line - 1] = f"  prove {claim}"
        found.append("\n".join(lines))
    found += [text.replace("[N, 8])", f"[N, 8], {name} = {ends})") for name, ends in RANGE.findall(help_text)]
    found += [text.replace(f"[{name}, 8]", f"[{size}, 8]") for size, name in NUMBER.findall(help_text)]
    for paths in EXCEPT.findall(help_text):
        found.append(re.sub(r'(in = linear\("[^"]*")\)', rf"\1, except = {paths})", text))
    if "write changes = outputs in this step" in help_text:
        found.append(text.replace("{ mode = remove }", "{\n  mode = remove\n  changes = outputs\n}"))
    if "write mode = zero in this step" in help_text:
        found.append(text.replace("mode = remove", "mode = zero"))
    return found


def _with_attribute(text: str, block: str, attribute: str, value: str) -> str:
    head, start, rest = text.partition(f"identify {block} {{\n")
    body, end, tail = rest.partition("}\n")
    lines = [line for line in body.split("\n") if not line.strip().startswith(f"{attribute} =")]
    return head + start + "\n".join([f"  {attribute} = {value}", *lines]) + end + tail


@pytest.mark.parametrize("name", [*SITUATIONS, *SIZES])
def test_what_is_offered_was_proved(name: str) -> None:
    text, report = situation(name)
    widths = SITUATIONS[name][3] if name in SITUATIONS else (8, 16, 12, 4)
    errors = [d for d in report.diagnostics if d.severity.value == "error"]
    assert errors
    for found in errors:
        assert found.span is not None
        changed = edits(text, found.help, found.span.line)
        assert len(changed) <= 2
        for one in changed:
            again = report_on(one, widths, (SIZES[name],) if name in SIZES else ())
            alike = [d for d in again.diagnostics if d.code == found.code and d.severity.value == "error"]
            assert alike == [], one
            if found.code.id == "SD301":
                line = one.split("\n")[found.span.line - 1]
                claims = [v for v in again.verdicts if v.verb == "prove"]
                assert {v.status for v in claims} == {"proved"}, line


def test_numbers_beside_one_another_differ() -> None:
    from surgery_dsl.proof.verdict import apart_texts

    assert apart_texts(Fraction(145_000_000), Fraction(145_422_520), Fraction(145_200_000)) == (
        "145.00 M",
        "145.42 M",
        "145.20 M",
    )
    assert apart_texts(Fraction(145_000_000), Fraction(145_000_100)) == ("145.0000 M", "145.0001 M")
    assert apart_texts(Fraction(199), Fraction(2001, 2)) == ("199", "1,000.5")


if __name__ == "__main__":
    for each in (*SITUATIONS, *SIZES):
        (FOLDER / f"{_file(each)}").write_text(told(*situation(each)), encoding="utf-8")
