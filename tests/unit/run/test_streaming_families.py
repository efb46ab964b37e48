"""Real families of networks out of core: every cut that they know gives the tensors of a run in core."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from surgery_dsl.certificate.verify import verify
from surgery_dsl.run.apply import apply

pytest.importorskip("transformers")

NETWORK = """
import torch
import transformers


class Logits(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, ids):
        return self.net(input_ids=ids, use_cache=False).logits


def build(family, **sizes):
    config = getattr(transformers, f"{family}Config")(**sizes)
    config._attn_implementation = "eager"
    ending = {"GPT2": "LMHeadModel"}.get(family, "ForCausalLM")
    return Logits(getattr(transformers, family + ending)(config))
"""
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 40,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "Llama": LLAMA,
    "Mixtral": {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    "GPT2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 40, "n_positions": 64},
}
HEAD = """\
surg 1

model net {{
  load = python("families:build", family = "{family}", {sizes})
  weights = "weights"
  input = ids("i64", [B, T], T = 2..64, below = 40)
}}
"""
STEPS = {
    "kv_groups": """
identify quiet {
  in = attention("net.model.layers.*.self_attn")
  unit = kv_groups
  by = magnitude(p = 1)
  take = lowest(4 -> 2)
}
excise quiet { mode = remove }
""",
    "heads": """
identify quiet {
  in = attention("net.transformer.h.*.attn")
  unit = heads
  by = magnitude(p = 1)
  take = lowest(4 -> 3)
}
excise quiet { mode = remove }
""",
    "width": """
identify narrow {
  in = linear("net.model.layers.*.mlp.gate_proj")
  unit = channels
  by = magnitude(p = 2)
  take = lowest(25%)
}
excise narrow { mode = remove }
""",
    "layers": """
identify late {
  in = module("net.model.layers.*")
  unit = modules
  take = only([1])
}
excise late { mode = remove }
""",
    "blocks": """
identify late {
  in = module("net.transformer.h.*")
  unit = modules
  take = only([0])
}
excise late { mode = remove }
""",
}
CASES = [
    ("Llama", ("kv_groups", "width", "layers")),
    ("GPT2", ("heads", "blocks")),
    ("Mixtral", ("kv_groups", "layers")),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "steps"), CASES, ids=[family for family, _ in CASES])
def test_a_family_gives_the_tensors_of_a_run_in_core(tmp_path: Path, family: str, steps: tuple[str, ...]) -> None:
    place = tmp_path / "plans"
    (place / "weights").mkdir(parents=True)
    (place / "families.py").write_text(NETWORK)
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    torch.manual_seed(3)
    net = scope["build"](family, **FAMILIES[family])  # type: ignore[operator]
    owners = {id(tensor): name for name, tensor in reversed(list(net.state_dict(keep_vars=True).items()))}
    tensors = {name: tensor.detach().clone() for name, tensor in net.state_dict(keep_vars=True).items()}
    tensors = {name: tensors[name] for name in tensors if name in owners.values()}
    names = list(tensors)
    places = {name: f"model-{2 * at // len(names) + 1:05}-of-00002.safetensors" for at, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in names if places[name] == file}, place / "weights" / file)
    (place / "weights" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    sizes = ", ".join(f"{name} = {value}" for name, value in FAMILIES[family].items())
    plan = place / "plan.surg"
    plan.write_text(HEAD.format(family=family, sizes=sizes) + "".join(STEPS[step] for step in steps))
    for name, out_of_core in (("in", False), ("out", True)):
        outcome = apply(
            plan, tmp_path / name, allow_code=["families:*"], device="cpu", out_of_core=out_of_core, shard_size=20_000
        )
        assert [f"{d.code.id} {d.message}" for d in outcome.diagnostics if d.severity.value == "error"] == []
    first, second = (_tensors(tmp_path / name) for name in ("in", "out"))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert sum(map(torch.numel, second.values())) < 0.9 * sum(map(torch.numel, tensors.values()))
    assert verify(tmp_path / "out").held


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_transformers_is_read_where_it_lies(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(3)
    net = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True)).to(torch.bfloat16)
    net.save_pretrained(tmp_path / "checkpoint", max_shard_size=20_000)
    plan = tmp_path / "plan.surg"
    steps = "".join(STEPS[step] for step in ("kv_groups", "width", "layers")).replace("net.model", "model")
    plan.write_text('surg 1\n\nmodel net {\n  load = hf("checkpoint")\n}\n' + steps)
    for name, out_of_core in (("in", False), ("out", True)):
        outcome = apply(plan, tmp_path / name, device="cpu", out_of_core=out_of_core)
        assert [f"{d.code.id} {d.message}" for d in outcome.diagnostics if d.severity.value == "error"] == []
    first, second = (_tensors(tmp_path / name) for name in ("in", "out"))
    assert first.keys() == second.keys()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert verify(tmp_path / "out").held
