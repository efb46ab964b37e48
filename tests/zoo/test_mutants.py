"""Each single wrong coupling in a real axis graph is noticed.

One tensor dimension at a time gets a twin of its axis: as many of its indices go, but others.
"""

import random
import warnings
from collections.abc import Iterator

import pytest

from benchmarks.zoo.networks import prepare
from benchmarks.zoo.oracle import Judge
from surgery_dsl.interface.model import Interface, SizeTie
from surgery_dsl.trace.capture import trace

PLACES = 2
"""Tensor dimensions of each axis that get a twin."""


def mutants(interface: Interface, axis: int) -> Iterator[tuple[str, Interface]]:
    """Yield interfaces in which one tensor dimension that carries an axis has a twin of it."""
    places = interface.carriers[axis]
    for name, position in random.Random(axis).sample(places, min(PLACES, len(places))):
        tensor = interface.tensor_by_name[name]
        if len(places) < 2 or axis not in tensor.dims[position] or tensor.tied_to or name in interface.ties:
            continue
        twin = len(interface.axes)
        dims = list(tensor.dims)
        dims[position] = tuple(twin if other == axis else other for other in dims[position])
        changed = tensor.replaced(dims=tuple(dims))
        yield (
            f"{name}[{position}]",
            interface.replaced(
                axes=(*interface.axes, interface.axes[axis].replaced(id=twin)),
                tensors=tuple(changed if other.name == name else other for other in interface.tensors),
                size_ties=(*interface.size_ties, SizeTie(dims=((axis,), (twin,)), reason="they are twins")),
            ),
        )


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "ResNetForImageClassification"])
def test_a_single_wrong_coupling_is_noticed(name: str) -> None:
    pytest.importorskip("transformers")
    from benchmarks.zoo import architectures_hf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library says of its own future
        network = prepare(next(a for a in architectures_hf.architectures() if a.name == name))
        interface = trace(network.model, network.specs, network.outputs)
        oracle = Judge(network, interface)
        found = {}
        for axis in oracle.prunable():
            for place, oracle.interface in mutants(interface, axis):
                found[place] = oracle.axis(axis).kind
    assert sum(kind == "wrong" for kind in found.values()) > 10
    # A twin of a size that is tied already cannot always hold both ties.
    assert set(found.values()) <= {"wrong", "refused"}, found
