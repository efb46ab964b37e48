"""Counting multiply-accumulates, of what a forward chooses by values too."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.once import once
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.quantities._counting import total


@once
def multiplied(interface: Interface) -> tuple[Polynomial, Polynomial]:
    """Return the fewest and the most multiply-accumulates of one forward.

    They are equal but for layers that run on what a mask chooses by values (the tokens of an expert): those take from
    nothing to all.
    """
    products = [dims for operator in interface.operators for dims in operator.macs]
    most = total(interface, ((1, dims) for dims in products))
    chosen = {axis.id for axis in interface.axes if frozen.is_rows(axis.frozen)}
    if not chosen:
        return most, most
    return total(interface, ((1, dims) for dims in products if chosen.isdisjoint(interface.leaves(dims)))), most
