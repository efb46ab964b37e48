"""Rewriting a draft where modules are replaced or inserted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.fragment import Built
from surgery_dsl.interface.model import Operator
from surgery_dsl.vocabulary.context import Place
from surgery_dsl.vocabulary.transforms._places import Target

Events = list[Operator | Run]

Body = Callable[[Draft, str, int], Built]
"""Builds a module at a path from the value that flows in."""

Inserted = Literal["", "after", "before", "around"]

ChildBody = Callable[[Draft, str, Run, int], Built]
"""Builds a child at a path from its host's run and the value that flows in: the host's result, or what it takes."""


def split_events(draft: Draft, run: Run) -> tuple[Events, Events, Events]:
    """Return the events of a run: of children inserted before, of the module's own forward, of children after."""
    pre, own, post = Events(), Events(), Events()
    for event in run.events:
        child = draft.modules.get(event.module) if isinstance(event, Run) else None
        where = child.inserted if child is not None and child.path.rpartition(".")[0] == run.module else ""
        (pre if where == "before" else post if where else own).append(event)
    return pre, own, post


def own_events(draft: Draft, run: Run) -> Events:
    """Return the events of a module's own forward, without those of children that surgeries inserted."""
    return split_events(draft, run)[1]


def ends(draft: Draft, run: Run) -> tuple[int, int]:
    """Return the value that a module's own forward takes first, and the one that it gives."""
    pre, _, post = split_events(draft, run)
    return pre[-1].outputs[0] if pre else run.inputs[0], post[0].inputs[0] if post else run.outputs[0]


def runs_of(draft: Draft, targets: Iterable[Target]) -> tuple[tuple[Run, ...], ...]:
    """Return the runs of each target; to be asked before the draft changes."""
    every = list(draft.root.runs())
    return tuple(tuple(every[position] for position in target.calls) for target in targets)


def replace_at(draft: Draft, target: Target, runs: Sequence[Run], body: Body) -> frozenset[int]:
    """Let what ``body`` builds stand at all paths of a target; children that were inserted there stay.

    Returns the axes that what is gone may have held together.
    """
    axes = _axes_of(draft, target, runs)
    kept = _kept(draft, target.path)
    inserted: dict[str, Inserted] = {path: draft.modules[path].inserted for path in target.paths}
    _clear(draft, target, kept)
    for run in runs:
        pre, _, post = split_events(draft, run)
        own_in, own_out = ends(draft, run)
        run.module = target.path
        built, result = body(draft, target.path, own_in)
        run.events = [*pre, *built.events, *post]
        if result == own_in:
            draft.stand_for(own_out, own_in)
            continue
        draft.values[own_out] = draft.values[result]
        run.rename(result, own_out)
        run.outputs = tuple(own_out if value == result else value for value in run.outputs)
    _mirror(draft, target, inserted)
    return axes


def _axes_of(draft: Draft, target: Target, runs: Iterable[Run]) -> frozenset[int]:
    names = [name for path in target.paths for name in draft.before.tensors_below(path) if name in draft.tensors]
    dims = [dim for name in names for dim in draft.tensors[name].dims]
    for run in runs:
        dims += [dim for value in ends(draft, run) for dim in draft.values[value].dims]
    return frozenset(axis for dim in dims for axis in dim)


def _kept(draft: Draft, host: str) -> frozenset[str]:
    """Return the children that were inserted into a host, and all modules below them."""
    before = draft.before
    heads = [child for child in before.children.get(host, ()) if before.module_by_path[child].inserted]
    return frozenset(path for head in heads for path in (head, *before.modules_below(head)))


