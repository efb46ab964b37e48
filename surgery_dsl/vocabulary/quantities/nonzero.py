"""``nonzero``: how many weights are not zero."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Nonzero(Quantity):
    """Elements of ``params`` that are not zero.

    Static rule:
        At most Σ numel − (zeros that steps have written and training holds); a tensor that no step has written has as
        many as the lock saw. The upper bound is reached where training leaves no other entry at zero. Without weights
        in the lock, the base is only known to lie between 0 and Σ numel.

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
        written = frozenset(name for _, effect in context.history for name in effect.writes)
        known = context.weights.nonzero if context.weights is not None else {}
        base = context.base.tensor_by_name
        open_tensors, counted = [], 0
        for tensor in _counting.weights(interface):
            if tensor.name in known and tensor.name not in written and base.get(tensor.name) == tensor:
                counted += known[tensor.name]
            else:
                open_tensors.append(tensor)
        zeros = max(context.zeros_total[0], sum(least for least, _ in context.zeros.values()))
        numel = _counting.total(interface, [(1, _counting.dims_of(tensor)) for tensor in open_tensors])
        return Polynomial.constant(counted), numel + Polynomial.constant(counted - zeros)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count on the live network; each tensor is read once on its device."""
        from surgery_dsl.evidence import counts

        return float(counts.nonzero(model))
