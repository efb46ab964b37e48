"""What counts the entries of a list: positions, lengths, and lists with one item for each entry.

Generic, and told from values alone: an integer below ``list.i`` that is ``i`` for every ``i`` is a position; an integer
that is the list's length and is named like one is a count; a list of the same length in a config that is named after
layers holds one item for each entry.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from surgery_dsl.interface.model import Module
from surgery_dsl.interface.paths import ANY, common, entry_prefix, list_holder
from surgery_dsl.trace.entries import lists_in
from surgery_dsl.trace.walking import named_modules

_POSITION = re.compile(r"(^|_)(idx|index|id|number|num|i|n|position|depth|level)$")
"""What a position is called. Short lists hold such numbers by chance, so there the name must say it too."""
_FEW = 3
"""Entries below which a list is short."""
_COUNT = re.compile(
    r"^_?(n|num|number_of|no_of|total|max)?_?([a-z]+_)*?(layers?|blocks?|stages?|depth|stack)$|^_?depth$"
)
_EACH = re.compile(r"layer|block|stage|depth|pattern|_types?$")
_SIDES = ("encoder", "decoder")
_DEPTH = 2
"""How deep plain objects are looked into: ``config.text_config.num_hidden_layers``."""


@dataclass
class Numbers:
    """What a module holds that counts entries: attribute to the path of the list."""

    positions: dict[str, str] = field(default_factory=dict)
    counts: dict[str, str] = field(default_factory=dict)
    per_layer: dict[str, str] = field(default_factory=dict)


def numbering(model: nn.Module) -> dict[str, Numbers]:
    """Return what counts the entries of the model's module lists, by the path of the module that holds it."""
    modules = dict(named_modules(model))
    lists = {path: length for path, module in modules.items() if (length := _length(module))}
    lists |= {path: length for path, length in lists_in(model).lengths.items() if path.endswith(ANY)}
    found: dict[str, Numbers] = {}
    if not lists:
        return found
    for path, length in lists.items():  # outer lists come first, and what is a position in one is none in another
        inner = any(path.startswith(other + ".") for other in lists if other != path)
        holding, stem = list_holder(path)
        for holder, attribute in _positions(modules[holding], stem, length, lonely=not inner):
            own = found.setdefault(entry_prefix(path) + holder, Numbers())
            own.positions.setdefault(attribute, path)
    for scope, holders, name, value in _settings(modules):
        chosen = _list_of(name, value, scope, lists)
        stages = {} if type(value) is int else _lists_of_stages(name, value, scope, lists)
        if chosen is None and not stages:
            continue
        own = found.setdefault(holders, Numbers())
        own.counts |= stages
        if chosen is None:
            continue
        (own.counts if type(value) is int else own.per_layer)[name] = chosen
    return found


def numbered(model: nn.Module, modules: Sequence[Module]) -> tuple[Module, ...]:
    """Return the modules of an interface with what counts the entries of lists."""
    found = numbering(model)
    return tuple(
        module.replaced(positions=own.positions, counts=own.counts, per_layer=own.per_layer)
        if (own := found.get(module.path)) is not None
        else module
        for module in modules
    )


def _length(module: nn.Module) -> int:
    """Return how many entries a list of modules has; 0 for what is none."""
    if not isinstance(module, nn.ModuleList | nn.Sequential):
        return 0
    names = list(module._modules)
    return len(names) if names == [str(i) for i in range(len(names))] else 0


# ---- positions -----------------------------------------------------------------------------------------------------


def _positions(container: nn.Module, stem: str, length: int, lonely: bool) -> Iterator[tuple[str, str]]:
    """Yield number and path from the entry, and the attribute, of each integer that is the number of its entry.

    ``lonely``: whether one entry alone may have it, as the one attention layer among recurrent ones.
    """
    entries = [container._modules[f"{stem}{i}"] for i in range(length)]
    if len({id(entry) for entry in entries}) < length:
        return
    tables = [dict(_integers_below(entry)) if entry is not None else {} for entry in entries]
    for at, table in enumerate(tables):
        for (path, attribute), value in table.items():
            offset = value - at
            named = _POSITION.search(attribute.rpartition(".")[2]) is not None
            if not named and (length < _FEW or offset):
                continue
            same = [other.get((path, attribute)) for other in tables]
            if all(number is None or number - i == offset for i, number in enumerate(same)):
                held = sum(number is not None for number in same)
                if held > 1 or (lonely and named and offset == 0):
                    yield f"{at}.{path}" if path else str(at), attribute


