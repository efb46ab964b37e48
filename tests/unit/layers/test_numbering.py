"""What counts the entries of a list is found by its values and its name, and nothing else is taken for it."""

from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from surgery_dsl.modules.arranging import rearrange, set_numbers
from surgery_dsl.trace.numbering import numbering


class Block(nn.Module):
    def __init__(self, **numbers: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        vars(self).update(numbers)


class Stack(nn.Module):
    def __init__(self, config: Any, count: int = 4, **numbers: Any) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(layer_idx=i, heads=4, stride=1) for i in range(count))
        vars(self).update(numbers)


def test_positions_counts_and_lists() -> None:
    config = SimpleNamespace(num_hidden_layers=4, num_heads=4, layer_types=list("abab"), image_mean=[0.5] * 4)
    found = numbering(Stack(config, width=4))
    assert found["layers.2"].positions == {"layer_idx": "layers"}
    assert found[""].counts == {"config.num_hidden_layers": "layers"}
    assert found[""].per_layer == {"config.layer_types": "layers"}


def test_short_lists_hold_numbers_by_chance() -> None:
    model = nn.Module()
    model.blocks = nn.ModuleList([Block(dilation=0, layer_id=0), Block(dilation=1, layer_id=1)])
    assert numbering(model)["blocks.1"].positions == {"layer_id": "blocks"}


def test_settings_of_torch_modules_are_no_positions() -> None:
    model = nn.ModuleList(nn.Conv1d(1, 1, 3, padding=i) for i in range(4))
    assert numbering(model) == {}


def test_a_count_that_starts_elsewhere() -> None:
    model = nn.Module()
    model.low = nn.ModuleList(Block(layer_idx=i) for i in range(3))
    model.high = nn.ModuleList(Block(layer_idx=3 + i) for i in range(3))
    assert numbering(model)["high.1"].positions == {"layer_idx": "high"}
    rearrange(model.high, (0, 2), False, model)
    set_numbers(model, "high.1", "layer_idx", "position", (0, 2), 1, ())
    assert [block.layer_idx for block in model.high] == [3, 4]


@pytest.mark.parametrize("name", ["num_layers", "depth", "n_layer", "num_blocks", "n_stages"])
def test_names_of_counts(name: str) -> None:
    assert numbering(Stack(SimpleNamespace(**{name: 4})))[""].counts == {f"config.{name}": "layers"}


@pytest.mark.parametrize("name", ["num_heads", "num_labels", "patch_size", "hidden_size", "pad_token_id"])
def test_names_of_other_things(name: str) -> None:
    assert "" not in numbering(Stack(SimpleNamespace(**{name: 4})))


def test_an_encoder_and_a_decoder() -> None:
    config = SimpleNamespace(encoder_layers=3, decoder_layers=3, num_hidden_layers=3)
    model = nn.Module()
    model.config = config
    model.encoder, model.decoder = Stack(config, 3), Stack(config, 3)
    assert numbering(model)[""].counts == {
        "config.encoder_layers": "encoder.layers",
        "config.decoder_layers": "decoder.layers",
        "config.num_hidden_layers": "encoder.layers",
    }


def test_a_list_of_the_depths_of_stages() -> None:
    config = SimpleNamespace(depths=[2, 4, 2], stage_names=["stem", "one", "two", "three"])
    model = nn.Module()
    model.config = config
    model.stages = nn.ModuleList(Stack(config, count) for count in config.depths)
    counts = {f"config.depths.{i}": f"stages.{i}.layers" for i in range(3)}
    assert numbering(model)[""].counts == counts
    rearrange(model.stages[1].layers, (0, 2), False, model)
    set_numbers(model, "", "config.depths.1", "count", (0, 2), 0, ())
    assert numbering(model)[""].per_layer == {"config.depths": "stages"}
    assert (model.config.depths, config.depths) == ([2, 2, 2], [2, 4, 2])
    assert all(stage.config is model.config for stage in model.stages)


def test_every_holder_of_a_config_sees_the_same_new_one() -> None:
    config = SimpleNamespace(num_layers=4, inner=SimpleNamespace(depth=4))
    model = Stack(config)
    for block in model.layers:
        block.config = config
    set_numbers(model, "", "config.num_layers", "count", (0, 2), 0, ())
    assert {id(m.config) for m in (model, *model.layers)} == {id(model.config)}
    assert (model.config.num_layers, config.num_layers) == (2, 4)
    set_numbers(model, "", "config.inner.depth", "count", (0, 2), 0, ())
    assert (model.config.inner.depth, config.inner.depth) == (2, 4)


@pytest.mark.parametrize(
    ("attribute", "means"), [("config.nothing", "count"), ("config.name", "count"), ("config.num_layers", "each")]
)
def test_what_is_not_there_is_not_set(attribute: str, means: Any) -> None:
    model = Stack(SimpleNamespace(num_layers=4, name="x"))
    with pytest.raises(ValueError, match="no"):
        set_numbers(model, "", attribute, means, (0, 1), 0, ())


@pytest.mark.parametrize("order", [(), (4,), (-1, 0)])
def test_orders_that_name_no_entry(order: tuple[int, ...]) -> None:
    model = Stack(SimpleNamespace())
    with pytest.raises(ValueError, match="cannot be arranged"):
        rearrange(model.layers, order, False, model)
