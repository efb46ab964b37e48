"""How long the vector of a layer's changes can be: less than its elements, each as great as it can be, would make it.

A unit's change is a sum over the units before it. Bounded one by one, each unit takes the worst sign of every term; but
one input fixes the terms of all of them. Let u_j = δ_j / far_j, where far_j bounds |δ_j|, so that |u_j| ≤ 1. Carried
back with one line or plane for both sides (:class:`Centred`),

    u = c + Σ_m M_m y_m + e,

where c and the matrices M_m are known, |e| bounds the rounding, and of each y_m either every element is at most one in
size (places in the box of inputs, places between the two lines of a band) or the length is at most ν_m: the changes of
an earlier layer. For any weights t_m > 0, one for each column of M_m, Cauchy and Schwarz give

    ‖u‖ ≤ ‖c‖ + ‖e‖ + ‖[M_1 T_1, M_2 T_2, …]‖₂ · (Σ_m ‖T_m⁻¹ y_m‖²)^½,

which is the bound of Grothendieck's problem max ‖M y‖ over a cube by diagonal weights (the dual of its semidefinite
relaxation; Nesterov, Optimization Methods and Software 9, 1998), here for a product of cubes and balls.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.backward import Form, Relaxation, Step, carried, left_on, total
from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.known import Change, Key, Known
from surgery_dsl.evidence.bounds.leading import Leading
from surgery_dsl.evidence.bounds.region import Region
from surgery_dsl.evidence.bounds.rounding import gamma

FEWEST = 16
"""Numbers that the networks are given, from which on lengths are bounded: where fewer vary, there is next to nothing
between a cube and the ball around it, and halving the box does more."""
MOST = 1 << 19
"""Units of a layer times elements of the widest value up to which lengths are bounded: the matrices of more do not fit
into memory beside those of other regions."""
SQUARINGS = 3
"""Of a matrix of products: its greatest eigenvalue is found up to the 16th root of the number of its rows."""
_TINY = 1e-150
"""So that nothing is divided by zero."""


@final
class Centred(Relaxation):
    """One line or plane for both sides, for all rows; what it leaves over goes to matrices.

    Attributes:
        columns: The matrices M_m T_m, [B, K, …].
        sizes: Bounds of ‖T_m⁻¹ y_m‖², [B] each.
    """

    def __init__(self) -> None:
        self.columns: list[Tensor] = []
        self.sizes: list[Tensor] = []

    def on_lines(self, form: Form, rows: Tensor, known: Known, key: Key) -> Tensor:
        """Take the middle of the band around a function."""
        band = known.bands[key]
        self.box(form, rows, (band.low, band.high))
        return rows * band.slope.flatten(1).unsqueeze(1)

    def on_planes(self, form: Form, rows: Tensor, change: Change, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Take the middle of the change of a function."""
        centre = change.centre
        form.error += total(rows.abs(), change.weight + weight)
        form.constant += total(rows, centre.plane.offset)
        self._within(rows, centre.rest)
        if change.length is None:
            self._within(rows, centre.reach)
        else:
            self._ball(rows * centre.reach.unsqueeze(1), change.length)
        return rows * centre.plane.of_z.unsqueeze(1), rows * centre.plane.of_delta.unsqueeze(1)

    def box(self, form: Form, rows: Tensor, ends: tuple[Tensor, Tensor]) -> None:
        """Put in values that lie anywhere between two ends."""
        middle = (ends[0] + ends[1]) / 2
        form.constant += total(rows, middle)
        self._within(rows, torch.maximum(ends[1] - middle, middle - ends[0]))

    def _within(self, rows: Tensor, half: Tensor) -> None:
        """Add columns for y with elements at most one in size: t² = 1 / length of the column.

        In the norm of Frobenius, which is above the spectral one, no weights are better: Σ t² g² · Σ t⁻² ≥ (Σ g)².
        """
        if not bool(half.any()):
            return
        columns = rows.flatten(2) * half.flatten(1).unsqueeze(1)
        lengths = torch.linalg.vector_norm(columns, dim=1)
        weights = torch.where(lengths > 0, lengths.clamp(min=_TINY).rsqrt(), 0.0)
        self.columns.append(columns * weights.unsqueeze(1))
        self.sizes.append(torch.where(lengths > 0, 1 / weights.square(), 0.0).sum(1))

    def _ball(self, columns: Tensor, length: Tensor) -> None:
        """Add columns for y no longer than a length, with one weight for all of them."""
        weight = length / torch.linalg.vector_norm(columns, dim=(1, 2)).clamp(min=_TINY)
        self.columns.append(columns * weight.sqrt().reshape(-1, 1, 1))
        self.sizes.append(length.square() / weight)

    def greatest(self) -> Tensor:
        """Return a bound of ‖Σ M_m y_m‖, [B]."""
        if not self.columns:
            return torch.zeros(())
        columns = torch.cat(self.columns, 2)
        size = torch.stack(self.sizes).sum(0)
        return spectral_norm(columns, 1 + SQUARINGS) * size.sqrt() * (1 + gamma(columns.shape[2] + 64))


