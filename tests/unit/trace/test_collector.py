"""The collector of cycles rests during a trace, and only then."""

import gc

import pytest
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec

SEEN: list[bool] = []


class Watching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        SEEN.append(gc.isenabled())
        return super().forward(x)


@pytest.mark.parametrize(("width", "runs"), [(4, True), (4, False), (5, True)])
def test_it_is_as_it_was_afterwards(width: int, runs: bool) -> None:
    model = Watching(4, 3)
    SEEN.clear()
    before = gc.isenabled()
    (gc.enable if runs else gc.disable)()
    try:
        if width == 4:
            trace(model, spec("N", width))
        else:
            with pytest.raises(Refused):
                trace(model, spec("N", width))
        assert gc.isenabled() is runs
        assert set(SEEN) == {False}
    finally:
        (gc.enable if before else gc.disable)()
