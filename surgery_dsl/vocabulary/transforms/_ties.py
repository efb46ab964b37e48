"""Giving a tied tensor memory of its own, in a draft."""

from collections.abc import Iterable

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.transforms._places import Scene


def untie(scene: Scene, draft: Draft, names: Iterable[str]) -> bool:
    """Give each named tensor memory of its own; report where the forward does not show who reads which."""
    axes: set[int] = set()
    for name in dict.fromkeys(names):
        tensor = draft.tensors[name]
        owner = tensor.tied_to or name
        group = [t.name for t in draft.tensors.values() if (t.tied_to or t.name) == owner]
        if len(group) < 2:
            continue
        own = _names_read(draft, owner, group)
        if own is None:
            scene.say(
                shapes.READ_ELSEWHERE,
                f"the forward reads `{owner}` outside of the modules that hold it, so nobody can tell by which of its "
                f"{len(group)} names",
                path=owner,
                facts={"names": len(group)},
                help="write `tie = keep`",
            )
            return False
        heir = next(other for other in group if other != name)
        _rename(
            draft, {at: (name if read == name else heir if owner == name else owner) for at, read in own.items()}, owner
        )
        for other in group:
            if other == name:
                draft.tensors[other] = draft.tensors[other].replaced(tied_to="")
            elif owner == name:
                draft.tensors[other] = draft.tensors[other].replaced(tied_to="" if other == heir else heir)
        axes |= {axis for dim in tensor.dims for axis in dim}
    recouple(draft, axes)
    return True


def _names_read(draft: Draft, owner: str, group: list[str]) -> dict[int, str] | None:
    """Return by which name each operator reads a tensor, keyed by the operator's identity; ``None`` if that is open."""
    found: dict[int, str] = {}
    for operator in draft.operators():
        if owner in operator.tensors.values():
            held = [name for name in group if name.rpartition(".")[0] == operator.module]
            if len(held) != 1:
                return None
            found[id(operator)] = held[0]
    return found


def _rename(draft: Draft, read: dict[int, str], owner: str) -> None:
    for run in draft.root.runs():
        for index, event in enumerate(run.events):
            if isinstance(event, Operator) and id(event) in read:
                tensors = {role: read[id(event)] if name == owner else name for role, name in event.tensors.items()}
                run.events[index] = event.replaced(tensors=tensors)
