import copy
import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from surgery_dsl.interface.edits import (
    ArrangeModules,
    DropModules,
    InsertModule,
    IntegerChange,
    ModuleSpec,
    NumberChange,
    Resize,
    SetCall,
    SetModule,
    Slice,
    Untie,
)
from surgery_dsl.run.changes import carry_out, find_tensor
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.vocabulary.context import Change


class Config:
    """A plain object with attributes, as Hugging Face models have one."""

    def __init__(self) -> None:
        self.width = 8
        self.layers = ["a", "b"]
        self.depth = 3
        self.kinds = ["a", "b", "a"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.width = 8
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 8, bias=False)
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied.weight = self.head.weight
        self.register_buffer("mask", torch.ones(8), persistent=False)

    def forward(self, x):
        for block in self.blocks:
            x = torch.relu(block(x))
        return self.tied(self.norm(self.head(x))) * self.mask


def state(model: nn.Module) -> dict[str, object]:
    """Everything that must come back: bits, objects, types, flags, attributes."""
    found: dict[str, object] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        found[f"type {path}"] = (id(module), type(module), module.training, tuple(module._modules))
        plain = {k: v for k, v in vars(module).items() if isinstance(v, int | str | tuple | bool)}
        found[f"plain {path}"] = repr(sorted(plain.items()))
    for kind in ("named_parameters", "named_buffers"):
        for name, tensor in getattr(model, kind)(remove_duplicate=False):
            found[f"tensor {name}"] = (
                id(tensor),
                tensor.requires_grad,
                tensor.detach().numpy().tobytes(),
                tensor.shape,
            )
            found[f"grad {name}"] = None if tensor.grad is None else tensor.grad.numpy().tobytes()
    found["config"] = (id(model.config), repr(sorted(vars(model.config).items())))
    return found


def rows(indices: tuple[int, ...]) -> Change:
    slices = (Slice(tensor="blocks.0.weight", dim=0, indices="i"), Slice(tensor="blocks.0.bias", dim=0, indices="i"))
    slices += (Slice(tensor="blocks.1.weight", dim=1, indices="i"),)
    integers = (
        IntegerChange(module="blocks.0", attribute="out_features", value=len(indices)),
        IntegerChange(module="blocks.1", attribute="in_features", value=len(indices)),
    )
    return Change(edit=Resize(indices={"i": indices}, slices=slices, integers=integers))


CHANGES: dict[str, Callable[[nn.Module], Change]] = {
    "resize": lambda _: rows((0, 2, 5)),
    "tied resize": lambda _: Change(
        edit=Resize(indices={"i": (1, 2)}, slices=(Slice(tensor="tied.weight", dim=1, indices="i"),), integers=())
    ),
    "config": lambda _: Change(
        edit=Resize(indices={}, slices=(), integers=(IntegerChange(module="", attribute="config.width", value=3),))
    ),
    "set": lambda _: Change(edit=SetModule(paths=("norm",), spec=ModuleSpec(type="torch.nn.Identity"))),
    "insert": lambda _: Change(
        edit=InsertModule(
            host="blocks.1",
            name="extra",
            where="after",
            spec=ModuleSpec(type="torch.nn.Linear", arguments={"in_features": 8, "out_features": 8}),
        )
    ),
    "arrange": lambda _: Change(
        edit=ArrangeModules(
            lists={"blocks": (2, 0, 0)},
            numbers=(
                NumberChange(module="", attribute="config.depth", list="blocks", means="count"),
                NumberChange(module="", attribute="config.kinds", list="blocks", means="each"),
            ),
        )
    ),
    "call": lambda _: Change(
        edit=SetCall(host="", kind="relu", number=1, count=3, name="act", spec=ModuleSpec(type="torch.nn.GELU"))
    ),
    "drop": lambda _: Change(edit=DropModules(paths=("blocks.1",))),
    "untie": lambda _: Change(edit=Untie(tensor="tied.weight")),
    "values": lambda m: Change(tensors={"head.weight": torch.full_like(find_tensor(m, "head.weight"), 7.0)}),
    "zeros": lambda m: Change(zero={"norm.weight": torch.ones(8, dtype=torch.bool)}, hold=True),
}


