"""Lists of modules that an axis indexes: what shows it, and how entries come and go with their indices.

A router writes one score for each expert, and the forward goes through a list of experts. The list is indexed by the
router's axis where every segment of the pass (:mod:`~surgery_dsl.interface.loops`) picks the index of its entry's own
number and nothing else picks one: whatever stays may then move up, in the list and along the axis together.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from surgery_dsl.interface.arranging import Arrangement, arrange, edit_of, lists_of
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import ArrangeModules
from surgery_dsl.interface.experts import FEWEST_LISTED
from surgery_dsl.interface.loops import ENTRY, Loop, Obstacle, entries, loops_of
from surgery_dsl.interface.model import IndexedList, Interface, Operator
from surgery_dsl.interface.paths import entry_prefix


def lists_along(interface: Interface, axis: int) -> tuple[str, ...]:
    """Return the paths of the lists that an axis indexes."""
    return tuple(one.path for one in interface.indexed if one.dim == (axis,))


def with_list(interface: Interface, axis: int, path: str, picking: Collection[int]) -> Interface | None:
    """Return an interface with an axis that indexes a list, ``None`` where the forward does not show that.

    Args:
        interface: The network.
        axis: The axis, of exact size.
        path: The list.
        picking: Positions of the operators that pick indices of the axis by number.
    """
    indexed = (*interface.indexed, IndexedList.model_construct(path=path, dim=(axis,)))
    candidate = interface.replaced(indexed=indexed)
    draft = Draft(candidate)
    loops = loops_of(draft, path)
    if isinstance(loops, Obstacle) or not loops:
        return None
    every = tuple(range(interface.exact_size(axis) or 0))
    if any(loop.numbers != every for loop in loops) or len(every) < FEWEST_LISTED:
        return None
    seen = {id(operator) for loop in loops for operator in _picking(loop)}
    alone = all(id(interface.operators[at]) in seen for at in picking)
    return candidate if alone and _is_read_alone(interface, path, every) else None


def _picking(loop: Loop) -> Iterator[Operator]:
    yield from loop.given.values()
    yield from (operator for _, operator in loop.gathered)
    for at in range(len(loop.starts)):
        yield from (e for e in loop.segment(at) if isinstance(e, Operator) and (ENTRY in e.settings))


def _is_read_alone(interface: Interface, path: str, numbers: Sequence[int]) -> bool:
    """Whether no operator outside of an entry reads a tensor inside it, and no module of one stands elsewhere too."""
    inside = tuple(f"{entry_prefix(path)}{number}." for number in numbers)
    homes = {name: home for home in inside for name in (t.name for t in interface.tensors) if name.startswith(home)}
    shared = any((module.path + ".").startswith(inside) and module.same_as for module in interface.modules)
    return not shared and all(
        (operator.module + ".").startswith(homes[name])
        for operator in interface.operators
        for name in operator.tensors.values()
        if name in homes
    )


def arrange_lists(draft: Draft, kept: Mapping[int, Sequence[int]]) -> tuple[Arrangement, ...]:
    """Arrange the lists that axes index in a draft, as their indices are; sizes of axes are the caller's."""
    done = []
    for path, axis in [(one.path, one.dim[0]) for one in draft.indexed]:
        if axis in kept:
            loops = loops_of(draft, path)
            if isinstance(loops, Obstacle):
                raise ValueError(f"the forward goes through `{path}` in a way that cannot be followed: {loops.text}")
            arrangement = Arrangement(lists_of(path, loops), tuple(kept[axis]))
            arrange(draft, loops, arrangement)
            done.append(arrangement)
    return tuple(done)


def list_edit(kept: Mapping[int, Sequence[int]], interface: Interface) -> ArrangeModules | None:
    """Return the edit that arranges the lists that axes index as their indices are; ``None`` where there is none."""
    edits = []
    for one in interface.indexed:
        if one.dim[0] in kept:
            lists = _with_partners(interface, one.path)
            edits.append(edit_of(Arrangement(lists, tuple(kept[one.dim[0]])), interface))
    if not edits:
        return None
    orders = {path: order for edit in edits for path, order in edit.lists.items()}
    return ArrangeModules(lists=orders, numbers=tuple(number for edit in edits for number in edit.numbers))


def entry_parameters(interface: Interface, axis: int) -> tuple[tuple[str, ...], ...]:
    """Return, for each index of an axis, the parameters of the entries that go with it; tied ones by their owner.

    Nothing where the axis indexes no list.
    """
    found: list[dict[str, None]] = [{} for _ in range(interface.exact_size(axis) or 0)]
    listed = [path for one in interface.indexed if one.dim == (axis,) for path in _with_partners(interface, one.path)]
    for path in listed:
        for names, entry in zip(found, entries_of(interface, path), strict=True):
            below = (tensor for tensor in interface.tensors if (tensor.name + ".").startswith(entry + "."))
            names |= {tensor.tied_to or tensor.name: None for tensor in below if tensor.role == "parameter"}
    return tuple(tuple(names) for names in found) if listed else ()


def _with_partners(interface: Interface, path: str) -> tuple[str, ...]:
    loops = loops_of(Draft(interface), path)
    return (path,) if isinstance(loops, Obstacle) else lists_of(path, loops)


def entries_of(interface: Interface, path: str) -> list[str]:
    """Return the paths of a list's entries, in order."""
    return [f"{entry_prefix(path)}{number}" for number in sorted(set(entries(Draft(interface), path)))]
