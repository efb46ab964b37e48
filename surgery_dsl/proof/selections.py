"""Selections that are used later than they were made."""

from surgery_dsl.diagnostics.codes import budgets, names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Interface
from surgery_dsl.proof import bookkeeping
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.selection import Pool, Selection, Site


def as_of(state: State, name: str, sink: Sink, span: Span | None) -> Selection | None:
    """Return a selection with its sites where they are now; ``None`` after reporting that its indices went stale.

    Indices count what was there at ``identify``. Steps in between may move modules and operators, but must not have
    resized what the selection counts.
    """
    selection, then, now = state.selections[name], state.sizes[name], state.interface
    if then is now:
        return selection
    moves = _moves(state, name)
    kept: list[tuple[int, Pool]] = []
    for index, pool in enumerate(selection.pools):
        if pool.sites and all(_gone(site.module, now, moves) for site in pool.sites) and not pool.modules:
            continue
        stale = _stale(pool, then, now, moves)
        if stale:
            sink.say(_report(state, name, pool, stale, span))
            return None
        kept.append((index, _moved(pool, then, now, moves)))
    return selection.replaced(
        pools=tuple(pool for _, pool in kept),
        taken=tuple(selection.taken[index] for index, _ in kept),
        indices=tuple(selection.indices[index] for index, _ in kept) if selection.indices else (),
        total=selection.total if len(kept) == len(selection.pools) else None,
        gone=selection.gone if len(kept) == len(selection.pools) else None,
    )


def sites_now(state: State, name: str, sink: Sink, span: Span | None) -> Selection | None:
    """Return a selection with those of its sites that are still there, where they are now; ``None`` after reporting.

    What it counted does not matter here: a step picks anew at these sites.
    """
    selection, then, now = state.selections[name], state.sizes[name], state.interface
    if then is now:
        return selection
    moves = _moves(state, name)
    for pool in selection.pools:
        if pool.modules and (stale := _stale(pool, then, now, moves)):
            sink.say(_report(state, name, pool, stale, span))
            return None
    pools = []
    for pool in selection.pools:
        moved = (_moved_site(site, then, now, moves) for site in pool.sites)
        pools.append(pool.replaced(sites=tuple(site for site in moved if site is not None)))
    found = selection.replaced(pools=tuple(pools))
    if found.sites:
        return found
    text, fix = f"no site of `{name}` is there any more", "name sites by their paths"
    sink.say(Diagnostic(names.SITES_DO_NOT_FIT, text, file=state.file, span=span, help=fix))
    return None


def _moves(state: State, name: str) -> dict[str, str]:
    """Return which modules have another path than when a selection was made."""
    moves: dict[str, str] = {}
    for _, effect in state.history[len(state.before[name].history) :]:
        step = bookkeeping.module_moves(effect)
        moves = {first: bookkeeping.moved(last, step) for first, last in moves.items()}
        for old, new in step.items():
            moves.setdefault(old, new)
    return moves


def _report(state: State, name: str, pool: Pool, stale: str, span: Span | None) -> Diagnostic:
    culprit = _culprit(state, name)
    fix = f"put the `identify {name}` block after {culprit}"
    if culprit == f"`excise {name}`":
        fix = f"select again: an `identify` block of another name after {culprit}"
    return Diagnostic(
        budgets.STALE_SELECTION,
        f"`{name}` was identified before {culprit} changed {stale}",
        file=state.file,
        span=span,
        path=pool.sites[0].path if pool.sites else "",
        facts={"selection": name, "pool": pool.key},
        notes=("its indices count the units that were there then",),
        help=fix,
    )


def _gone(module: str, now: Interface, moves: dict[str, str]) -> bool:
    """Whether a module was removed; what moved into its path is another."""
    path = bookkeeping.moved(module, moves)
    return path not in now.module_by_path or (path == module and any(_inside(module, to) for to in moves.values()))


def _inside(path: str, top: str) -> bool:
    return path == top or path.startswith(top + ".")


def _culprit(state: State, name: str) -> str:
    later = [step for step, effect in state.history[len(state.before[name].history) :] if effect.function != "none"]
    if not later:
        return "a later step"
    return f"`excise {name}`" if later[-1] == name else f"`{later[-1]}`"


def _stale(pool: Pool, then: Interface, now: Interface, moves: dict[str, str]) -> str:
    """Say what was changed, or return the empty string."""
    if pool.axis is not None and then.axes[pool.axis].size != now.axes[pool.axis].size:
        return f"the size of `{pool.key}`"
    if pool.tensor:
        old, new = then.tensor_by_name[pool.tensor], now.tensor_by_name.get(_tensor(pool.tensor, moves))
        if new is None or then.numel(old).substitute(then.exact_size) != now.numel(new).substitute(now.exact_size):
            return f"`{pool.tensor}`"
    for path in pool.modules:
        if _gone(path, now, moves):
            return f"`{path}`"
    for site in pool.sites:
        if not _gone(site.module, now, moves) and _moved_site(site, then, now, moves) is None:
            return f"`{site.path}`"
    return ""


def _tensor(name: str, moves: dict[str, str]) -> str:
    module, _, last = name.rpartition(".")
    path = bookkeeping.moved(module, moves)
    return f"{path}.{last}" if path else last


def _label(label: str, now: Interface, moves: dict[str, str]) -> str:
    """Return what an axis is called now: by the tensor that carries it, which may have moved."""
    name, bracket, rest = label.partition("[")
    moved = f"{_tensor(name, moves)}{bracket}{rest}" if bracket else label
    return moved if any(axis.label == moved for axis in now.axes) else label


def _moved(pool: Pool, then: Interface, now: Interface, moves: dict[str, str]) -> Pool:
    sites = tuple(moved for moved in (_moved_site(site, then, now, moves) for site in pool.sites) if moved is not None)
    return pool.replaced(
        key=_label(pool.key, now, moves) if pool.axis is not None else pool.key,
        sites=sites,
        tensor=_tensor(pool.tensor, moves) if pool.tensor else "",
        modules=tuple(bookkeeping.moved(path, moves) for path in pool.modules),
    )


def _moved_site(site: Site, then: Interface, now: Interface, moves: dict[str, str]) -> Site | None:
    """Find a site's operators again, by path and kind; ``None`` where there are not as many any more."""
    module = bookkeeping.moved(site.module, moves)
    if _gone(site.module, now, moves):
        return None
    path = module + site.path[len(site.module) :] if site.path.startswith(site.module) else site.path
    if not site.operators:
        return site.replaced(path=path, module=module)
    wanted = then.operators[site.operators[0]]
    operator_path = bookkeeping.moved(wanted.module, moves) + wanted.path[len(wanted.module) :]
    found = tuple(at for at, op in enumerate(now.operators) if op.path == operator_path and op.kind == wanted.kind)
    if len(found) != len(site.operators):
        return None
    return site.replaced(path=path, module=module, operators=found)
