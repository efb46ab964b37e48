"""Removing entries of module lists: what follows moves up, and what read them reads what they read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface import frozen
from surgery_dsl.interface.arranging import Arrangement, arrange, edit_of, lists_of
from surgery_dsl.interface.coupling import merge, settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import ArrangeModules
from surgery_dsl.interface.loops import Loop, Obstacle, entries, loops_of
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.interface.turns import adjacent
from surgery_dsl.vocabulary.context import Effect, Static
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection

_LISTS = ("torch.nn.ModuleList", "torch.nn.Sequential")


def drop(selection: Selection, draft: Draft, context: Static, span: Span | None) -> Effect:
    """Drop modules in a draft; report what cannot be dropped.

    Where a ranking decides which modules go, all of the pool must be built alike, so that every outcome gives the same
    network; the draft then drops the last ones.
    """
    report = Report(context, span, selection.span or span)
    exposed: list[str] = []
    doomed: list[str] = []
    arrangements: list[tuple[list[Loop], Arrangement]] = []
    for at, (pool, taken) in enumerate(zip(selection.pools, selection.taken, strict=True)):
        if taken.most == 0:
            continue
        if taken.most >= pool.size:
            report.emptied(pool)
            continue
        if not is_list(pool, context.interface, report):
            continue
        fixed = selection.indices[at] if selection.indices else None
        if fixed is None and (taken.least != taken.most or not _alike(pool, context.interface, report)):
            if taken.least != taken.most:
                report.open(pool)
            continue
        chosen = range(pool.size - taken.most, pool.size) if fixed is None else fixed
        candidates = [pool.modules[index] for index in chosen]
        loops = passes(pool.key, pool.modules if fixed is None else candidates, draft, report)
        order = kept(pool.key, candidates, context.interface)
        each = [kept(pool.key, [one], context.interface) for one in pool.modules] if fixed is None else [order]
        if loops is None or not all(fits(pool.key, loops, one, context.interface, report) for one in each):
            continue
        exposed += pool.modules if fixed is None else ()
        doomed += candidates
        arrangements.append((loops, Arrangement(lists_of(pool.key, loops), order)))
    names: dict[str, tuple[str, ...]] = {name: (name,) for name in draft.tensors}
    for loops, arrangement in arrangements:
        arrange(draft, loops, arrangement)
        names = {name: tuple(arrangement.names(name)) for name in names}
        exposed += [path for path in arrangement.lists[1:] if exposed]
    if arrangements:
        settle(draft)
    writes = {name for name in context.interface.tensor_by_name if not names[name] or _below(name, exposed)}
    moved = {before: after[0] for before, after in names.items() if after and before != after[0]}
    return Effect(
        function="changing",
        reason=_reason(selection, arrangements),
        writes=frozenset(writes | (set(moved) if exposed else set())),
        renamed=moved,
        matched=len(selection.sites),
        changed=len(doomed),
    )


def _reason(selection: Selection, arrangements: Iterable[tuple[list[Loop], Arrangement]]) -> str:
    reason = f"{selection.asked} removed" if selection.asked else "modules are removed"
    partners = [path for _, arrangement in arrangements for path in arrangement.lists[1:]]
    return reason + (f", and what goes with them in {', '.join(f'`{path}`' for path in partners)}" if partners else "")


def edit(picked: Picked, interface: Interface) -> ArrangeModules | None:
    """Return the edit that drops what was picked, nothing where nothing was."""
    (pool,), (taken,) = picked.selection.pools, picked.indices
    if not taken:
        return None
    loops = loops_of(Draft(interface), pool.key)
    partners = () if isinstance(loops, Obstacle) else lists_of(pool.key, loops)
    order = kept(pool.key, [pool.modules[index] for index in taken], interface)
    return edit_of(Arrangement(partners or (pool.key,), order), interface)


@dataclass(frozen=True)
class Report:
    """Where findings about entries of lists go."""

    context: Static
    span: Span | None
    take: Span | None
    instead: str = "write mode = zero"

    def say(
        self, code: Code, text: str, path: str, fix: str, span: Span | None = None, **facts: int | str | float
    ) -> None:
        """Report a finding at the step."""
        span = span or self.span
        self.context.say(Diagnostic(code, text, file=self.context.file, span=span, path=path, facts=facts, help=fix))

    def emptied(self, pool: Pool) -> None:
        """Report that nothing would be left."""
        text = f"all {pool.size} matched modules of `{pool.key or '.'}` would be removed; at least one must stay"
        fix = (
            f"take at most {pool.size - 1}"
            if pool.size > 1
            else "write `replace` with identity() to take its one module"
        )
        self.say(shapes.EMPTIED_SITE, text, pool.key, fix, self.take, modules=pool.size)

    def open(self, pool: Pool) -> None:
        """Report a count that only the weights decide."""
        text = f"how many modules of `{pool.key or '.'}` go is not known before weights are read"
        fix = "take a count, such as lowest(1), or name them: only([3])"
        self.say(shapes.OPEN_STRUCTURE, text, pool.key, fix, self.take)


# ---- what may be dropped -----------------------------------------------------------------------------------------


def is_list(pool: Pool, interface: Interface, report: Report) -> bool:
    """Whether the pool's parent is a list whose entries go by number."""
    parent = interface.module_by_path[pool.key]
    children = [_child(path, pool.key) for path in interface.module_by_path]
    if parent.type in _LISTS and all(name.isdigit() for name in children if name):
        return True
    kind = parent.type.removeprefix("torch.nn.")
    text = f"`{pool.key or '.'}` is a {kind}, not a list of numbered modules, so nothing can be taken out of it"
    fix = f"name entries of a ModuleList or Sequential, or {report.instead}"
    report.say(shapes.NOT_A_LIST_ENTRY, text, pool.modules[0], fix)
    return False


