"""A statistical gate that its data cannot decide, and one that it can, do what the README of the example says."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from scipy import stats  # type: ignore[import-untyped]

from tests.cli.program import EXAMPLES, run

HERE = EXAMPLES / "too_weak"
EXPECTED: dict[str, Any] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("plan", EXPECTED)
def test_check_has_nothing_against_it(plan: str) -> None:
    ran = run(HERE, "check", plan, "--output-format", "json")
    assert (ran.code, ran.codes) == (EXPECTED[plan]["check"], [])
    assert not ran.document["plans"][0]["lock_made"]


@pytest.mark.parametrize("plan", EXPECTED)
def test_apply_decides_as_the_readme_says(plan: str, tmp_path: Path) -> None:
    folder = shutil.copytree(HERE, tmp_path / "here")
    ran = run(folder, "apply", plan, "-o", "out", "--allow-code", "digits:*", "--output-format", "json")
    wanted = EXPECTED[plan]
    assert (ran.code, ran.codes) == (wanted["apply"], wanted["codes"])
    assert (folder / "out").exists() == (not wanted["codes"])
    verdicts = {one["text"]: one for one in ran.document["verdicts"] if one["verb"] == "measure"}
    if wanted["codes"]:
        low, high = wanted["needed"]
        assert low <= ran.findings[0]["facts"]["needed"] <= high
        assert {one["status"] for one in verdicts.values()} == {"too weak"}
        return
    for text, (low, high) in wanted["bounds"].items():
        assert verdicts[text]["status"] == "passed"
        assert low <= float(Fraction(verdicts[text]["value"])) <= high
    flips = float(Fraction(verdicts["flips(test, confidence = 95%) <= 2%"]["value"]))
    assert flips == pytest.approx(stats.beta.ppf(1 - 0.025, 1, 355), rel=1e-6)
