"""A plan for a model of three billion parameters, checked from its config alone."""

import shutil
from pathlib import Path

import pytest

from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.lock import make_lock

ROOT = Path(__file__).parents[3]
PLAN = ROOT / "tests" / "plans" / "03-llm-shrink.surg"


def test_it_survives_json() -> None:
    plan, found = read_plan(PLAN.read_text(encoding="utf-8"), PLAN.name)
    assert found == ()
    assert plan is not None
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_it_is_proved_at_full_size(tmp_path: Path) -> None:
    """The counts are sums of the shapes that the config gives, written out."""
    pytest.importorskip("transformers")
    example = ROOT / "examples" / "llm_shrink"
    shutil.copy(example / "llama-3.2-3b.json", tmp_path)
    shutil.copy(example / "docs.txt", tmp_path / "wiki.txt")
    shutil.copy(example / "pairs.jsonl", tmp_path / "sft.jsonl")
    plan, _ = read_plan(PLAN.read_text(encoding="utf-8"), str(tmp_path / "plan.surg"))
    assert plan is not None
    report = check(plan, make_lock(plan, tmp_path, Grants()))
    assert [found.message for found in report.diagnostics] == []
    hidden, mlp, words = 3072, 8192, 128256

    def size(layers: int, heads: int, shared: int) -> int:
        attention = 2 * hidden * 128 * heads + 2 * hidden * 128 * shared
        return words * hidden + layers * (attention + 3 * hidden * mlp + 2 * hidden) + hidden

    assert size(28, 24, 8) == 3_212_749_824
    values = {verdict.text: verdict.value for verdict in report.verdicts}
    assert values["params <= 2.5B"] == str(size(23, 12, 4))
    assert values["weight_bytes <= 5GiB"] == str(2 * size(23, 12, 4))
    statuses = {verdict.text: verdict.status for verdict in report.verdicts}
    assert statuses["params <= 2.5B"] == statuses["weight_bytes <= 5GiB"] == "proved"
    assert statuses["perplexity(wiki) <= 1.10 * base.perplexity(wiki)"] == "to measure"
