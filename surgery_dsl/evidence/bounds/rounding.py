"""What floating-point arithmetic may add to a real number.

A sum of n products in arithmetic with unit roundoff u, in any order, fused or not, errs by at most
γ_n · Σ|a_i||b_i| with γ_n = n·u / (1 − n·u) (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section
3.1 and lemma 8.4), as long as nothing overflows or underflows; what may
is granted apart, or refused. For n·u ≥ 1 the formula turns negative, and long before
it says nothing: :func:`gamma` refuses from 0.01 on.
"""

import torch

U64 = 2.0**-53
"""Unit roundoff of float64, in which bounds are computed."""
U32 = 2.0**-24
"""Unit roundoff of float32, in which networks commonly run."""
UNDERFLOW32 = 2.0**-125
"""More than what a product in float32 loses where it is subnormal, or is flushed to zero."""
OVERFLOW32 = 2.0**127
"""Sums of magnitudes below it stay finite in float32."""
ASSUMED_UNITS = 16
"""What a library's float32 function is assumed to err by, at most, in units of ``U32`` · max(1, |z|)."""
MOST = 0.01
"""From this n·u on nothing is claimed."""


class Unsound(ArithmeticError):
    """A bound that would not hold: too many roundings, or a value that is not finite. The text says which."""


def gamma(terms: "torch.Tensor | int", unit: float = U64) -> "torch.Tensor | float":
    """Return γ_n for n roundings; raise :class:`Unsound` from n·u = 0.01 on.

    Args:
        terms: n, a number or one for each element.
        unit: Unit roundoff u.
    """
    product = terms * (unit * (1 + 4 * U64))  # so that the quotient is not rounded below γ
    most = float(product.max()) if isinstance(product, torch.Tensor) else product
    if not most < MOST:
        raise Unsound(f"sums of {most / unit:.0f} terms at a unit roundoff of {unit:.2g}: the rounding has no bound")
    return product / (1 - product)


def finite(value: torch.Tensor, what: str) -> torch.Tensor:
    """Return a tensor of finite numbers; raise :class:`Unsound` where one is not."""
    if not bool(torch.isfinite(value).all()):
        raise Unsound(f"{what} holds a number that is not finite")
    return value
