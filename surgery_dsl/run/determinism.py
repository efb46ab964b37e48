"""Runs that repeat: deterministic kernels where torch has them, and seeds that do not depend on the device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# cuBLAS repeats its sums only with a fixed workspace, and reads this when it starts (cuBLAS manual, section 2.1.4).
CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Use deterministic kernels; where torch has none for an operator it warns instead of failing."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    os.environ.setdefault(*CUBLAS)
    _set(wanted, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        _set(before, warn_only)
        torch.backends.cudnn.benchmark = benchmark


def _set(wanted: bool, warn_only: bool) -> None:
    """Do what ``torch.use_deterministic_algorithms`` does, less its import of the compiler, which takes a second."""
    torch._C._set_deterministic_algorithms(wanted, warn_only=warn_only)


def mixed(seed: int, run_seed: int) -> int:
    """Return one seed from a step's and the run's; the step's own where the run's is 0."""
    return (seed + 1_000_003 * run_seed) % (1 << 63)


def generator(seed: int, run_seed: int) -> torch.Generator:
    """Return a CPU generator that depends on two seeds alone."""
    return torch.Generator().manual_seed(mixed(seed, run_seed))