def apply_some(model: nn.Module, transaction: Transaction, names: list[str]) -> None:
    for name in names:
        try:
            carry_out(model, CHANGES[name](model), transaction)
        except ValueError:
            continue  # an earlier change took away what this one needs


@pytest.mark.parametrize("name", CHANGES)
def test_every_kind_of_change_comes_back(name: str) -> None:
    model = Net()
    before = state(model)
    transaction = Transaction(model)
    carry_out(model, CHANGES[name](model), transaction)
    assert state(model) != before
    transaction.rollback()
    assert state(model) == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=7), st.booleans())
def test_any_sequence_comes_back_with_and_without_a_file(names: list[str], from_file: bool) -> None:
    torch.manual_seed(3)
    model = Net()
    saved = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    readers = {name: (lambda value=value: value.clone()) for name, value in saved.items()} if from_file else {}
    before = state(model)
    transaction = Transaction(model, readers)
    apply_some(model, transaction, names)
    transaction.rollback()
    assert state(model) == before


def test_training_comes_back_bit_for_bit() -> None:
    model = Net().eval()
    model.blocks[0].weight.requires_grad_(False)
    before = state(model)
    transaction = Transaction(model)

    def interrupted() -> None:
        with transaction:
            transaction.before_write([*model.parameters(), *model.buffers()])
            model.train()
            optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
            for _ in range(3):
                model(torch.randn(5, 8)).sum().backward()
                optimizer.step()
            model.blocks[0].weight.requires_grad_(True)
            model.register_forward_hook(lambda *_: None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(model) == before
    assert not model._forward_hooks


def test_random_states_come_back() -> None:
    model = Net()
    wanted = (torch.rand(1, generator=None), random.random())
    torch.manual_seed(0)
    random.seed(0)
    transaction = Transaction(model)
    first = (torch.rand(3).tolist(), random.random())
    transaction.rollback()
    assert (torch.rand(3).tolist(), random.random()) == first
    assert wanted is not None


def test_a_write_that_nobody_announced_is_undone_where_a_file_is() -> None:
    model = Net()
    original = model.head.weight.detach().clone()
    transaction = Transaction(model, {"head.weight": original.clone})
    with torch.no_grad():
        model.head.weight.mul_(2)
    transaction.rollback()
    assert torch.equal(model.head.weight, original)


def test_commit_keeps_and_rollback_after_it_does_nothing() -> None:
    model = Net()
    transaction = Transaction(model)
    carry_out(model, rows((1, 3)), transaction)
    transaction.commit()
    transaction.rollback()
    assert model.blocks[0].weight.shape == (2, 8)


def test_memory_of_what_a_file_holds_is_given_up_at_once() -> None:
    """The journal keeps no copy of tensors that can be read again, however many are cut."""
    model = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(8)))
    saved = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    transaction = Transaction(model, {name: value.clone for name, value in saved.items()})
    olds = [layer.weight for layer in model]
    indices = tuple(range(128))
    slices = tuple(Slice(tensor=f"{i}.weight", dim=d, indices="i") for i in range(8) for d in (0, 1))
    carry_out(model, Change(edit=Resize(indices={"i": indices}, slices=slices, integers=())), transaction)
    assert sum(old.untyped_storage().nbytes() for old in olds) == 0
    transaction.rollback()
    assert all(torch.equal(layer.weight, saved[f"{i}.weight"]) for i, layer in enumerate(model))
    assert [id(layer.weight) for layer in model] == [id(old) for old in olds]


def test_without_a_file_replaced_tensors_are_kept_not_copied() -> None:
    model = nn.Sequential(nn.Linear(64, 64, bias=False))
    old = model[0].weight
    pointer = old.data_ptr()
    transaction = Transaction(model)
    slices = (Slice(tensor="0.weight", dim=0, indices="i"),)
    carry_out(model, Change(edit=Resize(indices={"i": (1, 2)}, slices=slices, integers=())), transaction)
    transaction.rollback()
    assert model[0].weight is old
    assert old.data_ptr() == pointer


def test_deep_copies_of_the_model_do_not_share_the_journal() -> None:
    model = Net()
    copied = copy.deepcopy(model)
    before = state(copied)
    transaction = Transaction(model)
    carry_out(model, CHANGES["values"](model), transaction)
    assert state(copied) == before
