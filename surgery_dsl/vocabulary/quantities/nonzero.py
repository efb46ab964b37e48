"""``nonzero``: how many weights are not zero."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface, Tensor
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.predicates._holding import follow
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Nonzero(Quantity):
    """Elements of ``params`` that are not zero.

    Static rule:
        A tensor that no step has written has as many as the lock saw. One that steps have only set zeros in has as many
        less those zeros, exactly where all its entries were other than zero; zeros that were there before may be among
        those that are written, so that it then lies between two bounds. What was trained, cut or written anew has at
        most numel less the zeros that training holds, which is reached where training leaves no other entry at zero,
        and at least none. A global ranking fixes the zeros of its tensors together; steps that overlap hold at least
        the larger number of the two, steps on different tensors hold the sum. Without weights in the lock, the base is
        only known to lie between 0 and Σ numel.

    Runtime rule:
        Counted on the live network.

    Source:
        The l0 'norm' of the parameters, as in Louizos et al. 2018 (arXiv 1712.01312), section 2.
    """

    unit = "count"
    least = 0
    static = True
    attained = True
    card: ClassVar[Card] = Card(
        summary="Count the elements of parameters that are not zero",
        source="The l0 'norm' of the parameters, as in Louizos et al. 2018 (arXiv 1712.01312), section 2.",
        example="nonzero",
        near_miss="nonzero(3)",
        near_miss_code="SD110",
    )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return least and greatest count over all weights that the steps so far can have left."""
        seen = _Seen(interface, context)
        counted = sum(seen.known[tensor.name] for tensor in seen.untouched)
        before = sum(seen.known[tensor.name] for tensor in seen.zeroed)
        low = {t.name: max(0, seen.known[t.name] - context.zeros.get(t.name, (0, 0))[1]) for t in seen.zeroed}
        least = max(sum(low.values()), before - context.zeros_total[1])
        zeros = max(context.zeros_total[0], sum(least for least, _ in context.zeros.values()))
        numel = _counting.total(interface, [(1, _counting.dims_of(t)) for t in (*seen.zeroed, *seen.others)])
        # a tensor that had zeros before has no more entries other than zero than it had
        elsewhere = sum(context.zeros.get(tensor.name, (0, 0))[0] for tensor in seen.others)
        never = sum(seen.sizes[tensor.name] for tensor in seen.zeroed) - before
        most = numel + Polynomial.constant(counted - max(zeros, never + elsewhere))
        return Polynomial.constant(counted + least), most

    def reached(self, interface: Interface, context: Static) -> bool:
        """Return whether no tensor had zeros that a step may have written again."""
        seen = _Seen(interface, context)
        return all(seen.known[tensor.name] == seen.sizes[tensor.name] for tensor in seen.zeroed)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count on the live network; each tensor is read once on its device."""
        from surgery_dsl.evidence import counts

        return float(counts.nonzero(model))


class _Seen:
    """What is known of each weight: untouched, only zeroed since the base, or anything."""

    def __init__(self, interface: Interface, context: Static) -> None:
        self.known: dict[str, int] = {}
        self.untouched: list[Tensor] = []
        self.zeroed: list[Tensor] = []
        self.others: list[Tensor] = []
        self.sizes: dict[str, int] = {}
        counts = context.weights.nonzero if context.weights is not None else {}
        origin, rewritten, zeroed = _written(counts, context)
        base = context.base.tensor_by_name
        for tensor in _counting.weights(interface):
            first = origin.get(tensor.name)
            same = first is not None and first not in rewritten and base[first].replaced(name=tensor.name) == tensor
            size = _counting.total(interface, [(1, _counting.dims_of(tensor))]).value if same else None
            if first is None or size is None:
                self.others.append(tensor)
                continue
            self.known[tensor.name], self.sizes[tensor.name] = counts[first], size
            (self.zeroed if first in zeroed else self.untouched).append(tensor)


def _written(counts: Mapping[str, int], context: Static) -> tuple[dict[str, str], set[str], set[str]]:
    """Return what tensors were called in the base, by the names they have now, and those that steps wrote or zeroed."""
    present = {name: name for name in counts if name in context.base.tensor_by_name}
    rewritten: set[str] = set()
    zeroed: set[str] = set()
    for _, effect in context.history:
        written = effect.writes - effect.zeros.keys()
        rewritten |= {first for first, now in present.items() if now in written}
        zeroed |= {first for first, now in present.items() if now in effect.zeros}
        if effect.renamed:
            present = follow(present, effect)
    moved = sorted(present.items(), key=lambda pair: pair[0] != pair[1])  # what moved stands where another was
    return {now: first for first, now in moved}, rewritten, zeroed
