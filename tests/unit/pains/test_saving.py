"""Pains of saving, loading and serving: results come back, hosts load them or the plan is refused before it runs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.diagnostics.codes import hosts, trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.prepare import check
from surgery_dsl.run.reload import Answer, Job, Reloader

transformers = pytest.importorskip("transformers")

NETWORKS = """
import transformers as T


def llama(**more):
    sizes = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)
    sizes |= dict(num_key_value_heads=2, max_position_embeddings=64)
    return T.LlamaForCausalLM(T.LlamaConfig(**sizes | more))


def llama8():
    return llama(num_attention_heads=8, num_key_value_heads=4)


def qwen():
    sizes = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)
    return T.Qwen2ForCausalLM(T.Qwen2Config(num_key_value_heads=2, max_position_embeddings=64, **sizes))


def mixtral():
    sizes = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    return T.MixtralForCausalLM(T.MixtralConfig(num_key_value_heads=2, num_local_experts=4, **sizes))


def bert():
    sizes = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    return T.BertForSequenceClassification(T.BertConfig(max_position_embeddings=64, **sizes))


def gpt2():
    sizes = dict(vocab_size=101, n_embd=32, n_layer=3, n_head=4, n_positions=64)
    return T.GPT2LMHeadModel(T.GPT2Config(bos_token_id=0, eos_token_id=0, **sizes))


def vit():
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
    return T.ViTForImageClassification(T.ViTConfig(image_size=16, patch_size=4, **sizes))


def swin():
    config = T.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 4], window_size=4)
    return T.SwinForImageClassification(config)


def resnet():
    config = T.ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2], layer_type="bottleneck")
    return T.ResNetForImageClassification(config)


def t5():
    sizes = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    return T.T5ForConditionalGeneration(T.T5Config(vocab_size=101, decoder_start_token_id=0, **sizes))


def whisper():
    sizes = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4)
    sizes |= dict(encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=8, max_source_positions=16)
    tokens = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    lists = dict(suppress_tokens=None, begin_suppress_tokens=None)
    config = T.WhisperConfig(vocab_size=101, max_target_positions=16, **sizes, **tokens, **lists)
    return T.WhisperForConditionalGeneration(config)
"""

IDS = '[input_ids("i64", [B, T], T = 2..16)]'
PIXELS = 'pixel_values("f32", [N, 3, 16, 16])'
PAIR = '[input_ids("i64", [B, S]), decoder_input_ids("i64", [B, T])]'
SPEECH = '[input_features("f32", [B, 8, 32]), decoder_input_ids("i64", [B, T], T = 1..16)]'

HEAD = """\
surg 1

model net {{
  load = python("nets:{network}")
  input = {given}
  target = {target}
}}

"""


def cut(sites: str, unit: str = "channels", take: str = "lowest(25%)", per: str = "site") -> str:
    """Return the steps that remove something at random."""
    return f"""\
identify weak {{
  in = {sites}
  unit = {unit}
  by = random(seed = 1)
  take = {take}
  per = {per}
}}
excise weak {{ mode = remove }}
"""


GROUPS = cut('attention("model.layers.*.self_attn")', "kv_groups", "lowest(1)")


class InProcess:
    """Answers in this process: what a clean one adds is tried once, below."""

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, job: Job, timeout: float = 0) -> Answer:
        return reload.answer(job)


Go = Callable[..., Outcome]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Return what applies steps to a network and writes ``tmp_path / "out"``."""
    (tmp_path / "nets.py").write_text(NETWORKS)

    def run(network: str, given: str, steps: str, target: str = "hf", clean: bool = False, **more: object) -> Outcome:
        monkeypatch.setattr(reload, "Reloader", Reloader if clean else InProcess)
        plan = tmp_path / "plan.surg"
        plan.write_text(HEAD.format(network=network, given=given, target=target) + steps)
        return apply(plan, tmp_path / "out", allow_code=["nets:*"], device="cpu", **more)  # type: ignore[arg-type]

    return run


def config_of(outcome: Outcome) -> dict:
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    return json.loads((outcome.output / "config.json").read_text())


def codes(outcome: Outcome) -> list[str]:
    return [found.code.id for found in outcome.diagnostics if found.severity == "error"]


# ---- 11: "I cannot load my pruned model" -------------------------------------------------------------------------

