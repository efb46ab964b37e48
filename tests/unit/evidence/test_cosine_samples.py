"""Cosines of single examples: the mean over positions, and a mean of the population by betting."""

import torch

from surgery_dsl.evidence import samples
from surgery_dsl.evidence.statistics import betting


def test_each_example_has_the_mean_of_its_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 3, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    targets = torch.zeros(5, 1)
    found = samples.cosines([(first, targets)], [(second, targets)], "test")
    products = (first * second).sum(-1) / (first.square().sum(-1).sqrt() * second.square().sum(-1).sqrt())
    torch.testing.assert_close(found, products.mean(1))


def test_examples_that_point_the_same_way_bound_their_population_near_one() -> None:
    ones = torch.ones(400, dtype=torch.float64)
    assert 0.97 < betting.lower_mean(ones, -1.0, 1.0, 0.05) < 1.0
