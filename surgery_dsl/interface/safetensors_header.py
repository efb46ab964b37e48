"""Headers of safetensors files, read and written without torch, and read without trusting the file.

A file is eight bytes (the header's length, little-endian), a JSON header, and one buffer. The reader is stricter
than the format needs: the buffer must be covered exactly once, names may not repeat, and the header may not be
larger than 16 MiB. The values themselves are not read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.model import Data
from surgery_dsl.interface.shards import INDEX, read_index

MAX_HEADER = 16 << 20
MAX_TENSORS = 200_000
MAX_DIMS = 64

ITEM_SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
    "C64": 8,
}
"""Bytes of one element, by the format's name of the dtype."""

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Entry(Data):
    """One tensor of a file: dtype as plans write it (``f32``), shape, and its place in the buffer.

    ``file`` names the file that holds it where weights are divided; it is empty where one file holds all.
    """

    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int
    file: str = ""


class Header(Data):
    """What a file says of itself.

    Attributes:
        tensors: By name.
        metadata: Free text by key; where tied tensors are left out, the name left out by the name that is kept.
        start: Where the buffer starts in the file.
        size: Size of the file in bytes; of all files where weights are divided.
        files: Where weights are divided: for each file, where its buffer starts.
    """

    tensors: dict[str, Entry]
    metadata: dict[str, str] = {}
    start: int
    size: int
    files: dict[str, int] = {}


def read_header(path: Path) -> Header:
    """Return the header of a safetensors file.

    Raises:
        Refused: The file is missing, a pickle, truncated, or its header is not sound. Nothing of the buffer is read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            _check_prefix(path, prefix, length, size)
            raw = file.read(length)
    except OSError as error:
        raise Refused(missing(path, error)) from None
    fields = _parse(path, raw)
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _malformed(path, "its metadata is not a table of texts")
    if len(fields) > MAX_TENSORS:
        raise _malformed(path, f"it names {len(fields)} tensors, at most {MAX_TENSORS} are read", tensors=len(fields))
    tensors = {name: _entry(path, name, entry) for name, entry in fields.items()}
    start = 8 + length
    _check_cover(path, tensors, size - start)
    return Header(tensors=tensors, metadata=metadata, start=start, size=size)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files of weights that a path means: itself, or those that an index names.

    A directory means its index, or its ``model.safetensors``.

    Raises:
        Refused: The index is missing or not sound.
    """
    if path.is_dir():
        path = path / INDEX if (path / INDEX).is_file() else path / "model.safetensors"
    if path.suffix != ".json":
        return (path,)
    return tuple(path.with_name(name) for name in sorted(set(read_index(path).values())))


def read_weights(path: Path) -> Header:
    """Return the header of weights in one file or several: a safetensors file, an index, or a directory of either.

    Raises:
        Refused: As :func:`read_header` for any of the files; or the index says otherwise than the files.
    """
    files = files_of(path)
    if len(files) == 1 and path.suffix != ".json" and not (path / INDEX).is_file():
        return read_header(files[0])
    index = path / INDEX if path.is_dir() else path
    lost = [file for file in files if not file.is_file()]
    if lost:
        raise Refused(_shards_missing(index, lost, len(files)))
    headers = {file.name: read_header(file) for file in files}
    tensors: dict[str, Entry] = {}
    for name, place in read_index(index).items():
        entry = headers[place].tensors.get(name)
        if entry is None:
            raise _malformed(index, f"it says that `{name}` stands in `{place}`, which does not hold it", name)
        tensors[name] = entry.replaced(file=place)
    for place, header in headers.items():
        hidden = next((name for name in header.tensors if tensors.get(name, header.tensors[name]).file != place), None)
        if hidden is not None:
            raise _malformed(index, f"`{place}` holds `{hidden}`, of which the index does not say so", hidden)
    return Header(
        tensors=tensors,
        metadata={key: value for header in headers.values() for key, value in header.metadata.items()},
        start=0,
        size=sum(header.size for header in headers.values()),
        files={place: header.start for place, header in headers.items()},
    )


