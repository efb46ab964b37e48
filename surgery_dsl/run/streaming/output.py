"""A file that is written from its beginning to its end, digested meanwhile, and kept out of the page cache.

Bytes are made in the memory that they are written from. It is used in turn: while one buffer is filled, the one before
is digested and written, by a helper each. Where the system allows it, buffers go to the disk as they are (``O_DIRECT``,
open(2)): copying into the page cache would take more time than all that is done with the bytes before, and a result
that does not fit into memory would push everything else out of the cache.
"""

import errno
import fcntl
import hashlib
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from surgery_dsl.run.streaming.cut import view_of

WRITE = 4 << 20
"""Bytes from which on a buffer is written; no less than ``ALIGN``."""
ALIGN = 4096
"""Address, place and length of what is written past the page cache are multiples of this: the pages' size."""
BUFFERS = 3
"""One is filled, two are on their way."""


class Output:
    """A file that is being written. Final. A context manager; what is left by an error is no whole file."""

    def __init__(self, path: Path, most: int) -> None:
        """Begin a file, in the place of any that is there.

        Args:
            path: Where.
            most: Most bytes that are asked for at once.

        Raises:
            OSError: It cannot be written.
        """
        self._file = _opened(path)
        self._sha, self._size, self._filled, self._turn = hashlib.sha256(), 0, 0, 0
        self._buffers = [_aligned(WRITE + most) for _ in range(BUFFERS)]
        self._pending: list[tuple[Future[None], ...]] = [() for _ in range(BUFFERS)]
        self._digesting, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def space(self, size: int) -> Tensor:
        """Return memory for the next bytes. What was given before must be filled by now.

        Raises:
            OSError: Earlier bytes could not be written.
        """
        if self._filled >= WRITE:
            self._pass_on()
        begin = self._filled
        self._filled += size
        return self._buffers[self._turn][begin : self._filled]

    def end(self) -> str:
        """Write what is left, see that all of it is on the disk, and return its SHA-256.

        Raises:
            OSError: It could not be written.
        """
        size = self._size + self._filled
        padded = self._filled + -self._filled % ALIGN
        self._buffers[self._turn][self._filled : padded] = 0
        self._send(self._filled, padded)
        for turn in range(BUFFERS):
            self._await(turn)
        os.ftruncate(self._file, size)
        os.fsync(self._file)
        return self._sha.hexdigest()

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        for helper in (self._digesting, self._writing):
            helper.shutdown(cancel_futures=True)
        os.close(self._file)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _pass_on(self) -> None:
        """Send whole pages on their way; what is behind them begins the next buffer."""
        whole = self._filled - self._filled % ALIGN
        rest = self._buffers[self._turn][whole : self._filled]
        self._send(whole, whole)
        self._size += whole
        self._turn = (self._turn + 1) % BUFFERS
        self._await(self._turn)
        self._buffers[self._turn][: len(rest)] = rest
        self._filled = len(rest)

    def _send(self, digested: int, written: int) -> None:
        view = view_of(self._buffers[self._turn])
        self._pending[self._turn] = (
            self._digesting.submit(self._sha.update, view[:digested]),
            self._writing.submit(self._put, view[:written]),
        )

    def _await(self, turn: int) -> None:
        for future in self._pending[turn]:
            future.result()

    def _put(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            try:
                done += os.write(self._file, view[done:])
            except OSError as error:
                if error.errno != errno.EINVAL or not _by_the_cache(self._file):
                    raise


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with suppress(OSError):  # not every file system can do it; whatever else is wrong comes up again
        return os.open(path, flags | getattr(os, "O_DIRECT", 0), 0o666)
    return os.open(path, flags, 0o666)


def _by_the_cache(file: int) -> bool:
    """Let a file be written through the page cache from here on; return whether that is new."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    direct = getattr(os, "O_DIRECT", 0)
    fcntl.fcntl(file, fcntl.F_SETFL, flags & ~direct)
    return bool(flags & direct)


def _aligned(size: int) -> Tensor:
    """Return memory that begins with a page."""
    return torch.frombuffer(mmap.mmap(-1, size + -size % ALIGN), dtype=torch.uint8)
