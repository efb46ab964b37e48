"""Files that cannot be written, as diagnostics. No torch."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def written(path: Path, file: str, place: str, left: str = "nothing of it was left behind") -> Iterator[None]:
    """Turn an error of the operating system into a diagnostic; other errors pass.

    Args:
        path: What is written, a file or a folder.
        file: What the diagnostic stands in.
        place: What the user should look at, in words.
        left: What became of what was written so far.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        number = _number(error)
        if number is None:
            raise
        raise Refused(_not_written(path, number, file, place, left)) from error


def _number(error: Exception) -> int | None:
    """Return the number of an operating system's error; safetensors gives it in the text of an error of its own."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = _OS_ERROR.search(str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(found[1]) if found else None


def _not_written(path: Path, number: int, file: str, place: str, left: str) -> Diagnostic:
    full = number in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else os.strerror(number) if number else "the system does not say why"
    return Diagnostic(
        runs.NOT_WRITTEN,
        f"`{path}` could not be written: {why}",
        file=file,
        facts={"error": number},
        notes=(left,),
        help=f"make room on the disk of {place}, or choose another" if full else f"see that {place} may be written to",
    )
