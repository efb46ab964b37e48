"""Pointwise functions: ReLU and its kin, exact; smooth ones with a proved bound on their curvature."""

import math

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Call, Pointwise, Source
from surgery_dsl.evidence.bounds.operators import rule
from surgery_dsl.evidence.bounds.scalar import EVALUATION, Scalar

INF = math.inf
SLOPED = 2
"""Roundings of a product with a slope: the slope as the network holds it, and the product; of an end, its own."""


def _node(call: Call, scalar: Scalar) -> Pointwise:
    source = call.arguments[0]
    if not isinstance(source, Source):
        raise call.refuse("its first argument is a constant, its shape depends on the input")
    return Pointwise((source.node,), call.shape, call.operator, call.module, scalar)


def kink(name: str, below: float, above: float, exact: bool = False) -> Scalar:
    """Return the function with one slope below zero and another above.

    Args:
        name: What it is called.
        below: Slope where negative.
        above: Slope where positive.
        exact: Whether networks evaluate it without rounding.
    """
    return Scalar(
        name,
        lambda z: torch.where(z >= 0, above * z, below * z),
        lambda z: torch.where(z >= 0, torch.full_like(z, above), torch.full_like(z, below)),
        (below, above),
        (0.0,),
        exact=exact,
        roundings=SLOPED,
    )


def _held(number: float) -> bool:
    """Whether a float32 network holds a number as it is."""
    return not math.isfinite(number) or float(torch.tensor(number, dtype=torch.float32)) == number


def clamp(low: float, high: float) -> Scalar:
    """Return the function that cuts at two ends."""
    breaks = tuple(end for end in (low, high) if math.isfinite(end))
    return Scalar(
        "clamp",
        lambda z: z.clamp(low, high),
        lambda z: ((z >= low) & (z < high)).to(z.dtype),
        (low, high),
        breaks,
        exact=_held(low) and _held(high),
        roundings=SLOPED,
    )


RELU = Scalar("relu", lambda z: z.clamp(min=0), lambda z: (z >= 0).to(z.dtype), (0.0, 1.0), (0.0,), exact=True)


@rule("relu")
def relu(call: Call) -> Pointwise:
    """max(z, 0)."""
    return _node(call, RELU)


@rule("leaky_relu")
def leaky_relu(call: Call) -> Pointwise:
    """Z where positive, else slope · z."""
    return _node(call, kink("leaky_relu", float(call.argument(1, "negative_slope", 0.01)), 1.0))


@rule("_prelu_kernel", "prelu")
def prelu(call: Call) -> Pointwise:
    """Leaky ReLU with one learned slope, or one for each channel."""
    weight = call.arguments[1]
    if isinstance(weight, Source):
        raise call.refuse("its slope depends on the input")
    if weight.numel() == 1:
        return _node(call, kink("prelu", float(weight), 1.0))
    slopes = weight.detach().double()
    if slopes.dim() == 1:
        slopes = slopes.reshape(1, -1, *[1] * (len(call.shape) - 2))
    return _node(call, _prelu(slopes.broadcast_to(call.shape)))


def _prelu(slopes: Tensor) -> Scalar:
    """Return leaky ReLU with a slope for each element."""
    return Scalar(
        "prelu",
        lambda z: torch.where(z >= 0, z, slopes * z),
        lambda z: torch.where(z >= 0, torch.ones_like(z), slopes.expand_as(z)),
        tuple(slopes.flatten().tolist()),
        (0.0,),
        roundings=SLOPED,
        part=lambda units: _prelu(slopes.flatten()[units]),
    )


@rule("hardtanh", "clamp", "clamp_min", "clamp_max")
def hardtanh(call: Call) -> Pointwise:
    """Cut at two ends (ReLU6 among them)."""
    low = call.argument(1, "min" if call.operator.startswith("clamp") else "min_val")
    high = call.argument(2, "max" if call.operator.startswith("clamp") else "max_val")
    if call.operator == "clamp_max":
        low, high = None, call.argument(1, "max")
    if isinstance(low, Source | Tensor) or isinstance(high, Source | Tensor):
        raise call.refuse("its ends are tensors")
    if low is not None and high is not None and not low <= high:
        raise call.refuse("its lower end is above the upper")
    if call.operator == "hardtanh":
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    return _node(call, clamp(-INF if low is None else float(low), INF if high is None else float(high)))


@rule("abs")
def absolute(call: Call) -> Pointwise:
    """|z|."""
    return _node(call, kink("abs", -1.0, 1.0, exact=True))


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
    return _exponential(call, alpha, scale, float(call.argument(3, "input_scale", 1.0)))


@rule("celu")
def celu(call: Call) -> Pointwise:
    """Z where positive, else α (exp(z / α) − 1)."""
    alpha = float(call.argument(1, "alpha", 1.0))
    return _exponential(call, alpha, 1.0, 1 / alpha)


