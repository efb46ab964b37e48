"""Low-rank factors of a weight matrix by the singular value decomposition."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from surgery_dsl.kernels.differences import distance


class Factors(NamedTuple):
    """Hold a product of two matrices that stands for one.

    Attributes:
        outer_OR: left factor, the weight of the second layer.
        inner_RI: right factor, the weight of the first layer.
        relative_error: ``‖W − outer · inner‖ / ‖W‖`` in the Frobenius norm, of the factors as they are stored,
            computed in float64; 0 for a zero matrix.
    """

    outer_OR: Tensor
    inner_RI: Tensor
    relative_error: float


def truncated_svd(weight_OI: Tensor, rank: int) -> Factors:
    """Split a matrix into the product of a tall and a wide one, the best of their rank.

    ``W ≈ (U_R √S_R)(√S_R V_Rᵀ)``. Sharing the singular values evenly gives both factors equal norms, which
    suits training and low precision. Signs are fixed: the entry of largest magnitude in each column of ``U`` is
    positive (the first of equals).

    Args:
        weight_OI: finite weights of a linear layer.
        rank: columns of the left factor.

    Shapes: ``(O, I)`` -> ``(O, R)`` and ``(R, I)``.
    Dtype and device: computed in float32 (float64 for float64) on the weight's device; factors in the weight's
        dtype.
    Numerics: of all products of this rank none is closer in the Frobenius norm, up to rounding; the error
        reported includes rounding to the weight's dtype.

    Raises:
        ValueError: the weight is no matrix of floats, is not finite, or the rank is not in 1..min(O, I).

    Complexity: O(O · I · min(O, I)).

    References: C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", 1936.
    """
    work_OI = _work_matrix(weight_OI)
    most = min(work_OI.shape)
    if not 1 <= rank <= most:
        raise ValueError(f"rank {rank} is not in 1..{most}, the ranks of a matrix {tuple(work_OI.shape)}")
    left_OK, values_K, right_KI = torch.linalg.svd(work_OI, full_matrices=False)
    left_OR, right_RI = left_OK[:, :rank], right_KI[:rank]
    peak_R = left_OR.gather(0, left_OR.abs().argmax(0, keepdim=True)).view(-1)
    root_R = values_K[:rank].sqrt()
    signed_R = torch.where(peak_R < 0, -root_R, root_R)
    outer_OR = (left_OR * signed_R).to(weight_OI.dtype)
    inner_RI = (right_RI * signed_R[:, None]).to(weight_OI.dtype)
    return Factors(outer_OR, inner_RI, product_error(weight_OI, outer_OR, inner_RI))


def product_error(weight_OI: Tensor, outer_OR: Tensor, inner_RI: Tensor) -> float:
    """Return ``‖W − outer · inner‖ / ‖W‖`` in the Frobenius norm, in float64.

    A zero matrix has error 0 if the product is zero too, else infinity.

    Shapes: ``(O, I)``, ``(O, R)``, ``(R, I)``. Extra memory: the product in float64.
    """
    product_OI = outer_OR.detach().to(torch.float64) @ inner_RI.detach().to(torch.float64)
    return distance(weight_OI, product_OI).relative


def numerical_rank(weight_OI: Tensor, tolerance: float | None = None) -> int:
    """Count the singular values above a share of the greatest.

    Args:
        weight_OI: finite weights.
        tolerance: the share; by default ``max(O, I)`` times the machine epsilon of the weight's dtype.

    Shapes: ``(O, I)`` -> an integer. Dtype and device: as :func:`truncated_svd`.

    Raises:
        ValueError: the weight is no matrix of floats or is not finite.
    """
    work_OI = _work_matrix(weight_OI)
    if not work_OI.numel():
        return 0
    share = max(work_OI.shape) * torch.finfo(weight_OI.dtype).eps if tolerance is None else tolerance
    values_K = torch.linalg.svdvals(work_OI)
    return int((values_K > share * values_K[0]).sum())


def largest_saving_rank(outputs: int, inputs: int) -> int:
    """Return the greatest rank at which two factors hold fewer weights than the matrix; 0 if none does."""
    return max(0, math.ceil(outputs * inputs / (outputs + inputs)) - 1)


def _work_matrix(weight_OI: Tensor) -> Tensor:
    if weight_OI.dim() != 2 or not weight_OI.is_floating_point():
        raise ValueError(f"a float matrix is needed, not {weight_OI.dtype} of shape {tuple(weight_OI.shape)}")
    if not bool(torch.isfinite(weight_OI).all()):
        raise ValueError("the matrix holds values that are not finite")
    double = weight_OI.dtype is torch.float64
    return weight_OI.detach().to(torch.float64 if double else torch.float32)


def add_product(weight: Tensor, left: Tensor, right: Tensor, scale: float) -> Tensor:
    """Return ``weight + scale · left @ right`` in the weight's dtype.

    Args:
        weight: a matrix of floats.
        left: left factor.
        right: right factor.
        scale: factor on the product.

    Shapes: ``(O, I)``, ``(O, R)``, ``(R, I)`` -> ``(O, I)``.
    Dtype and device: computed in float32 (float64 for float64) on the weight's device.
    Numerics: each entry is rounded to the weight's dtype once, after the sum.
    """
    work = torch.promote_types(weight.dtype, torch.float32)
    return torch.addmm(weight.to(work), left.to(work), right.to(work), alpha=scale).to(weight.dtype)
