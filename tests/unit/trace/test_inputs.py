"""Real architectures, traced on inputs made from the models themselves; the models stay as they were."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace import build as interfaces
from surgery_dsl.trace import computed_sizes
from surgery_dsl.trace.capture import Captured, capture, trace
from surgery_dsl.trace.inputs import proposals

transformers = pytest.importorskip("transformers")

TEXT = {
    "vocab_size": 97,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 56,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GQA = TEXT | {"num_key_value_heads": 2}
MOE = GQA | {"num_experts_per_tok": 2, "moe_intermediate_size": 40}
PAIR = {
    "vocab_size": 97,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 60,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
IMAGE = TEXT | {"image_size": 32, "patch_size": 8}
WAVE = TEXT | {
    "conv_dim": (24, 28),
    "conv_stride": (5, 4),
    "conv_kernel": (8, 5),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
LATENTS = {
    "num_latents": 6,
    "d_latents": 24,
    "d_model": 20,
    "num_blocks": 1,
    "num_self_attends_per_block": 1,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 64,
}
IDS = {"input_ids": ("N", "T")}
PAIRED = IDS | {"decoder_input_ids": ("N", "S")}
PIXELS = {"pixel_values": ("N", 3, 32, 32)}

CASES: dict[str, tuple[dict[str, Any], Mapping[str, tuple[int | str, ...]]]] = {
    "BertForMaskedLM": (TEXT, IDS),
    "RobertaModel": (TEXT | {"pad_token_id": 1}, IDS),
    "DistilBertModel": ({"vocab_size": 97, "dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 56}, IDS),
    "AlbertModel": (TEXT | {"embedding_size": 20}, IDS),
    "GPT2LMHeadModel": ({"vocab_size": 97, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64}, IDS),
    "OPTForCausalLM": (TEXT | {"ffn_dim": 56, "word_embed_proj_dim": 48}, IDS),
    "BloomForCausalLM": ({"vocab_size": 97, "hidden_size": 48, "n_layer": 2, "n_head": 4}, IDS),
    "FalconForCausalLM": (TEXT, IDS),
    "LlamaForCausalLM": (GQA, IDS),
    "Qwen2ForCausalLM": (GQA, IDS),
    "MixtralForCausalLM": (GQA | {"num_local_experts": 4}, IDS),
    "Qwen3MoeForCausalLM": (MOE | {"num_experts": 4, "head_dim": 12}, IDS),
    "Mamba2ForCausalLM": (
        {"vocab_size": 97, "hidden_size": 48, "num_hidden_layers": 2, "num_heads": 12, "head_dim": 8, "n_groups": 2},
        IDS,
    ),
    "T5ForConditionalGeneration": (
        {"vocab_size": 97, "d_model": 48, "d_kv": 12, "d_ff": 56, "num_layers": 2, "num_heads": 4},
        PAIRED,
    ),
    "BartForConditionalGeneration": (PAIR, PAIRED),
    "ViTModel": (IMAGE, PIXELS),
    "Dinov2Model": (IMAGE, PIXELS),
    "ConvNextModel": ({"hidden_sizes": [16, 24], "depths": [1, 2], "num_stages": 2, "image_size": 32}, PIXELS),
    "ResNetModel": ({"hidden_sizes": [16, 24], "depths": [1, 2], "embedding_size": 8, "image_size": 32}, PIXELS),
    "SwinModel": (
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4},
        PIXELS,
    ),
    "ViTMAEModel": (IMAGE | {"decoder_hidden_size": 24, "decoder_num_attention_heads": 4}, PIXELS),
    "VideoMAEModel": (IMAGE | {"num_frames": 4, "tubelet_size": 2}, {"pixel_values": ("N", 4, 3, 32, 32)}),
    "Wav2Vec2Model": (WAVE, {"input_values": ("N", 328)}),
    "ASTModel": (IMAGE | {"max_length": 32, "num_mel_bins": 16}, {"input_values": ("N", 32, 16)}),
    "WhisperModel": (
        PAIR | {"num_mel_bins": 16, "max_source_positions": 16, "max_target_positions": 12},
        {"input_features": ("N", 16, 32), "decoder_input_ids": ("N", "S")},
    ),
    "Speech2TextModel": (
        PAIR | {"input_feat_per_channel": 16, "max_source_positions": 64, "max_target_positions": 16},
        {"input_features": ("N", "T", 16), "decoder_input_ids": ("N", "S")},
    ),
    "CLIPModel": (
        {"text_config": TEXT | {"max_position_embeddings": 17}, "vision_config": IMAGE, "projection_dim": 20},
        {"input_ids": ("N", "T"), "pixel_values": ("N", 3, 32, 32)},
    ),
    "GitForCausalLM": (TEXT | {"vision_config": IMAGE}, {"input_ids": ("N", "T"), "pixel_values": ("N", 3, 32, 32)}),
    "LxmertForQuestionAnswering": (
        TEXT | {"visual_feat_dim": 28, "l_layers": 1, "x_layers": 1, "r_layers": 1, "num_qa_labels": 9},
        IDS | {"visual_feats": ("N", "R", 28), "visual_pos": ("N", "R", 4)},
    ),
    "VisualBertModel": (TEXT | {"visual_embedding_dim": 28}, IDS | {"visual_embeds": ("N", "R", 28)}),
    "PerceiverForSequenceClassification": (LATENTS, {"inputs": ("N", "T")}),
    "PerceiverForImageClassificationLearned": (
        LATENTS | {"d_model": 40, "image_size": 16},
        {"inputs": ("N", 3, 16, 16)},
    ),
    "FlavaModel": (
        {"image_config": IMAGE, "text_config": TEXT, "multimodal_config": TEXT, "hidden_size": 48},
        {"input_ids": ("N", "T"), "pixel_values": ("N", 3, 32, 32)},
    ),
    "BlipForConditionalGeneration": (
        {"text_config": TEXT | {"encoder_hidden_size": 48}, "vision_config": IMAGE},
        {"pixel_values": ("N", 3, 32, 32), "input_ids": ("N", "T")},
    ),
    "BeitModel": (IMAGE | {"use_relative_position_bias": True}, PIXELS),
    "DINOv3ViTModel": (IMAGE, PIXELS),
    "PatchTSTModel": (
        {"context_length": 24, "num_input_channels": 3, "patch_length": 4, "patch_stride": 4, "d_model": 16}
        | {"num_attention_heads": 2, "ffn_dim": 20, "num_hidden_layers": 1},
        {"past_values": ("N", 24, 3)},
    ),
}
SMALL_POSITIONS = {"RobertaModel": 62, "CLIPModel": 17, "BertForMaskedLM": 64}


def build(name: str, device: str = "cpu") -> Any:
    kind: Any = getattr(transformers, name)
    torch.manual_seed(0)
    with torch.device(device):
        model = kind(kind.config_class(**copy.deepcopy(CASES[name][0])))
    return model


def plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | tuple | list | dict | set | type(None)) else id(value)


def state(model: Any) -> Any:
    """Everything that a trace must leave alone: objects, attributes, contents of containers, configs, values."""
    modules = [
        (path, id(module), {name: copy.copy(plain(value)) for name, value in vars(module).items()})
        for path, module in model.named_modules()
    ]
    tensors = {name: (id(t), t._version, t.detach().clone()) for name, t in model.state_dict(keep_vars=True).items()}
    configs = [json.dumps(m.config.to_dict(), default=str) for m in model.modules() if hasattr(m, "config")]
    return modules, tensors, configs


def assert_unchanged(model: nn.Module, before: Any) -> None:
    modules, tensors, configs = state(model)
    assert modules == before[0]
    assert configs == before[2]
    assert tensors.keys() == before[1].keys()
    for name, (identity, version, value) in tensors.items():
        assert (identity, version) == before[1][name][:2], name
        assert torch.equal(value.nan_to_num(), before[1][name][2].nan_to_num()), name


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_traced_unaided_and_left_alone(name: str) -> None:
    model = build(name)
    before = state(model)
    captured = capture(model)
    assert_unchanged(model, before)
    assert {spec.name: spec.dims for spec in captured.inputs} == CASES[name][1]
    assert [port.name for port in captured.interface.inputs] == list(CASES[name][1])
    assert captured.interface.operators
    assert {tensor.name for tensor in captured.interface.tensors} >= set(model.state_dict())


def numbers(interface: Interface) -> Any:
    return interface.model_dump()


@pytest.mark.parametrize("name", ["BertForMaskedLM", "MixtralForCausalLM", "WhisperModel", "CLIPModel", "ResNetModel"])
def test_tracing_twice_gives_the_same(name: str) -> None:
    model = build(name)
    one, two = capture(model), capture(model)
    assert one.inputs == two.inputs
    assert numbers(one.interface) == numbers(two.interface)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "MixtralForCausalLM", "T5ForConditionalGeneration", "SwinModel"])
def test_a_model_without_memory_is_traced_on_the_same_inputs(name: str) -> None:
    on_meta, on_cpu = capture(build(name, "meta")), capture(build(name))
    assert on_meta.inputs == on_cpu.inputs
    assert [t.name for t in on_meta.interface.tensors] == [t.name for t in on_cpu.interface.tensors]


def given(captured: Captured, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    made = {}
    for spec in captured.inputs:
        shape = [size if isinstance(size, int) else sizes[size] for size in spec.dims]
        integers = spec.dtype == "i64"
        made[spec.name] = torch.randint(spec.below or 1, shape) if integers else torch.randn(shape)
    return made


@pytest.mark.parametrize("name", [name for name in CASES if name != "ViTMAEModel"])
def test_the_forward_runs_at_both_ends_of_every_range(name: str) -> None:
    model = build(name).eval()
    captured = capture(model)
    free = {size.name: size for spec in captured.inputs for size in spec.free}
    least = {name: size.least for name, size in free.items()}
    most = {name: min(size.most or 70, 70) for name, size in free.items()}
    with torch.no_grad():
        for sizes in (least, most):
            model(**given(captured, sizes))


@pytest.mark.parametrize(("name", "most"), SMALL_POSITIONS.items())
def test_lengths_end_with_the_table_of_positions(name: str, most: int) -> None:
    model = build(name)
    captured = capture(model)
    spec = captured.inputs[0]
    extra = {name: value for name, value in given(captured, {"N": 2, "T": 3}).items() if name != "input_ids"}
    assert {free.name: free.most for free in spec.free}["T"] == most
    assert spec.below == 97
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        model(input_ids=torch.full((2, most + 1), 5), **extra)


def test_caches_are_no_output_and_come_back() -> None:
    model = build("LlamaForCausalLM")
    assert [port.name for port in capture(model).interface.outputs] == ["logits"]
    assert model.config.use_cache is True
    assert model(torch.tensor([[1, 2]])).past_key_values is not None


def test_experts_loop_again_after_the_trace() -> None:
    model = build("MixtralForCausalLM")
    before = model.config._experts_implementation
    kinds = {operator.kind for operator in capture(model).interface.operators}
    assert "nonzero" not in kinds
    assert model.config._experts_implementation == before


def test_a_model_that_says_nothing_is_refused_with_a_line_to_write() -> None:
    assert not list(proposals(nn.Linear(3, 4)))
    with pytest.raises(Refused, match="SD204") as caught:
        capture(nn.Linear(3, 4))
    assert "`input`" in str(caught.value.diagnostics[0].help) or "input =" in str(caught.value.diagnostics[0].help)


def test_the_size_of_images_is_that_of_timms_default_config() -> None:
    class Like(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.default_cfg = {"input_size": (1, 20, 24)}
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).mean((2, 3))  # type: ignore[no-any-return]

    captured = capture(Like())
    assert captured.inputs[0].dims == ("N", 1, 20, 24)
    assert not captured.keywords


class Patches(nn.Module):
    """A patch embedding that takes images of one size, as timm's do."""

    def __init__(self, img_size: int | tuple[int, int]) -> None:
        super().__init__()
        self.img_size, self.proj = img_size, nn.Conv2d(3, 4, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-2:] == (12, 8) or isinstance(self.img_size, int)
        return self.proj(x).mean((2, 3))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("size", "dims"), [((12, 8), (12, 8)), (16, (16, 16))])
