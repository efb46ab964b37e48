"""Writing the files of a result: read, cut, digest and write side by side, and never more than a few blocks in memory.

Two threads write files, each with a helper that digests; one more digests the input. All of it is reading, writing,
gathering and digesting of blocks, which does not hold the interpreter's lock.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from surgery_dsl.run.streaming.cut import BLOCK, cut, view_of
from surgery_dsl.run.streaming.journal import Journal
from surgery_dsl.run.streaming.layout import Layout, Piece, Shard
from surgery_dsl.run.weights import WeightsFile

WRITERS = 2

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
        self._open: dict[str, int] = {}

    def write(self) -> dict[str, str]:
        """Write every file and read the input through; return the SHA-256 of each file of tensors.

        Raises:
            OSError: A file cannot be read or written. What is complete is kept for the next run.
        """
        kept = self._journal.resume(self._layout.digest)
        digests = dict(kept)
        todo = [shard for shard in self._layout.shards if shard.name not in kept]
        self._done = sum(shard.size for shard in self._layout.shards if shard.name in kept)
        with self._opened(), _one_thread_each(), ThreadPoolExecutor(WRITERS + 1) as pool:
            reader = pool.submit(self._read_inputs)
            writers = {pool.submit(self._shard, shard): shard for shard in todo}
            self._wait([reader, *writers])
            for future, shard in writers.items():
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

    # ---- one file ------------------------------------------------------------------------------------------------

    def _shard(self, shard: Shard) -> str:
        sha = hashlib.sha256()
        pending: Future[None] | None = None
        with (self._journal.folder / shard.name).open("wb", buffering=0) as out, ThreadPoolExecutor(1) as helper:
            for block in self._blocks(shard):
                view = view_of(block)
                if pending is not None:
                    pending.result()
                pending = helper.submit(sha.update, view)
                written = 0
                while written < len(view):
                    written += out.write(view[written:])
                self._done += len(view)
                if self._stop.is_set():
                    raise _Stopped
            if pending is not None:
                pending.result()
            os.fsync(out.fileno())
        digest = sha.hexdigest()
        self._journal.finished(shard.name, digest)
        return digest

    def _blocks(self, shard: Shard) -> Iterator[Tensor]:
        yield torch.frombuffer(bytearray(shard.header), dtype=torch.uint8)
        for piece in shard.pieces:
            yield from self._piece(piece)

    def _piece(self, piece: Piece) -> Iterator[Tensor]:
        if piece.origin is None:
            assert piece.values is not None
            if piece.size:
                yield piece.values.reshape(-1).view(torch.uint8)
            return
        entry = self._file.header.tensors[piece.origin.source]
        path, first = self._file.place(piece.origin.source)
        yield from cut(self._open[path.name], first, entry.shape, piece.item, piece.origin.keep)

    # ---- the input -----------------------------------------------------------------------------------------------

    def _read_inputs(self) -> str:
        """Digest every input file that is not digested yet; return the name of the last."""
        view = memoryview(bytearray(BLOCK))
        last = ""
        for name, file in self._open.items():
            if name in self._journal.inputs:
                continue
            sha, at = hashlib.sha256(), 0
            while count := os.preadv(file, [view], at):
                sha.update(view[:count])
                at += count
                if self._stop.is_set():
                    raise _Stopped
            self._journal.read_through(name, sha.hexdigest())
            last = name
        return last

    @contextmanager
    def _opened(self) -> Iterator[Mapping[str, int]]:
        paths: Mapping[str, Path] = self._file.files
        try:
            for name, path in paths.items():
                self._open[name] = os.open(path, os.O_RDONLY)
            yield self._open
        finally:
            for file in self._open.values():
                os.close(file)
            self._open = {}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep torch from dividing the gathering of one block: whole blocks are what runs side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
