"""Lists of modules arranged anew: entries dropped, copied and moved, and the numbers that count them set."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from surgery_dsl.modules.insertion import inserted


def rearrange(container: nn.Module, order: Sequence[int], tie: bool, root: nn.Module, stem: str = "") -> list[Tensor]:
    """Put the entries of a list in a new order; the second of equal numbers is a copy.

    A copy shares with its original what the network holds outside of that entry too: modules and tensors.

    Args:
        container: A ``ModuleList``, a ``Sequential`` of numbered modules, or a ``ParameterList``; with a stem, any
            module.
        order: The old number of each new entry.
        tie: Whether the parameters of copies are those of the originals.
        root: The network.
        stem: What the names of the entries have before their number (``expert_``).

    Returns:
        The tensors of the entries that are gone.

    Raises:
        ValueError: The container is no such list, or has no entry of a number.
    """
    if isinstance(container, nn.ParameterList):
        return _rearrange_parameters(container, order, tie)
    if not stem and not isinstance(container, nn.ModuleList | nn.Sequential):
        raise ValueError(f"a {type(container).__name__} is no list of modules")
    children = container._modules.items()
    own = {name: child for name, child in children if _is_entry(name, stem) and name not in inserted(container)}
    before = dict(itertools.takewhile(lambda item: item[0] not in own, children))
    others = {name: child for name, child in children if name not in own and name not in before}
    if not all(name in inserted(container) or stem for name in (*before, *others)):
        raise ValueError("its entries do not go by number")
    if stem and list(own) != [f"{stem}{number}" for number in range(len(own))]:
        raise ValueError(f"its entries are not {stem}0, {stem}1 and so on")
    _check(order, len(own))
    old = list(own.values())
    entries: list[nn.Module | None] = []
    for slot, number in enumerate(order):
        child = old[number]
        again = number in order[:slot] and child is not None
        entries.append(_copy(child, tie, _elsewhere(root, container, child)) if again and child is not None else child)
    container._modules.clear()
    box: dict[str, nn.Module | None] = container._modules
    box.update(before)
    box.update({f"{stem}{slot}": entry for slot, entry in enumerate(entries)})
    box.update(others)
    return [tensor for number, child in enumerate(old) if number not in order for tensor in _tensors(child)]


def _is_entry(name: str, stem: str) -> bool:
    """Whether a child's name is a stem and a number."""
    return name.startswith(stem) and name[len(stem) :].isdecimal()


def _rearrange_parameters(container: nn.ParameterList, order: Sequence[int], tie: bool) -> list[Tensor]:
    old = list(container._parameters.values())
    if list(container._parameters) != [str(i) for i in range(len(container))]:
        raise ValueError("its entries are not all parameters")
    _check(order, len(old))
    container._parameters.clear()
    for slot, number in enumerate(order):
        value = old[number]
        if number in order[:slot] and value is not None and not tie:
            value = nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad)
        container._parameters[str(slot)] = value
    container._size = len(order)
    return [value for number, value in enumerate(old) if number not in order and value is not None]


def _check(order: Sequence[int], length: int) -> None:
    if not order or any(not 0 <= number < length for number in order):
        raise ValueError(f"a list of {length} entries cannot be arranged as {list(order)}")


def _elsewhere(root: nn.Module, container: nn.Module, entry: nn.Module) -> dict[int, Any]:
    """Return the modules and tensors that a network holds outside of an entry too, by ``id``."""
    found: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if id(module) in found:
            continue
        found[id(module)] = module
        held = (*module._parameters.values(), *module._buffers.values())
        found.update({id(tensor): tensor for tensor in held if tensor is not None})
        children = (child for child in module._modules.values() if child is not None)
        waiting += [child for child in children if not (module is container and child is entry)]
    return found


def _copy(entry: nn.Module, tie: bool, elsewhere: dict[int, Any]) -> nn.Module:
    """Copy a module: tensors and modules of its own are new, settings that it refers to (a config) stay the same."""
    kept = dict(elsewhere)
    inside = {id(module) for module in entry.modules()}
    for module in entry.modules():
        for value in vars(module).values():
            if _is_setting(value) or (isinstance(value, nn.Module) and id(value) not in inside):
                kept[id(value)] = value
        if tie:
            kept.update({id(value): value for value in module._parameters.values() if value is not None})
    return copy.deepcopy(entry, kept)


