"""Removing indices of an axis from everything that carries it."""

from collections.abc import Callable, Mapping

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface import frozen
from surgery_dsl.interface.branches import crossed
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.flow import unit_dim
from surgery_dsl.interface.gathering import gather
from surgery_dsl.interface.model import Dim, Extent, Interface, Operator, Setting, SizeBranch
from surgery_dsl.vocabulary.context import Change, Effect, Runtime, Static
from surgery_dsl.vocabulary.modes._constants import folded, may_hold
from surgery_dsl.vocabulary.modes._notes import notes_on
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection
from surgery_dsl.vocabulary.takes._reports import noun

_LIFTED_BY = {frozen.OUTPUT: "outputs", frozen.INPUT: "inputs"}
FOLDING = frozenset({"channels", "groups"})
"""Units whose constants are followed: what a convolution or a linear layer writes."""
_COSMETIC = frozenset({"in_features", "out_features", "in_channels", "out_channels", "nf", "nx", "embedding_dim"})
"""Attributes that layers keep for people: no forward makes anything of them."""


def axis_of(pool: Pool, interface: Interface) -> int:
    """Return the number that a pool's axis has in an interface, which may number axes anew.

    Raises:
        LookupError: No axis carries the pool's label.
    """
    at = pool.axis
    if at is not None and at < len(interface.axes) and interface.axes[at].label == pool.key:
        return at
    for axis in interface.axes:
        if axis.label == pool.key:
            return axis.id
    raise LookupError(f"no axis is called {pool.key}")


# ---- static ------------------------------------------------------------------------------------------------------


def shrink(selection: Selection, draft: Draft, context: Static, span: Span | None) -> Effect:
    """Shrink the axes of a selection in a draft, for every outcome; report what may not shrink."""
    interface = context.interface
    writes: dict[str, None] = {}
    axes: dict[int, int] = {}
    listed: dict[int, tuple[int, ...]] = {}
    ranked: list[int] = []
    changed = 0
    for at, (pool, taken) in enumerate(zip(selection.pools, selection.taken, strict=True)):
        if taken.most == 0:
            continue
        axis = axis_of(pool, interface)
        size = draft.axes[axis].size
        if not isinstance(size, int | Extent) or not _may_shrink(
            pool, axis, size, taken, context, (span, selection.span or span)
        ):
            continue
        if any(one.dim == (axis,) for one in interface.indexed):
            from surgery_dsl.vocabulary.modes import _entries  # what rewires forwards is read only where it is needed

            fixed = selection.indices[at] if selection.indices else None
            staying = _entries.staying(pool, axis, taken, fixed, context, selection.span or span)
            if staying is None:
                continue
            listed[axis] = staying
            ranked += [axis] if fixed is None else []
        draft.resize(axis, _kept(size, taken))
        writes |= dict.fromkeys(name for name, _ in interface.carriers.get(axis, ()))
        axes[axis] = at
        changed += len(pool.sites)
    if selection.unit in FOLDING:
        writes |= dict.fromkeys(may_hold(tuple(axes), interface))
    choosing = [operator for operator in interface.operators if operator.kind == "topk"]
    for axis in axes if choosing else ():
        _enough_to_choose_from(axis, choosing, selection, draft, context, selection.span or span)
    _same_way(selection, draft, context, selection.span or span)
    _follow(draft)
    reason = f"{selection.asked} removed" if selection.asked else "units are removed"
    renamed: Mapping[str, str] = {}
    if listed:
        from surgery_dsl.vocabulary.modes import _entries

        moved = _entries.arranged(draft, listed, ranked, context)
        writes |= dict.fromkeys(moved.writes)
        renamed, reason = moved.renamed, f"{reason}, and what goes with them in {moved.lists}"
    reason = "; ".join([reason, *notes_on(tuple(axes), interface)])
    against = _seen(selection, axes, listed, context)
    return Effect(
        function="changing" if against else "exact",
        reason=f"{reason}; {against}" if selection.silent_on is not None and against else reason,
        rule="" if against else "silent_units",
        region=None if against else selection.silent_on,
        writes=frozenset(writes),
        renamed=renamed,
        matched=len(selection.sites),
        changed=changed,
    )