FAMILIES = {
    "llama": (IDS, 'linear("model.layers.*.mlp.gate_proj")', {"intermediate_size": 36}),
    "bert": (IDS, 'linear("bert.encoder.layer.*.intermediate.dense")', {"intermediate_size": 36}),
    "gpt2": (IDS, 'linear("transformer.h.*.mlp.c_fc")', {"n_inner": 96}),
    "vit": (PIXELS, 'linear("vit.layers.*.mlp.fc1")', {"intermediate_size": 36}),
    "t5": (PAIR, 'linear("**.wi")', {"d_ff": 36}),
    "whisper": (SPEECH, 'linear("model.encoder.layers.*.fc1")', {"encoder_ffn_dim": 36, "decoder_ffn_dim": 48}),
}


@pytest.mark.parametrize("network", FAMILIES)
def test_a_pruned_network_loads_by_its_host_with_the_very_same_outputs(go: Go, network: str) -> None:
    given, sites, fields = FAMILIES[network]
    outcome = go(network, given, cut(sites))
    config = config_of(outcome)
    assert {name: config[name] for name in fields} == fields
    assert outcome.output is not None
    record = json.loads((outcome.output / "surgery.json").read_text())
    assert record["loads_with"] == [f"transformers.{config['architectures'][0]}.from_pretrained"]
    assert outcome.predicate is not None
    claims = {claim.kind: claim for claim in outcome.predicate.claims.measured}
    assert claims["host"].value == "largest difference 0"
    ours = surgery_dsl.load(outcome.output, ["nets:*"])
    assert not any(tensor.is_meta for tensor in (*ours.parameters(), *ours.buffers()))


def test_a_clean_process_loads_it_without_this_program(go: Go) -> None:
    outcome = go("llama", IDS, cut('linear("model.layers.*.mlp.gate_proj")'), clean=True, shard_size=20_000)
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    assert len(list(outcome.output.glob("model-*.safetensors"))) > 1
    ours = surgery_dsl.load(outcome.output, ["nets:*"])
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        save_file({"ids": ids, "wanted": ours(ids).logits}, outcome.output.parent / "probe.safetensors")
    program = """
import sys, torch, transformers
from safetensors.torch import load_file
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
probe = load_file(sys.argv[2])
with torch.no_grad():
    print(float((model(probe["ids"].clone()).logits - probe["wanted"]).abs().max()))
assert "surgery_dsl" not in sys.modules
"""
    words = [sys.executable, "-c", program, str(outcome.output), str(outcome.output.parent / "probe.safetensors")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.strip().splitlines()[-1]) < 1e-6


def test_a_checkpoint_in_is_a_checkpoint_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "Reloader", InProcess)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(vocab_size=101, num_key_value_heads=2, max_position_embeddings=64, **sizes)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "tokenizer_config.json").write_text("{}")
    plan = tmp_path / "plan.surg"
    text = HEAD.format(network="", given=IDS, target="hf").replace('python("nets:")', 'hf("checkpoint")')
    plan.write_text(text + GROUPS)
    outcome = apply(plan, tmp_path / "out", device="cpu")
    assert config_of(outcome)["num_attention_heads"] == 2
    assert (tmp_path / "out" / "tokenizer_config.json").is_file()
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out")
    ours = surgery_dsl.load(tmp_path / "out")
    ids = torch.arange(8).reshape(2, 4)
    assert torch.equal(again(ids).logits, ours(ids).logits)
    steps = cut('linear("model.layers.*.mlp.gate_proj")')
    plan = tmp_path / "more.surg"
    plan.write_text(text.replace('hf("checkpoint")', 'hf("out")') + steps)  # and on from there, as from any checkpoint
    config = config_of(apply(plan, tmp_path / "more", device="cpu"))
    assert (config["num_attention_heads"], config["intermediate_size"]) == (2, 36)


@pytest.mark.parametrize(
    ("network", "given", "sites"),
    [
        ("swin", 'pixel_values("f32", [N, 3, 32, 32])', 'linear("swin.encoder.layers.*.blocks.*.mlp.fc1")'),
        ("resnet", 'pixel_values("f32", [N, 3, 32, 32])', 'conv2d("**.layer.1.convolution")'),
        ("mixtral", IDS, ""),
    ],
)
def test_what_no_host_can_say_loads_by_this_program(go: Go, network: str, given: str, sites: str) -> None:
    steps = cut(sites) if sites else GROUPS
    outcome = go(network, given, steps, target="none")
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    assert not (outcome.output / "config.json").exists()
    assert json.loads((outcome.output / "surgery.json").read_text())["loads_with"] == []
    model = surgery_dsl.load(outcome.output, ["nets:*"])
    written = load_file(outcome.output / "model.safetensors")
    assert all(torch.equal(tensor, written[name]) for name, tensor in model.named_parameters())