def _child(path: str, parent: str) -> str:
    """Return the name of a direct child, nothing for any other module."""
    head, _, name = path.rpartition(".")
    return name if head == parent and path else ""


def _alike(pool: Pool, interface: Interface, report: Report) -> bool:
    """Whether all modules of a pool are built alike."""
    forms = [form(path, interface) for path in pool.modules]
    odd = next((at for at, form in enumerate(forms) if form != forms[0]), None)
    if odd is None:
        return True
    text = (
        f"which modules go decides the structure: `{pool.modules[0]}` and `{pool.modules[odd]}` are built differently"
    )
    report.say(shapes.OPEN_STRUCTURE, text, pool.modules[odd], "name the modules: only([3, 4])")
    return False


def form(path: str, interface: Interface) -> tuple[object, ...]:
    """Return what modules built alike have in common."""
    below = path + "."
    modules = [(m.path.removeprefix(path), m.type) for m in interface.modules if (m.path + ".").startswith(below)]
    tensors = [
        (t.name.removeprefix(path), t.dtype, tuple(_size(dim, interface) for dim in t.dims))
        for t in interface.tensors
        if t.name.startswith(below)
    ]
    operators = [
        (op.kind, tuple(sorted(op.settings.items())))
        for call in interface.calls_of(path)
        for op in interface.operators[call.first : call.last]
    ]
    return (*modules, *tensors, *operators)


def _size(dim: Dim, interface: Interface) -> str:
    return str(sorted(interface.size(dim).substitute(interface.exact_size).terms.items()))


def passes(path: str, moved: Iterable[str], draft: Draft, report: Report) -> list[Loop] | None:
    """Return how the forward goes through a list; ``None`` after reporting why entries of it cannot be moved.

    Args:
        path: Path of the list.
        moved: Entries that go, or come again.
        draft: The network.
        report: Where findings go.
    """
    moved = list(moved)
    for module in draft.modules.values():
        shared = next((one for one in moved if one in (module.path, module.same_as) and module.same_as), None)
        if shared is not None:
            text = f"`{shared}` is the same object as another module, so dropping it is not a matter of one place"
            report.say(shapes.NOT_A_LIST_ENTRY, text, shared, "name modules of their own")
            return None
    loops = loops_of(draft, path)
    if isinstance(loops, Obstacle):
        entry = f"{path}.{loops.entry}" if path else str(loops.entry)
        where = f" (`{loops.operator.kind}`, {loops.operator.source or loops.operator.path})" if loops.operator else ""
        if "(`" in loops.text:
            where = ""
        text = f"in the forward that runs the entries of `{path or '.'}`, `{entry}` {loops.text}{where}"
        report.say(shapes.NOT_A_LIST_ENTRY, text, entry, report.instead)
        return None
    if _goes_with_axis(lists_of(path, loops), draft, report) or _picks_by_number(loops, draft, report):
        return None
    return loops if _are_read_alone(moved, draft, report) else None


