"""How far the parameters moved, through every kind of edit."""

import math

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.evidence.distance import follow, magnitude
from surgery_dsl.interface.edits import DropModules, InsertModule, ModuleSpec, Resize, SetModule, Slice
from surgery_dsl.kernels.quantizers import dequantize, quantize
from surgery_dsl.modules.bottleneck import Bottleneck
from surgery_dsl.modules.insertion import insert
from surgery_dsl.modules.low_rank import LowRank
from surgery_dsl.modules.quantized_linear import QuantizedLinear
from surgery_dsl.vocabulary import catalogue
from tests.unit.quantities.bench import Bench


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def norm(*tensors: Tensor) -> float:
    return math.sqrt(sum(float((t.detach().double() ** 2).sum()) for t in tensors))


def total(model: nn.Module) -> float:
    return norm(*model.parameters())


def test_nothing_changed() -> None:
    assert magnitude(mlp(), mlp(), ()) == 0.0
    assert catalogue.find("quantities", "magnitude")().measure(mlp(), None, Bench(mlp())) == 0.0


def test_values_alone() -> None:
    base, model = mlp(), mlp()
    with torch.no_grad():
        model[0].weight += 0.5
    assert magnitude(base, model, ()) == pytest.approx(0.5 * math.sqrt(12) / total(base))


def test_removed_units_count_as_zeros() -> None:
    base, model = mlp(), mlp()
    kept = (0, 2)
    model[0] = nn.Linear(3, 2)
    model[2] = nn.Linear(2, 2)
    with torch.no_grad():
        model[0].weight.copy_(base[0].weight[list(kept)])
        model[0].bias.copy_(base[0].bias[list(kept)])
        model[2].weight.copy_(base[2].weight[:, list(kept)])
        model[2].bias.copy_(base[2].bias)
    slices = tuple(Slice(tensor=t, dim=d, indices="k") for t, d in (("0.weight", 0), ("0.bias", 0), ("2.weight", 1)))
    edit = Resize(indices={"k": kept}, slices=slices, integers=())
    gone = norm(base[0].weight[[1, 3]], base[0].bias[[1, 3]], base[2].weight[:, [1, 3]])
    assert magnitude(base, model, (edit,)) == pytest.approx(gone / total(base))


def test_two_cuts_compose() -> None:
    first = Resize(indices={"k": (0, 1, 3)}, slices=(Slice(tensor="0.bias", dim=0, indices="k"),), integers=())
    second = Resize(indices={"k": (2, 0)}, slices=(Slice(tensor="0.bias", dim=0, indices="k"),), integers=())
    places = follow({"0.bias": None}, (first, second))
    assert places["0.bias"].kept == {0: (3, 0)}


def test_of_copies_the_first_stands_for_the_entry() -> None:
    base = mlp()
    model = mlp()
    indices = (0, 1, 2, 3, 1)
    model[0] = nn.Linear(3, 5)
    with torch.no_grad():
        model[0].weight.copy_(base[0].weight[list(indices)])
        model[0].bias.copy_(base[0].bias[list(indices)])
        model[0].weight[4] += 100.0
    slices = (Slice(tensor="0.weight", dim=0, indices="k"), Slice(tensor="0.bias", dim=0, indices="k"))
    edit = Resize(indices={"k": indices}, slices=slices, integers=())
    assert magnitude(base, model, (edit,)) == 0.0


def test_a_replaced_layer_is_gone() -> None:
    base, model = mlp(), mlp()
    model[2] = nn.Linear(4, 7)
    edit = SetModule(paths=("2",), spec=ModuleSpec(type="torch.nn.Linear"))
    assert magnitude(base, model, (edit,)) == pytest.approx(norm(base[2].weight, base[2].bias) / total(base))


def test_new_parameters_are_left_out() -> None:
    base, model = mlp(), mlp()
    insert(model[0], "adapter", "after", Bottleneck(4, 2))
    edit = InsertModule(host="0", name="adapter", where="after", spec=ModuleSpec(type="surgery_dsl.Bottleneck"))
    assert magnitude(base, model, (edit,)) == 0.0


def test_other_forms_are_compared_by_what_they_stand_for() -> None:
    base = mlp()
    quantized = QuantizedLinear(3, 4)
    packed = quantize(base[0].weight.detach())
    with torch.no_grad():
        quantized.weight.copy_(packed.values)
        quantized.scale.copy_(packed.scale)
        quantized.bias.copy_(base[0].bias)
    model = mlp()
    model[0] = quantized
    edit = SetModule(paths=("0",), spec=ModuleSpec(type="surgery_dsl.QuantizedLinear"))
    stands_for = dequantize(packed.values, packed.scale, packed.zero_point, torch.float32)
    assert magnitude(base, model, (edit,)) == pytest.approx(norm(stands_for - base[0].weight) / total(base), rel=1e-6)

    thin = LowRank(3, 4, 1)
    with torch.no_grad():
        thin.up.bias.copy_(base[0].bias)
    model = mlp()
    model[0] = thin
    edit = SetModule(paths=("0",), spec=ModuleSpec(type="surgery_dsl.LowRank"))
    expected = norm(thin.up.weight @ thin.down.weight - base[0].weight) / total(base)
    assert magnitude(base, model, (edit,)) == pytest.approx(expected, rel=1e-6)


def test_a_factored_layer_may_be_cut_afterwards() -> None:
    base, model = mlp(), mlp()
    thin = LowRank(3, 2, 2)
    with torch.no_grad():
        thin.up.bias.copy_(base[0].bias[[1, 3]])
    model[0] = thin
    kept = (1, 3)
    cut = Resize(
        indices={"k": kept},
        slices=tuple(Slice(tensor=t, dim=0, indices="k") for t in ("0.up.weight", "0.up.bias")),
        integers=(),
    )
    edits = (SetModule(paths=("0",), spec=ModuleSpec(type="surgery_dsl.LowRank")), cut)
    weight = torch.zeros(4, 3)
    weight[list(kept)] = (thin.up.weight @ thin.down.weight).detach()
    moved = norm(weight - base[0].weight, base[0].bias[[0, 2]])
    assert magnitude(base, model, edits) == pytest.approx(moved / total(base), rel=1e-6)


def test_dropped_modules_renumber_the_others() -> None:
    torch.manual_seed(1)
    base = nn.ModuleList([nn.Linear(2, 2) for _ in range(4)])
    model = nn.ModuleList([base[0], base[3]])
    edit = DropModules(paths=("1", "2"))
    gone = norm(*base[1].parameters(), *base[2].parameters())
    assert magnitude(base, model, (edit,)) == pytest.approx(gone / total(base))
    places = follow({"blocks.3.fc.weight": None, "blocks.1.fc.weight": None}, (DropModules(paths=("blocks.1",)),))
    assert {name: place.name for name, place in places.items()} == {"blocks.3.fc.weight": "blocks.2.fc.weight"}


def test_a_base_of_zeros() -> None:
    base, model = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    nn.init.zeros_(base.weight)
    assert magnitude(base, base, ()) == 0.0
    assert magnitude(base, model, ()) == math.inf
