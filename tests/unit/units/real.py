"""Tiny networks of the transformers package, weights drawn from a seed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace

transformers = pytest.importorskip("transformers")
SIZES: dict[str, Any] = {"vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 20}
NO_TOKENS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def llama(heads: int = 6, kv: int = 2) -> nn.Module:
    config = transformers.LlamaConfig(
        **SIZES, **NO_TOKENS, num_attention_heads=heads, num_key_value_heads=kv, head_dim=4
    )
    return drawn(transformers.LlamaForCausalLM(config))


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=4, **NO_TOKENS)
    return drawn(transformers.GPT2LMHeadModel(config))


def bert() -> nn.Module:
    return drawn(transformers.BertModel(transformers.BertConfig(**SIZES, num_attention_heads=4)))


def vit() -> nn.Module:
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, intermediate_size=20, num_attention_heads=4, image_size=8, patch_size=4
    )
    return drawn(transformers.ViTModel(config))


def neox() -> nn.Module:
    config = transformers.GPTNeoXConfig(**SIZES, **NO_TOKENS, num_attention_heads=4)
    return drawn(transformers.GPTNeoXForCausalLM(config))


def bloom() -> nn.Module:
    config = transformers.BloomConfig(vocab_size=61, hidden_size=24, n_layer=2, n_head=4, **NO_TOKENS)
    return drawn(transformers.BloomForCausalLM(config))


def mixtral() -> nn.Module:
    config = transformers.MixtralConfig(
        **SIZES,
        **NO_TOKENS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    model = transformers.MixtralForCausalLM(config)
    model.set_experts_implementation("eager")  # the grouped one takes no float64
    return drawn(model)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "llama": llama,
    "gpt2": gpt2,
    "bert": bert,
    "vit": vit,
    "neox": neox,
    "mixtral": mixtral,
}


def drawn(model: nn.Module) -> nn.Module:
    """Draw every parameter anew, in float64, and set the model to eval mode."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return model


def traced(model: nn.Module) -> Interface:
    if model.main_input_name == "pixel_values":
        return trace(model, (InputSpec(name="pixel_values", dtype="f64", dims=("N", 3, 8, 8)),))
    return trace(model, (InputSpec(name="input_ids", dtype="i64", dims=("N", 7), below=61),))


def outputs(model: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        if model.main_input_name == "pixel_values":
            return model(torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64))[0]
        tokens = torch.randint(0, 61, (2, 7), generator=generator)
        found: Tensor = model(tokens, use_cache=False)[0] if "Causal" in type(model).__name__ else model(tokens)[0]
        return found
