"""Heads, groups and shares of real networks through plans: what is legal is said, what was meant is counted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.lock import Lock
from surgery_dsl.proof.size_ties import compare
from surgery_dsl.run.prepare import Checked, check
from tests.cli.program import Ran, run

pytest.importorskip("transformers")

NETWORKS = """
import transformers as T
from torch import nn

SIZES = dict(vocab_size=101, hidden_size=56, num_hidden_layers=2, num_attention_heads=14)


def qwen():
    return T.Qwen2ForCausalLM(T.Qwen2Config(num_key_value_heads=2, intermediate_size=48, **SIZES))


def falcon():
    return T.FalconForCausalLM(T.FalconConfig(multi_query=True, new_decoder_architecture=False, **SIZES))


def bigcode():
    sizes = dict(vocab_size=101, n_embd=56, n_layer=2, n_head=14, n_positions=64, bos_token_id=0, eos_token_id=0)
    return T.GPTBigCodeForCausalLM(T.GPTBigCodeConfig(multi_query=True, **sizes))


def bert():
    sizes = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4)
    return T.BertModel(T.BertConfig(**sizes))


def mixed():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))
"""

PLAN = """\
surg 1

model net {{
  load = python("nets:{network}")
  input = [input_ids("i64", [B, T], T = 2..16)]
}}

identify some {{
  in = {sites}
  unit = {unit}
  by = magnitude
  take = {take}
}}
excise some
"""

ATTENTIONS = 'attention("**")'
Plan = Callable[..., Path]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Return what writes a plan for a network, and the network beside it."""
    (tmp_path / "nets.py").write_text(NETWORKS)

    def write(network: str, sites: str, unit: str, take: str) -> Path:
        path = tmp_path / "plan.surg"
        path.write_text(PLAN.format(network=network, sites=sites, unit=unit, take=take))
        return path

    return write


def checked(path: Path) -> Checked:
    return check(path, allow_code=["nets:*"])


def finding(path: Path) -> Diagnostic:
    return next(found for found in checked(path).diagnostics if found.severity == "error")


def ran(path: Path, *words: str) -> Ran:
    return run(path.parent, words[0], path.name, *words[1:], "--allow-code", "nets:*")


# ---- 6: 14 query heads and 2 key/value heads, or 1 ---------------------------------------------------------------


def test_6_a_share_of_two_groups_that_is_none_says_the_legal_counts(plan: Plan) -> None:
    found = finding(plan("qwen", ATTENTIONS, "kv_groups", "lowest(20%)"))
    assert found.code.id == "SD222"
    assert "`model.layers.0.self_attn`" in found.message
    assert "14 query / 2 KV heads: legal keep counts are 7 and 14 query heads" in found.notes
    assert found.help == "take at least 25%"


def test_6_a_head_of_one_group_alone_says_the_legal_counts(plan: Plan) -> None:
    found = finding(plan("qwen", ATTENTIONS, "heads", "lowest(1)"))
    assert found.code.id == "SD224"
    assert "14 query / 2 KV heads: legal keep counts are 2, 4, 6, … and 14 query heads" in found.notes
    assert found.help == "take 2 or another multiple of 2"


def test_6_where_no_head_can_go_the_help_leaves_no_site_out(plan: Plan) -> None:
    found = finding(plan("falcon", ATTENTIONS, "heads", "lowest(1)"))
    assert found.code.id == "SD226"
    assert found.help == "write mode = zero in this step"


@pytest.mark.parametrize(
    ("network", "unit", "take", "counts"),
    [
        ("qwen", "kv_groups", "lowest(25%)", "2 units, asked lowest 25%, takes 1, keeps 1"),
        ("qwen", "heads", "lowest(2)", "14 units, asked lowest 2, takes 2, keeps 12"),
        ("bigcode", "heads", "only([0, 3, 5])", "14 units, asked only 0, 3, 5, takes 3, keeps 11"),
    ],
)
def test_6_counts_that_are_legal_are_proved(plan: Plan, network: str, unit: str, take: str, counts: str) -> None:
    path = plan(network, ATTENTIONS, unit, take)
    shown = ran(path, "check")
    assert shown.code == 0, shown.out
    assert f"{{0,1}}.{'self_attn' if network == 'qwen' else 'attn'}: {counts} each\n" in shown.out
    assert "2 of 2 attention sites" in shown.out


