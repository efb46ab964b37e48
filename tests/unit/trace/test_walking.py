"""Walking over modules gives what torch's own walk gives."""

import pytest
from torch import nn

from surgery_dsl.trace.walking import modules_of, named_modules


def shared() -> nn.Module:
    one, two = nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Tanh())
    root = nn.Sequential(one, nn.ModuleDict({"a": two, "b": one, "c": nn.Sequential(two, two)}), nn.ModuleList([two]))
    root.register_module("none", None)
    return root


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("model", [shared(), nn.TransformerDecoderLayer(8, 2, 8), nn.Linear(2, 2)])
def test_modules_come_in_torchs_order(model: nn.Module, duplicates: bool) -> None:
    wanted = list(model.named_modules(remove_duplicate=not duplicates))
    found = list(named_modules(model, duplicates))
    assert [path for path, _ in found] == [path for path, _ in wanted]
    assert all(a is b for (_, a), (_, b) in zip(found, wanted, strict=True))


def test_a_module_at_several_paths_comes_once() -> None:
    model = shared()
    assert [id(module) for module in modules_of(model)] == [id(module) for module in model.modules()]
