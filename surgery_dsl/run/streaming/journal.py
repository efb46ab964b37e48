"""What is finished of a result that is being written: a killed run goes on from there.

``progress.json`` stands beside the files. It holds the digest of everything that decides the bytes besides the input
(see ``layout``), for each input file how it was found and, once it was read through, its SHA-256, and the SHA-256 of
each file of the result that is complete and on the disk.
"""

import fcntl
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.model import Data
from surgery_dsl.interface.staleness import digest_of

PROGRESS = "progress.json"


class Found(Data):
    """How an input file was found, and the SHA-256 of its content where it was read through."""

    size: int
    modified: int
    changed: int
    inode: int
    sha256: str = ""


class Progress(Data):
    """The content of ``progress.json``."""

    format: Literal["1"] = "1"
    layout: str
    inputs: dict[str, Found]
    shards: dict[str, str] = {}


def found(path: Path) -> Found:
    """Return how a file is found now."""
    state = path.stat()
    return Found(size=state.st_size, modified=state.st_mtime_ns, changed=state.st_ctime_ns, inode=state.st_ino)


def place_of(output: Path) -> Path:
    """Return the directory in which the result for ``output`` is prepared."""
    return output.parent / f".{output.name}.partial"


class Journal:
    """The progress of one result; safe from several threads. Final. A context manager.

    Attributes:
        folder: Where the files of the result are prepared; it becomes the result.
    """

    def __init__(self, output: Path, inputs: Mapping[str, Path], file: str) -> None:
        """Open, or begin, the directory in which a result is prepared.

        Raises:
            Refused: Another run prepares the same result.
        """
        self._place, self._inputs, self._mutex = place_of(output), inputs, Lock()
        self.folder = self._place / "result"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._held = os.open(self._place, os.O_RDONLY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._held)
            raise Refused(_busy(output, file)) from None
        self._progress = Progress(layout="", inputs={})

    def resume(self, layout: str) -> dict[str, str]:
        """Return what an earlier run finished of this very result, and forget everything else that is there.

        A file counts where the inputs are those that the earlier run read, and its content is still what was written.
        """
        earlier = self._read()
        now = {name: found(path) for name, path in self._inputs.items()}
        kept: dict[str, str] = {}
        if earlier is not None and earlier.layout == layout and earlier.inputs.keys() == now.keys():
            same = {name: self._same(name, earlier.inputs[name], state) for name, state in now.items()}
            if None not in same.values():
                now = {name: state for name, state in same.items() if state is not None}
                kept = {name: sha for name, sha in earlier.shards.items() if self._whole(name, sha)}
        for path in self.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._progress = Progress(layout=layout, inputs=now, shards=kept)
        self._write()
        return kept

    def finished(self, shard: str, sha256: str) -> None:
        """Note a file that is complete and on the disk."""
        with self._mutex:
            self._progress = self._progress.replaced(shards={**self._progress.shards, shard: sha256})
            self._write()

    def read_through(self, name: str, sha256: str) -> None:
        """Note the content of an input file."""
        with self._mutex:
            state = self._progress.inputs[name].replaced(sha256=sha256)
            self._progress = self._progress.replaced(inputs={**self._progress.inputs, name: state})
            self._write()

    @property
    def inputs(self) -> dict[str, str]:
        """SHA-256 of each input file that was read through."""
        return {name: state.sha256 for name, state in self._progress.inputs.items() if state.sha256}

    def unchanged(self) -> str:
        """Return the name of an input file that changed since the run began; empty where none did."""
        for name, path in self._inputs.items():
            if found(path) != self._progress.inputs[name].replaced(sha256=""):
                return name
        return ""

    def end(self) -> None:
        """Forget everything: the folder has become the result."""
        shutil.rmtree(self._place, ignore_errors=True)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # nothing was begun, so nothing is kept
            if not (self._place / PROGRESS).exists():
                shutil.rmtree(self._place)
        os.close(self._held)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _read(self) -> Progress | None:
        try:
            return Progress.model_validate_json((self._place / PROGRESS).read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self) -> None:
        fresh = self._place / f"{PROGRESS}.new"
        with fresh.open("w", encoding="utf-8") as file:
            file.write(self._progress.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._place / PROGRESS)
        os.fsync(self._held)

    def _same(self, name: str, earlier: Found, now: Found) -> Found | None:
        """Return the state with its digest where a file is the one that was read before."""
        if earlier.replaced(sha256="") == now:
            return earlier
        if earlier.sha256 and earlier.size == now.size and digest_of(self._inputs[name]) == earlier.sha256:
            return now.replaced(sha256=earlier.sha256)
        return None

    def _whole(self, name: str, sha256: str) -> bool:
        try:
            return digest_of(self.folder / name) == sha256
        except OSError:
            return False


def _busy(output: Path, file: str) -> Diagnostic:
    return Diagnostic(
        runs.OUTPUT_IN_THE_WAY,
        f"another run is writing `{output}`",
        file=file,
        help="wait until it has ended, or write the result to a directory of its own",
    )