def _clear(draft: Draft, target: Target, kept: frozenset[str]) -> None:
    """Remove a module's tensors and children at all its paths; pass on what others share."""
    before = draft.before
    modules = {path for top in target.paths for path in before.modules_below(top)} - kept
    tensors = [name for path in (*target.paths, *modules) for name in before.held.get(path, ())]
    tensor_names = set(tensors)
    tensor_heirs = {}
    if any(name in tensor_names for group in before.ties.values() for name in group):
        tensor_heirs = _heirs({t.name: t.tied_to for t in draft.tensors.values()}, tensor_names)
    module_heirs = {}
    if before.aliases:
        gone = modules | set(target.paths if target.stays else ())
        module_heirs = _heirs({m.path: m.same_as for m in draft.modules.values()}, gone)
    integers = {path: draft.modules[path].integers for path in module_heirs}
    for name in tensors:
        if name in tensor_heirs:
            draft.drop_tensor(name)
        else:
            del draft.tensors[name]
    for path in modules:
        del draft.modules[path]
    for path, module in list(draft.modules.items()) if module_heirs else ():
        heir = module_heirs.get(module.same_as)
        if heir is not None and path not in target.paths:
            own = integers[module.same_as] if heir == path else {}
            draft.modules[path] = module.replaced(same_as="" if heir == path else heir, integers=own)
    if tensor_heirs or module_heirs:
        _rename(draft, module_heirs, tensor_heirs)


def _heirs(owners: Mapping[str, str], gone: set[str]) -> dict[str, str]:
    """Return, for what goes and stands elsewhere too, the first of the places where it stays."""
    heirs: dict[str, str] = {}
    for name, owner in owners.items():
        if owner in gone and name not in gone:
            heirs.setdefault(owner, name)
    return heirs


def _rename(draft: Draft, modules: Mapping[str, str], tensors: Mapping[str, str]) -> None:
    for run in draft.root.runs():
        run.module = modules.get(run.module, run.module)
        for index, event in enumerate(run.events):
            if isinstance(event, Operator):
                home = modules.get(event.module, event.module)
                read = {role: tensors.get(name, name) for role, name in event.tensors.items()}
                if home != event.module or read != event.tensors:
                    path = home + event.path.removeprefix(event.module)
                    run.events[index] = event.replaced(module=home, path=path, tensors=read)


def _mirror(draft: Draft, target: Target, inserted: Mapping[str, Inserted]) -> None:
    """Let the new module stand at the other paths too, as the same object."""
    for path in target.paths:
        if path != target.path:
            draft.modules[path] = draft.modules[target.path].replaced(path=path, same_as=target.path, integers={})
            mirror_below(draft, target.path, path)
        draft.modules[path] = draft.modules[path].replaced(inserted=inserted[path])


def mirror_below(draft: Draft, first: str, alias: str) -> None:
    """Let everything below a shared module stand below its other path too."""
    for path, module in list(draft.modules.items()):
        if path.startswith(first + "."):
            other = alias + path.removeprefix(first)
            draft.modules[other] = module.replaced(path=other, same_as=module.same_as or path, integers={})
    for name, tensor in list(draft.tensors.items()):
        if name.startswith(first + "."):
            other = alias + name.removeprefix(first)
            draft.tensors[other] = tensor.replaced(name=other, tied_to=tensor.tied_to or name)


def insert_child(draft: Draft, target: Target, runs: Iterable[Run], place: Place, body: ChildBody) -> tuple[str, ...]:
    """Let what ``body`` builds run in a host as its child, and return the child's paths."""
    paths = tuple(f"{path}.{place.name}" if path else place.name for path in target.paths)
    path = f"{target.path}.{place.name}" if target.path else place.name
    for run in runs:

        def build(draft: Draft, value: int, run: Run = run) -> tuple[list[Operator | Run], int]:
            built, result = body(draft, path, run, value)
            return [built], result

        hands_on = run.outputs == run.inputs[:1]  # what is put before it then also is what comes out of it
        if place.where == "before" and not hands_on:
            draft.insert_before(run, build)
        else:
            draft.insert_after(run, build)
    draft.modules[path] = draft.modules[path].replaced(inserted=place.where)
    for other in paths:
        if other != path:
            draft.modules[other] = draft.modules[path].replaced(path=other, same_as=path, integers={})
            mirror_below(draft, path, other)
    return paths


def only_operator(draft: Draft, run: Run) -> Operator | None:
    """Return the operator of a module whose own forward is that one operator, else ``None``."""
    own = own_events(draft, run)
    return own[0] if len(own) == 1 and isinstance(own[0], Operator) else None
