"""What ``plan`` prints of the examples, in full; ``SURGERY_DSL_UPDATE=1`` writes it anew."""

import os
import re
from pathlib import Path

import pytest

from tests.cli.program import ROOT, run

FOLDER = Path(__file__).parent / "previews"
EXAMPLES = ("slim_digits", "llm_shrink", "low_rank_head", "swap_and_adapt", "gqa_groups", "sparse_schedule")


@pytest.mark.parametrize("example", EXAMPLES)
def test_previews_are_as_they_were_reviewed(example: str) -> None:
    first, again = (run(ROOT, "plan", f"examples/{example}/plan.surg") for _ in range(2))
    assert first.code == 0, first.err
    assert first.out == again.out
    shown = re.sub(r"\(plan \w{12}, lock \w{12}\)", "(plan …, lock …)", first.out)
    path = FOLDER / f"{example}.txt"
    if os.environ.get("SURGERY_DSL_UPDATE"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")
