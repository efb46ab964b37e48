"""What is seen inside a network while data runs through it: one pass for all that asks of the same data."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import final

from torch import nn

from surgery_dsl.evidence.activity import Observer, Units, activations, runs, unit_position
from surgery_dsl.evidence.answers import MOST_KEPT, Batches, Forward
from surgery_dsl.evidence.metrics import evaluating
from surgery_dsl.evidence.recalibration import Moments
from surgery_dsl.evidence.watching import watch
from surgery_dsl.interface.model import Interface


@final
@dataclass(frozen=True)
class Wanted:
    """What is to be seen.

    Attributes:
        products: Operators of which the units are looked at, and up to how many units the products of two of them are
            taken; 0 for none.
        norms: Whether what norms are given is compared with their running statistics.
    """

    products: Mapping[str, int] = field(default_factory=dict)
    norms: bool = False

    def __or__(self, other: "Wanted") -> "Wanted":
        most = {path: max(self.products.get(path, 0), cap) for path, cap in other.products.items()}
        return Wanted({**self.products, **most}, self.norms or other.norms)

    def covers(self, other: "Wanted") -> bool:
        """Whether all that another asks for is seen."""
        seen = all(self.products.get(path, -1) >= cap for path, cap in other.products.items())
        return seen and self.norms >= other.norms

    def bytes(self, interface: Interface) -> int:
        """Return how much memory the products take."""
        total = 0
        for operator in interface.operators:
            value = interface.values[operator.outputs[0]]
            if self.products.get(operator.path):
                units = interface.exact(value.dims[unit_position(interface, operator)]) or 0
                total += 8 * units**2 * (units <= self.products[operator.path])
        return total


def of_activations(interface: Interface, products: int = 0) -> Wanted:
    """Ask for the units of every activation."""
    return Wanted(dict.fromkeys(activations(interface), products))


@final
@dataclass(frozen=True)
class Seen:
    """What was seen.

    Attributes:
        wanted: What was asked for.
        runs: What the units of each run of an operator did, by path and number of the run, in the order of the forward.
        shifts: How far the running statistics of each norm are from those of the data, by path.
    """

    wanted: Wanted
    runs: Mapping[tuple[str, int], Units]
    shifts: Mapping[str, float]

    def units(self, wanted: Wanted) -> list[Units]:
        """Return what the units of some of the operators did."""
        return [units for (path, _), units in self.runs.items() if path in wanted.products]


def look(model: nn.Module, interface: Interface, wanted: Wanted, batches: Batches, forward: Forward) -> Seen:
    """Run data through a network once, in eval mode, and see all that is wanted.

    Raises:
        LookupError: An operator of the interface did not run: the network is not what the interface says.
    """
    observer = Observer(interface, wanted.products)
    moments = Moments(model) if wanted.norms else None
    doors = tuple(moments.norms) if moments else ()
    if wanted.products or doors:
        with evaluating(model):
            watch(
                model,
                tuple(wanted.products),
                batches,
                observer.note,
                lambda inputs: forward(model, inputs),
                entering=doors,
                note_entering=moments.note if moments else None,
            )
    found = observer.found()
    ordered = {run: found[run] for run in runs(interface, wanted.products) if run in found}
    return Seen(wanted, ordered, moments.shifts() if moments else {})


@final
class KeptSights:
    """What was seen stays while its network does, as :class:`~surgery_dsl.evidence.answers.Kept` keeps answers."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: dict[tuple[str, str], Seen] = {}

    def forget(self, network: str) -> None:
        """Hear that a network changed."""
        for key in [key for key in self._kept if key[0] == network]:
            del self._kept[key]

    def of(
        self,
        network: str,
        data: str,
        interface: Interface,
        asked: Wanted,
        later: Iterable[Wanted],
        look: Callable[[Wanted], Seen],
    ) -> Seen:
        """Return a sight of what is asked for: one that is kept, else one of all that will be asked for.

        Args:
            network: The name of the network; empty where nothing of it is kept.
            data: The data set.
            interface: The network's interface.
            asked: What is asked for now.
            later: What else will be asked for; left out where its products would take too much memory.
            look: Runs the data through the network.
        """
        kept = self._kept.get((network, data))
        if kept is not None and kept.wanted.covers(asked):
            return kept
        if not network:
            return look(asked)
        wanted = reduce(or_, later, asked)
        if wanted.bytes(interface) > MOST_KEPT:
            wanted = asked
        seen = look(wanted)
        if wanted.bytes(interface) <= MOST_KEPT:
            self._kept[network, data] = seen
        return seen