def _seen(selection: Selection, axes: Mapping[int, int], listed: Mapping[int, object], context: Static) -> str:
    """Return why the function may change; empty for units that are proved to give zeros to all that reads them."""
    if selection.silent_on is None or listed:
        return "units go"
    from surgery_dsl.vocabulary.modes import _silent  # few selections prove anything

    return _silent.why_not_exact(selection, axes, context)


def _same_way(selection: Selection, draft: Draft, context: Static, span: Span | None) -> None:
    """Report where the forward would go another way at a size that the step may leave."""
    found = crossed(context.interface, draft.axes)
    if found is None:
        return
    branch, (least, most) = found
    sizes = str(least) if least == most else f"{least} to {most}"
    site = selection.pools[0].sites[0].path if selection.pools and selection.pools[0].sites else branch.reason
    text = (
        f"the forward asks if `{branch.reason}` {branch.relation} {branch.number}, and goes another way at {sizes} "
        f"than at {context.interface.exact(branch.dim)}, which was traced"
    )
    facts = {"before": context.interface.exact(branch.dim) or 0, "after": least}
    _say(shapes.SIZE_BRANCH, text, site, context, span, facts, _same_answer(branch, least, selection, context))


def _same_answer(branch: SizeBranch, least: int, selection: Selection, context: Static) -> str:
    """Say which sizes the forward takes as it takes the traced one."""
    before = context.interface.exact(branch.dim) or least
    allowed = next(size for size in range(least, before + 1) if branch.answer(size) == branch.answer(before))
    if allowed < before:
        return f"let `{branch.reason}` stay at least {allowed}"
    whole = "; write unit = kv_groups to take key/value heads with all their queries"
    return f"let `{branch.reason}` stay {before}{whole if selection.unit == 'heads' else ''}"


def _kept(size: int | Extent, taken: Extent) -> int | Extent:
    """Return the sizes that an axis can have after so many indices go."""
    if isinstance(size, Extent):
        return Extent(least=max(1, size.least - taken.most), most=size.most - taken.least)
    if taken.least == taken.most:
        return size - taken.least
    return Extent(least=size - taken.most, most=size - taken.least, step=taken.step)


def _may_shrink(
    pool: Pool, axis: int, size: int | Extent, taken: Extent, context: Static, spans: tuple[Span | None, Span | None]
) -> bool:
    span, take = spans
    reason = context.interface.axes[axis].frozen
    site = pool.sites[0].path if pool.sites else pool.key
    most = size.most if isinstance(size, Extent) else size
    if taken.most >= most:
        text = f"all {noun(pool, most * pool.width)} of `{site}` would be removed; at least {pool.width} must stay"
        facts = {"removed": taken.most * pool.width, f"{pool.noun or 'channel'}s": most * pool.width}
        _say(shapes.EMPTIED_SITE, text, site, context, take, facts, f"take at most {(most - 1) * pool.width}")
        return False
    lifted = _LIFTED_BY.get(reason)
    if not reason or lifted in context.changes:
        return True
    if frozen.is_value(reason) or (frozen.is_constant(reason) and _is_counted(axis, context.interface)):
        if "values" in context.changes:
            return True
        facts = {"before": most * pool.width, "after": (most - taken.most) * pool.width}
        text = f"`{site}` cannot lose {pool.noun or 'channel'}s without other values for those that stay: {reason}"
        fix = "write changes = values in this step if the forward may compute with other numbers for fewer"
        _say(shapes.FIXED_AXIS, text, site, context, span, facts, fix)
        return False
    facts = {"before": most * pool.width, "after": (most - taken.most) * pool.width}
    if lifted is None:
        text = f"`{site}` cannot lose {pool.noun or 'channel'}s: {reason}"
        fix = f'add except = ["{site}"] to the selection'
        fix += ", or make its experts narrower: unit = channels at their layers" if pool.noun == "expert" else ""
        _say(shapes.FIXED_AXIS, text, site, context, span, facts, fix)
        return False
    code = shapes.OUTPUT_CONTRACT if lifted == "outputs" else shapes.INPUT_CONTRACT
    text = (
        f"removing {pool.noun or 'channel'}s of `{site}` changes the network's {lifted}: "
        f"{facts['before']} would become {'at least ' if taken.least < taken.most else ''}{facts['after']}"
    )
    fix = f'add except = ["{site}"] to the selection, or write changes = {lifted} in this step'
    _say(code, text, site, context, span, facts, fix)
    return False


