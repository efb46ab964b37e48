"""Small networks of transformers by family: a list of blocks, and the same network built with another depth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize

FREE = (
    FreeSize(name="B", least=1, most=4),
    FreeSize(name="T", least=1, most=30),
    FreeSize(name="U", least=1, most=30),
)
SIZES: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
DECODER = {**SIZES, "num_key_value_heads": 2, "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
IDS = InputSpec(name="input_ids", dtype="i64", dims=("B", "T"), below=101)
PAIR = (IDS, InputSpec(name="decoder_input_ids", dtype="i64", dims=("B", "U"), below=101))
IMAGE = InputSpec(name="pixel_values", dtype="f32", dims=("B", 3, 16, 16))


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        config: Name of the config's class in transformers.
        model: Name of the model's class.
        settings: What the config is made with.
        path: The list of blocks.
        depth: The config's field that counts them.
        each: Fields of the config with one item for each block.
        inputs: What the forward takes.
        generates: Whether tokens can be generated.
        flags: Attributes of the config that its class does not take.
    """

    config: str
    model: str
    settings: Mapping[str, Any]
    path: str
    depth: str = "num_hidden_layers"
    each: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: tuple[InputSpec, ...] = (IDS,)
    generates: bool = True
    flags: Mapping[str, Any] = field(default_factory=dict)

    def build(self, order: tuple[int, ...] = (0, 1, 2, 3)) -> nn.Module:
        """Build the network with the blocks that an order names, each drawn as the original's."""
        import transformers

        settings = {**self.settings, self.depth: len(order)}
        settings |= {name: [items[number] for number in order] for name, items in self.each.items()}
        config = getattr(transformers, self.config)(**settings)
        vars(config).update(self.flags)
        torch.manual_seed(0)
        return getattr(transformers, self.model)(config).eval()

    def rebuilt(self, original: nn.Module, order: tuple[int, ...]) -> nn.Module:
        """Build a network of another depth by its host, with the weights of the original's blocks in order."""
        fresh = self.build(order)
        values = original.state_dict()
        fresh.load_state_dict({name: values[self.origin(name, order)] for name in fresh.state_dict()})
        return fresh

    def origin(self, name: str, order: tuple[int, ...]) -> str:
        """Return what a tensor of a rebuilt network was called."""
        prefix = self.path + "."
        if not name.startswith(prefix):
            return name
        number, _, rest = name.removeprefix(prefix).partition(".")
        return f"{prefix}{order[int(number)]}.{rest}"


KINDS = ("sliding_attention", "full_attention", "sliding_attention", "full_attention")
T5 = {"vocab_size": 101, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_heads": 4, "decoder_start_token_id": 0}
BART = {
    **{f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("attention_heads", 4), ("ffn_dim", 48))},
    "vocab_size": 101,
    "d_model": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "forced_eos_token_id": None,
}
GPT2 = {"vocab_size": 101, "n_embd": 32, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2}

FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig", "LlamaForCausalLM", DECODER, "model.layers"),
    "gpt2": Family("GPT2Config", "GPT2LMHeadModel", GPT2, "transformer.h", "n_layer"),
    "mistral": Family("MistralConfig", "MistralForCausalLM", {**DECODER, "sliding_window": 8}, "model.layers"),
    "qwen2": Family(
        *("Qwen2Config", "Qwen2ForCausalLM"),
        {**DECODER, "use_sliding_window": True, "sliding_window": 8},
        "model.layers",
        each={"layer_types": KINDS},
    ),
    "qwen3": Family("Qwen3Config", "Qwen3ForCausalLM", {**DECODER, "head_dim": 8}, "model.layers"),
    "gemma2": Family(
        *("Gemma2Config", "Gemma2ForCausalLM"),
        {**DECODER, "head_dim": 8, "sliding_window": 8},
        "model.layers",
        each={"layer_types": KINDS},
    ),
    "gemma3": Family(
        *("Gemma3TextConfig", "Gemma3ForCausalLM"),
        {**DECODER, "head_dim": 8, "sliding_window": 8},
        "model.layers",
        each={"layer_types": KINDS},
    ),
    "mixtral": Family(
        *("MixtralConfig", "MixtralForCausalLM"),
        {**DECODER, "num_local_experts": 4, "num_experts_per_tok": 2},
        "model.layers",
        flags={"_experts_implementation_internal": "batched_mm"},
    ),
    "mamba": Family(
        *("MambaConfig", "MambaForCausalLM"),
        {"vocab_size": 101, "hidden_size": 32, "state_size": 4},
        "backbone.layers",
        inputs=(InputSpec(name="input_ids", dtype="i64", dims=("B", 7), below=101),),
    ),
    "t5 decoder": Family(
        *("T5Config", "T5ForConditionalGeneration"),
        {**T5, "num_layers": 4},
        "decoder.block",
        "num_decoder_layers",
        inputs=PAIR,
        generates=False,  # transformers itself cannot, where encoder and decoder differ in depth
    ),
    "t5 encoder": Family(
        *("T5Config", "T5ForConditionalGeneration"),
        {**T5, "num_decoder_layers": 4},
        "encoder.block",
        "num_layers",
        inputs=PAIR,
        generates=False,
    ),
    "bart encoder": Family(
        *("BartConfig", "BartForConditionalGeneration"),
        {**BART, "decoder_layers": 4},
        "model.encoder.layers",
        "encoder_layers",
        inputs=PAIR,
    ),
    "bart decoder": Family(
        *("BartConfig", "BartForConditionalGeneration"),
        {**BART, "encoder_layers": 4},
        "model.decoder.layers",
        "decoder_layers",
        inputs=PAIR,
    ),
    "bert": Family("BertConfig", "BertModel", SIZES, "encoder.layer", generates=False),
    "vit": Family(
        *("ViTConfig", "ViTModel"),
        {**{k: v for k, v in SIZES.items() if k.startswith(("hid", "int", "num"))}, "image_size": 16, "patch_size": 4},
        "layers",
        inputs=(IMAGE,),
        generates=False,
    ),
}
