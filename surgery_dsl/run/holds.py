"""Zeros that training holds: masks follow their tensors through later steps, as the static rules say they do."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.edits import Resize
from surgery_dsl.language.plan import Block
from surgery_dsl.proof.state import State
from surgery_dsl.run.changes import EditMisfit, find_tensor
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.context import Change, Effect

Masks = dict[str, Tensor]


def sliced(masks: Mapping[str, Tensor], edit: Resize, model: nn.Module) -> Masks:
    """Return the masks as they are after an edit; ``model`` is still as it was before it."""
    held = {id(find_tensor(model, name)): name for name in masks}
    result, done = dict(masks), set[tuple[str, int]]()
    for entry in edit.slices:
        name = held.get(id(find_tensor(model, entry.tensor)))
        if name is not None and (name, entry.dim) not in done:
            done.add((name, entry.dim))
            kept = torch.tensor(edit.indices[entry.indices], device=result[name].device)
            result[name] = result[name].index_select(entry.dim, kept)
    return result


def followed(masks: Mapping[str, Tensor], effect: Effect, rewritten: bool, model: nn.Module) -> Masks:
    """Return the masks under their names after a step; a tensor that the step rewrote, or removed, loses its mask.

    Args:
        masks: By the names before the step.
        effect: What the step did.
        rewritten: Whether what the step writes gets new values (it does not where units are only cut away).
        model: The network after the step.
    """
    result: Masks = {}
    for name, mask in masks.items():
        if rewritten and name in effect.writes and name not in effect.zeros:
            continue
        now = effect.renamed.get(name, name)
        try:
            tensor = find_tensor(model, now)
        except EditMisfit:
            continue
        if tensor.shape == mask.shape:
            result[now] = mask
    return result


def added(masks: Mapping[str, Tensor], changes: Iterable[Change]) -> Masks:
    """Return the masks with the zeros that changes set and that training is to hold; masks of one tensor join."""
    result = dict(masks)
    for change in changes:
        if change.hold:
            for name, mask in change.zero.items():
                result[name] = result[name] | mask if name in result else mask
    return result


def refuse_lost(session: Session, step: Block, predicted: State) -> None:
    """Refuse a step after which fewer zeros are held than was proved.

    Raises:
        Refused: With SD901.
    """
    for name, (least, _) in predicted.zeros.items():
        mask = session.zeros.get(name)
        held = int(mask.sum()) if mask is not None else 0
        if held < least:
            raise Refused(
                Diagnostic(
                    defects.PREDICTION,
                    f"after `{step.name}` training holds {held} zeros in `{name}`, {least} were predicted",
                    file=session.file,
                    span=step.span,
                    path=name,
                    facts={"held": held, "predicted": least},
                    help="this is a defect of surgery-dsl, not of your plan; please report it",
                )
            )
