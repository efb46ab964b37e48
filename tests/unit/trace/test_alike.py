"""A network with values makes the calls that its skeleton made, whatever the library sees."""

import pytest
import torch

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace.capture import trace

transformers = pytest.importorskip("transformers")
IDS = (InputSpec(name="input_ids", dtype="i64", dims=("B", "T"), below=50),)


@pytest.mark.parametrize("name", ["Llama", "GPT2"])
def test_a_skeleton_and_a_network_trace_alike(name: str) -> None:
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 24, "num_key_value_heads": 2} if name == "Llama" else {}
    config = getattr(transformers, f"{name}Config")(**sizes, **more, bos_token_id=0, eos_token_id=0, use_cache=False)
    build = getattr(transformers, f"{name}ForCausalLM" if name == "Llama" else f"{name}LMHeadModel")
    with torch.device("meta"):
        skeleton = build(config)
    assert differences(trace(skeleton, IDS), trace(build(config), IDS)) == ()
    assert transformers.utils.import_utils.is_fake_tensor(torch.zeros(1)) is False


def test_the_number_of_stacked_experts_follows_them() -> None:
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = transformers.MixtralConfig(intermediate_size=24, num_key_value_heads=2, num_local_experts=4, **sizes)
    with torch.device("meta"):
        skeleton = transformers.MixtralForCausalLM(config)
    traced = trace(skeleton, IDS)
    experts = traced.module_by_path["model.layers.0.mlp.experts"]
    weights = traced.tensor_by_name["model.layers.0.mlp.experts.down_proj"]
    assert experts.integers["num_experts"] == weights.dims[0]
