"""Modules from data, and from nothing else."""

import builtins
from typing import Any

import pytest
import torch
from torch import nn

from surgery_dsl.interface.edits import ModuleSpec
from surgery_dsl.modules.bottleneck import Bottleneck
from surgery_dsl.modules.build import RefusedModule, build
from surgery_dsl.modules.quantized_linear import QuantizedLinear


def spec(kind: str, **arguments: Any) -> ModuleSpec:
    return ModuleSpec(type=kind, arguments=arguments)


def test_builds_classes_of_torch_and_of_the_project() -> None:
    made = build(spec("torch.nn.Conv2d", in_channels=3, out_channels=4, kernel_size=[3, 5]))
    assert isinstance(made, nn.Conv2d)
    assert made.kernel_size == (3, 5)
    assert isinstance(build(spec("surgery_dsl.Bottleneck", features=4, width=2)), Bottleneck)
    assert isinstance(build(spec("surgery_dsl.QuantizedLinear", in_features=4, out_features=2)), QuantizedLinear)


@pytest.mark.parametrize(
    "kind",
    [
        "os.system",
        "torch.load",
        "torch.nn.functional.relu",
        "torch.nn.Module",
        "torch.nn.init",
        "torch.nn.utils",
        "torch.nn.Parameter",
        "torch.nn.modules.linear.Linear",
        "torch.nn.__builtins__",
        "torch.nn.NoSuchClass",
        "surgery_dsl.run.session.Session",
        "surgery_dsl.insert",
        "surgery_dsl.Insertion",
        "surgery_dsl.Build",
        "surgery_dsl.RefusedModule",
        "surgery_dsl.../kernels/blocks",
        "surgery_dsl.",
        "",
        "Linear",
    ],
)
def test_everything_else_is_refused(kind: str) -> None:
    with pytest.raises(RefusedModule):
        build(spec(kind))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"in_features": 3},
        {"in_features": 3, "out_features": "a"},
        {"in_features": 3, "out_features": -2},
        {"in_features": 3, "out_features": 3, "device": "cuda"},
        {"in_features": 3, "out_features": 3, "dtype": "float16"},
        {"in_features": 3, "out_features": 3, "eval": "1"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(RefusedModule):
        build(spec("torch.nn.Linear", **arguments))


def test_nothing_is_imported_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: imported.append(name) or original(name, *rest))
    with pytest.raises(RefusedModule):
        build(spec("antigravity.Module"))
    assert "antigravity" not in imported


def test_equal_specifications_give_equal_values_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, two = (build(spec("torch.nn.Linear", in_features=5, out_features=4)) for _ in range(2))
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(one.weight, two.weight)


def test_device_and_dtype() -> None:
    made = build(spec("surgery_dsl.Bottleneck", features=4, width=2), "meta", torch.float64)
    assert all(p.is_meta and p.dtype is torch.float64 for p in made.parameters())
    assert build(spec("torch.nn.ReLU"), "cpu", torch.float16)(torch.ones(2)).shape == (2,)
    half = build(spec("surgery_dsl.QuantizedLinear", in_features=4, out_features=2), "cpu", torch.bfloat16)
    assert half.weight.dtype is torch.int8
    assert half.scale.dtype is torch.float32
    assert half.bias.dtype is torch.bfloat16


def test_a_large_module_on_meta_takes_no_memory() -> None:
    made = build(spec("torch.nn.Linear", in_features=10**6, out_features=10**6), "meta")
    assert made.weight.is_meta