def _exponential(call: Call, alpha: float, scale: float, beta: float) -> Pointwise:
    if beta <= 0:
        raise call.refuse(f"its scale of the input is {beta:g}, not positive")
    scalar = Scalar(
        "elu",
        lambda z: scale * torch.where(z >= 0, z, alpha * torch.expm1(beta * z.clamp(max=0))),
        lambda z: scale * torch.where(z >= 0, torch.ones_like(z), alpha * beta * torch.exp(beta * z.clamp(max=0))),
        (alpha, scale, beta),
        (0.0,),
        abs(scale * alpha) * beta * beta * (1 + 1e-12),
        EVALUATION * abs(scale * alpha),
    )
    return _node(call, scalar)


_TANH = 4 / (3 * math.sqrt(3)) * (1 + 1e-12)


@rule("tanh")
def tanh(call: Call) -> Pointwise:
    """φ″ = −2 t (1 − t²) with t = tanh z: at most 4 / (3√3), where t² = 1/3."""
    return _node(call, Scalar("tanh", torch.tanh, _steepness, (), (), _TANH))


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
    if beta <= 0 or threshold < 0:
        raise call.refuse(f"its beta is {beta:g} and its threshold {threshold:g}; both must be positive")
    scalar = Scalar(
        "softplus",
        lambda z: torch.logaddexp(beta * z, torch.zeros_like(z)) / beta,
        lambda z: torch.sigmoid(beta * z),
        (beta, threshold),
        (),
        beta / 4,
        (math.log1p(math.exp(-threshold)) * (1 + 1e-12) + EVALUATION) / beta,
    )
    return _node(call, scalar)


@rule("silu")
def silu(call: Call) -> Pointwise:
    """Z · σ(z): φ″ = σ′(z)(2 − z tanh(z / 2)), greatest in size at 0, where it is 1/2."""

    def slope(z: Tensor) -> Tensor:
        s = torch.sigmoid(z)
        return s * (1 + z * torch.sigmoid(-z))

    return _node(call, Scalar("silu", lambda z: z * torch.sigmoid(z), slope, (), (), 0.5, EVALUATION))


@rule("gelu")
def gelu(call: Call) -> Pointwise:
    """Z Φ(z): φ″ = (2 − z²) exp(−z² / 2) / √(2π), greatest in size at 0: 2 / √(2π).

    The tanh form is z/2 (1 + T), T = tanh u, u = c (z + a z³), c = √(2/π), a = 0.044715, and with S = 1 − T²

        φ″ = S (c (1 + 6 a z²) − z T u′²),   u′ = c (1 + 3 a z²),   z T ≥ 0.

    From above φ″ ≤ S c (1 + 6 a z²) ≤ c, since 1 / S = cosh² u ≥ 1 + u² ≥ 1 + c² z² and 6 a < c². From below
    −φ″ ≤ S |T| |z| u′². For |z| ≤ 1 that is at most 2 / (3√3) · c² (1 + 3 a)² < 0.32. For z ≥ 1, S ≤ 4 exp(−2u), and
    4 c² z (1 + 3 a z²)² exp(−2u) is 0.62 at 1 and falls: its logarithm has the derivative
    1/z + 12 a z / (1 + 3 a z²) − 2 u′ ≤ 1 + 0.74 − 1.80 < 0. So |φ″| ≤ c = 0.7979, reached at 0.
    """
    if call.argument(1, "approximate", "none") == "tanh":
        return _node(call, _GELU_TANH)
    return _node(call, _GELU)


def _normal(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def _gaussian(z: Tensor) -> Tensor:
    found: Tensor = torch.special.ndtr(z)
    return found


def _steepness(z: Tensor) -> Tensor:
    """1 − tanh² z, without its cancellation."""
    return 4 * torch.sigmoid(2 * z) * torch.sigmoid(-2 * z)


def _inner(z: Tensor) -> Tensor:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def _gelu_tanh_slope(z: Tensor) -> Tensor:
    u = _inner(z)
    rate = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z.square())
    return torch.sigmoid(2 * u) + z / 2 * _steepness(u) * rate


_GELU = Scalar(
    "gelu",
    lambda z: z * _gaussian(z),
    lambda z: _gaussian(z) + z * _normal(z),
    (),
    (),
    2 / math.sqrt(2 * math.pi) * (1 + 1e-12),
    EVALUATION,
)
_GELU_TANH = Scalar(
    "gelu_tanh",
    lambda z: z * torch.sigmoid(2 * _inner(z)),  # (1 + tanh u) / 2 without its cancellation
    _gelu_tanh_slope,
    (),
    (),
    math.sqrt(2 / math.pi) * (1 + 1e-12),
    EVALUATION,
)


@rule("erf")
def erf(call: Call) -> Pointwise:
    """φ″ = −4 z exp(−z²) / √π: at most (4 / √π) √½ exp(−½)."""
    bound = 4 / math.sqrt(math.pi) * math.sqrt(0.5) * math.exp(-0.5) * (1 + 1e-12)
    rate = 2 / math.sqrt(math.pi)
    return _node(call, Scalar("erf", torch.erf, lambda z: rate * torch.exp(-z.square()), (), (), bound))
