"""Ctrl-C, remembered: an interruption that some library's import or clean-up swallows is raised again."""

import signal
import time
from types import FrameType

GRACE = 1.0
"""Seconds after an interruption in which further ones are ignored, so that nothing half-done is left behind."""

_came = 0.0


def install() -> None:
    """Listen for Ctrl-C, in the main thread."""
    signal.signal(signal.SIGINT, _interrupt)


def ignore() -> None:
    """Listen no more: the program is about to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def came() -> bool:
    """Whether Ctrl-C was pressed."""
    return bool(_came)


def check() -> None:
    """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed and the program still goes on."""
    if _came:
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _came
    now = time.monotonic()
    if not _came or now - _came > GRACE:
        _came = now
        raise KeyboardInterrupt
