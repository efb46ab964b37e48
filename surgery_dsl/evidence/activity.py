"""What the units of activations do on data: which never fire, never vary, or say what another one says."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.interface.flow import ACTIVATIONS, Flow, unit_dim
from surgery_dsl.interface.model import Interface, Operator

ALIKE = 1e-6
"""Least sine that products in float64 tell from zero: 1 − cos² loses half of the digits."""


@final
@dataclass
class Units:
    """What the units of one run of an operator did, over all examples and positions.

    Attributes:
        path: The operator's path.
        run: Which run of it in the forward, from 0.
        count: How many vectors were seen.
        loudest: Greatest magnitude of each unit, ``(units,)``; NaN where it ever was.
        mean: Mean of each unit, float64.
        squares: Σ (h − mean)² of each unit, float64.
        products: Hᵀ H, ``(units, units)`` in float64; ``None`` where it was not asked for.
    """

    path: str
    run: int
    count: int
    loudest: Tensor
    mean: Tensor
    squares: Tensor
    products: Tensor | None = None

    @property
    def label(self) -> str:
        """The operator, and the run of it where there are several."""
        return self.path if not self.run else f"{self.path} (run {self.run + 1})"

    def silent(self, eps: float) -> Tensor:
        """Return which units are within ``eps`` of zero on everything."""
        return self.loudest <= eps

    def constant(self, epsilon: float) -> Tensor:
        """Return which units have a variance of at most ``epsilon``."""
        return self.squares / self.count <= epsilon

    def redundant(self, epsilon: float) -> Tensor:
        """Return which units an earlier one gives: min over α of ‖h_i − α h_j‖ / ‖h_i‖ < ``epsilon``.

        j runs over earlier units that are not redundant themselves, so that all those found can go at once. The
        minimum is the sine of the angle, √(1 − cos²), at α = ⟨h_i, h_j⟩ / ‖h_j‖². Silent units are left out.
        """
        assert self.products is not None
        norms = self.products.diagonal().sqrt()
        alive = norms > 0
        scale = torch.where(alive, norms, torch.ones_like(norms))
        cosines = self.products / scale / scale[:, None]
        alike = (1 - cosines**2).clamp(min=0).sqrt() < epsilon
        alike = (alike & alive & alive[:, None]).cpu()
        found = torch.zeros(len(alike), dtype=torch.bool)
        for unit in range(1, len(alike)):
            found[unit] = bool((alike[unit, :unit] & ~found[:unit]).any())
        return found

    def effective_rank(self) -> float:
        """Return exp of the entropy of the singular values of H, (vectors, units); 0 where H is all zeros.

        The singular values are the roots of the eigenvalues of Hᵀ H; those within rounding of zero count as zero.
        """
        assert self.products is not None
        if not bool(torch.isfinite(self.products).all()):
            return float("nan")
        found = torch.linalg.eigvalsh(self.products)
        floor = len(found) * torch.finfo(torch.float64).eps * found.max()
        values = found[found > floor].sqrt()
        if not values.numel():
            return 0.0
        shares = values / values.sum()
        return float((-(shares * shares.log()).sum()).exp())


@final
class Observer:
    """Is shown what operators of a network write, and says what their units did; runs of an operator one by one.

    A unit is an index of the dimension of a result that weights carry (channels). Moments and products in float64.
    """

    def __init__(self, interface: Interface, products: Mapping[str, int]) -> None:
        """Know where the units of each operator lie.

        Args:
            interface: The network's interface.
            products: Up to how many units the products of two units are taken, by operator.
        """
        self._products = products
        self._places: dict[str, list[int]] = {path: [] for path in products}
        for operator in interface.operators:
            if operator.path in products:
                self._places[operator.path].append(unit_position(interface, operator))
        self._found: dict[tuple[str, int], Units] = {}
        self._runs = dict.fromkeys(products, 0)

    def note(self, path: str, output: Tensor) -> None:
        """See what a run of an operator wrote."""
        places = self._places[path]
        run = self._runs[path] % len(places)
        self._runs[path] += 1
        rows = output.movedim(places[run], -1)
        _add(self._found, path, run, rows.reshape(-1, rows.shape[-1]), self._products[path])

    def found(self) -> dict[tuple[str, int], Units]:
        """Return what was seen of each run of each operator."""
        return self._found


def activations(interface: Interface) -> dict[str, None]:
    """Return the paths of the activations, in the order of the forward."""
    return dict.fromkeys(operator.path for operator in interface.operators if operator.kind in ACTIVATIONS)


def runs(interface: Interface, paths: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield the runs of operators, in the order of the forward."""
    seen: dict[str, int] = {}
    for operator in interface.operators:
        if operator.path in paths:
            seen[operator.path] = seen.get(operator.path, -1) + 1
            yield operator.path, seen[operator.path]


def _add(found: dict[tuple[str, int], Units], path: str, run: int, rows: Tensor, products: int) -> None:
    """Add vectors ``(n, units)``; means and squares as Chan, Golub and LeVeque (1983), equation 2.1."""
    loudest, wide = rows.abs().amax(0), rows.double()
    count, mean = len(rows), wide.mean(0)
    squares = ((wide - mean) ** 2).sum(0)
    product = wide.T @ wide if rows.shape[1] <= products else None
    known = found.get((path, run))
    if known is None:
        found[path, run] = Units(path, run, count, loudest, mean, squares, product)
        return
    total, apart = known.count + count, mean - known.mean
    known.loudest = torch.maximum(known.loudest, loudest)
    known.squares = known.squares + squares + apart**2 * (known.count * count / total)
    known.mean = known.mean + apart * (count / total)
    known.count = total
    if known.products is not None and product is not None:
        known.products += product


def unit_position(interface: Interface, operator: Operator) -> int:
    """Return which dimension of a result its units lie along: the one that the layer behind it writes them along.

    Where no layer is behind it, it is the last that some tensor carries; where none carries any, the second of four
    dimensions or more (images), else the last.
    """
    value = operator.outputs[0]
    dims = interface.values[value].dims
    flow = Flow(interface)
    for at in flow.layers_behind(value):
        units = set(interface.leaves(unit_dim(interface, interface.operators[at])))
        shared = [position for position, dim in enumerate(dims) if units & set(interface.leaves(dim))]
        if shared:
            return shared[-1]
    carried = [
        position
        for position, dim in enumerate(dims)
        if position and any(axis in interface.carriers for axis in interface.leaves(dim))
    ]
    if carried:
        return carried[-1]
    return 1 if len(dims) >= 4 else len(dims) - 1
