"""What is assumed of a library's float32 functions, and how far the one at hand keeps it.

A product or a sum is rounded as its standard says; tanh, erf or exp is what the library makes of it. A bound of
deployed networks with such a function holds under an assumption: at an argument z the library's value is at most
``ASSUMED_UNITS`` · 2⁻²⁴ · max(1, |z|) from the function. That is no theorem. It is tried here on many arguments, and
stands in the claim with the greatest error that was seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Call, Graph, Pointwise
from surgery_dsl.evidence.bounds.operators import rule_of
from surgery_dsl.evidence.bounds.rounding import ASSUMED_UNITS, U32, Unsound

NEAR = 16.0
"""Arguments up to here are tried evenly; beyond, functions are as good as straight or flat."""
EVENLY = 1 << 19
SCALES = 1 << 17


@final
@dataclass(frozen=True)
class Tried:
    """How far a library's function was seen to be from the function.

    Attributes:
        function: The operator, as torch calls it.
        seen: The greatest error, in units of 2⁻²⁴ · max(1, |z|).
        points: At how many arguments.
    """

    function: str
    seen: float
    points: int


def assumed(graphs: Iterable[Graph]) -> tuple[str, ...]:
    """Return the functions of networks of which something is assumed in float32, by their operators."""
    nodes = (node for graph in graphs for node in graph.nodes if isinstance(node, Pointwise))
    return tuple(sorted({node.operator for node in nodes if not node.scalar.exact and not node.scalar.roundings}))


def tried(graphs: Iterable[Graph], device: torch.device) -> tuple[Tried, ...]:
    """Try every function of which something is assumed; raise :class:`Unsound` where the library breaks it."""
    found: dict[str, Tried] = {}
    points = _points(device)
    for graph in graphs:
        wanted = assumed([graph])
        for call in (call for call in graph.calls if call.operator in wanted):
            seen = _worst(call, points)
            if not seen <= ASSUMED_UNITS:
                raise Unsound(
                    f"`{call.operator}` in `{call.module}` is rounded in ways that are not bounded: in float32 it was "
                    f"seen {seen:.3g} units of 2⁻²⁴ · max(1, |z|) from the function, and {ASSUMED_UNITS} are assumed"
                )
            before = found.get(call.operator)
            found[call.operator] = Tried(call.operator, max(seen, before.seen if before else 0.0), len(points))
    return tuple(found[name] for name in sorted(found))


def _points(device: torch.device) -> Tensor:
    """Return float32 numbers: evenly on [−16, 16], and by their magnitude from 2⁻⁴⁰ to 2²⁰, of both signs."""
    even = torch.linspace(-NEAR, NEAR, EVENLY, dtype=torch.float64)
    sizes = torch.linspace(-40, 20, SCALES, dtype=torch.float64).exp2()
    return torch.cat([even, sizes, -sizes]).float().to(device)


def _worst(call: Call, points: Tensor) -> float:
    """Return the greatest error of the library's function, vectorized and element by element."""
    rule = rule_of(call.operator)
    assert rule is not None
    node = rule(call)
    assert isinstance(node, Pointwise)
    operator = getattr(torch.ops.aten, call.operator)
    worst = 0.0
    for z in (points, points[::3]):  # side by side in memory, and apart
        error = (operator(z, *call.arguments[1:], **call.keywords).double() - node.scalar.value(z.double())).abs()
        units = (error - node.scalar.slack).clamp(min=0) / (U32 * z.double().abs().clamp(min=1))
        worst = max(worst, float(units.max()) if bool(torch.isfinite(units).all()) else float("inf"))
    return worst
