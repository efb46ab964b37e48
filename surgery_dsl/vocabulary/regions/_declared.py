"""Whether stored boxes are those that a region's words mean: what a verifier can say without the network.

A box that is larger than the words ask for shows more, and is no fault; one that leaves out a point of the region is.
"""

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions.box import Box
from surgery_dsl.vocabulary.regions.domain import Domain
from surgery_dsl.vocabulary.regions.hull import Hull

if TYPE_CHECKING:
    from torch import Tensor

SLACK = 1e-12
"""Share of a width that rounding of its corners may take."""


def missed(
    region: Region, low: "Tensor", high: "Tensor", facts: DataFacts | None, inputs: "Tensor | None"
) -> tuple[str, str]:
    """Hold stored corners against a region.

    Args:
        region: What the plan says.
        low: Lower corners, ``[B, 1, *shape]`` in float64.
        high: The upper ones.
        facts: What the lock knows of the region's data set.
        inputs: The examples, where they are at hand, ``[n, *shape]``.

    Returns:
        What of the region the boxes miss, empty where nothing is; and what was compared, empty where nothing could be.
    """
    if isinstance(region, Domain) and region.low is not None and region.high is not None:
        ends = Fraction(float(low.max())), Fraction(float(high.min()))
        if ends[0] > Fraction(region.low) or ends[1] < Fraction(region.high) or len(low) != 1:
            return f"the stored box does not hold {region.said()}", ""
        return "", "one box that holds the declared range"
    if isinstance(region, Box) and facts is not None:
        return _around(region, low, high, facts, inputs)
    if isinstance(region, Hull) and inputs is not None:
        examples = inputs.double()
        if len(low) != 1 or bool((low[0, 0] > examples.amin(0)).any() | (high[0, 0] < examples.amax(0)).any()):
            return f"the stored box does not hold every example of `{region.data}`", ""
        return "", f"one box that holds every example of `{region.data}`"
    return ("the region is one box" if len(low) != 1 and isinstance(region, Hull) else ""), ""


def _around(region: Box, low: "Tensor", high: "Tensor", facts: DataFacts, inputs: "Tensor | None") -> tuple[str, str]:
    import torch

    many, radius = min(region.samples, facts.count), _up(region.eps)
    least = -math.inf if region.low is None else -_up(-region.low)
    most = math.inf if region.high is None else _up(region.high)
    if len(low) != many:
        return f"there are {len(low)} boxes, and by the plan {many}", ""
    said = f"{many} boxes of radius {float(region.eps):.6g}"
    if inputs is None:
        whole = (high - low >= 2 * radius * (1 - SLACK)) | (low <= least) | (high >= most)
        return ("" if bool(whole.all()) else f"a stored box is narrower than {said.partition(' of ')[2]}"), said
    centres = inputs[:many].double().unsqueeze(1)
    if centres.shape != low.shape:
        return "the stored boxes have another shape than the examples", ""
    inf = torch.full_like(centres, torch.inf)
    first = torch.nextafter(centres - radius, -inf).clamp(min=least)
    last = torch.nextafter(centres + radius, inf).clamp(max=most)
    if bool((low > first).any() | (high < last).any()):
        return f"a stored box is not around its example of `{region.data}`", ""
    return "", f"{said} around the first examples of `{region.data}`, which has the digest of the lock"


def _up(number: Fraction) -> float:
    """Return the least float64 that is at least a number."""
    found = float(number)
    return math.nextafter(found, math.inf) if Fraction(found) < number else found
