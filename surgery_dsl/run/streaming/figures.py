"""What can be counted of a network without running it: from its axes alone."""

from typing import Literal

from surgery_dsl.certificate.model import EfficiencyRow
from surgery_dsl.interface.expression import evaluate, symbols
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities.macs import Macs
from surgery_dsl.vocabulary.quantities.params import Params
from surgery_dsl.vocabulary.quantities.weight_bytes import WeightBytes


def counted(word: Quantity, interface: Interface, context: Static) -> float:
    """Return a quantity of a network by its static rule; free sizes as it states them, else at their least.

    Raises:
        ValueError: It is open: some size of the network is.
    """
    least = {free.name: free.least for free in interface.free} | dict(word.nominal())

    def size(axis: int) -> int | None:
        found = interface.axes[axis].size
        if isinstance(found, Extent):
            return found.least if found.least == found.most else None
        return evaluate(found, {name: least.get(name, 1) for name in symbols(found)})

    low, high = (bound.substitute(size).value for bound in word.bounds(interface, context))
    if low is None or low != high:
        raise ValueError(f"{word.name} is open")
    return float(low) / word.denominator


def efficiency(before: Interface, after: Interface, context: Static) -> tuple[EfficiencyRow, ...]:
    """Return before, after and saving of what needs no forward; what only values decide is left out."""
    rows = []
    words: tuple[tuple[Literal["params", "flops", "macs", "memory"], str, int, Quantity], ...] = (
        ("params", "elements", 1, Params()),
        ("flops", "operations for one example", 2, Macs()),
        ("macs", "multiply-accumulates for one example", 1, Macs()),
        ("memory", "bytes", 1, WeightBytes()),
    )
    for name, unit, factor, word in words:
        if any(low != high for low, high in (word.bounds(interface, context) for interface in (before, after))):
            continue
        first, last = (factor * counted(word, interface, context) for interface in (before, after))
        saving = 1 - last / first if first else 0.0
        rows.append(EfficiencyRow(quantity=name, unit=unit, before=first, after=last, saving=saving))
    return tuple(rows)
