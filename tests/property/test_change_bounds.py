"""No point of some hundred thousand lies beyond a bound, on random networks, edits and boxes.

``benchmarks/change_bounds.py`` does the same on trained networks with a million points.
"""

import pytest

from tests.unit.evidence.bound_fuzz import changes, networks, relaxations


def test_no_function_leaves_its_lines() -> None:
    assert list(relaxations(1500, 30, seed=1)) == []


def test_no_change_leaves_its_planes() -> None:
    assert list(changes(800, 30, seed=1)) == []


@pytest.mark.parametrize("seed", range(4, 10))
def test_no_network_leaves_its_bounds(seed: int) -> None:
    """Fourteen pairs of networks over six boxes each, half a thousand cases in all, sampled and attacked."""
    assert list(networks(range(seed, seed + 1), 60)) == []
