"""Pointwise functions: ReLU and its kin, exact; smooth ones with a proved bound on their curvature."""

import math

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Call, Pointwise, Source
from surgery_dsl.evidence.bounds.operators import rule
from surgery_dsl.evidence.bounds.scalar import Scalar

INF = math.inf


def _node(call: Call, scalar: Scalar) -> Pointwise:
    source = call.arguments[0]
    if not isinstance(source, Source):
        raise call.refuse("its first argument is a constant, its shape depends on the input")
    return Pointwise((source.node,), call.shape, call.operator, call.module, scalar)


def broken_line(name: str, starts: tuple[float, ...], slopes: tuple[float, ...], exact: bool = False) -> Scalar:
    """Return the continuous function through the origin's value at the first break with these slopes between breaks.

    Args:
        name: What it is called.
        starts: Breaks, ascending.
        slopes: One more than breaks.
        exact: Whether networks evaluate it without rounding.
    """

    def value(z: Tensor) -> Tensor:
        found = slopes[0] * z
        for at, before, after in zip(starts, slopes, slopes[1:], strict=False):
            found = found + (after - before) * (z - at).clamp(min=0)
        return found

    def slope(z: Tensor) -> Tensor:
        found = torch.full_like(z, slopes[0])
        for at, after in zip(starts, slopes[1:], strict=True):
            found = torch.where(z >= at, torch.full_like(z, after), found)
        return found

    return Scalar(name, value, slope, tuple(slopes), starts, exact=exact)


def clamp(low: float, high: float) -> Scalar:
    """Return the function that cuts at two ends."""
    breaks = tuple(end for end in (low, high) if math.isfinite(end))
    return Scalar(
        "clamp",
        lambda z: z.clamp(low, high),
        lambda z: ((z >= low) & (z < high)).to(z.dtype),
        (low, high),
        breaks,
        exact=True,
    )


RELU = Scalar("relu", lambda z: z.clamp(min=0), lambda z: (z >= 0).to(z.dtype), (0.0, 1.0), (0.0,), exact=True)


@rule("relu")
def relu(call: Call) -> Pointwise:
    """max(z, 0)."""
    return _node(call, RELU)


@rule("leaky_relu")
def leaky_relu(call: Call) -> Pointwise:
    """Z where positive, else slope · z."""
    return _node(call, broken_line("leaky_relu", (0.0,), (float(call.argument(1, "negative_slope", 0.01)), 1.0)))


@rule("_prelu_kernel", "prelu")
def prelu(call: Call) -> Pointwise:
    """Leaky ReLU with one learned slope; several would need one function for each channel."""
    weight = call.arguments[1]
    if isinstance(weight, Source) or weight.numel() != 1:
        raise call.refuse("it has a slope for each channel; one shared slope has a bound")
    return _node(call, broken_line("prelu", (0.0,), (float(weight), 1.0)))


@rule("hardtanh", "clamp", "clamp_min", "clamp_max")
def hardtanh(call: Call) -> Pointwise:
    """Cut at two ends (ReLU6 among them)."""
    low = call.argument(1, "min" if call.operator.startswith("clamp") else "min_val")
    high = call.argument(2, "max" if call.operator.startswith("clamp") else "max_val")
    if call.operator == "clamp_max":
        low, high = None, call.argument(1, "max")
    if isinstance(low, Source | Tensor) or isinstance(high, Source | Tensor):
        raise call.refuse("its ends are tensors")
    if call.operator == "hardtanh":
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    return _node(call, clamp(-INF if low is None else float(low), INF if high is None else float(high)))


@rule("abs")
def absolute(call: Call) -> Pointwise:
    """|z|."""
    return _node(call, broken_line("abs", (0.0,), (-1.0, 1.0), exact=True))


@rule("hardsigmoid")
def hardsigmoid(call: Call) -> Pointwise:
    """clamp(z + 3, 0, 6) / 6."""
    scalar = Scalar(
        "hardsigmoid",
        lambda z: (z + 3).clamp(0, 6) / 6,
        lambda z: ((z >= -3) & (z < 3)).to(z.dtype) / 6,
        (),
        (-3.0, 3.0),
    )
    return _node(call, scalar)


@rule("hardswish")
def hardswish(call: Call) -> Pointwise:
    """Z · clamp(z + 3, 0, 6) / 6; its second derivative is 1/3 between the breaks."""
    scalar = Scalar(
        "hardswish",
        lambda z: z * (z + 3).clamp(0, 6) / 6,
        lambda z: torch.where(z < -3, 0.0, torch.where(z < 3, (2 * z + 3) / 6, 1.0)),
        (),
        (-3.0, 3.0),
        1 / 3,
    )
    return _node(call, scalar)


