"""Inputs made from a model itself, where nobody says what it takes.

transformers' models name their main input and keep the sizes in their config; timm's keep a ``default_cfg``. Sizes
that such models leave open (the batch, the length of a text) are free where the forward allows it: what is made is a
list of proposals, the most general first, and :func:`surgery_dsl.trace.capture.capture` takes the first that traces.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from surgery_dsl.interface.expression import put_in
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.trace.samples import within
from surgery_dsl.trace.settings import below, limit, samples_for, setting, sizes

BATCH, LENGTH, TARGET, REGIONS = "N", "T", "S", "R"
FIXED = {BATCH: 2, LENGTH: 32, TARGET: 16, REGIONS: 12}
"""What the free sizes become where the forward needs numbers."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Inputs to try.

    Attributes:
        inputs: The inputs; their free sizes with ranges.
        keywords: Whether they are given by keyword.
        notes: What was assumed, for people.
    """

    inputs: tuple[InputSpec, ...]
    keywords: bool
    notes: tuple[str, ...] = ()


def proposals(model: nn.Module) -> Iterator[Proposal]:
    """Yield inputs for a model, the most general first; nothing where it says nothing of what it takes."""
    for inputs, keywords, notes in _whole(model):
        names = [size.name for spec in inputs for size in spec.free]
        free = [name for name in dict.fromkeys(names) if name in FIXED]
        for fixed in _fewer(free):
            told = tuple(f"{name} is fixed at {FIXED[name]}: the forward does not follow it" for name in fixed)
            yield Proposal(tuple(_with_fixed(spec, fixed) for spec in inputs), keywords, (*notes, *told))


def _fewer(free: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield what to fix: nothing, then lengths, then the batch, then all."""
    lengths = tuple(name for name in free if name != BATCH)
    ways = [(), lengths[1:], lengths, (BATCH,) if BATCH in free else (), tuple(free)]
    yield from dict.fromkeys(ways)


def _with_fixed(spec: InputSpec, names: Sequence[str]) -> InputSpec:
    bounds = {free.name: free for free in spec.free}
    sizes = {name: within(bounds[name], FIXED[name]) if name in bounds else FIXED[name] for name in names}
    free = tuple(free for free in spec.free if free.name not in names)
    return spec.replaced(dims=tuple(put_in(dim, sizes) for dim in spec.dims), free=free)


def _whole(model: nn.Module) -> Iterator[tuple[tuple[InputSpec, ...], bool, tuple[str, ...]]]:
    core = model.module if isinstance(model, nn.DataParallel) else model
    if getattr(core, "config", None) is not None and isinstance(getattr(core, "main_input_name", None), str):
        yield from _of_transformers(core)
    else:
        for spec in _of_timm(core):
            yield (spec,), False, ()


# ---- timm --------------------------------------------------------------------------------------------------------


def _of_timm(model: nn.Module) -> Iterator[InputSpec]:
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    shape = config.get("input_size") if isinstance(config, dict) else None
    if config is None or not isinstance(shape, list | tuple) or not all(isinstance(size, int) for size in shape):
        return
    channels = _first_channels(model, config.get("first_conv"))  # what the network was built with, not its default
    built = tuple(_built_for(model)) if len(shape) == 3 else ()
    found = [(channels or shape[0], *size) for size in (*built, tuple(shape[1:]))]
    for image in dict.fromkeys((*found, tuple(shape))):
        yield _spec("x", _float(model), (BATCH, *image))


def _built_for(model: nn.Module) -> Iterator[tuple[int, int]]:
    """Yield the size of images that a network was built for, where one of its modules says so."""
    for module in model.modules():
        size = getattr(module, "img_size", None)
        if isinstance(size, int):
            yield size, size
            return
        if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(one, int) for one in size):
            yield size[0], size[1]
            return


def _first_channels(model: nn.Module, named: object) -> int | None:
    path = named[0] if isinstance(named, list | tuple) and named else named
    try:
        found = getattr(model.get_submodule(path), "in_channels", None) if isinstance(path, str) and path else None
    except AttributeError:
        return None
    return found if isinstance(found, int) else None


