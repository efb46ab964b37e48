"""Reading sizes from the configs of transformers: by the names that different families give them."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

_PARTS = ("vision_config", "text_config", "audio_config", "backbone_config", "encoder", "decoder", "audio_encoder")
"""Configs inside a config, in the order in which sizes are looked for."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "max_seq_length", "n_ctx")


def configs(config: Any, depth: int = 2) -> Iterator[Any]:
    """Yield a config, then those inside it."""
    yield config
    fields = getattr(config, "__dict__", {})
    if depth:
        known = [fields[name] for name in _PARTS if name in fields]
        for part in (*known, *fields.values()):
            if hasattr(part, "to_dict") and hasattr(part, "__dict__"):
                yield from configs(part, depth - 1)


def setting(config: Any, names: Sequence[str]) -> Any:
    """Return the first setting that goes by one of some names, ``None`` where there is none."""
    for part in configs(config):
        for name in names:
            value = getattr(part, name, None)
            if value is not None:
                return value
    return None


def sizes(config: Any, names: Sequence[str], otherwise: int) -> tuple[int, int]:
    """Return height and width of images: a number, a pair, or a mapping that names them."""
    found = setting(config, names)
    if isinstance(found, dict):
        return int(found.get("height", otherwise)), int(found.get("width", otherwise))
    if isinstance(found, list | tuple) and len(found) >= 2:
        return int(found[-2]), int(found[-1])
    if isinstance(found, list | tuple) and found:
        return int(found[0]), int(found[0])
    number = int(found) if isinstance(found, int) else otherwise
    return number, number


def _text(config: Any, target: bool) -> Any:
    """Return the config that speaks of text: a part of it where a model reads more than text."""
    for name in ("decoder", "text_config") if target else ("text_config", "encoder"):
        part = getattr(config, name, None)
        if hasattr(part, "to_dict"):
            return part
    return config


def below(model: nn.Module, target: bool) -> int | None:
    """Return what token ids stay below: the rows of the embedding, or the vocabulary of the config.

    Args:
        model: The model.
        target: Whether the ids are those of a decoder.
    """
    config = _text(model.config, target)
    names = ("decoder_vocab_size", "vocab_size") if target else ("vocab_size",)
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    found = _embedding(model)
    return None if found is None else int(found.num_embeddings)


def _embedding(model: Any) -> nn.Embedding | None:
    try:
        found = model.get_input_embeddings()
    except (AttributeError, RuntimeError, TypeError):  # some models have none, and say so in one of these ways
        return None
    return found if isinstance(found, nn.Embedding) else None


def limit(model: nn.Module, target: bool) -> int | None:
    """Return the greatest length of a text: what the config says, or the table of positions where that is shorter."""
    config = _text(model.config, target)
    names = ("max_target_positions", *_LENGTHS) if target else _LENGTHS
    given = [getattr(config, name, None) for name in names]
    found = [value for value in given if isinstance(value, int) and value > 0]
    tables = []
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and path.rpartition(".")[2] in _TABLES and ("decoder" in path) >= target:
            padding = module.padding_idx
            tables.append(module.num_embeddings - (0 if padding is None else padding + 1))
    lengths = [*found[:1], *(rows for rows in tables if not found or rows <= found[0])]
    return min(lengths, default=None)


_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def samples_for(config: Any, frames: int) -> int:
    """Return the length of a sound from which a stack of convolutions makes some frames."""
    kernels = setting(config, ("conv_kernel",))
    strides = setting(config, ("conv_stride",))
    if isinstance(kernels, list | tuple) and isinstance(strides, list | tuple):
        length = frames
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
            length = (length - 1) * int(stride) + int(kernel)
        return length
    hop = 1
    for name in ("upsampling_ratios", "downsampling_ratios"):
        ratios = getattr(config, name, None)
        if isinstance(ratios, list | tuple):
            for ratio in ratios:
                hop *= int(ratio)
            break
    return frames * hop if hop > 1 else 1600
