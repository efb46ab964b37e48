"""Errors of torch and of the user's network while a plan runs, turned into diagnostics."""

import re
from collections.abc import Iterator, Sequence
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


def _modules_of(error: BaseException) -> list[nn.Module]:
    """Return the modules whose calls an error passed through, the innermost last."""
    found: list[nn.Module] = []
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_locals.get("self")
        if trace.tb_frame.f_code.co_filename == nn.modules.module.__file__ and isinstance(module, nn.Module):
            found.append(module)
        trace = trace.tb_next
    return found


def _path(called: Sequence[nn.Module], model: nn.Module | None) -> str:
    """Return the path of the innermost module that is a model's; empty for the model itself, or where none is."""
    paths = {} if model is None else {id(module): path for path, module in model.named_modules()}
    return next((paths[id(module)] for module in reversed(called) if id(module) in paths), "")


@contextmanager
def network_reported(
    what: str,
    file: str,
    span: Span | None = None,
    model: nn.Module | None = None,
    fix: str = "",
    backward: bool = False,
) -> Iterator[None]:
    """Turn an error of a network's forward into a diagnostic; refusals, lack of memory and our own errors pass.

    Args:
        what: When, as in "while `loss` was measured".
        file: The plan's file.
        span: The line of the plan.
        model: The network, to say which of its modules failed.
        fix: What helps; empty where the data is to blame.
        backward: Whether all that runs inside is the network's: its backward passes through no module.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        called = _modules_of(error)
        if is_out_of_memory(error) or not (called or backward):
            raise
        text = (str(error).strip() or "no message").splitlines()[0][:300]
        path = _path(called, model)
        raise Refused(
            Diagnostic(
                runs.NETWORK_FAILED,
                f"the network failed {f'in `{path}` ' if path else ''}{what}: {type(error).__name__}: {text}",
                file=file,
                span=span,
                path=path,
                help=fix or "see that the data has the shape and dtype that the forward takes",
            )
        ) from None
