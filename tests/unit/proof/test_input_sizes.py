"""Multiples of free sizes in proofs: data against inputs, counts at stated sizes, and the sizes that are offered."""

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.expression import Expression
from surgery_dsl.interface.model import Axis, FreeSize, Interface
from surgery_dsl.proof.check import check
from tests.unit.proof.builders import chain, facts, lock, plan

TUNE = """recover tune {
  data = train
  steps = 3
  optimizer = sgd(lr = 1e-2)
  loss = mse
}
"""


def network(size: Expression, *free: FreeSize) -> Interface:
    """A perceptron whose batch is a linear size, and whose second input dimension is ``size`` times one more axis."""
    made = chain([8, 8, 4])
    axes = tuple(axis.replaced(size=size) if axis.id == 1 else axis for axis in made.axes)
    return made.replaced(axes=axes, free=(FreeSize(name="N"), *free))


def misfits(made: Interface, length: int) -> list[Diagnostic]:
    """What stands against data of one size."""
    data = [facts(name, (length,), None, target_shape=(4,)) for name in ("train", "test")]
    report = check(plan(TUNE), lock(made, *data))
    return [found for found in report.diagnostics if found.code.name == "data-shape-mismatch"]


CASES = [
    (("*", 16, "H"), FreeSize(name="H"), 48, ""),
    (("*", 16, "H"), FreeSize(name="H"), 50, "`16 * H` is 48 or 64, never 50"),
    (("*", 16, "H"), FreeSize(name="H", least=2, most=4), 16, "`16 * H` is 32 or 48, never 16"),
    (("*", 16, "H"), FreeSize(name="H", least=2, most=4), 80, "`16 * H` is 64, never 80"),
    (("+", 1, ("*", 2, "H")), FreeSize(name="H"), 7, ""),
    (("+", 1, ("*", 2, "H")), FreeSize(name="H"), 8, "`2 * H + 1` is 7 or 9, never 8"),
]


@pytest.mark.parametrize(("size", "free", "length", "why"), CASES)
def test_data_have_to_be_of_a_size_that_some_number_gives(
    size: Expression, free: FreeSize, length: int, why: str
) -> None:
    found = misfits(network(size, free), length)
    assert [note for d in found for note in d.notes] == ([why] if why else [])
    assert bool(found) == bool(why)
    for finding in found:
        assert f"[{length}]" in finding.message


def test_a_parted_input_is_told_as_it_is_written() -> None:
    """A view that parts 16 * H into H and 16 leaves an input of two axes."""
    made = network("H", FreeSize(name="H"))
    inner = Axis(id=len(made.axes), size=16)
    values = tuple(
        value.replaced(dims=((0,), (1, inner.id))) if at == 0 else value for at, value in enumerate(made.values)
    )
    parted = made.replaced(axes=(*made.axes, inner), values=values)
    assert [note for found in misfits(parted, 50) for note in found.notes] == ["`16 * H` is 48 or 64, never 50"]
    assert misfits(parted, 48) == []
