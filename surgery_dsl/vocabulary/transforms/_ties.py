"""Giving a tied tensor memory of its own, in a draft."""

from collections.abc import Iterable

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.transforms._places import Scene


def places(interface: Interface, name: str) -> dict[str, list[str]]:
    """Return the names of a tensor's memory by the module objects that hold it, each under its first name there."""
    owner = interface.tensor_by_name[name].tied_to or name
    found: dict[str, list[str]] = {}
    for other in interface.ties.get(owner, (owner,)):
        path, _, attribute = other.rpartition(".")
        home = interface.module_by_path[path].same_as or path
        found.setdefault(f"{home}.{attribute}" if home else attribute, []).append(other)
    return found


def untie(scene: Scene, draft: Draft, names: Iterable[str]) -> bool:
    """Give each named tensor memory of its own; report where the forward does not show who reads which.

    Names are the first ones in the module objects that hold the tensors.
    """
    axes: set[int] = set()
    for name in dict.fromkeys(names):
        held = places(draft.before, name)
        mine = held.pop(name)
        owner = draft.tensors[name].tied_to or name
        others = [other for group in held.values() for other in group]
        others = [other for other in others if (draft.tensors[other].tied_to or other) == owner]
        if not others:
            continue
        read = _names_read(draft, owner, (*mine, *others))
        if read is None:
            scene.say(
                shapes.READ_ELSEWHERE,
                f"the forward reads `{owner}` outside of the modules that hold it, so nobody can tell by which of its "
                "names",
                path=owner,
                facts={"names": len(mine) + len(others)},
                help="write `tie = keep`",
            )
            return False
        for group in (mine, others):
            for other in group:
                tied_to = "" if other == group[0] else group[0]
                draft.tensors[other] = draft.tensors[other].replaced(tied_to=tied_to)
        _rename(draft, {at: mine[0] if by in mine else others[0] for at, by in read.items()}, owner)
        axes |= {axis for dim in draft.tensors[name].dims for axis in dim}
    recouple(draft, axes)
    return True


def _names_read(draft: Draft, owner: str, group: Iterable[str]) -> dict[int, str] | None:
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
