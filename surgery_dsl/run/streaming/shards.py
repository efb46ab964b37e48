"""Writing the files of a result: read, cut, digest and write side by side, and never more than a few blocks in memory.

Some threads read the input through for its digest, file by file; some write files of the result, each with helpers that
digest and write. All of it is reading, writing, gathering and digesting of blocks, which does not hold the
interpreter's lock. Both go through the input in its order, so that what one has read the other finds in the cache.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from surgery_dsl.run.streaming.cut import BLOCK, copy, cut
from surgery_dsl.run.streaming.journal import Journal
from surgery_dsl.run.streaming.layout import Layout, Shard
from surgery_dsl.run.streaming.output import Output
from surgery_dsl.run.weights import WeightsFile

READERS, WRITERS = 2, 2

Tell = Callable[[int, int], None]
"""Hears how many bytes of how many are written."""


class _Stopped(Exception):
    """Another thread failed, or the run was interrupted."""


class Writer:
    """Writes what a journal does not yet have of a layout. Final."""

    def __init__(self, layout: Layout, file: WeightsFile, journal: Journal, tell: Tell) -> None:
        """Prepare.

        Args:
            layout: What is written.
            file: The input.
            journal: Where it is written, and what is noted of it.
            tell: Hears of progress.
        """
        self._layout, self._file, self._journal, self._tell = layout, file, journal, tell
        self._done, self._stop = 0, Event()

    def write(self) -> dict[str, str]:
        """Write every file and read the input through; return the SHA-256 of each file of tensors.

        Raises:
            OSError: A file cannot be read or written. What is complete is kept for the next run.
        """
        kept = self._journal.resume(self._layout.digest)
        digests = dict(kept)
        todo = [shard for shard in self._layout.shards if shard.name not in kept]
        unread = [name for name in self._file.files if name not in self._journal.inputs]
        self._done = sum(shard.size for shard in self._layout.shards if shard.name in kept)
        with _one_thread_each(), ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(WRITERS) as writers:
            reading = [readers.submit(self._read_through, name) for name in unread]
            writing = {writers.submit(self._shard, shard): shard for shard in todo}
            self._wait([*reading, *writing])
            for future, shard in writing.items():
                digests[shard.name] = future.result()
        return digests

    def _wait(self, futures: list[Future[str]]) -> None:
        """Wait for all; when one fails, or the user interrupts, the others end at their next block."""
        waiting = set(futures)
        try:
            while waiting:
                ended, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
                self._tell(self._done, self._layout.size)
                failed = next((future for future in ended if future.exception() is not None), None)
                if failed is not None:
                    failed.result()
        except BaseException:
            self._stop.set()
            for future in futures:
                future.cancel()
            raise

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    # ---- one file ------------------------------------------------------------------------------------------------

    def _shard(self, shard: Shard) -> str:
        with Output(self._journal.folder / shard.name, BLOCK) as out, ExitStack() as inputs:

            def space(size: int) -> Tensor:
                self._check()
                self._done += size
                return out.space(size)

            files: dict[Path, int] = {}
            copy(torch.frombuffer(bytearray(shard.header), dtype=torch.uint8), space)
            for piece in shard.pieces:
                if piece.origin is None:
                    assert piece.values is not None
                    copy(piece.values.reshape(-1).view(torch.uint8), space)
                    continue
                path, first = self._file.place(piece.origin.source)
                if path not in files:
                    files[path] = inputs.enter_context(_open(path))
                shape = self._file.header.tensors[piece.origin.source].shape
                cut(files[path], first, shape, piece.item, piece.origin.keep, space)
            digest = out.end()
        self._journal.finished(shard.name, digest)
        return digest

    # ---- the input -----------------------------------------------------------------------------------------------

    def _read_through(self, name: str) -> str:
        """Note the digest of an input file and return it."""
        sha, view = hashlib.sha256(), memoryview(bytearray(BLOCK))
        with _open(self._file.files[name]) as file:
            while count := os.readv(file, [view]):
                sha.update(view[:count])
                self._check()
        digest = sha.hexdigest()
        self._journal.read_through(name, digest)
        return digest


@contextmanager
def _open(path: Path) -> Iterator[int]:
    """Open a file for one thread: the system reads ahead of each by what it did before."""
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep torch from dividing the gathering of one block: whole blocks are what runs side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
