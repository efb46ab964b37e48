"""What the forward is run for far from the sizes at which it was followed, and what that may cost."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.trace import elsewhere
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec
from tests.unit.units import networks


class Placed(nn.Module):
    """Adds to each step what a table holds for it."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(rows, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.table(torch.arange(x.shape[1]).clamp(max=1000)))


def test_a_table_that_ends_far_away_is_found() -> None:
    with pytest.raises(Refused) as caught:
        trace(Placed(300), spec("N", "T", 5))
    (found,) = caught.value.diagnostics
    assert (found.code.id, found.path, found.facts) == ("SD200", "table", {"N": 2, "T": 357})
    trace(Placed(300), spec("N", "T", 5), free=(FreeSize(name="T", least=1, most=300),))


def test_nothing_is_kept_of_far_runs_on_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention over 357 steps of 67 examples holds 400 MB of scores; kept for twelve layers they filled machines."""
    recorded: list[Mapping[str, int]] = []
    ran: list[Mapping[str, int]] = []
    record, runs = elsewhere.record, elsewhere.runs_on_values

    def recording(model: Any, inputs: Any, chosen: Any, **options: Any) -> Any:
        recorded.extend(chosen)
        assert options["values"] is False
        return record(model, inputs, chosen, **options)

    def running(model: Any, inputs: Any, sizes: Any) -> bool:
        ran.append(sizes)
        return runs(model, inputs, sizes)

    monkeypatch.setattr(elsewhere, "record", recording)
    monkeypatch.setattr(elsewhere, "runs_on_values", running)
    trace(networks.Stack(networks.Attention()), spec("N", "T", 5))
    assert recorded == [{"N": 1201, "T": 1233}]
    assert [sizes["N"] for sizes in ran] == [149, 2]
    assert ran[1]["T"] == 357
