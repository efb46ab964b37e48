"""Writing tensors in the safetensors format, one at a time: no tensor is copied but to bring it to the CPU."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from surgery_dsl.interface.lock import SourceDigest
from surgery_dsl.interface.shards import INDEX, SHARD_SIZE, divide, file_names, index_text
from surgery_dsl.interface.staleness import digest_of

DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.float32: "F32",
    torch.int64: "I64",
    torch.uint64: "U64",
    torch.float64: "F64",
    torch.complex64: "C64",
}
"""How the format names dtypes."""


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write one safetensors file.

    Args:
        tensors: By name, on any device; wider elements come first in the file, so that all of them are aligned.
        path: The file; one that is there is replaced.
        metadata: Free text by key.

    Raises:
        KeyError: A dtype that the format does not have.
        OSError: As from the file.
        ValueError: A tensor has no values (it stands on ``meta``).
    """
    order = sorted(tensors, key=lambda name: -tensors[name].element_size())
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        tensor = tensors[name]
        if tensor.is_meta:
            raise ValueError(f"{name} has no values")
        first, end = end, end + tensor.numel() * tensor.element_size()
        fields[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [first, end],
        }
    header = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in order:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            if flat.numel():
                file.write(flat.view(torch.uint8).numpy().data)


def write_shards(
    tensors: Mapping[str, Tensor], ties: Mapping[str, str], folder: Path, most: int = SHARD_SIZE
) -> tuple[SourceDigest, ...]:
    """Write tensors as ``model.safetensors``, or above ``most`` bytes as shards with an index.

    Args:
        tensors: What is written, each once.
        ties: Names that are left out, each with the name that stands for it.
        folder: Where the files go.
        most: Bytes of tensors that one file may hold; a larger tensor has a file of its own.

    Returns:
        The files with their digests, the index last.
    """
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    shards = divide(sizes, most)
    places = dict(zip(file_names(len(shards)), shards, strict=True))
    for file, names in places.items():
        own = {name: owner for name, owner in ties.items() if owner in names}
        write_tensors({name: tensors[name] for name in names}, folder / file, {"format": "pt", **own})
    files: Iterable[str] = places
    if len(places) > 1:
        (folder / INDEX).write_text(index_text(places, sum(sizes.values()), {}), encoding="utf-8")
        files = (*places, INDEX)
    return tuple(SourceDigest(path=file, sha256=digest_of(folder / file)) for file in files)