def _is_counted(axis: int, interface: Interface) -> bool:
    """Whether an integer attribute counts an axis, so that what the forward makes of the number follows."""
    return any(
        axis in interface.leaves(dim)
        for module in interface.modules
        for name, dim in module.integers.items()
        if name not in _COSMETIC
    )


def _say(
    code: Code, text: str, path: str, context: Static, span: Span | None, facts: Mapping[str, int], fix: str
) -> None:
    context.say(Diagnostic(code, text, file=context.file, span=span, path=path, facts=facts, help=fix))


def _enough_to_choose_from(
    axis: int, choosing: list[Operator], selection: Selection, draft: Draft, context: Static, span: Span | None
) -> None:
    """Report a choice of the greatest that would choose more than there are."""
    size = draft.axes[axis].size
    left = size.least if isinstance(size, Extent) else size
    for operator in choosing:
        chosen, position = operator.settings.get("k"), operator.settings.get("dim")
        if not isinstance(chosen, int) or not isinstance(position, int):
            continue
        dims = context.interface.values[operator.inputs[0]].dims
        if dims[position] == (axis,) and isinstance(left, int) and left < chosen:
            pool = next(pool for pool in selection.pools if axis_of(pool, context.interface) == axis)
            text = f"{noun(pool, left)} of `{pool.sites[0].path}` would stay, and `{operator.path}` chooses {chosen}"
            facts = {"kept": left, "chosen": chosen}
            fix = f"name at most {pool.size - chosen} of them, so that {chosen} stay"
            _say(shapes.COUNT_FORBIDDEN, text, operator.path, context, span, facts, fix)


def _follow(draft: Draft) -> None:
    """Let the settings that count groups follow their axis, as a traced call would show them."""
    before = draft.before

    def exact_after(dim: Dim) -> int | None:
        product = 1
        for axis in dim:
            size = draft.axes[axis].size
            if not isinstance(size, int) or draft.axes[axis].parts:
                return None
            product *= size
        return product

    for run in draft.root.runs():
        for at, event in enumerate(run.events):
            if not isinstance(event, Run):
                changes = _group_settings(event, before, exact_after)
                if changes:
                    run.events[at] = event.replaced(settings=event.settings | changes)
    for path, module in draft.modules.items():
        if "groups" in module.integers and exact_after(module.integers["groups"]) == 1:
            integers = {name: dim for name, dim in module.integers.items() if name != "groups"}
            draft.modules[path] = module.replaced(integers=integers)  # a convolution of one group has none to count


def _group_settings(
    operator: Operator, before: Interface, exact_after: Callable[[Dim], int | None]
) -> dict[str, Setting]:
    name = "num_groups" if operator.kind == "group_norm" else "groups"
    count = operator.settings.get(name)
    if not isinstance(count, int) or count <= 1:
        return {}
    dim = unit_dim(before, operator)
    for end in range(1, len(dim) + 1):
        if before.exact(dim[:end]) == count:
            after = exact_after(dim[:end])
            return {name: after} if after is not None and after != count else {}
    return {}


# ---- runtime -----------------------------------------------------------------------------------------------------


def cut(picked: Picked, runtime: Runtime) -> list[Change]:
    """Return the changes that remove what was picked, constants of dead units folded; none where nothing was.

    Entries of lists that an axis indexes leave after its indices.

    Raises:
        Refused: A dead unit gives a constant that nothing can hold.
    """
    interface = runtime.interface
    kept: dict[int, list[int]] = {}
    removed: dict[int, tuple[int, ...]] = {}
    for pool, taken in zip(picked.selection.pools, picked.indices, strict=True):
        if taken:
            gone = set(taken)
            axis = axis_of(pool, interface)
            kept[axis] = [index for index in range(pool.size) if index not in gone]
            removed[axis] = taken
    edit = gather(kept, interface)
    if edit is None:
        return []
    tensors = folded(removed, kept, runtime) if picked.selection.unit in FOLDING else {}
    changes = [Change(edit=edit, tensors=tensors)]
    if any(one.dim[0] in kept for one in interface.indexed):
        from surgery_dsl.interface.indexed import list_edit

        changes.append(Change(edit=list_edit(kept, interface)))
    return changes