def _integers_below(entry: nn.Module) -> Iterator[tuple[tuple[str, str], int]]:
    for path, module in entry.named_modules():
        if type(module).__module__.startswith("torch.nn."):
            continue
        for name, value in vars(module).items():
            if type(value) is int:
                yield (path, name), value


# ---- counts, and lists of one item for each entry ------------------------------------------------------------------


def _settings(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, str, str, Any]]:
    """Yield integers and lists that may count: their scope, the outermost holder, the dotted name, the value.

    The scope of what a module holds is the module; that of an object which several modules share is all that lies
    below what they have in common.
    """
    shared: dict[int, tuple[list[str], str, Any]] = {}
    for path, module in modules.items():
        for name, value in vars(module).items():
            if name.startswith("_"):
                continue
            if type(value) is int or _is_plain_list(value):
                yield path, path, name, value
            elif _is_plain(value):
                shared.setdefault(id(value), ([], name, value))[0].append(path)
    for paths, name, value in shared.values():
        scope = common(paths)
        for dotted, found in _inside(value, name, 1):
            yield scope, min(paths, key=lambda path: (path.count(".") + bool(path), path)), dotted, found


def _inside(holder: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in vars(holder).items():
        if type(value) is int or _is_plain_list(value):
            yield f"{prefix}.{name}", value
        elif depth < _DEPTH and not name.startswith("_") and _is_plain(value):
            yield from _inside(value, f"{prefix}.{name}", depth + 1)


def _list_of(name: str, value: Any, scope: str, lists: Mapping[str, int]) -> str | None:
    """Return the list that an integer counts, or whose entries a list of settings goes with."""
    length = value if type(value) is int else len(value)
    last = name.rpartition(".")[2]
    named = (_COUNT if type(value) is int else _EACH).search(last) is not None
    prefix = scope + "." if scope else ""
    near = [path for path, entries in lists.items() if entries == length and (path + ".").startswith(prefix)]
    near = [path for path in near if named or (type(value) is int and _counts_by_name(last, path))]
    if not near:
        return None
    sided = [side for side in _SIDES if side in name]
    if sided:
        side = sided[-1]
        near = [path for path in near if side in path or side in scope] or []
    around = [path for path in lists if not prefix.startswith(path + ".")]
    near = [path for path in near if not any(path.startswith(other + ".") for other in around if other != path)]
    if len(near) > 1 and not sided:  # of an encoder and a decoder, what names neither means the encoder
        near = [path for path in near if "encoder" in path.split(".")] or near
    return near[0] if len(near) == 1 else None


def _lists_of_stages(name: str, value: Sequence[Any], scope: str, lists: Mapping[str, int]) -> dict[str, str]:
    """Return, for a list that says how many blocks each stage has (``depths``), the list that each item counts."""
    last = name.rpartition(".")[2]
    if not all(type(item) is int for item in value) or not (_EACH.search(last) or _COUNT.search(last)):
        return {}
    prefix = scope + "." if scope else ""
    for stages, length in lists.items():
        if length != len(value) or not (stages + ".").startswith(prefix):
            continue
        found: dict[str, str] = {}
        for at, count in enumerate(value):
            below = [path for path in lists if path.startswith(f"{stages}.{at}.")]
            outer = [path for path in below if not any(path.startswith(other + ".") for other in below)]
            fitting = [path for path in outer if lists[path] == count]
            if len(fitting) == 1:
                found[f"{name}.{at}"] = fitting[0]
        if len(found) == length:
            return found
    return {}


def _counts_by_name(attribute: str, path: str) -> bool:
    """Whether an attribute of a module is called after a list: ``num_convs`` counts ``convs``."""
    holder, stem = list_holder(path)
    own = holder.rpartition(".")[2]
    stems = (own, own.rstrip("s"), *((stem.rstrip("_"), stem.rstrip("_") + "s") if stem else ()))
    return attribute in ("n", "num", "length") or attribute in {
        form for stem in stems for form in (f"n_{stem}", f"num_{stem}", f"{stem}_count", f"n{stem}")
    }


def _is_plain_list(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and not any(isinstance(item, nn.Module | Tensor) for item in value)
    )


def _is_plain(value: Any) -> bool:
    """Whether a value is an object of Python code that may hold settings: a config, a namespace."""
    if isinstance(value, nn.Module | Tensor | type | Sequence | Mapping | set) or callable(value):
        return False
    return hasattr(value, "__dict__") and type(value).__module__ not in ("builtins", "torch", "abc")
