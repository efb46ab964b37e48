"""Memory that an edit gave up serves its next results, and nothing that anybody still sees is overwritten."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import Resize, Slice
from surgery_dsl.run import recycling
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.vocabulary.context import Change

KEPT = tuple(range(0, 32, 2))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recycling, "LEAST", 1 << 10)


def chain(dtype: torch.dtype) -> tuple[nn.Module, Change, dict[str, Tensor]]:
    """Return five layers, the edit that halves all of them, and what must come out."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(32, 32, bias=False) for _ in range(5))).to(dtype)
    names = [f"{at}.weight" for at in range(5)]
    slices = tuple(Slice(tensor=name, dim=dim, indices="i") for name in names for dim in (0, 1))
    wanted = {name: tensor.detach()[list(KEPT)][:, list(KEPT)].clone() for name, tensor in net.state_dict().items()}
    return net, Change(edit=Resize(indices={"i": KEPT}, slices=slices, integers=())), wanted


def readers(net: nn.Module) -> dict[str, Callable[[], Tensor]]:
    values = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    return {name: value.clone for name, value in values.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_results_share_the_memory_of_what_they_replace(dtype: torch.dtype) -> None:
    net, change, wanted = chain(dtype)
    first = net[0].weight.data_ptr()
    carry_out(net, change, Transaction(net, readers(net)))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, wanted[name])
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
    places = [layer.weight.data_ptr() for layer in net]
    assert places[1:] == [first + at * 16 * 16 * dtype.itemsize for at in range(4)]
    twin = copy.deepcopy(net)
    with torch.no_grad():
        net[1].weight.zero_()
    for at in (2, 3, 4):
        assert torch.equal(net[at].weight, wanted[f"{at}.weight"])
    assert torch.equal(twin[1].weight, wanted["1.weight"])


def test_it_all_comes_back() -> None:
    net, change, _ = chain(torch.float32)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    transaction = Transaction(net, readers(net))
    carry_out(net, change, transaction)
    transaction.rollback()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_what_somebody_still_sees_is_left_alone() -> None:
    net, change, wanted = chain(torch.float32)
    seen = [layer.weight.detach().t() for layer in net]
    before = [one.clone() for one in seen]
    carry_out(net, change, Transaction(net, readers(net)))
    assert all(torch.equal(one, then) for one, then in zip(seen, before, strict=True))
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in net.state_dict().items())


def test_what_only_memory_could_bring_back_is_left_alone() -> None:
    net, change, _ = chain(torch.float32)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    transaction = Transaction(net)
    carry_out(net, change, transaction)
    transaction.rollback()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_memory_that_the_results_would_not_fill_goes_back() -> None:
    recycler = recycling.Recycler([4096, 1024])
    recycler.empty((1024,), torch.empty(0))
    large = torch.zeros(2048)
    place = large.data_ptr()
    recycler.give(large)
    del large
    assert recycler.empty((256,), torch.empty(0)).data_ptr() != place