def header_bytes(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Return what a file begins with: name, dtype (as plans write it) and shape of each tensor, in buffer order."""
    fields: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, dtype, shape in tensors:
        kind = format_dtype(dtype)
        first, end = end, end + prod(shape) * ITEM_SIZES[kind]
        fields[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [first, end]}
    header = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def missing(path: Path, error: OSError) -> Diagnostic:
    """Say that a file cannot be opened."""
    if isinstance(error, FileNotFoundError):
        beside = sorted(p.name for p in path.parent.glob("*.safetensors"))[:5] if path.parent.is_dir() else []
        return Diagnostic(
            trust.FILE_MISSING,
            f"the file `{path.name}` is not there",
            notes=(f"looked in `{path.parent}`",),
            help=f"name one of `{'`, `'.join(beside)}`" if beside else "put the file beside the plan, or mend its name",
        )
    return Diagnostic(
        trust.FILE_MISSING,
        f"the file `{path.name}` cannot be read: {error.strerror or error}",
        help="let this user read the file",
    )


def _shards_missing(index: Path, lost: Sequence[Path], count: int) -> Diagnostic:
    return Diagnostic(
        trust.FILE_MISSING,
        f"`{index.name}` names {count} files of weights, and {len(lost)} of them {'is' if len(lost) == 1 else 'are'} "
        f"not there: `{lost[0].name}`" + (" first" if len(lost) > 1 else ""),
        facts={"named": count, "missing": len(lost)},
        notes=(f"looked in `{index.parent}`",),
        help=f"copy `{lost[0].name}` there" + (", and the others" if len(lost) > 1 else ""),
    )


def _check_prefix(path: Path, prefix: bytes, length: int, size: int) -> None:
    # A header of 640 bytes starts like a pickle too; read as a length, a pickle's start is beyond any header.
    if prefix.startswith(_PICKLE_STARTS) and (len(prefix) < 8 or length > MAX_HEADER):
        raise Refused(
            Diagnostic(
                trust.PICKLE_REFUSED,
                f"`{path.name}` is a pickle",
                notes=("reading a pickle can run any code that its author put in",),
                help="load it where you trust it and write it again with `safetensors.torch.save_model`",
            )
        )
    if len(prefix) < 8:
        raise _malformed(path, f"it has {size} bytes, a header alone needs 8", bytes=size)
    if length > MAX_HEADER:
        raise Refused(
            Diagnostic(
                trust.HEADER_TOO_LARGE,
                f"the header of `{path.name}` says it has {length} bytes, at most {MAX_HEADER} are read",
                facts={"header": length, "limit": MAX_HEADER},
                help="the file is damaged or not a safetensors file: write it again",
            )
        )
    if 8 + length > size:
        raise _malformed(
            path,
            f"its header needs {8 + length} bytes and the file has {size}: it is truncated",
            needed=8 + length,
            bytes=size,
        )


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _malformed(path, f"it names `{twice}` twice")
        return table

    try:
        fields = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise _malformed(path, "its header is not JSON") from None
    if not isinstance(fields, dict):
        raise _malformed(path, "its header is not a table")
    return fields


def _entry(path: Path, name: str, entry: Any) -> Entry:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _malformed(path, f"the entry of `{name}` does not hold dtype, shape and data_offsets", name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in ITEM_SIZES:
        raise _malformed(path, f"`{name}` has the unknown dtype {str(dtype)[:20]!r}", name)
    if not _counts(shape) or len(shape) > MAX_DIMS or not _counts(offsets) or len(offsets) != 2:
        raise _malformed(path, f"shape or place of `{name}` are not lists of counts", name)
    first, last = offsets
    needed = prod(shape) * ITEM_SIZES[dtype]
    if last - first != needed:
        raise _malformed(
            path,
            f"`{name}` needs {needed} bytes for {dtype} {shape} and has {last - first}",
            name,
            needed=needed,
            bytes=last - first,
        )
    return Entry(dtype=plan_dtype(dtype), shape=tuple(shape), first=first, last=last)


def plan_dtype(dtype: str) -> str:
    """Return how plans write a dtype of the format: ``F32`` is ``f32``, the 8-bit floats keep their names."""
    return {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}.get(dtype, dtype.lower())


def format_dtype(dtype: str) -> str:
    """Return how the format writes a dtype of a plan; raise ``KeyError`` where it has no such dtype."""
    kind = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}.get(dtype, dtype.upper())
    if kind not in ITEM_SIZES:
        raise KeyError(dtype)
    return kind


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 62 for item in value)


def _check_cover(path: Path, tensors: dict[str, Entry], buffer: int) -> None:
    """The buffer is covered exactly once, so that nothing hides between tensors or is read as two."""
    end, before = 0, ""
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].first, item[1].last)):
        if entry.first < end:
            raise _malformed(path, f"`{before}` and `{name}` overlap at byte {entry.first}", name)
        if entry.first > end:
            raise _malformed(path, f"bytes {end} to {entry.first} belong to no tensor", name)
        end, before = entry.last, name
    if end > buffer:
        raise _malformed(
            path,
            f"its tensors need {end} bytes and {buffer} are there: it is truncated",
            needed=end,
            bytes=buffer,
        )
    if end < buffer:
        raise _malformed(path, f"{buffer - end} bytes at its end belong to no tensor", extra=buffer - end)


def _malformed(path: Path, what: str, tensor: str = "", **facts: int) -> Refused:
    return Refused(
        Diagnostic(
            trust.WEIGHTS_MALFORMED,
            f"`{path.name}` is not a sound safetensors file: {what}",
            path=tensor,
            facts=facts,
            help="write the file again with `safetensors.torch.save_model`",
        )
    )
