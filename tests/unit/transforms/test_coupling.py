"""Axes that become one, and axes that part, on drafts alone."""

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface import frozen
from surgery_dsl.interface.coupling import collapse, exact_size, leaves, merge, settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Extent
from surgery_dsl.interface.parting import recouple
from surgery_dsl.trace.capture import trace
from tests.unit.transforms.bench import spec
from tests.unit.transforms.networks import NETWORKS


def draft(name: str) -> Draft:
    factory, inputs = NETWORKS[name]
    return Draft(trace(factory(), inputs))


def test_leaves_of_equal_size_become_one_everywhere() -> None:
    on = draft("mlp")
    before = on.tensors["hidden.1.weight"].dims
    assert before[0] != before[1]
    assert merge(on, [before[0]], [before[1]])
    after = on.tensors["hidden.1.weight"].dims
    assert after[0] == after[1] == on.tensors["hidden.0.weight"].dims[0] == on.tensors["hidden.2.weight"].dims[1]
    integers = on.modules["hidden.1"].integers
    assert integers["in_features"] == integers["out_features"] == after[0]
    merged = on.finish()
    linear = next(op for op in merged.operators if op.path == "hidden.1")
    assert linear.macs[0].count(after[0][0]) == 2


def test_the_firmer_reason_holds_for_both() -> None:
    on = draft("mlp")
    read, hidden = on.tensors["hidden.0.weight"].dims[1], on.new_axis(6, "new")
    assert merge(on, [(hidden,)], [read])
    (axis,) = on.tensors["hidden.0.weight"].dims[1]
    assert on.axes[axis].frozen == frozen.INPUT


def test_a_leaf_takes_the_factors_of_a_product() -> None:
    on = draft("cnn")
    flat = on.tensors["head.weight"].dims[1]
    assert len(flat) == 3
    leaf = on.new_axis(24, "new")
    on.add_tensor("extra", "parameter", "f32", ((leaf,),))
    assert merge(on, [(leaf,)], [flat])
    assert on.tensors["extra"].dims == (on.tensors["head.weight"].dims[1],)


def test_a_leaf_gives_way_to_a_sum_and_sums_of_equal_parts_join() -> None:
    on = draft("concatenated")
    joint = on.tensors["joint.weight"].dims[1]
    assert on.axes[joint[0]].parts
    leaf = on.new_axis(16, "new")
    on.add_tensor("extra", "parameter", "f32", ((leaf,),))
    assert merge(on, [(leaf,)], [joint])
    assert on.tensors["extra"].dims == (joint,)
    left, right = on.axes[joint[0]].parts
    assert merge(on, [left], [right])
    one, two = on.axes[joint[0]].parts
    assert one == two


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (8, 6),
        (8, "T"),
        (Extent(least=2, most=8), 8),
        (Extent(least=2, most=8), Extent(least=2, most=8)),
    ],
)
def test_sizes_that_may_differ_do_not_join(one: object, two: object) -> None:
    on = draft("mlp")
    a, b = on.new_axis(one, "a"), on.new_axis(two, "b")  # type: ignore[arg-type]
    count, tensors = len(on.axes), dict(on.tensors)
    assert not merge(on, [(a,)], [(b,)])
    assert len(on.axes) == count
    assert on.tensors == tensors
    assert merge(on, [(a,)], [(a,)])


def test_free_sizes_of_one_name_join() -> None:
    on = draft("mlp")
    a, b = on.new_axis("T", "a"), on.new_axis("T", "b")
    assert merge(on, [(a,)], [(b,)])


def test_what_nothing_couples_is_left_alone() -> None:
    for name in NETWORKS:
        on = draft(name)
        dims = {tensor.name: tensor.dims for tensor in on.tensors.values()}
        axes = list(on.axes)
        recouple(on, range(len(on.axes)))
        assert {tensor.name: tensor.dims for tensor in on.tensors.values()} == dims, name
        settle(on)
        assert on.axes == axes, name


def test_exact_sizes() -> None:
    on = draft("concatenated")
    joint = on.tensors["joint.weight"].dims[1]
    assert exact_size(on, joint) == 16
    assert len(list(leaves(on, joint))) == 2
    on.resize(next(leaves(on, joint)), Extent(least=3, most=8))
    assert exact_size(on, joint) is None


def test_a_product_that_something_takes_apart_stays() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.softmax(self.first(x).view(-1, 2, 4), dim=2).flatten(1))

    on = Draft(trace(Heads(), spec("N", 6)))
    dim = on.tensors["first.weight"].dims[0]
    assert len(dim) == 2
    collapse(on, dim)
    assert on.tensors["first.weight"].dims[0] == dim
