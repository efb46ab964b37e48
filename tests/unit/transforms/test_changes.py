"""Edits on networks, one by one: what they do, what they tell the journal, what they refuse."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import (
    DropModules,
    Edit,
    InsertModule,
    IntegerChange,
    ModuleSpec,
    Resize,
    SetModule,
    Slice,
    Untie,
)
from surgery_dsl.modules.insertion import insert
from surgery_dsl.run.changes import EditMisfit, carry_out, find_tensor, replay
from surgery_dsl.vocabulary.context import Change


class Notes:
    def __init__(self) -> None:
        self.written: list[Tensor] = []
        self.gone: list[Tensor] = []

    def before_write(self, tensors: Iterable[Tensor]) -> None:
        self.written += list(tensors)

    def replaced(self, tensors: Iterable[Tensor]) -> None:
        self.gone += list(tensors)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2)).eval()


def resize(**integers: int) -> Resize:
    keep = {"kept": (0, 2, 5, 5)}
    slices = [("0.weight", 0), ("0.bias", 0), ("2.weight", 0), ("2.bias", 0), ("2.running_mean", 0)]
    slices += [("2.running_var", 0), ("3.weight", 1)]
    return Resize(
        indices=keep,
        slices=tuple(Slice(tensor=name, dim=dim, indices="kept") for name, dim in slices),
        integers=(
            IntegerChange(module="0", attribute="out_features", value=4),
            IntegerChange(module="2", attribute="num_features", value=4),
            IntegerChange(module="3", attribute="in_features", value=4),
        ),
    )


def test_resize_gathers_and_sets_integers() -> None:
    model, notes = net(), Notes()
    old = dict(model.named_parameters())
    carry_out(model, Change(edit=resize()), notes)
    assert torch.equal(model[0].weight, old["0.weight"][[0, 2, 5, 5]])
    assert torch.equal(model[3].weight, old["3.weight"][:, [0, 2, 5, 5]])
    assert isinstance(model[0].weight, nn.Parameter)
    assert model[0].weight.requires_grad
    assert (model[0].out_features, model[2].num_features, model[3].in_features) == (4, 4, 4)
    assert model(torch.randn(3, 4)).shape == (3, 2)
    assert {id(t) for t in notes.gone} >= {id(old["0.weight"]), id(old["3.weight"])}
    assert notes.written == []
    assert old["0.weight"].shape == (6, 4), "an edit writes into no tensor"


def test_resize_keeps_ties_and_frozen_parameters_frozen() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    model[0].weight.requires_grad_(False)
    for names in (("0.weight",), ("0.weight", "1.weight")):
        edit = Resize(
            indices={"a": (1, 0, 2, 3)},
            slices=tuple(Slice(tensor=name, dim=0, indices="a") for name in names),
            integers=(),
        )
        old = model[0].weight.detach().clone()
        carry_out(model, Change(edit=edit))
        assert model[0].weight is model[1].weight
        assert torch.equal(model[0].weight, old[[1, 0, 2, 3]])
        assert not model[0].weight.requires_grad


def test_resize_reaches_what_recurrent_modules_keep_for_themselves() -> None:
    gru = nn.GRU(3, 4)
    new = torch.randn(12, 3)
    carry_out(gru, Change(tensors={"weight_ih_l0": new}))
    slices = (Slice(tensor="weight_ih_l0", dim=1, indices="a"),)
    edit = Resize(
        indices={"a": (0, 2)}, slices=slices, integers=(IntegerChange(module="", attribute="input_size", value=2),)
    )
    carry_out(gru, Change(edit=edit))
    assert gru(torch.randn(5, 1, 2))[0].shape == (5, 1, 4)


def test_integers_in_tuples_and_in_objects() -> None:
    class Config:
        heads = 4

    norm = nn.LayerNorm((3, 4))
    norm.config = Config()
    edit = Resize(
        indices={},
        slices=(),
        integers=(
            IntegerChange(module="", attribute="normalized_shape.1", value=2),
            IntegerChange(module="", attribute="config.heads", value=2),
        ),
    )
    carry_out(norm, Change(edit=edit))
    assert norm.normalized_shape == (3, 2)
    assert norm.config.heads == 2


def test_set_module_takes_over_mode_device_and_children() -> None:
    model, notes = net(), Notes()
    insert(model[0], "child", "after", nn.Identity())
    old = model[0].weight
    spec = ModuleSpec(type="torch.nn.Linear", arguments={"in_features": 4, "out_features": 6}, dtype="f64")
    carry_out(model, Change(edit=SetModule(paths=("0",), spec=spec)), notes)
    assert not model[0].training
    assert model[0].weight.dtype is torch.float64
    assert "child" in dict(model[0].named_children())
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "BatchNorm1d", "Linear"]
    assert any(t is old for t in notes.gone)


def test_set_module_at_several_paths_is_one_object() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.ReLU())
    carry_out(model, Change(edit=SetModule(paths=("0", "2"), spec=ModuleSpec(type="torch.nn.GELU"))))
    assert model[0] is model[2]


def test_shared_tensors_of_a_replaced_module_are_not_gone() -> None:
    model, notes = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), Notes()
    model[1].weight = model[0].weight
    spec = ModuleSpec(type="torch.nn.Identity")
    carry_out(model, Change(edit=SetModule(paths=("0",), spec=spec)), notes)
    assert not any(t is model[1].weight for t in notes.gone)


def test_drop_modules_moves_the_others_up() -> None:
    model, notes = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5))), Notes()
    kept = [model[0], model[2], model[4]]
    gone = model[1].weight
    insert(model, "child", "after", nn.Identity())
    carry_out(model, Change(edit=DropModules(paths=("1", "3"))), notes)
    assert list(model) == kept
    assert list(model._modules) == ["0", "1", "2", "child"]
    assert any(t is gone for t in notes.gone)


def test_untie_gives_memory_of_its_own() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    values = model[0].weight.detach().clone()
    carry_out(model, Change(edit=Untie(tensor="0.weight")))
    assert model[0].weight is not model[1].weight
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(model[1].weight, values)


def test_values_and_zeros_are_written_in_place_after_the_edit() -> None:
    model, notes = net(), Notes()
    weight = model[3].weight
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0, 1] = mask[1, 5] = True
    values = torch.full((2, 6), 3.0)
    carry_out(model, Change(tensors={"3.weight": values}, zero={"3.weight": mask}, hold=True), notes)
    assert model[3].weight is weight
    assert torch.equal(weight, values.masked_fill(mask, 0))
    assert [t is weight for t in notes.written] == [True, True]
    spec = ModuleSpec(type="torch.nn.Linear", arguments={"in_features": 6, "out_features": 3})
    new = torch.randn(3, 6)
    carry_out(model, Change(edit=SetModule(paths=("3",), spec=spec), tensors={"3.weight": new}))
    assert torch.equal(model[3].weight, new)


def test_edits_replay_on_meta() -> None:
    with torch.device("meta"):
        skeleton = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2))
    spec = ModuleSpec(type="surgery_dsl.Deepened", arguments={"features": 4}, dtype="f32")
    replay(skeleton, [resize(), InsertModule(host="1", name="deeper", where="after", spec=spec)])
    assert all(t.is_meta for t in skeleton.state_dict().values())
    assert skeleton[1].deeper.layer.weight.shape == (4, 4)
    assert skeleton[0].weight.shape == (4, 4)


RESIZED = resize()
LINEAR = ModuleSpec(type="torch.nn.Linear", arguments={"in_features": 4, "out_features": 6})


@pytest.mark.parametrize(
    "edit",
    [
        RESIZED.replaced(indices={"kept": (0, 6)}),
        RESIZED.replaced(indices={"kept": (-1,)}),
        RESIZED.replaced(indices={}),
        RESIZED.replaced(slices=(Slice(tensor="9.weight", dim=0, indices="kept"),)),
        RESIZED.replaced(slices=(Slice(tensor="0.weight", dim=7, indices="kept"),)),
        RESIZED.replaced(slices=(Slice(tensor="0.forward", dim=0, indices="kept"),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="0", attribute="forward", value=3),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="0", attribute="training", value=3),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="0", attribute="__class__", value=3),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="0", attribute="__dict__.in_features", value=3),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="0", attribute="new", value=3),)),
        RESIZED.replaced(slices=(), integers=(IntegerChange(module="", attribute="_modules.0", value=3),)),
        SetModule(paths=("",), spec=LINEAR),
        SetModule(paths=(), spec=LINEAR),
        SetModule(paths=("7",), spec=LINEAR),
        SetModule(paths=("0",), spec=ModuleSpec(type="os.system")),
        SetModule(paths=("0",), spec=LINEAR.replaced(dtype="i8")),
        InsertModule(host="7", name="a", where="after", spec=LINEAR),
        InsertModule(host="0", name="weight", where="after", spec=LINEAR),
        InsertModule(host="0", name="a b", where="after", spec=LINEAR),
        DropModules(paths=("7",)),
        DropModules(paths=("holder.inner",)),
        Untie(tensor="0.nothing"),
    ],
    ids=lambda edit: edit.edit,
)
def test_edits_that_do_not_fit_are_refused(edit: Edit) -> None:
    model = net()
    model.add_module("holder", nn.ModuleDict({"inner": nn.ReLU()}))
    with pytest.raises(EditMisfit):
        carry_out(model, Change(edit=edit))


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": {"0.weight": torch.zeros(6, 5)}},
        {"tensors": {"0.weight": torch.zeros(6, 4, dtype=torch.float64)}},
        {"tensors": {"0.nothing": torch.zeros(1)}},
        {"zero": {"0.weight": torch.zeros(6, 5, dtype=torch.bool)}},
        {"zero": {"0.weight": torch.zeros(6, 4)}},
    ],
)
def test_values_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    model = net()
    before = model[0].weight.detach().clone()
    with pytest.raises(EditMisfit):
        carry_out(model, Change(**change))
    assert torch.equal(model[0].weight, before)


def test_find_tensor() -> None:
    model = net()
    assert find_tensor(model, "2.running_mean") is model[2].running_mean
    with pytest.raises(EditMisfit, match="no module"):
        find_tensor(model, "9.weight")
    with pytest.raises(EditMisfit, match="no tensor"):
        find_tensor(model, "0.weights")
