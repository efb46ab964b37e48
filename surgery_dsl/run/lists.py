"""Forwards that count a list: what they do when entries leave it is Python's to say, and only running tells."""

from collections import Counter
from collections.abc import Iterable

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.edits import ArrangeModules, DropModules
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Block
from surgery_dsl.vocabulary.context import Change

HELP = "let the forward go through one list of blocks, each with all that belongs to it, or write `mode = zero`"


def dropped_lists(changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the paths of the lists whose entries changes drop, copy or move."""
    found: dict[str, None] = {}
    for change in changes:
        if isinstance(change.edit, DropModules):
            found |= dict.fromkeys(path.rpartition(".")[0] for path in change.edit.paths)
        elif isinstance(change.edit, ArrangeModules):
            found |= dict.fromkeys(change.edit.lists)
    return tuple(found)


def no_longer_runs(
    step: Block, lists: tuple[str, ...], predicted: Interface, traced: Interface, file: str
) -> Diagnostic | None:
    """Return a finding where the forward leaves out modules that no step took: it pairs their list with another."""
    ran = {call.module for call in traced.calls}
    left = [path for path in dict.fromkeys(call.module for call in predicted.calls) if path not in ran]
    if lists and not left and [call.module for call in predicted.calls] != [call.module for call in traced.calls]:
        return _does_something_else(step, lists, predicted, traced, file)
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


def _does_something_else(
    step: Block, lists: tuple[str, ...], predicted: Interface, traced: Interface, file: str
) -> Diagnostic:
    """Return a finding for a forward that runs other modules, more or fewer times, once a list is another."""
    runs = [Counter(call.module for call in interface.calls) for interface in (predicted, traced)]
    odd = next((path for path in runs[0] if runs[0][path] != runs[1][path]), "")
    return Diagnostic(
        shapes.LIST_IS_COUNTED,
        f"with the entries of `{lists[0]}` that `{step.name}` leaves, the forward runs `{odd or '.'}` "
        f"{runs[1][odd]} and not {runs[0][odd]} times",
        file=file,
        span=step.span,
        path=odd,
        facts={"expected": runs[0][odd], "found": runs[1][odd]},
        notes=("what the forward does around the list depends on which entries there are",),
        help="keep one entry of each kind, or write `mode = zero`",
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
