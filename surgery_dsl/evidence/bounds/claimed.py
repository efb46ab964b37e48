"""What may be claimed of the change Δ = f′(x) − f(x): quantities with an upper bound over a region.

Each follows from upper bounds of linear forms on Δ, and is computed for given outputs alike, so that a witness is
judged by the quantity itself and not by its bound.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.change import ChangeBound, Comparison
from surgery_dsl.evidence.bounds.rounding import U64

PAIRS = 16
"""Most classes of which every pair is bounded where no label is known."""
MOST_BYTES = 128 << 20
"""Most memory for the rows of the forms on one value."""


class Claimed(ABC):
    """A quantity of two networks' outputs. Abstract.

    Attributes:
        labels: [B] classes, one for each box, where the quantity depends on them and they are known.
    """

    labels: Tensor | None = None

    @property
    @abstractmethod
    def formula(self) -> str:
        """What is bounded, for people."""

    @abstractmethod
    def written(self) -> dict[str, str]:
        """Return what :func:`read` makes it again from, but for the labels."""

    @abstractmethod
    def value(self, old: Tensor, new: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the quantity [B] for outputs [B, …] of both networks."""

    @abstractmethod
    def forms(self, outputs: int, labels: Tensor | None) -> Tensor:
        """Return linear forms on the change of the outputs, [K, outputs] or [B, K, outputs]."""

    @abstractmethod
    def joined(self, bounds: Tensor, outputs: int) -> Tensor:
        """Return an upper bound [B] of the quantity from bounds [B, K] of the forms."""

    def bound(self, comparison: Comparison, shape: tuple[int, ...], labels: Tensor | None = None) -> ChangeBound:
        """Bound the quantity over the regions of a comparison.

        Args:
            comparison: Two networks over B regions.
            shape: Shape of the output.
            labels: [B] classes.

        Returns:
            Bounds [B, 1] with the slopes of the form that weighs most, [B, 1, *input].
        """
        outputs = prod(shape)
        forms = self.forms(outputs, labels)
        turn = max(1, MOST_BYTES // (8 * comparison.widest * comparison.region.count))
        found = [comparison.bound(part) for part in torch.split(forms, turn, -2)]
        columns = {name: torch.cat([getattr(one, name) for one in found], 1) for name in ("bound", "differential")}
        apart = torch.cat([one.apart for one in found], 1)
        worst = columns["bound"].argmax(1)
        slopes = None
        if all(one.slopes is not None for one in found):
            every = torch.cat([one.slopes for one in found if one.slopes is not None], 1)
            slopes = every[torch.arange(len(worst), device=worst.device), worst].unsqueeze(1)
        joined = [self.joined(one, outputs).unsqueeze(1) for one in (columns["bound"], columns["differential"], apart)]
        return ChangeBound(joined[0], joined[1], joined[2], slopes)


def _both_signs(outputs: int, device: "torch.device | None" = None) -> Tensor:
    one = torch.eye(outputs, dtype=torch.float64, device=device)
    return torch.cat([one, -one])


@final
@dataclass(frozen=True)
class Largest(Claimed):
    """max_k |Δ_k|."""

    @property
    def formula(self) -> str:
        """The formula."""
        return "max_k |f′_k(x) − f_k(x)|"

    def written(self) -> dict[str, str]:
        """Return the kind."""
        return {"kind": "change", "norm": "inf"}

    def value(self, old: Tensor, new: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the greatest magnitude."""
        return (new - old).flatten(1).abs().amax(1)

    def forms(self, outputs: int, labels: Tensor | None) -> Tensor:
        """Return each output with both signs."""
        return _both_signs(outputs)

    def joined(self, bounds: Tensor, outputs: int) -> Tensor:
        """Return the greatest bound."""
        return bounds.amax(1)


@final
@dataclass(frozen=True)
class Euclidean(Claimed):
    """‖Δ‖₂."""

    @property
    def formula(self) -> str:
        """The formula."""
        return "‖f′(x) − f(x)‖₂"

    def written(self) -> dict[str, str]:
        """Return the kind."""
        return {"kind": "change", "norm": "2"}

    def value(self, old: Tensor, new: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the length."""
        length: Tensor = torch.linalg.vector_norm((new - old).flatten(1), dim=1)
        return length

    def forms(self, outputs: int, labels: Tensor | None) -> Tensor:
        """Return each output with both signs."""
        return _both_signs(outputs)

    def joined(self, bounds: Tensor, outputs: int) -> Tensor:
        """Return √Σ_k max(bound of Δ_k, bound of −Δ_k)², rounded up."""
        far = torch.maximum(bounds[:, :outputs], bounds[:, outputs:]).clamp(min=0)
        return far.square().sum(1).sqrt() * (1 + 4 * (outputs + 4) * U64)


@final
@dataclass(frozen=True, eq=False)
class CrossEntropy(Claimed):
    """CE(f′(x), y) − CE(f(x), y), for the labels of the boxes, or for every label.

    CE′ − CE = ln Σ_j p_j exp(Δ_j − Δ_y) with p = softmax(f(x)), a mean: at most max_j (Δ_j − Δ_y), and so at most
    2‖Δ‖_∞. The forms are the rows e_j − e_y; without labels and with many classes, max_j Δ_j + max_y (−Δ_y).
    """

    labels: Tensor | None = None

    @property
    def formula(self) -> str:
        """The formula."""
        whose = "every label y" if self.labels is None else "the label y of the example"
        return f"CE(f′(x), y) − CE(f(x), y) ≤ max_j (Δ_j − Δ_y), for {whose}"

    def written(self) -> dict[str, str]:
        """Return the kind."""
        return {"kind": "loss"}

    def value(self, old: Tensor, new: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the greatest increase of the loss over the labels that are meant."""
        first, last = torch.log_softmax(old.flatten(1), 1), torch.log_softmax(new.flatten(1), 1)
        rise = first - last
        return rise.amax(1) if labels is None else rise.gather(1, labels.unsqueeze(1)).squeeze(1)

    def forms(self, outputs: int, labels: Tensor | None) -> Tensor:
        """Return e_j − e_y for every j and the y that are meant, or outputs with both signs."""
        one = torch.eye(outputs, dtype=torch.float64)
        if labels is not None:
            return one.to(labels.device).unsqueeze(0) - one.to(labels.device)[labels].unsqueeze(1)
        if outputs > PAIRS:
            return _both_signs(outputs)
        return (one.unsqueeze(0) - one.unsqueeze(1)).reshape(-1, outputs)

    def joined(self, bounds: Tensor, outputs: int) -> Tensor:
        """Return the greatest bound; at least 0, the bound of j = y."""
        if bounds.shape[1] == 2 * outputs and outputs > PAIRS:
            total = bounds[:, :outputs].amax(1) + bounds[:, outputs:].amax(1)
            return (total + 4 * U64 * total.abs()).clamp(min=0)
        return bounds.amax(1).clamp(min=0)


def read(data: dict[str, Any], labels: Tensor | None) -> Claimed:
    """Return what :meth:`Claimed.written` wrote; raise ``ValueError`` for anything else."""
    if data == {"kind": "change", "norm": "inf"}:
        return Largest()
    if data == {"kind": "change", "norm": "2"}:
        return Euclidean()
    if data == {"kind": "loss"}:
        return CrossEntropy(labels)
    raise ValueError(f"nothing is known of the claim {data}")