# ---- transformers ------------------------------------------------------------------------------------------------


def _of_transformers(model: nn.Module) -> Iterator[tuple[tuple[InputSpec, ...], bool, tuple[str, ...]]]:
    main = str(model.main_input_name)
    takes = list(inspect.signature(model.forward).parameters)
    first = main if main in takes else next((name for name in takes if name in _MAKERS), "")
    if not first:
        return
    given = [first, *(name for name in _BESIDE.get(first, ()) if name in takes)]
    second = _SECOND if first == "input_ids" else ("input_ids",) if first == "pixel_values" else ()
    others = [name for name in second if name in takes]
    both = [*given, *others[:1]]
    for names in dict.fromkeys((tuple(both), tuple(given))):
        made = [_made(model, name) for name in names]
        specs = tuple(spec for spec in made if spec is not None)
        if len(specs) == len(made):
            unread = [name for name in both if name not in names]
            notes = tuple(f"{name} is not given: what reads it is not run" for name in unread)
            yield specs, True, notes


_SECOND = ("pixel_values", "input_features", "input_values")
"""What models take beside text."""

_BESIDE = {
    "input_ids": ("decoder_input_ids", "bbox", "visual_feats", "visual_pos", "visual_embeds"),
    "input_features": ("decoder_input_ids",),
    "input_values": ("decoder_input_ids",),
    "pixel_values": ("decoder_input_ids",),
    "flattened_patches": ("decoder_input_ids",),
    "states": ("actions", "rewards", "returns_to_go", "timesteps"),
}
"""Inputs without which the main one is not enough."""


def _made(model: nn.Module, name: str) -> InputSpec | None:
    maker = _MAKERS.get(name)
    return None if maker is None else maker(model, name)


def _spec(name: str, dtype: str, dims: Sequence[int | str], **ranges: FreeSize) -> InputSpec:
    free = tuple(ranges.get(dim) or FreeSize(name=dim) for dim in dims if isinstance(dim, str))
    return InputSpec(name=name, dtype=dtype, dims=tuple(dims), free=free)


def _float(model: nn.Module) -> str:
    """Return the dtype that the model computes in: that of most of its parameters."""
    counts: dict[str, int] = {}
    for parameter in model.parameters():
        if parameter.is_floating_point():
            kind = name_of(parameter.dtype)
            counts[kind] = counts.get(kind, 0) + parameter.numel()
    found = max(counts, key=lambda kind: counts[kind], default="f32")
    return found if found in ("f16", "bf16", "f32", "f64") else "f32"


def _ids(model: nn.Module, name: str) -> InputSpec:
    target = name.startswith("decoder")
    length = TARGET if target else LENGTH
    bound = FreeSize(name=length, most=limit(model, target))
    spec = _spec(name, "i64", (BATCH, length), **{length: bound})
    return spec.replaced(below=below(model, target))


def _boxes(model: nn.Module, name: str) -> InputSpec:
    bound = FreeSize(name=LENGTH, most=limit(model, False))
    spec = _spec(name, "i64", (BATCH, LENGTH, 4), **{LENGTH: bound})
    # A box is left, top, right, bottom; positions that are all alike are ordered as the model expects.
    return spec.replaced(below=1)