def test_experts_leave_in_the_layout_that_their_host_reads(go: Go) -> None:
    outcome = go("mixtral", IDS, cut('module("model.layers.*.mlp")', "experts", "only([1])"))
    assert config_of(outcome)["num_local_experts"] == 3


def test_heads_of_a_mixture_leave_with_their_width_written_out(go: Go) -> None:
    config = config_of(go("mixtral", IDS, GROUPS))
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (2, 1, 8)


# ---- 12: the host's config cannot express the new shape ----------------------------------------------------------


def test_heads_go_where_the_config_has_their_width(go: Go) -> None:
    config = config_of(go("llama", IDS, GROUPS))
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (2, 1, 8)
    assert config["hidden_size"] == 32


def test_a_width_that_the_config_class_does_not_name_is_still_said(go: Go) -> None:
    config = config_of(go("qwen", IDS, GROUPS))
    assert (config["num_attention_heads"], config["head_dim"]) == (2, 8)  # not 32 // 2


def test_a_network_of_a_host_is_exported(go: Go, tmp_path: Path) -> None:
    outcome = go("llama", IDS, GROUPS)
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    exported = surgery_dsl.export(outcome.output, tmp_path / "net.pt2", allow_code=["nets:*"])
    assert (exported.difference, len(exported.sizes)) == (0.0, 2)


def test_heads_stay_where_their_width_is_derived(go: Go) -> None:
    outcome = go("bert", IDS, cut('attention("bert.encoder.layer.*.attention.self")', "heads", "lowest(1)"))
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    found = outcome.diagnostics[0]
    assert found.path == "bert.encoder.layer.0.attention.self.query.weight"
    assert (found.facts["found"], found.facts["given"]) == (24, 32)
    assert "`hidden_size` = 32" in found.message
    assert "target = none" in found.help
    assert found.span is not None


def test_a_number_of_heads_that_the_config_does_not_take_is_refused(go: Go) -> None:
    outcome = go("llama8", IDS, GROUPS)
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    found = outcome.diagnostics[0]
    assert (found.facts["found"], found.facts["given"]) == (32, 6)
    assert "`num_attention_heads` become 4 or 8" in found.help


def test_one_layer_of_another_width_is_refused(go: Go) -> None:
    outcome = go("llama", IDS, cut('linear("model.layers.1.mlp.gate_proj")'))
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    found = outcome.diagnostics[0]
    assert (found.facts["found"], found.facts["given"]) == (36, 48)
    assert found.path == "model.layers.1.mlp.gate_proj.weight"


def test_widths_that_a_global_ranking_chooses_are_refused_before_it_chooses(go: Go) -> None:
    outcome = go("llama", IDS, cut('linear("model.layers.*.mlp.gate_proj")', per="global"))
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    assert "`intermediate_size`" in outcome.diagnostics[0].message


def test_two_steps_that_fit_together_are_fine(go: Go) -> None:
    layers = '"model.layers.{0,1}.mlp.gate_proj"', '"model.layers.2.mlp.gate_proj"'
    first = cut(f"linear({layers[0]})")
    second = cut(f"linear({layers[1]})").replace("weak", "rest")
    assert config_of(go("llama", IDS, first + second))["intermediate_size"] == 36


def test_layers_are_counted(go: Go) -> None:
    config = config_of(go("qwen", IDS, cut('module("model.layers.*")', "modules", "only([1])")))
    assert config["num_hidden_layers"] == 2
    assert config["layer_types"] == ["full_attention"] * 2


