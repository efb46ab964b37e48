"""How a result is divided into files, before a byte of it is written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor

from surgery_dsl.interface.safetensors_header import header_bytes
from surgery_dsl.interface.shards import divide, file_names, index_text
from surgery_dsl.kernels.differences import digest
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.streaming.origins import Origin, Streamed
from surgery_dsl.run.write import ties_of
from surgery_dsl.trace.dtypes import name_of

MOST = 2_000_000_000
"""Bytes of one file, where the run allows more: a run that was killed begins again with the last file."""


@dataclass(frozen=True)
class Piece:
    """One tensor of a file: its form, and where its bytes come from (``values`` where they are in memory)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    item: int
    origin: Origin | None
    values: Tensor | None

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.item

    def text(self) -> list[object]:
        """Return what decides the bytes, given the input: two pieces of equal texts have equal bytes."""
        if self.origin is None:
            assert self.values is not None
            return [self.name, "values", digest(self.values)]
        keep = {str(dim): digest(indices) for dim, indices in sorted(self.origin.keep.items())}
        return [self.name, self.origin.source, keep]


@dataclass(frozen=True)
class Shard:
    """One file: its name, the bytes that it begins with, and its tensors in order."""

    name: str
    header: bytes
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + sum(piece.size for piece in self.pieces)


@dataclass(frozen=True)
class Layout:
    """All files of a result.

    Attributes:
        shards: The files.
        index: Text of the index; empty where there is one file.
        digest: SHA-256 of everything that decides the bytes besides the input.
    """

    shards: tuple[Shard, ...]
    index: str
    digest: str

    @property
    def size(self) -> int:
        """Bytes of all files of tensors."""
        return sum(shard.size for shard in self.shards)


def lay_out(streamed: Streamed, most: int) -> Layout:
    """Divide the network's tensors, tied ones once, into files of at most ``most`` bytes, in the order of the input.

    Raises:
        KeyError: A dtype that the format does not have.
        LookupError: A tensor has neither values nor an origin.
    """
    ties = ties_of(streamed.model)
    pieces = sorted(_pieces(streamed, ties), key=lambda piece: _place(piece, streamed))
    by_name = {piece.name: piece for piece in pieces}
    parts = divide({piece.name: piece.size for piece in pieces}, min(most, MOST))
    shards = []
    for file, names in zip(file_names(len(parts)), parts, strict=True):
        # Wider elements first, so that all are aligned.
        inside = sorted((by_name[name] for name in names), key=lambda piece: -piece.item)
        own = {name: owner for name, owner in ties.items() if owner in names}
        header = header_bytes([(p.name, p.dtype, p.shape) for p in inside], {"format": "pt", **own})
        shards.append(Shard(file, header, tuple(inside)))
    places = {shard.name: [piece.name for piece in shard.pieces] for shard in shards}
    index = index_text(places, sum(piece.size for piece in pieces), {}) if len(shards) > 1 else ""
    texts = [
        [shard.name, shard.header.decode("utf-8", "replace"), *(p.text() for p in shard.pieces)] for shard in shards
    ]
    return Layout(tuple(shards), index, hashlib.sha256(json.dumps(texts).encode()).hexdigest())


def _pieces(streamed: Streamed, ties: Mapping[str, str]) -> list[Piece]:
    found = []
    for name, tensor in named_tensors(streamed.model):
        if name in ties:
            continue
        origin = streamed.origin(tensor)
        values = tensor.detach().cpu().contiguous() if origin is None else None
        found.append(
            Piece(name, name_of(tensor.dtype), tuple(tensor.shape), tensor.element_size(), origin, values),
        )
    return found


def _place(piece: Piece, streamed: Streamed) -> tuple[str, int, str]:
    """Order as the input is: it is then read from its beginning to its end."""
    if piece.origin is None:
        return "\U0010ffff", 0, piece.name
    path, first = streamed.file.place(piece.origin.source)
    return path.name, first, piece.name
