"""Progress of long work on stderr: one moving line on a terminal, one line a phase elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from surgery_dsl.cli import interrupts

EVERY = 0.1
"""Seconds between two updates of the moving line."""


class Progress:
    """Shows how far the phases of a run have come. Nothing that is shown is ever interpreted as markup."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._terminal = shown and sys.stderr.isatty()
        self._last = 0.0
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def tell(self, text: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` parts of a phase are done; ``total`` is 0 where it is not known.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, and something swallowed it.
        """
        interrupts.check()
        if not self._shown:
            return
        now = time.monotonic()
        text = "".join(character if character.isprintable() else "?" for character in text)
        if self._terminal:
            if now - self._last < EVERY and done < total:
                return
            share = f" {100 * done // total:3d} %" if total else ""
            sys.stderr.write(f"\r\x1b[K{text[:100]}{share}")
            sys.stderr.flush()
            self._last = now
        elif (phase := _phase(text)) != self._phase:
            sys.stderr.write(f"{phase}\n")
            sys.stderr.flush()
            self._phase = phase


def _phase(text: str) -> str:
    """Many quantities are measured in a row: that is one phase; so is all that goes on within a candidate."""
    return "measuring" if text.startswith("measuring ") else text.partition(": ")[0]