def test_the_proof_needs_neither_torch_nor_transformers(go: Go, tmp_path: Path) -> None:
    go("bert", IDS, cut('attention("bert.encoder.layer.*.attention.self")', "heads", "lowest(1)"))
    program = (
        "import sys; from surgery_dsl import check; found = check('plan.surg').diagnostics; "
        "print([d.code.id for d in found], 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(surgery_dsl.__file__).parents[1])}
    words = [sys.executable, "-c", program]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert ran.stdout.strip() == f"['{hosts.HOST_CANNOT_EXPRESS.id}'] False False", ran.stderr


def test_a_network_of_ones_own_has_no_host(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Linear(4, 2))\n"
    )
    plan = tmp_path / "plan.surg"
    text = HEAD.format(network="build", given='x("f32", [N, 4])', target="hf").replace("nets:", "own:")
    plan.write_text(text)
    checked = check(plan, allow_code=["own:*"])
    assert [found.code for found in checked.diagnostics] == [hosts.NOT_A_HOSTS_NETWORK]
    assert "Sequential" in checked.diagnostics[0].message


def test_a_lock_from_before_the_target_is_stale(go: Go, tmp_path: Path) -> None:
    go("llama", IDS, cut('linear("model.layers.*.mlp.gate_proj")'), target="none")
    plan = tmp_path / "plan.surg"
    plan.write_text(plan.read_text().replace("target = none", "target = hf"))
    assert [found.code for found in check(plan).diagnostics] == [trust.STALE_LOCK]


def test_a_host_that_loads_otherwise_is_found_out(go: Go, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    genuine = transformers.LlamaForCausalLM.from_pretrained.__func__

    def louder(cls: type, *arguments: object, **more: object) -> object:
        model, report = genuine(cls, *arguments, **more)
        model.lm_head.weight.data *= 2
        return model, report

    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", classmethod(louder))
    outcome = go("llama", IDS, cut('linear("model.layers.*.mlp.gate_proj")'))
    assert codes(outcome) == [hosts.HOST_LOADS_OTHERWISE.id]
    assert outcome.diagnostics[-1].facts["difference"] > 0
    assert not (tmp_path / "out").exists()


# ---- 13: tied weights --------------------------------------------------------------------------------------------


def test_the_flag_of_ties_follows_an_untie(go: Go) -> None:
    steps = 'replace fresh {\n  at = linear("lm_head")\n  with = reinit(kaiming())\n  tie = untie\n}\n'
    outcome = go("gpt2", IDS, steps)
    assert config_of(outcome)["tie_word_embeddings"] is False
    assert outcome.output is not None
    loaded = transformers.GPT2LMHeadModel.from_pretrained(outcome.output)
    assert not torch.equal(loaded.lm_head.weight, loaded.transformer.wte.weight)


def test_ties_that_stay_are_written_once_and_flagged(go: Go) -> None:
    outcome = go("gpt2", IDS, cut('linear("transformer.h.*.mlp.c_fc")'))
    assert config_of(outcome)["tie_word_embeddings"] is True
    assert outcome.output is not None
    names = load_file(outcome.output / "model.safetensors").keys()
    assert ("lm_head.weight" in names) != ("transformer.wte.weight" in names)


# ---- 14: heads ---------------------------------------------------------------------------------------------------


def test_a_new_head_takes_its_labels_along(go: Go) -> None:
    steps = 'replace head {\n  at = linear("classifier")\n  with = linear(5)\n  changes = outputs\n}\n'
    outcome = go("bert", IDS, steps)
    assert len(config_of(outcome)["id2label"]) == 5
    assert outcome.output is not None
    loaded = transformers.BertForSequenceClassification.from_pretrained(outcome.output)
    assert loaded.classifier.bias.shape == (5,)
    assert loaded.num_labels == 5


# ---- 15: adapters that load but do nothing -----------------------------------------------------------------------


def test_what_a_config_does_not_build_is_refused(go: Go) -> None:
    steps = 'replace extra {\n  after = linear("model.layers.0.mlp.down_proj")\n  with = bottleneck(width = 3)\n}\n'
    outcome = go("llama", IDS, steps)
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    assert outcome.diagnostics[0].path.startswith("model.layers.0.mlp.down_proj.extra")


def test_a_result_without_its_adapters_does_not_load(go: Go) -> None:
    steps = 'replace extra {\n  after = linear("model.layers.0.mlp.down_proj")\n  with = bottleneck(width = 3)\n}\n'
    outcome = go("llama", IDS, steps, target="none")
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    path = outcome.output / "model.safetensors"
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if "extra" not in name}, path)
    with pytest.raises(Refused) as caught:
        surgery_dsl.load(outcome.output, ["nets:*"])
    assert caught.value.diagnostics[0].code in (trust.RESULT_CHANGED, trust.TENSOR_MISSING)