@rule("elu")
def elu(call: Call) -> Pointwise:
    """Scale · z where positive, else scale · α · (exp(β z) − 1): |φ″| ≤ scale · |α| · β²."""
    alpha = float(call.argument(1, "alpha", 1.0))
    scale = float(call.argument(2, "scale", 1.0))
    beta = float(call.argument(3, "input_scale", 1.0))
    scalar = Scalar(
        "elu",
        lambda z: scale * torch.where(z >= 0, z, alpha * torch.expm1(beta * z.clamp(max=0))),
        lambda z: scale * torch.where(z >= 0, torch.ones_like(z), alpha * beta * torch.exp(beta * z.clamp(max=0))),
        (alpha, scale, beta),
        (0.0,),
        scale * abs(alpha) * beta * beta,
    )
    return _node(call, scalar)


@rule("tanh")
def tanh(call: Call) -> Pointwise:
    """φ″ = −2 t (1 − t²) with t = tanh z: at most 4 / (3√3), where t² = 1/3."""
    return _node(call, Scalar("tanh", torch.tanh, lambda z: 1 - torch.tanh(z).square(), (), (), 4 / (3 * math.sqrt(3))))


@rule("sigmoid")
def sigmoid(call: Call) -> Pointwise:
    """φ″ = s (1 − s)(1 − 2 s): at most 1 / (6√3)."""
    scalar = Scalar(
        "sigmoid",
        torch.sigmoid,
        lambda z: torch.sigmoid(z) * torch.sigmoid(-z),
        (),
        (),
        1 / (6 * math.sqrt(3)) * (1 + 1e-12),
    )
    return _node(call, scalar)


@rule("softplus")
def softplus(call: Call) -> Pointwise:
    """log(1 + exp(β z)) / β: φ″ = β s (1 − s) ≤ β / 4.

    torch returns z from β z = threshold on; that differs by at most log(1 + exp(−threshold)) / β.
    """
    beta = float(call.argument(1, "beta", 1.0))
    threshold = float(call.argument(2, "threshold", 20.0))
    if beta <= 0:
        raise call.refuse(f"its beta is {beta:g}, not positive")
    scalar = Scalar(
        "softplus",
        lambda z: torch.logaddexp(beta * z, torch.zeros_like(z)) / beta,
        lambda z: torch.sigmoid(beta * z),
        (beta, threshold),
        (),
        beta / 4,
        math.log1p(math.exp(-threshold)) / beta * (1 + 1e-12),
    )
    return _node(call, scalar)


@rule("silu")
def silu(call: Call) -> Pointwise:
    """Z · σ(z): φ″ = σ′(z)(2 − z tanh(z / 2)), greatest in size at 0, where it is 1/2."""

    def slope(z: Tensor) -> Tensor:
        s = torch.sigmoid(z)
        return s * (1 + z * torch.sigmoid(-z))

    return _node(call, Scalar("silu", lambda z: z * torch.sigmoid(z), slope, (), (), 0.5))


@rule("gelu")
def gelu(call: Call) -> Pointwise:
    """Z Φ(z): φ″ = (2 − z²) exp(−z² / 2) / √(2π), greatest in size at 0: 2 / √(2π).

    The tanh form is bounded by its own curvature, at most 0.82 (its greatest value, at 0, is 2·√(2/π)·½ = 0.798).
    """
    if call.argument(1, "approximate", "none") == "tanh":
        return _node(call, _GELU_TANH)
    return _node(call, _GELU)


def _normal(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def _gaussian(z: Tensor) -> Tensor:
    found: Tensor = torch.special.ndtr(z)
    return found


def _inner(z: Tensor) -> Tensor:
    return torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))


def _gelu_tanh_slope(z: Tensor) -> Tensor:
    t = _inner(z)
    return (1 + t) / 2 + z / 2 * (1 - t.square()) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z.square())


_GELU = Scalar(
    "gelu",
    lambda z: z * _gaussian(z),
    lambda z: _gaussian(z) + z * _normal(z),
    (),
    (),
    2 / math.sqrt(2 * math.pi) * (1 + 1e-12),
)
_GELU_TANH = Scalar("gelu_tanh", lambda z: z / 2 * (1 + _inner(z)), _gelu_tanh_slope, (), (), 0.82)


@rule("erf")
def erf(call: Call) -> Pointwise:
    """φ″ = −4 z exp(−z²) / √π: at most (4 / √π) √½ exp(−½)."""
    bound = 4 / math.sqrt(math.pi) * math.sqrt(0.5) * math.exp(-0.5) * (1 + 1e-12)
    rate = 2 / math.sqrt(math.pi)
    return _node(call, Scalar("erf", torch.erf, lambda z: rate * torch.exp(-z.square()), (), (), bound))
