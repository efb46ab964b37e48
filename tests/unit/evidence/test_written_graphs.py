"""A graph that was written and read again bounds what it bounded."""

import json

import pytest
import torch
from torch import nn

from surgery_dsl.evidence.bounds.analysis import Analysis
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import around
from surgery_dsl.evidence.bounds.written import read, written


class Branched(nn.Module):
    """Two branches, split, joined, pooled and looked at through a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.ConvTranspose2d(2, 3, 2, stride=2)
        self.right = nn.Conv2d(2, 3, 1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(3 * 16 + 3 * 16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(torch.relu(self.norm(self.stem(x))), [2, 2], 1)
        left = self.pool(self.left(first))[:, :, :4, :4]
        right = self.pool(torch.nn.functional.pad(self.right(second), (1, 1, 1, 1)))[:, :, :4, :4]
        joined = torch.cat([left, right * 2 - 1], 1)
        found: torch.Tensor = self.head(joined.flatten(1))
        return found


def test_a_graph_comes_back_as_it_was() -> None:
    torch.manual_seed(1)
    model = Branched().eval()
    graph = record(model, [torch.zeros(1, 1, 6, 6)])
    data, tensors = written(graph, "old.")
    again = read(json.loads(json.dumps(data)), tensors)
    points = torch.rand(5, 1, 6, 6)
    region = around(points, 0.1)
    key = (0, graph.output)
    first, second = Analysis([graph], region).known, Analysis([again], region).known
    torch.testing.assert_close(first.low[key], second.low[key], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first.high[key], second.high[key], rtol=1e-12, atol=1e-12)
    outputs = again.run(points.double().unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(outputs, model.double()(points.double()))
    assert bool((first.low[key].squeeze(1) <= outputs).all())
    assert bool((outputs <= first.high[key].squeeze(1)).all())


def test_other_data_is_no_graph() -> None:
    with pytest.raises(KeyError):
        read({"inputs": [], "output": 0}, {})
