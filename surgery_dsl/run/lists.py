"""Forwards that count a list: what they do when entries leave it is Python's to say, and only running tells."""

from collections.abc import Iterable

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.edits import DropModules
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Block
from surgery_dsl.vocabulary.context import Change

HELP = "let the forward go through one list of blocks, each with all that belongs to it, or write `mode = zero`"


def dropped_lists(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the paths of the lists that changes take entries out of."""
    edits = [change.edit for change in changes if isinstance(change.edit, DropModules)]
    return tuple(dict.fromkeys(path.rpartition(".")[0] for edit in edits for path in edit.paths))


def no_longer_runs(
    step: Block, lists: tuple[str, ...], predicted: Interface, traced: Interface, file: str
) -> Diagnostic | None:
    """Return a finding where the forward leaves out modules that no step took: it pairs their list with another."""
    ran = {call.module for call in traced.calls}
    left = [path for path in dict.fromkeys(call.module for call in predicted.calls) if path not in ran]
    if not lists or not left:
        return None
    return Diagnostic(
        shapes.LIST_IS_COUNTED,
        f"without the entries of `{lists[0]}` that `{step.name}` takes, the forward no longer runs `{left[0]}`"
        + (f" and {len(left) - 1} more" if len(left) > 1 else ""),
        file=file,
        span=step.span,
        path=left[0],
        facts={"modules": len(left)},
        notes=("it goes through two lists side by side, or counts one of them",),
        help=HELP,
    )


def fails_without(step: Block, lists: tuple[str, ...], why: Diagnostic, file: str) -> Diagnostic:
    """Return a finding for a forward that fails once entries have left a list."""
    return Diagnostic(
        shapes.LIST_IS_COUNTED,
        f"without the entries of `{lists[0]}` that `{step.name}` takes, {why.message}",
        file=file,
        span=step.span,
        path=lists[0],
        notes=("it goes through two lists side by side, or counts one of them",),
        help=HELP,
    )
