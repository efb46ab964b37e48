"""Errors of torch and of the user's network while a plan runs, turned into diagnostics."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the device or of the machine, ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


@contextmanager
def memory_reported(phase: str, file: str, span: Span | None = None, fix: str = "") -> Iterator[None]:
    """Turn running out of memory into a diagnostic that names the phase; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise Refused(
            Diagnostic(
                runs.OUT_OF_MEMORY,
                f"there is not enough memory to {phase}",
                file=file,
                span=span,
                notes=(" ".join(str(error).split())[:200],) if str(error) else (),
                help=fix or "use a smaller `batch`, or another `--device`",
            )
        ) from None


def _inside_a_module(error: BaseException) -> bool:
    """Whether an error passed through the call of a module."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == nn.modules.module.__file__:
            return True
        trace = trace.tb_next
    return False


@contextmanager
def network_reported(what: str, file: str, span: Span | None = None) -> Iterator[None]:
    """Turn an error of a network's forward into a diagnostic; refusals, lack of memory and our own errors pass."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        if is_out_of_memory(error) or not _inside_a_module(error):
            raise
        text = " ".join(str(error).split())[:300]
        raise Refused(
            Diagnostic(
                runs.NETWORK_FAILED,
                f"the network failed {what}: {type(error).__name__}: {text}",
                file=file,
                span=span,
                help="see that the data has the shape and dtype that the forward takes",
            )
        ) from None