@pytest.mark.parametrize("network", ["falcon", "bigcode"])
def test_6_the_only_key_value_head_stays_and_the_unit_that_works_is_named(plan: Plan, network: str) -> None:
    found = finding(plan(network, ATTENTIONS, "kv_groups", "lowest(1)"))
    assert found.code.id == "SD127"
    assert "has a single key/value head for 14 query heads" in found.message
    works = network == "bigcode"  # Falcon's forward cuts keys and values off by index
    assert found.help.startswith("write unit = heads, which takes query heads" + ("" if works else "; but this alone"))
    assert [fix.verified for fix in found.fixes] == (["accepted"] if works else [])


def test_6_what_holds_the_heads_is_named_with_its_line(plan: Plan) -> None:
    """Falcon's forward cuts keys and values off a fused projection by index."""
    found = finding(plan("falcon", ATTENTIONS, "heads", "lowest(1)"))
    assert found.code.id == "SD226"
    assert "modeling_falcon.py:" in found.message


# ---- features of heads: one integer for queries, keys and values -------------------------------------------------


@pytest.mark.parametrize("site", ["query", "value"])
def test_5_features_of_heads_are_no_channels_of_one_projection(plan: Plan, site: str) -> None:
    found = finding(plan("bert", f'linear("encoder.layer.*.attention.self.{site}")', "channels", "lowest(25%)"))
    assert found.code.id == "SD127"
    assert "rows of attention heads (4), which go as a whole" in found.message
    assert found.help.startswith("write unit = heads")


def test_5_features_of_queries_and_values_keep_one_size(plan: Plan) -> None:
    path = plan("bert", ATTENTIONS, "heads", "lowest(1)")
    assert checked(path).report is not None
    interface = Lock.model_validate_json(Path(f"{path}.lock").read_text()).models[0].interface
    layer = "encoder.layer.0.attention.self"
    sizes = {name: interface.tensor_by_name[f"{layer}.{name}.weight"].dims[0][-1] for name in ("query", "key", "value")}
    assert sizes["query"] == sizes["key"] != sizes["value"]

    def broken(*axes: int) -> tuple[Diagnostic, ...]:
        draft, sink = Draft(interface), Sink("plan.surg")
        for axis in axes:
            draft.resize(axis, 6)
        compare(interface, draft.finish(), "narrow", None, sink)
        return sink.found

    assert {found.code.id for found in broken(sizes["query"])} == {"SD235"}
    assert "attention_head_size" in broken(sizes["query"])[0].message
    assert "(8 -> 6)" in broken(sizes["value"])[0].message
    assert broken(sizes["query"], sizes["value"]) == ()


# ---- 16, 17: how much of the network a step speaks of ------------------------------------------------------------


def test_16_a_step_says_how_many_sites_of_how_many_it_means(plan: Plan) -> None:
    path = plan("bert", 'mlp("encoder.layer.{0,1}")', "channels", "lowest(25%)")
    shown = ran(path, "check").out
    assert "identify some: 2 of 4 mlp sites, 12.4 % of the parameters" in shown
    assert "encoder.layer.{0,1}: 48 units, asked lowest 25%, takes 12, keeps 36 each" in shown
    applied = ran(path, "apply", "-o", "out", "--device", "cpu", "--no-progress").out
    assert "2 of 4 mlp sites" in applied


def test_16_what_is_done_is_counted_too(plan: Plan) -> None:
    path = plan("bert", 'linear("encoder.layer.0.intermediate.dense")', "channels", "lowest(25%)")
    shown = ran(path, "apply", "-o", "out", "--device", "cpu", "--no-progress").out
    assert "some: channels of 1 of 25 linear sites" in shown
    assert "took 12 of 48, kept 36" in shown


def test_17_sites_that_a_step_leaves_as_they_are_are_counted(plan: Plan) -> None:
    path = plan("mixed", "", "", "")
    head = (
        path.read_text().partition("identify")[0].replace('[input_ids("i64", [B, T], T = 2..16)]', 'x("f32", [N, 4])')
    )
    path.write_text(head + 'replace smooth {\n  at = [relu("**"), gelu("**")]\n  with = gelu()\n}\n')
    assert "replace smooth: 2 sites, 1 left as it is" in ran(path, "check").out
    assert "smooth: 1 of 2 sites changed" in ran(path, "apply", "-o", "out", "--device", "cpu", "--no-progress").out