def _tensors(child: nn.Module | None) -> Iterator[Tensor]:
    if child is not None:
        yield from child.parameters()
        yield from child.buffers()


# ---- numbers -------------------------------------------------------------------------------------------------------


def set_numbers(
    model: nn.Module,
    path: str,
    attribute: str,
    means: Literal["position", "count", "each"],
    order: Sequence[int],
    slot: int,
    apart: Iterable[str],
) -> None:
    """Set what counts the entries of a list: after ``order`` was carried out, at the module that holds it.

    A position moves as the entry did. A count becomes the length; a list of one item for each entry is arranged as the
    entries are. Where an object holds these (a config), every module that held it holds one and the same new
    copy: the object itself may be anybody's.

    Args:
        model: The network.
        path: The module that holds the attribute, as it is called now.
        attribute: Dotted path from the module.
        means: What it says.
        order: The old number of each entry.
        slot: For a position, the number of the entry now.
        apart: Modules below that hold numbers of their own under the same name.

    Raises:
        ValueError: There is no such attribute, or it does not hold what it should.
    """
    module = model.get_submodule(path)
    *way, last = attribute.split(".")
    if not way:
        setattr(module, last, _value(_held(module, last), means, order, slot))
        return
    old = _held(module, way[0])
    mine, was = _changed(old, [*way[1:], last], means, order, slot)
    others = [model.get_submodule(one) for one in apart]
    done: dict[int, Any] = {id(old): mine}
    foreign = {id(value) for other in others for value in vars(other).values() if value is not old}
    for holder in module.modules():
        for name, value in list(vars(holder).items()):
            if id(value) not in done and name == way[0] and type(value) is type(old) and id(value) not in foreign:
                theirs = _lookup(value, [*way[1:], last])
                if type(theirs) is type(was) and theirs == was:
                    done[id(value)] = _changed(value, [*way[1:], last], means, order, slot)[0]
            if id(value) in done and value is not done[id(value)] and not isinstance(value, nn.Module | Tensor):
                vars(holder)[name] = done[id(value)]


def _changed(
    holder: Any, way: Sequence[str], means: Literal["position", "count", "each"], order: Sequence[int], slot: int
) -> tuple[Any, Any]:
    """Return a copy of a plain object or list with the attribute set, and what the attribute was."""
    held = _held(holder, way[0])
    if len(way) == 1:
        mine, was = _value(held, means, order, slot), held
    else:
        mine, was = _changed(held, way[1:], means, order, slot)
    if isinstance(holder, list | tuple):
        return type(holder)([mine if at == int(way[0]) else item for at, item in enumerate(holder)]), was
    new = copy.copy(holder)
    vars(new)[way[0]] = mine
    return new, was


def _value(held: Any, means: Literal["position", "count", "each"], order: Sequence[int], slot: int) -> Any:
    if means == "each":
        if not isinstance(held, list | tuple) or len(held) <= max(order):
            raise ValueError("it is no list with one item for each entry")
        return type(held)([held[number] for number in order])
    if type(held) is not int:
        raise ValueError("it is no integer")
    return len(order) if means == "count" else held + slot - order[slot]


def _held(holder: Any, name: str) -> Any:
    if isinstance(holder, list | tuple) and name.isdecimal() and int(name) < len(holder):
        return holder[int(name)]
    fields: Mapping[str, Any] = getattr(holder, "__dict__", {})
    if name.startswith("__") or name not in fields:
        raise ValueError(f"{type(holder).__name__} has no attribute {name}")
    return fields[name]


def _lookup(holder: Any, way: Sequence[str]) -> Any:
    for name in way:
        try:
            holder = _held(holder, name)
        except ValueError:
            return None
    return holder


def _is_setting(value: Any) -> bool:
    """Whether a value is a plain object with attributes (a config), and no container, tensor, module or code."""
    if isinstance(value, nn.Module | Tensor | type | Sequence | Mapping | set) or callable(value):
        return False
    return hasattr(value, "__dict__")
