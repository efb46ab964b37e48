"""What a shorter axis means for operators that take its size into account: said of the step, never silent."""

from collections.abc import Iterable, Iterator

from surgery_dsl.interface import frozen
from surgery_dsl.interface.attention import FUSED
from surgery_dsl.interface.flow import NORMS, unit_dim
from surgery_dsl.interface.model import Interface, Operator

_NORMS = NORMS - {"batch_norm", "instance_norm"}
_REDUCTIONS = frozenset({"mean", "var", "std", "var_mean", "linalg_vector_norm", "logsumexp"})
_SOFTMAX = frozenset({"softmax", "log_softmax", "_safe_softmax"})


def notes_on(axes: Iterable[int], interface: Interface) -> tuple[str, ...]:
    """Return what is to be said of a step that makes axes shorter.

    Norms and means, fused or written out (``pow``, ``mean``, ``rsqrt``), and softmaxes then run over fewer units; an
    attention's scale may follow from the size of its heads; a constant that the forward makes is made anew.
    """
    shorter = frozenset(axes)
    norms = softmaxes = scales = 0
    for operator in interface.operators:
        if operator.kind in _NORMS:
            norms += not shorter.isdisjoint(interface.leaves(unit_dim(interface, operator)))
        elif operator.kind in _REDUCTIONS or operator.kind in _SOFTMAX:
            over = any(not shorter.isdisjoint(interface.leaves(dim)) for dim in _over(operator, interface))
            norms += over and operator.kind in _REDUCTIONS
            softmaxes += over and operator.kind in _SOFTMAX
        elif operator.kind == FUSED and operator.inputs:
            scales += not shorter.isdisjoint(interface.leaves(interface.values[operator.inputs[0]].dims[-1]))
    reasons = dict.fromkeys(interface.axes[axis].frozen for axis in sorted(shorter))
    made = [reason for reason in reasons if frozen.is_constant(reason) or frozen.is_value(reason)]
    return tuple(_texts(norms, softmaxes, scales, made))


def _texts(norms: int, softmaxes: int, scales: int, made: list[str]) -> Iterator[str]:
    if norms:
        yield f"{norms} norm{'' if norms == 1 else 's'} then average over fewer channels"
    if softmaxes:
        yield f"{softmaxes} softmax{'' if softmaxes == 1 else 'es'} then run{'s' if softmaxes == 1 else ''} over fewer"
    if scales:
        yield f"the scale of {scales} attention{'' if scales == 1 else 's'} may follow from the size of the heads"
    for reason in made:
        yield (
            f"{reason}, and another for fewer" if frozen.is_value(reason) else f"{reason}, and makes another for fewer"
        )


def _over(operator: Operator, interface: Interface) -> Iterator[tuple[int, ...]]:
    """Yield the dimensions that a reduction runs over."""
    if not operator.inputs:
        return
    dims = interface.values[operator.inputs[0]].dims
    position = operator.settings.get("dim")
    positions = position if isinstance(position, tuple) else (position,) if isinstance(position, int) else ()
    for one in positions if position is not None else range(len(dims)):
        if isinstance(one, int) and -len(dims) <= one < len(dims):
            yield dims[one]
