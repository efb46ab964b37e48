"""Axes that a forward ties to numbers of its own: slopes of ALiBi, sinusoids. On the networks that have them."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from surgery_dsl.interface import frozen
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_permutable, inputs_for, reasons, shaken, spec

transformers = pytest.importorskip("transformers")

TOKENS = spec(2, 7, name="input_ids", dtype="i64", below=31)
IMAGE = spec(1, 3, 64, 64, name="pixel_values")


def mpt() -> nn.Module:
    config = transformers.MptConfig(d_model=16, n_heads=4, n_layers=1, vocab_size=31, max_seq_len=16)
    return transformers.MptModel(config)


def bloom() -> nn.Module:
    return transformers.BloomModel(transformers.BloomConfig(hidden_size=16, n_head=4, n_layer=1, vocab_size=31))


def falcon() -> nn.Module:
    config = transformers.FalconConfig(
        hidden_size=16, num_attention_heads=4, num_hidden_layers=1, vocab_size=31, alibi=True, multi_query=False
    )
    return transformers.FalconModel(config)


def xlnet() -> nn.Module:
    config = transformers.XLNetConfig(d_model=16, n_head=4, n_layer=1, d_inner=12, vocab_size=31, use_mems_eval=False)
    return transformers.XLNetModel(config)


def detr() -> nn.Module:
    backbone = transformers.ResNetConfig(
        hidden_sizes=[4, 6], depths=[1, 1], embedding_size=4, out_features=["stage2"], layer_type="basic"
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=12,
        decoder_ffn_dim=12,
        num_queries=5,
    )
    return transformers.DetrModel(config)


# A dimension with the axis that meets the constant.
CASES: list[tuple[Callable[[], nn.Module], tuple[InputSpec, ...], str]] = [
    (mpt, TOKENS, "blocks.0.attn.Wqkv.weight[0]"),
    (bloom, TOKENS, "h.0.self_attention.query_key_value.weight[0]"),
    (falcon, TOKENS, "h.0.self_attention.query_key_value.weight[0]"),
    (xlnet, TOKENS, "layer.0.rel_attn.r[0]"),
    (detr, IMAGE, "input_projection.weight[0]"),
]


def constants(interface: Interface, place: str) -> list[bool]:
    return [frozen.is_constant(reason) for reason in reasons(interface, place)]


@pytest.mark.parametrize(("build", "specs", "place"), CASES, ids=[case[0].__name__ for case in CASES])
@pytest.mark.filterwarnings("ignore")
def test_constants_hold_the_axis_and_nothing_else_is_wrong(
    build: Callable[[], nn.Module], specs: tuple[InputSpec, ...], place: str
) -> None:
    torch.manual_seed(0)
    model = build().eval()
    model.config.use_cache = False
    interface = trace(model, specs)
    held = [one for one in interface.axes if frozen.is_constant(one.frozen) and interface.carriers.get(one.id)]
    assert held, "some axis meets a constant"
    assert any(constants(interface, place)), reasons(interface, place)
    given = inputs_for(specs, {})
    assert_permutable(shaken(model), interface, given, control=False)
