"""A skeleton without values and the network itself make the same calls."""

import pytest
import torch

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace.capture import trace


def test_a_small_model_of_transformers_is_its_skeleton() -> None:
    """Its forward leaves the mask out, and with it repeated keys, where tensors have values."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        head_dim=4, vocab_size=32,
    )  # fmt: skip
    inputs = (InputSpec(name="input_ids", dtype="i64", dims=("B", "T")),)
    with torch.device("meta"):
        skeleton = transformers.LlamaForCausalLM(config).eval()
    network = transformers.LlamaForCausalLM(config).eval()
    assert differences(trace(skeleton, inputs), trace(network, inputs)) == ()