def _goes_with_axis(lists: Iterable[str], draft: Draft, report: Report) -> bool:
    """Report lists whose entries belong to indices of an axis: without these, the forward would pair them wrongly."""
    one = next((one for one in draft.indexed if one.path in lists), None)
    if one is None:
        return False
    label = draft.axes[one.dim[0]].label
    text = f"entry i of `{one.path}` belongs to index i of `{label}`, which the forward picks by its number"
    report.say(shapes.NOT_A_LIST_ENTRY, text, one.path, "write unit = experts, which takes both")
    return True


def _picks_by_number(loops: Iterable[Loop], draft: Draft, report: Report) -> bool:
    """Report a tensor of which each turn of the forward reads the index of its own number, as a scale for each layer.

    The tensor stays as it is when entries go, so that those that move up would meet the indices of others.
    """
    for loop in loops:
        for event in (event for at in range(len(loop.starts)) for event in loop.segment(at)):
            if not isinstance(event, Operator):
                continue
            for name in event.tensors.values():
                axes = (axis for dim in draft.tensors[name].dims for axis in dim)
                if any(frozen.is_selected(draft.axes[axis].frozen) for axis in axes):
                    text = f"the forward that runs the entries of `{loop.path or '.'}` picks from `{name}` by number"
                    place = f" ({event.source})" if event.source else ""
                    report.say(shapes.NOT_A_LIST_ENTRY, text + place, name, report.instead, entries=len(loop.numbers))
                    return True
    return False


def _are_read_alone(moved: Iterable[str], draft: Draft, report: Report) -> bool:
    """Report a tensor inside an entry that operators outside of it read too."""
    prefixes = tuple(path + "." for path in moved)
    for operator in draft.operators():
        for name in operator.tensors.values():
            home = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
            if home is not None and not (operator.module + ".").startswith(home):
                text = f"`{name}` is also read by `{operator.path}`, outside of `{home[:-1]}`"
                fix = f"leave `{home[:-1]}` where it is, or {report.instead}"
                report.say(shapes.READ_ELSEWHERE, text, name, fix)
                return False
    return True


def fits(path: str, loops: Iterable[Loop], order: Sequence[int], interface: Interface, report: Report) -> bool:
    """Report entries after which the next could not read what it is given."""
    draft = Draft(interface)
    for loop in loops:
        for value, other, number in adjacent(loop, order):
            given, taken = draft.values[value], draft.values[other]
            alike = given.dtype == taken.dtype and len(given.dims) == len(taken.dims)
            if alike and (given.dims == taken.dims or merge(draft, given.dims, taken.dims)):
                continue
            entry = f"{path}.{number}" if path else str(number)
            reader = f"`{entry}`" if number >= 0 else "what follows"
            was, now = _shape(taken.dims, interface), _shape(given.dims, interface)
            text = f"{reader} would be given {now} where it is given {was}"
            gone = [n for n in loop.numbers if n not in order]
            named = (f"{path}.{gone[0]}" if path else str(gone[0])) if gone else entry
            report.say(
                shapes.WIDTH_MISMATCH, text, named, "name modules that give what they take", takes=was, gives=now
            )
            return False
    return True


def _shape(dims: Iterable[Dim], interface: Interface) -> str:
    shown = []
    for dim in dims:
        exact = interface.exact(dim)
        names = [str(interface.axes[axis].size) for axis in dim]
        shown.append(str(exact) if exact is not None else " * ".join(names))
    return f"[{', '.join(shown)}]"


# ---- dropping ----------------------------------------------------------------------------------------------------


def kept(path: str, doomed: Iterable[str], interface: Interface) -> tuple[int, ...]:
    """Return the numbers of the entries of a list that stay."""
    gone = set(doomed)
    return tuple(
        number
        for number in numbers(Draft(interface), path)
        if (f"{path}.{number}" if path else str(number)) not in gone
    )


def numbers(draft: Draft, path: str) -> list[int]:
    """Return the numbers of the entries of a list."""
    return sorted(set(entries(draft, path)))


def _below(name: str, paths: Iterable[str]) -> bool:
    return any(name.startswith(path + ".") for path in paths)
