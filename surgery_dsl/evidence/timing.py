"""How long a forward takes: many runs, their median and their spread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch


@final
@dataclass(frozen=True)
class Timing:
    """Seconds of single runs, in the order in which they were made.

    Attributes:
        seconds: One for each run.
    """

    seconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """Return a quantile, interpolated between runs."""
        return float(torch.tensor(self.seconds, dtype=torch.float64).quantile(share))

    @property
    def median(self) -> float:
        """The median run."""
        return self.quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile."""
        return self.quantile(0.25), self.quantile(0.75)

    def __str__(self) -> str:
        low, high = (f"{1000 * second:.3g}" for second in self.quartiles)
        return f"median of {len(self.seconds)} runs, half of them within {low} to {high} ms"


def timed(
    work: Sequence[Callable[[], object]], device: torch.device, runs: int, warm_up: int = 5
) -> tuple[Timing, ...]:
    """Time pieces of work in turns, so that what else the machine does meets all of them alike.

    Each piece first runs ``warm_up`` times unseen: first runs choose kernels and fill caches. Without gradients; on a
    GPU the clock stops when the device has finished.
    """
    found: list[list[float]] = [[] for _ in work]
    with torch.inference_mode():
        for turn in range(warm_up + runs):
            for piece, seconds in zip(work, found, strict=True):
                _finish(device)
                began = time.perf_counter()
                piece()
                _finish(device)
                if turn >= warm_up:
                    seconds.append(time.perf_counter() - began)
    return tuple(Timing(tuple(seconds)) for seconds in found)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def conditions(device: torch.device, dtype: torch.dtype, batch: int) -> str:
    """Say where times were taken, without a name of the machine's."""
    threads = torch.get_num_threads()
    on_cpu = f"cpu, {threads} thread{'s' * (threads != 1)}"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    return f"{where}, batch {batch}, {str(dtype).removeprefix('torch.')}"
