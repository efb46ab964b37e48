import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.safetensors_header import MAX_HEADER, read_header
from surgery_dsl.trace.dtypes import name_of

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "b": torch.zeros(4, dtype=torch.bfloat16),
    "c": torch.tensor(True),
    "empty": torch.zeros(0, 3, dtype=torch.int64),
}


def write(path: Path, header: dict | bytes, buffer: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + buffer)
    return path


def entry(dtype: str = "F32", shape: tuple[int, ...] = (1,), first: int = 0, last: int = 4) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


def test_reads_what_the_library_wrote(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    header = read_header(tmp_path / "x.safetensors")
    assert {n: (e.dtype, e.shape) for n, e in header.tensors.items()} == {
        n: (name_of(t.dtype), tuple(t.shape)) for n, t in TENSORS.items()
    }
    assert header.metadata == {"format": "pt"}
    raw = (tmp_path / "x.safetensors").read_bytes()
    a = header.tensors["a"]
    assert raw[header.start + a.first : header.start + a.last] == TENSORS["a"].numpy().tobytes()


@pytest.mark.parametrize(
    ("header", "buffer", "says"),
    [
        ({"a": entry(last=8)}, b"\0" * 8, "needs 4 bytes"),
        ({"a": entry()}, b"\0" * 3, "truncated"),
        ({"a": entry()}, b"\0" * 5, "belong to no tensor"),
        ({"a": entry(first=4, last=8)}, b"\0" * 8, "belong to no tensor"),
        ({"a": entry(), "b": entry(first=2, last=6)}, b"\0" * 6, "overlap"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": 1}', b"\0" * 4, "twice"),
        ({"a": entry(dtype="F31")}, b"\0" * 4, "unknown dtype"),
        ({"a": entry(shape=(-1,))}, b"\0" * 4, "counts"),
        ({"a": entry(shape=(True,))}, b"\0" * 4, "counts"),
        ({"a": {"dtype": "F32"}}, b"", "does not hold"),
        ({"a": entry(), "__metadata__": {"n": 3}}, b"\0" * 4, "metadata"),
        (b"[]", b"", "not a table"),
        (b"{not json", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        (b"\xff\xfe", b"", "not JSON"),
    ],
)
def test_damaged_files_are_refused_with_a_reason(
    tmp_path: Path, header: dict | bytes, buffer: bytes, says: str
) -> None:
    with pytest.raises(Refused) as caught:
        read_header(write(tmp_path / "x.safetensors", header, buffer))
    (found,) = caught.value.diagnostics
    assert found.code is trust.WEIGHTS_MALFORMED
    assert says in found.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", trust.WEIGHTS_MALFORMED),
        (b"\x10", trust.WEIGHTS_MALFORMED),
        (struct.pack("<Q", 100) + b"{}", trust.WEIGHTS_MALFORMED),
        (struct.pack("<Q", MAX_HEADER + 1) + b"{}", trust.HEADER_TOO_LARGE),
        (b"PK\x03\x04" + b"\0" * 60, trust.PICKLE_REFUSED),
        (b"\x80\x02}q\x00." + b"\0" * 60, trust.PICKLE_REFUSED),
    ],
)
def test_what_is_no_such_file_is_told_apart(tmp_path: Path, content: bytes, code: object) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Refused) as caught:
        read_header(tmp_path / "x")
    assert caught.value.diagnostics[0].code is code


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(Refused) as caught:
        read_header(tmp_path / "nett.safetensors")
    (found,) = caught.value.diagnostics
    assert found.code is trust.FILE_MISSING
    assert "`net.safetensors`" in found.help


def test_a_real_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(Refused) as caught:
        read_header(tmp_path / "net.pt")
    assert caught.value.diagnostics[0].code is trust.PICKLE_REFUSED


@given(st.integers(0, 400), st.binary(min_size=0, max_size=4), st.integers(0, 8))
def test_never_accepts_what_the_library_refuses(tmp_path_factory, at: int, noise: bytes, cut: int) -> None:
    """Bytes of a good file are overwritten and cut: where our reader accepts, the library's must too."""
    path = tmp_path_factory.mktemp("noise") / "x.safetensors"
    raw = bytearray(save(TENSORS))
    raw[at : at + len(noise)] = noise
    path.write_bytes(bytes(raw[: len(raw) - cut]))
    try:
        header = read_header(path)
    except Refused:
        return
    try:
        with safe_open(path, framework="pt") as file:
            assert set(file.keys()) == set(header.tensors)
    except SafetensorError as error:  # pragma: no cover - the failure this test looks for
        pytest.fail(f"accepted what the library refuses: {error}")
