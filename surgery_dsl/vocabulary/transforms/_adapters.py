"""What ``lora`` and ``merge`` share: low-rank adapters beside linear layers, and the ties of these layers' weights."""

from collections.abc import Iterable

from surgery_dsl.interface.fragment import own_type
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._ties import places

ADAPTER = own_type("low_rank_adapter", "LowRankAdapter")
"""Type of an adapter's module."""


def adapters_of(interface: Interface, host: str) -> tuple[str, ...]:
    """Return the adapters that were inserted into a module, in the order of insertion."""
    return tuple(child for child in inserted_into(interface, host) if interface.module_by_path[child].type == ADAPTER)


def inserted_into(interface: Interface, host: str) -> tuple[str, ...]:
    """Return the children that were inserted into a module."""
    return tuple(child for child in interface.children.get(host, ()) if interface.module_by_path[child].inserted)


def own_name(host: str, tensor: str) -> str:
    """Return the name that a tensor has in the module that reads it, whichever name owns its memory."""
    return f"{host}.{tensor.rpartition('.')[2]}"


def tied(interface: Interface, names: Iterable[str]) -> tuple[str, ...]:
    """Return those tensors of some that share their memory with other modules."""
    return tuple(name for name in names if len(places(interface, name)) > 1)


def tie_is_said(scene: Scene, names: Iterable[str]) -> bool:
    """Report a tied tensor where the step does not say what becomes of the tie."""
    if scene.tie:
        return True
    for name in tied(scene.interface, names):
        held = places(scene.interface, name)
        others = tuple(other for home, group in held.items() if name not in group for other in group if home)
        scene.refuse_tie(name, others, keep="")
        return False
    return True


def all_names(scene: Scene, name: str) -> frozenset[str]:
    """Return the names under which a tensor is written; a tie that is cut leaves the others alone."""
    held = places(scene.interface, name)
    mine = [group for group in held.values() if name in group]
    groups = mine if scene.tie == "untie" else held.values()
    return frozenset(other for group in groups for other in group)
