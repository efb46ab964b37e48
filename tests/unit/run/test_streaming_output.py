"""A file that is written past the page cache: its bytes, its digest, and systems that cannot do it."""

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest
import torch

from surgery_dsl.run.streaming import output
from surgery_dsl.run.streaming.output import Output

MOST = 3000


def write(path: Path, sizes: list[int]) -> tuple[bytes, str]:
    """Write drawn bytes in parts of the given sizes; return them, and the digest that came back."""
    generator = torch.Generator().manual_seed(len(sizes))
    parts = []
    with Output(path, MOST) as out:
        for size in sizes:
            part = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=generator)
            out.space(size).copy_(part)
            parts.append(part.numpy().tobytes())
        digest = out.end()
    return b"".join(parts), digest


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 20_000])
def test_bytes_and_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(output, "WRITE", 4096)
    draw = random.Random(size)
    sizes: list[int] = []
    while sum(sizes) < size:
        sizes.append(min(draw.randint(0, MOST), size - sum(sizes)))
    path = tmp_path / "file"
    path.write_bytes(bytes(50_000))  # what was there is gone
    content, digest = write(path, sizes)
    assert len(content) == size
    assert path.read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_what_the_disk_refuses_goes_through_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "WRITE", 100)
    monkeypatch.setattr(output, "ALIGN", 1)  # no disk takes parts of a byte's alignment as they are
    content, digest = write(tmp_path / "file", [90, 33, 1, 500, 7])
    assert (tmp_path / "file").read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_file_systems_without_direct_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = getattr(os, "O_DIRECT", 0)
    original = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & direct:
            raise OSError(errno.EINVAL, "no direct writes here")
        return original(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    content, digest = write(tmp_path / "file", [90, 33])
    assert (tmp_path / "file").read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_begun(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Output(tmp_path / "nowhere" / "file", MOST)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("parts", [1, 40])
def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    monkeypatch.setattr(output, "WRITE", 4096)
    with pytest.raises(OSError, match="No space left"):
        write(Path("/dev/full"), [MOST] * parts)
