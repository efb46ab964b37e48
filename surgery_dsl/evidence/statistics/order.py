"""The order in which examples are bet on: fixed by the data and the line, before any loss is seen.

It comes from SHA-256 alone, so that anyone finds it again, with any version of any library, and nobody can pick the
order that suits them.
"""

import hashlib

import torch
from torch import Tensor


def seed_of(data_digest: str, statement: str) -> str:
    """Return the seed of a line on a data set, in hexadecimal."""
    return hashlib.sha256(f"{data_digest}\n{statement}".encode()).hexdigest()


def order_of(seed: str, count: int) -> Tensor:
    """Return a permutation of ``count`` examples, ``[n]`` in int64: sorted by SHA-256 of the seed and the number."""
    start = hashlib.sha256(bytes.fromhex(seed))

    def key(number: int) -> bytes:
        own = start.copy()
        own.update(number.to_bytes(8, "big"))
        return own.digest()

    return torch.tensor(sorted(range(count), key=key), dtype=torch.int64)