def test_the_size_that_a_network_was_built_for_comes_before_the_default(
    size: int | tuple[int, int], dims: tuple[int, int]
) -> None:
    model = nn.Sequential(Patches(size), nn.Linear(4, 2))
    model.default_cfg = {"input_size": (3, 224, 224)}  # type: ignore[assignment]
    assert capture(model).inputs[0].dims == ("N", 3, *dims)


def test_a_forward_that_computes_with_integers_in_buffers_needs_them() -> None:
    kind: Any = transformers.EncodecModel
    sizes = {"num_filters": 4, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16, "num_lstm_layers": 1}
    config = kind.config_class(**sizes, upsampling_ratios=[4, 2])
    captured = capture(kind(config))
    assert captured.inputs[0].dims == ("N", 1, 128)
    assert any(not axis.frozen for axis in captured.interface.axes)
    with torch.device("meta"):
        model = kind(config)
    with pytest.raises(Refused, match="SD203"):
        capture(model)


class Remembers(nn.Module):
    """A forward that keeps what it computes: on itself, in a list, in a dictionary, in a plain object."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.default_cfg = {"input_size": (4,)}
        self.seen: list[int] = []
        self.tables: dict[int, Tensor] = {}
        self.held = type("Held", (), {})()
        self.held.calls = 0
        self.cached: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.cached is None or len(self.cached) < len(x):
            self.cached = torch.arange(len(x)).float()
        self.seen.append(len(x))
        self.tables[len(x)] = x
        self.held.calls += 1
        self.last = x
        out: Tensor = self.a(x) + self.cached[: len(x)].sum()
        return out


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_a_forward_keeps_goes_with_the_trace(device: str) -> None:
    with torch.device(device):
        model = Remembers()
    capture(model)
    assert model.seen == []
    assert model.tables == {}
    assert vars(model.held) == {"calls": 0}
    assert model.cached is None
    assert not hasattr(model, "last")


def modes(function: Callable[[Tensor], Tensor]) -> nn.Module:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 5)
            self.default_cfg = {"input_size": (4,)}

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = function(self.a(x))
            return out

    return Wrapped()


def under_inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.relu()


def under_autocast(x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ x.T


@pytest.mark.parametrize("function", [under_inference, under_autocast])
def test_modes_inside_a_forward_are_followed(function: Callable[[Tensor], Tensor]) -> None:
    assert capture(modes(function)).interface.operators


def test_a_wrapper_for_several_devices_is_looked_through() -> None:
    captured = capture(nn.DataParallel(build("ViTModel")))
    assert captured.inputs[0].dims == ("N", 3, 32, 32)


def test_a_size_that_no_free_size_explains_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward makes a mask that nothing reads: as long as image and text, and tied to both."""
    model = build("GitForCausalLM")
    inputs = next(proposals(model)).inputs
    free = tuple({size.name: size for spec in inputs for size in spec.free}.values())
    assert trace(model, inputs, None, free)
    monkeypatch.setattr(interfaces._Builder, "_can_follow", lambda *_: True)
    monkeypatch.setattr(computed_sizes.ComputedSizes, "given_at", lambda *_: {})
    with pytest.raises(Refused, match="SD202") as caught:
        trace(model, inputs, None, free)
    assert "how it follows is not known" in caught.value.diagnostics[0].message