def _image(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    height, width = sizes(config, ("image_size", "input_size", "img_size"), 224)
    channels = int(setting(config, ("num_channels", "in_channels", "in_chans", "num_input_channels")) or 3)
    frames = setting(config, ("num_frames", "frames_per_clip"))
    lead: tuple[int | str, ...] = (BATCH,) if not isinstance(frames, int) else (BATCH, frames)
    return _spec(name, _float(model), (*lead, channels, height, width))


def _features(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    bins = setting(config, ("num_mel_bins", "feature_size", "feature_projection_input_dim", "input_feat_per_channel"))
    count = int(bins or 80)
    positions = setting(config, ("max_source_positions",))
    takes_frames_last = hasattr(config, "num_mel_bins") and isinstance(positions, int)
    if takes_frames_last and not hasattr(config, "input_feat_per_channel"):  # whisper: mel bins × frames
        return _spec(name, _float(model), (BATCH, count, 2 * int(positions or 0)))
    if setting(config, ("spec_size",)) is not None:  # clap: one mono spectrogram, resized to a square
        return _spec(name, _float(model), (BATCH, 1, 4 * int(setting(config, ("spec_size",)) or 0), count))
    bound = FreeSize(name=LENGTH, least=8)
    return _spec(name, _float(model), (BATCH, LENGTH, count), **{LENGTH: bound})


def _wave(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    frames, bins = setting(config, ("max_length",)), setting(config, ("num_mel_bins",))
    if hasattr(config, "frequency_stride") and isinstance(frames, int) and isinstance(bins, int):  # a spectrogram
        return _spec(name, _float(model), (BATCH, frames, bins))
    channels = setting(config, ("audio_channels",))
    length = samples_for(config, 16)
    if isinstance(channels, int):
        return _spec(name, _float(model), (BATCH, channels, length))
    return _spec(name, _float(model), (BATCH, length))


def _series(model: nn.Module, name: str) -> InputSpec | None:
    config: Any = model.config
    length = setting(config, ("context_length",))
    channels = setting(config, ("num_input_channels",))
    if not isinstance(length, int) or not isinstance(channels, int):
        return None
    return _spec(name, _float(model), (BATCH, length, channels))


def _patches(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    width = setting(config, ("patch_embed_hidden_size",))
    count = int(setting(config, ("seq_len",)) or 64)
    return _spec(name, _float(model), (BATCH, count, int(width or 768) + 2))


def _perceived(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    reads = next((type(module).__name__ for module in model.modules() if _reads(module)), "")
    if "Text" in reads:
        return _ids(model, name)
    if "Image" in reads:
        height, width = sizes(config, ("image_size",), 224)
        return _spec(name, _float(model), (BATCH, 3, height, width))
    bound = FreeSize(name=LENGTH, most=setting(config, ("max_position_embeddings",)))
    return _spec(name, _float(model), (BATCH, LENGTH, int(setting(config, ("d_model",)) or 768)), **{LENGTH: bound})


def _reads(module: nn.Module) -> bool:
    return type(module).__name__ in ("PerceiverTextPreprocessor", "PerceiverImagePreprocessor")


def _regions(model: nn.Module, name: str) -> InputSpec | None:
    """Return what a detector says of regions of an image, and where they lie."""
    width = setting(model.config, (_REGION_WIDTHS[name],))
    return _spec(name, _float(model), (BATCH, REGIONS, width)) if isinstance(width, int) else None


_REGION_WIDTHS = {
    "visual_feats": "visual_feat_dim",
    "visual_pos": "visual_pos_dim",
    "visual_embeds": "visual_embedding_dim",
}


def _decisions(model: nn.Module, name: str) -> InputSpec:
    config: Any = model.config
    width = {"states": "state_dim", "actions": "act_dim"}.get(name)
    dims = (BATCH, LENGTH, int(setting(config, (width,)) or 1) if width else 1)
    if name == "timesteps":
        return _spec(name, "i64", dims[:2]).replaced(below=setting(config, ("max_ep_len",)))
    return _spec(name, _float(model), dims)


_MAKERS: dict[str, Callable[[nn.Module, str], InputSpec | None]] = {
    "input_ids": _ids,
    "decoder_input_ids": _ids,
    "bbox": _boxes,
    "pixel_values": _image,
    "pixel_values_videos": _image,
    "input_features": _features,
    "input_values": _wave,
    "past_values": _series,
    "flattened_patches": _patches,
    "inputs": _perceived,
    "visual_feats": _regions,
    "visual_pos": _regions,
    "visual_embeds": _regions,
    "states": _decisions,
    "actions": _decisions,
    "rewards": _decisions,
    "returns_to_go": _decisions,
    "timesteps": _decisions,
}
"""How each input is made; an entry may find that the config says too little."""
