"""Children that run after, before or around a host."""

import copy

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.modules.insertion import hand_on, insert, inserted, own_class
from surgery_dsl.modules.residual import Residual


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Shift(nn.Module):
    def forward(self, x: Tensor, amount: float = 1.0) -> Tensor:
        return x + amount


X = torch.arange(6.0).view(2, 3)


def test_after_before_and_around_say_what_they_mean() -> None:
    for where, expected in (("after", (X + 1) * 3), ("before", X * 3 + 1)):
        host = Shift()
        insert(host, "child", where, Scale(3.0))  # type: ignore[arg-type]
        assert torch.equal(host(X), expected)
    host = Shift()
    insert(host, "child", "around", Residual(gate=0.5))
    assert torch.equal(host(X), X + 1 + 0.5 * X)


def test_the_last_insertion_is_the_outermost() -> None:
    host = Shift()
    insert(host, "a", "after", Scale(2.0))
    insert(host, "b", "after", Scale(5.0))
    insert(host, "c", "before", Scale(3.0))
    insert(host, "d", "before", Scale(7.0))
    insert(host, "e", "around", Residual(gate=1.0, learned=False))
    assert torch.equal(host(X), (X * 7 * 3 + 1) * 2 * 5 + X)
    assert list(inserted(host).items()) == [
        ("a", "after"),
        ("b", "after"),
        ("c", "before"),
        ("d", "before"),
        ("e", "around"),
    ]


def test_other_arguments_reach_the_host() -> None:
    host = Shift()
    insert(host, "child", "before", Scale(2.0))
    assert torch.equal(host(X, amount=4.0), X * 2 + 4)
    assert torch.equal(host(x=X, amount=4.0), X * 2 + 4)
    insert(host, "around", "around", Residual(gate=1.0))
    assert torch.equal(host(x=X, amount=4.0), X * 2 + 4 + X)


def test_no_tensor_changes_its_name() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    before = set(network.state_dict())
    insert(network[0], "child", "after", nn.Linear(3, 3))
    insert(network, "last", "after", nn.Linear(3, 2))
    assert set(network.state_dict()) - before == {"0.child.weight", "0.child.bias", "last.weight", "last.bias"}
    assert before <= set(network.state_dict())


def test_the_class_is_still_the_class() -> None:
    host = nn.ReLU()
    insert(host, "child", "after", Scale(2.0))
    assert isinstance(host, nn.ReLU)
    assert own_class(host) is nn.ReLU
    assert own_class(nn.ReLU()) is nn.ReLU
    assert type(host).__name__ == "ReLU"
    assert "inserted: child after" in repr(host)
    assert dict(inserted(nn.ReLU())) == {}


def test_a_sequential_does_not_run_what_was_inserted_as_its_own() -> None:
    host = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    expected = host(X)
    insert(host, "child", "after", Scale(2.0))
    assert torch.equal(host(X), expected * 2)
    assert len(host) == 3
    assert [type(m) for m in host] == [nn.Linear, nn.ReLU, nn.Linear]
    assert isinstance(host[-1], nn.Linear)


def test_deepcopy_is_another_network() -> None:
    host = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    insert(host[1], "child", "after", Scale(2.0))
    other = copy.deepcopy(host)
    assert torch.equal(other(X), host(X))
    with torch.no_grad():
        other[1].child.factor.fill_(9.0)
    assert not torch.equal(other(X), host(X))
    assert inserted(other[1]) == inserted(host[1])
    assert inserted(other[1]) is not inserted(host[1])


def test_one_host_does_not_change_another_of_its_class() -> None:
    one, two = nn.ReLU(), nn.ReLU()
    insert(one, "child", "after", Scale(2.0))
    assert torch.equal(two(X), X)
    assert type(two) is nn.ReLU


def test_a_host_that_writes_in_place_leaves_the_input_of_the_path_around_alone() -> None:
    host = nn.Sequential(nn.ReLU(inplace=True))
    insert(host, "path", "around", Residual(gate=1.0))
    x = torch.tensor([[-1.0, 2.0]])
    assert torch.equal(host(x), torch.tensor([[-1.0, 4.0]]))
    assert torch.equal(x, torch.tensor([[-1.0, 2.0]]))


def test_hooks_of_the_host_see_the_whole() -> None:
    host = Shift()
    insert(host, "child", "after", Scale(2.0))
    seen: list[Tensor] = []
    host.register_forward_hook(lambda _m, _i, output: seen.append(output))
    host(X)
    assert torch.equal(seen[0], (X + 1) * 2)


def test_gradients_flow() -> None:
    host = nn.Linear(3, 3)
    insert(host, "child", "around", Residual(gate=0.0))
    host(X).sum().backward()
    assert host.child.gate.grad is not None
    assert float(host.child.gate.grad) == float(X.sum())


def test_the_child_takes_over_the_mode() -> None:
    host = nn.ReLU().eval()
    child = nn.Dropout()
    insert(host, "child", "after", child)
    assert not child.training
    host.train()
    assert child.training


def test_moves_reach_the_child() -> None:
    host = nn.ReLU()
    insert(host, "child", "after", Scale(2.0))
    assert host.to(torch.float64)(X.double()).dtype is torch.float64
    assert host.to("meta").child.factor.is_meta


@pytest.mark.parametrize("name", ["weight", "forward", "eval", "no name", "1st"])
def test_a_name_that_is_taken_or_none_is_refused(name: str) -> None:
    host = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="name"):
        insert(host, name, "after", nn.ReLU())
    assert type(host) is nn.Linear


def test_a_second_child_of_the_same_name_is_refused() -> None:
    host = nn.Linear(3, 3)
    insert(host, "child", "after", nn.ReLU())
    with pytest.raises(ValueError, match="taken"):
        insert(host, "child", "before", nn.ReLU())


def test_a_forward_of_the_instance_is_refused() -> None:
    host = nn.ReLU()
    host.forward = lambda x: x  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="instance"):
        insert(host, "child", "after", nn.ReLU())


def test_children_go_on_to_what_takes_the_hosts_place() -> None:
    old, new = nn.ReLU(), nn.GELU()
    insert(old, "a", "after", Scale(2.0))
    insert(old, "b", "before", Scale(3.0))
    hand_on(old, new)
    assert torch.equal(new(X), nn.functional.gelu(X * 3) * 2)
    assert inserted(new) == inserted(old)