def spectral_norm(matrices: Tensor, squarings: int) -> Tensor:
    """Return upper bounds of the greatest singular values of matrices [B, n, m], which are scaled in place: [B].

    ‖M‖₂² = ‖M Mᵀ‖₂ = ‖Mᵀ M‖₂, again and again, and at last no spectral norm is above that of Frobenius. Each product is
    off by at most γ |M| |M|ᵀ elementwise, so in the norm of Frobenius by γ ‖M‖_F², where M is scaled to ‖M‖_F = 1.
    """
    size: Tensor = torch.linalg.vector_norm(matrices, dim=(1, 2)) * (1 + gamma(matrices[0].numel() + 8))
    if not squarings:
        return size
    scaled = matrices.div_(size.clamp(min=_TINY).reshape(-1, 1, 1))
    turned = scaled.transpose(1, 2)
    product = scaled @ turned if scaled.shape[1] <= scaled.shape[2] else turned @ scaled
    inner = spectral_norm(product, squarings - 1)
    return size * (inner + gamma(max(matrices.shape[1:]) + 16)).sqrt() * (1 + gamma(8))


def length(
    graphs: Sequence[Graph],
    known: Known,
    order: Sequence[Step],
    units: "dict[Key, tuple[Tensor, float]]",
    far: Tensor,
    region: Region,
    leading: Leading,
) -> Tensor | None:
    """Return a bound of the length of the vector of all |δ| / far, [B], where that is worth its time.

    It is not for the first of the layers, whose changes are best taken one by one, with a weight for each of them.

    Args:
        graphs: Both networks.
        known: What is known of the values that the units depend on.
        order: The values of the networks, each after those that it is computed from.
        units: δ as Σ sign · element over the given values, n elements of each.
        far: Bounds of |δ|, [B, n]: not zero. Infinite where a unit is to be left out.
        region: The inputs.
        leading: Where the forms begin.
    """
    count = far.shape[1]
    widest = max(node.size for graph in graphs for node in graph.nodes)
    given = sum(box.low[0].numel() for box in region.boxes.values())
    if given < FEWEST or not 1 < count <= MOST // widest or region.tokens or not known.changes:
        return None
    centred = Centred()
    form = carried(graphs, known, order, leading.form(units, 1 / far), centred)
    for number, box in region.boxes.items():
        here = left_on(form, graphs, number)
        if not here:
            continue
        most = torch.maximum(box.low.abs(), box.high.abs())
        for rows in here:
            form.error += gamma(most[0].numel() + 16) * total(rows.abs(), most)
        centred.box(form, here[0] if len(here) == 1 else here[0] + here[1], (box.low, box.high))
    found = torch.linalg.vector_norm(form.constant, dim=1) + torch.linalg.vector_norm(form.error, dim=1) * (1 + 1e-6)
    found = (found + centred.greatest()) * (1 + gamma(count + 64))
    most = torch.isfinite(far).sum(1).to(found.dtype).sqrt() * (1 + gamma(8))
    return torch.where(found < most, found, most)  # what is not a number says nothing
