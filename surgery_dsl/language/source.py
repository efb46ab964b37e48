"""From the bytes of a file to text that is worth reading."""

import re
from pathlib import Path

from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import limits

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOISE = 20


def read_source(path: Path, file: str) -> tuple[str, tuple[Diagnostic, ...]]:
    """Read a plan; ``file`` is the path as the user gave it. The text is empty where it could not be had.

    A file that is too large is not read.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as stream:
        data = stream.read(limits.BYTES + 1)
        if len(data) > limits.BYTES:
            size = max(path.stat().st_size, len(data)) if path.is_file() else len(data)
            return "", (too_large(size, file),)
    return decode(data, file)


def decode(data: bytes, file: str) -> tuple[str, tuple[Diagnostic, ...]]:
    """Turn bytes into text, or say why not."""
    if len(data) > limits.BYTES:
        return "", (too_large(len(data), file),)
    if b"\0" in data:
        return "", (_not_text(file),)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        return "", (
            Diagnostic(
                codes.NOT_UTF8,
                f"the plan is not UTF-8 text: byte 0x{data[error.start]:02x} on line {line}",
                file,
                Span(line, column, line, column + 1),
                facts={"byte": data[error.start], "offset": error.start},
                help="save the file with the encoding UTF-8",
            ),
        )


def refuse(text: str, file: str) -> Diagnostic | None:
    """Return what makes a text no plan at all, if anything: its size, or noise in it."""
    if len(text) > limits.BYTES or (size := len(text.encode("utf-8", "surrogatepass"))) > limits.BYTES:
        return too_large(len(text) if len(text) > limits.BYTES else size, file)
    if "\0" in text or sum(1 for _ in zip(_CONTROL.finditer(text), range(_NOISE), strict=False)) == _NOISE:
        return _not_text(file)
    return None


def too_large(size: int, file: str) -> Diagnostic:
    """Say that a plan of ``size`` bytes is not read."""
    return Diagnostic(
        codes.TOO_LARGE,
        f"the plan has {size:,} bytes; a plan may have {limits.BYTES:,}",
        file,
        facts={"size": size, "limit": limits.BYTES},
        help="a plan is one change that a person can review: split it, or keep data in a file of its own",
    )


def _not_text(file: str) -> Diagnostic:
    return Diagnostic(
        codes.NOT_TEXT,
        "the file is not text",
        file,
        notes=("it holds NUL or many other control characters",),
        help="give the path of a plan, a text file that starts with `surg 1`",
    )
