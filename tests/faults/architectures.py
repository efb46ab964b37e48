"""The networks that faults are put into: transformers and timm from tiny configs, and ``patients.py``.

An architecture is the ``model`` block that a plan begins with; its config file, where it has one, stands beside
the plan. Sizes are unlike where the architecture allows it, so that a number in a message tells which one it is.
"""

import json
from pathlib import Path
from typing import Any

TEXT = {"vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 56}
TOKENS = {"max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
IMAGE = {"num_channels": 3, "image_size": 32, "patch_size": 8}
VISION = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 56, **IMAGE}
GPT = {"vocab_size": 97, "n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 40, "num_key_value_heads": 2}
SEQ = {
    "vocab_size": 97,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 60,
    "decoder_start_token_id": 2,
    **TOKENS,
}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": (
        "LlamaForCausalLM",
        {**TEXT, **TOKENS, "num_attention_heads": 6, "num_key_value_heads": 2, "tie_word_embeddings": False},
    ),
    "mistral": ("MistralForCausalLM", {**TEXT, **TOKENS, "num_attention_heads": 6, "num_key_value_heads": 3}),
    "qwen2": (
        "Qwen2ForCausalLM",
        {**TEXT, **TOKENS, "hidden_size": 56, "num_attention_heads": 14, "num_key_value_heads": 2},
    ),
    "gemma": ("GemmaForCausalLM", {**TEXT, **TOKENS, "num_key_value_heads": 1, "head_dim": 12}),
    "gpt2": ("GPT2LMHeadModel", GPT),
    "bert": ("BertForSequenceClassification", {**TEXT, **TOKENS, "num_labels": 3}),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": 97, "dim": 48, "n_layers": 3, "n_heads": 4, "hidden_dim": 56, "max_position_embeddings": 64},
    ),
    "mixtral": ("MixtralForCausalLM", {**TEXT, **TOKENS, **EXPERTS, "num_local_experts": 4}),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        {**TEXT, **TOKENS, **EXPERTS, "num_experts": 6, "shared_expert_intermediate_size": 44},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": 97, "d_model": 48, "d_kv": 12, "d_ff": 56, "num_layers": 2, "num_heads": 4}
        | {"pad_token_id": 0, "decoder_start_token_id": 0},
    ),
    "bart": ("BartForConditionalGeneration", SEQ),
    "opt": ("OPTForCausalLM", {**TEXT, **TOKENS, "ffn_dim": 56, "word_embed_proj_dim": 48}),
    "falcon": (
        "FalconForCausalLM",
        {**TEXT, **TOKENS, "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False},
    ),
    "phi": ("PhiForCausalLM", {**TEXT, **TOKENS, "partial_rotary_factor": 0.5}),
    "gpt_neox": ("GPTNeoXForCausalLM", {**TEXT, **TOKENS, "rotary_pct": 0.5}),
    "bloom": ("BloomForCausalLM", {"vocab_size": 97, "hidden_size": 48, "n_layer": 3, "n_head": 4}),
    "vit": ("ViTForImageClassification", {**VISION, "num_labels": 5}),
    "resnet": (
        "ResNetForImageClassification",
        {"embedding_size": 12, "hidden_sizes": [16, 24], "depths": [2, 2], "layer_type": "basic", "num_labels": 5},
    ),
    "convnext": (
        "ConvNextForImageClassification",
        {"hidden_sizes": [16, 24], "depths": [2, 2], "num_stages": 2, "num_labels": 5},
    ),
}
"""Class and config by name; the name is the config's ``model_type``."""

TIMM = {
    "timm_resnet": '"resnet18", num_classes = 5, channels = [8, 8, 16, 16]',
    "timm_vit": '"vit_tiny_patch16_224", img_size = 32, num_classes = 5, embed_dim = 24, depth = 3, num_heads = 2',
    "timm_densenet": '"densenet121", num_classes = 5, growth_rate = 8, block_config = [2, 3]',
}

PATIENTS = {
    "vgg": 'x("f32", [N, 3, 32, 32])',
    "small_resnet": 'x("f32", [N, 3, H, W])',
    "unet": 'x("f32", [N, 3, 32, 32])',
    "densenet": 'x("f32", [N, 3, H, W])',
    "resnext": 'x("f32", [N, 3, H, W])',
    "decoder": 'tokens("i64", [B, T], T = 1..16)',
    "patches": 'x("f32", [N, 3, 32, 32])',
    "shuffle": 'x("f32", [N, 3, 32, 32])',
    "mlp": 'x("f32", [N, 16])',
    "inception": 'x("f32", [N, 3, H, W])',
    "digits": 'x("f32", [N, 64])',
    "twins": '[left("f32", [N, 16]), right("f32", [N, 16])]',
}


def head(name: str) -> str:
    """Return the ``model`` block of an architecture."""
    if name in CONFIGS:
        lines = [f'load = hf_config("{name}.json")']
    elif name in TIMM:
        lines = [f"load = timm({TIMM[name]})"]
    else:
        lines = [f'load = python("patients:{name.removeprefix("small_")}")', f"input = {PATIENTS[name]}"]
    return "\n".join(["surg 1", "", "model net {", *(f"  {line}" for line in lines), "}", ""])


def write_configs(folder: Path) -> None:
    """Write every config file."""
    for name, (architecture, settings) in CONFIGS.items():
        given = {"architectures": [architecture], "model_type": name, **settings}
        (folder / f"{name}.json").write_text(json.dumps(given, indent=1) + "\n", encoding="utf-8")
