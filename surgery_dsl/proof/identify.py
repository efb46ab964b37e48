"""The static rule of ``identify``: what a block can select, for every outcome."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Identify, Target
from surgery_dsl.proof import bookkeeping
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Criterion, Take, Unit
from surgery_dsl.vocabulary.selection import Pool, Rounding, Selection, Site
from surgery_dsl.vocabulary.takes._counting import exactly, most_taken, taken_nearest
from surgery_dsl.vocabulary.takes._reports import noun, path_of, shown, units_of
from surgery_dsl.vocabulary.takes._staged import Staged, original_of
from surgery_dsl.vocabulary.values import Percent, number_text

_OPEN_MOST = 4096
"""An axis whose size is open over more values than this gets bounds in place of a count for each value."""


def static_identify(
    block: Identify, context: Static, brought: Mapping[str, tuple[str, ...]] | None = None
) -> Selection | None:
    """Return what the block can select; ``None`` after reporting why it cannot be followed.

    Args:
        block: The block.
        context: The place in the plan; findings go to its sink.
        brought: Paths of the modules that earlier steps brought in; by default those of the context.
    """
    sites = sites_of(block, context, context.brought if brought is None else brought)
    if sites is None:
        return None
    unit, take = block.unit, block.take
    if unit is None:
        text = f"`{block.name}` does not say what it picks"
        _say(context, block, names.MISSING_UNIT, text, None, "write unit = channels, weights or modules")
        return None
    if take is None:
        text = f"`{block.name}` does not say how much it takes"
        fix = "write take = lowest(25%) here, or a schedule in the excise step"
        _say(context, block, names.MISSING_TAKE, text, None, fix)
        return None
    pools = _pools(unit, sites, block, context)
    if pools is None or not _criterion_fits(block, unit, take, pools, context):
        return None
    pools = _staged(block, pools, context)
    roundings = roundings_of(block, pools)
    if not _can_lose(block, take, pools, roundings, context):
        return None
    sink = Sink(context.file)
    taken, total, indices = take.select(pools, roundings, block.per, replace(context, sink=sink))
    context.sink.extend(sink.found)
    if sink.failed:
        return None
    if block.per == "global" and _over_asked(block, take, pools, roundings, context):
        return None
    taken, total = _for_every_size(block, take, (pools, roundings), taken, total, context)
    return Selection(
        step=block.name,
        unit=unit.name,
        pools=pools,
        taken=taken,
        total=total,
        asked=getattr(take, "asked", take.name),
        indices=indices,
        span=take.span,
        silent_on=take.silent_on(),
        runs_before=len(context.history),
        gone=take.gone(pools, roundings) if isinstance(take, Staged) and block.per == "global" else None,
    )


def _say(
    context: Static,
    block: Identify,
    code: Code,
    text: str,
    span: Span | None,
    help: str,
    facts: Mapping[str, Fact] | None = None,
    path: str = "",
    notes: tuple[str, ...] = (),
) -> None:
    span = span or block.span
    context.say(
        Diagnostic(code, text, file=context.file, span=span, path=path, facts=facts or {}, notes=notes, help=help)
    )


# ---- sites -------------------------------------------------------------------------------------------------------


def sites_of(block: Identify, context: Static, brought: Mapping[str, tuple[str, ...]]) -> tuple[Site, ...] | None:
    """Return the sites that a block names, each once; ``None`` after reporting.

    With ``optional`` a selector may match nothing, which leaves an empty selection.
    """
    sink = Sink(context.file)
    inner = replace(context, sink=sink)
    found: dict[Site, None] = {}
    for target in block.sites:
        found |= dict.fromkeys(_target(target, block, inner, brought))
    findings = [finding for finding in sink.found if not (block.optional and finding.code is names.SELECTOR_UNMATCHED)]
    context.sink.extend(findings)
    if len(findings) < len(sink.found) and not findings:
        return tuple(found)
    if sink.failed:
        return None
    sites = tuple(found)
    if block.expect is not None and block.expect != len(sites):
        shown_paths = ", ".join(f"`{site.path or '.'}`" for site in sites[:8]) + (" …" if len(sites) > 8 else "")
        _say(
            context,
            block,
            names.EXPECT_MISMATCH,
            f"`{block.name}` matches {len(sites)} sites, the plan expects {block.expect}",
            block.spans.get("expect"),
            f"write expect = {len(sites)}, or another pattern",
            {"matched": len(sites), "expected": block.expect},
            notes=(f"matched: {shown_paths}",) if sites else (),
        )
        return None
    return sites


def _target(
    target: Target, block: Identify, context: Static, brought: Mapping[str, tuple[str, ...]]
) -> tuple[Site, ...]:
    if target.model:
        text = f"`{block.name}` picks in the model `{target.model}`; identify and excise work on the patient"
        _say(context, block, names.SITES_DO_NOT_FIT, text, target.span, "name sites of the patient")
        return ()
    if target.word is not None:
        return target.word.resolve(context.interface, context)
    if target.step in context.selections:
        return context.selections[target.step].sites
    paths = brought.get(target.step, ())
    if not paths:
        text = f"`{target.step}` brought no modules into the network"
        fix = "name a replace step that brings modules in, or sites by their paths"
        _say(context, block, names.SITES_DO_NOT_FIT, text, target.span, fix)
    return tuple(Site(word="module", path=path, module=path) for path in paths)


# ---- units -------------------------------------------------------------------------------------------------------


def _pools(unit: Unit, sites: tuple[Site, ...], block: Identify, context: Static) -> tuple[Pool, ...] | None:
    """Return the pools; findings of the unit point at the sites."""
    sink = Sink(context.file)
    pools = unit.pools(sites, replace(context, sink=sink))
    where = block.spans.get("in") or next((target.span for target in block.sites if target.span), None)
    for finding in sink.found:
        context.say(finding if finding.span else _placed(finding, where or unit.span or block.span))
    return None if sink.failed else pools


def _staged(block: Identify, pools: tuple[Pool, ...], context: Static) -> tuple[Pool, ...]:
    """Note, for a stage of a schedule, how large the pools were before the first stage."""
    if not isinstance(block.take, Staged):
        return pools
    earlier = context.selections.get(block.name)
    known = {pool.key: original_of(pool) for pool in earlier.pools} if earlier is not None else {}
    return tuple(pool.replaced(original=known.get(pool.key, pool.size)) for pool in pools)


def _placed(finding: Diagnostic, span: Span | None) -> Diagnostic:
    return replace(finding, span=span)


def _criterion_fits(block: Identify, unit: Unit, take: Take, pools: tuple[Pool, ...], context: Static) -> bool:
    by: Criterion | None = block.by
    if by is None:
        if not take.needs_scores:
            return True
        text = f"`{take.name}` ranks units, and `{block.name}` does not say by what"
        fix = "write by = magnitude(p = 1) or another criterion"
        _say(context, block, names.MISSING_CRITERION, text, take.span, fix)
        return False
    if unit.name not in by.units:
        text = f"`{by.name}` scores {' and '.join(sorted(by.units))}, not {unit.name}"
        fix = (
            f"write unit = {sorted(by.units)[0]}, or use a criterion that scores {unit.name}, such as magnitude(p = 1)"
        )
        facts: dict[str, Fact] = {"unit": unit.name, "scores": ", ".join(sorted(by.units))}
        _say(context, block, names.CRITERION_DOES_NOT_FIT, text, by.span, fix, facts)
        return False
    sink = Sink(context.file)
    by.check(unit.name, pools, replace(context, sink=sink))
    context.sink.extend(sink.found)
    return not sink.failed


# ---- round, floor, cap -------------------------------------------------------------------------------------------


def roundings_of(block: Identify, pools: Iterable[Pool]) -> tuple[Rounding, ...]:
    """Return ``round``, ``floor`` and ``cap`` in the units of each pool; as many units stay as it must keep.

    The plan counts channels of the site, of which one unit may be several: a multiple of ``round`` channels is then the
    least number of units that makes one. Shares of a floor round up, those of a cap down.
    """
    return tuple(_rounding(block, pool) for pool in pools)


def _rounding(block: Identify, pool: Pool) -> Rounding:
    original = original_of(pool)
    channels = original * pool.width
    multiple = block.round or 1
    floor = _count(block.floor, channels, up=True)
    cap = _count(block.cap, channels, up=False)
    keep = max(pool.least, -(-floor // pool.width)) if floor is not None else pool.least
    removed = None if cap is None else cap // pool.width
    if pool.original is not None and removed is not None:  # of which earlier stages may have taken some
        keep, removed = max(keep, original - removed), None
    return Rounding(multiple=Fraction(multiple, pool.width).numerator, keep_at_least=keep, remove_at_most=removed)


def _count(amount: int | Percent | None, size: int, *, up: bool) -> int | None:
    if not isinstance(amount, Percent):
        return amount
    exact = amount.share * size
    return -(-exact.numerator // exact.denominator) if up else exact.numerator // exact.denominator


def _can_lose(
    block: Identify, take: Take, pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], context: Static
) -> bool:
    """Report pools of which round, floor and cap let nothing go; with a global ranking, only if that is so of all."""
    if block.round is not None and block.round < 1:
        text = f"`round = {block.round}` is no multiple that a count can have"
        _say(context, block, names.ARGUMENT_OUT_OF_RANGE, text, block.spans.get("round"), "write round = 1 or more")
        return False
    if isinstance(take, Staged) or (not take.needs_scores and not take.finds):
        return True
    stuck = [
        (pool, rounding)
        for pool, rounding in zip(pools, roundings, strict=True)
        if pool.size and not most_taken(pool.size, rounding)
    ]
    if block.per == "global" and len(stuck) < len(pools):
        return True
    for pool, rounding in stuck:
        _stuck(block, pool, rounding, context)
    return not stuck


def _over_asked(
    block: Identify, take: Take, pools: tuple[Pool, ...], roundings: tuple[Rounding, ...], context: Static
) -> bool:
    """Report a ranking that asks for more than round, floor and cap let go, where the sizes are known."""
    from surgery_dsl.proof.blame import over_asked  # few plans rank over all sites

    if any(size.least != size.most for size in (pool_sizes(pool, context) for pool in pools if pool.original is None)):
        return False
    found = over_asked(block, take, pools, roundings, context.file)
    if found is not None:
        context.say(found)
    return found is not None


def _stuck(block: Identify, pool: Pool, rounding: Rounding, context: Static) -> None:
    units, width = units_of(pool), pool.width
    span, rule = block.spans.get("round"), f"round = {block.round}"
    looser = _multiple_that_lets_go(pool, rounding, getattr(block.take, "count", None))
    if rounding.remove_at_most is not None and rounding.remove_at_most == 0:
        span, rule = block.spans.get("cap"), f"cap = {_text(block.cap)}"
        looser = f"cap = {rounding.multiple * width}" if pool.size > rounding.multiple else ""
    fix = f'write {looser}, or add except = ["{path_of(pool)}"]' if looser else f'add except = ["{path_of(pool)}"]'
    if rounding.keep_at_least >= pool.size > pool.least:
        span, rule = block.spans.get("floor"), f"floor = {_text(block.floor)}"
        largest = (pool.size - 1) // rounding.multiple * rounding.multiple * width
        fix = f'write floor = {largest}, or add except = ["{path_of(pool)}"]' if largest else fix
    if pool.size <= pool.least:
        span, rule = (
            block.spans.get("in"),
            f"the rule that at least {'one stays' if pool.least == 1 else f'{pool.least} stay'}",
        )
        fix = f'add except = ["{path_of(pool)}"]'
    _say(
        context,
        block,
        shapes.ROUNDS_TO_NOTHING,
        f"{shown(pool)} has {noun(pool, units)}, and with {rule} all of them stay",
        span,
        fix,
        {"units": units, "kept": units, "floor": rounding.keep_at_least * width, "multiple": rounding.multiple * width},
        path_of(pool),
    )


def _multiple_that_lets_go(pool: Pool, rounding: Rounding, count: Callable[[Pool], int] | None) -> str:
    """Return the greatest ``round`` that shares a pool out, keeps its floor and lets what is asked for go."""
    least = max(rounding.keep_at_least, pool.least)
    fits = (one for one in range(pool.size // 2, 0, -1) if pool.size % one == 0 and pool.size - one >= least)
    if count is not None:
        asked = count(pool)
        fits = (one for one in fits if taken_nearest(pool.size, asked, rounding.replaced(multiple=one)))
    found = next(fits, 0)
    return f"round = {found * pool.width}" if found else ""


def _text(amount: int | Percent | None) -> str:
    return str(amount) if isinstance(amount, Percent) else number_text(amount or 0)


# ---- sizes that an earlier choice left open ----------------------------------------------------------------------


def _for_every_size(
    block: Identify,
    take: Take,
    counted: tuple[tuple[Pool, ...], tuple[Rounding, ...]],
    taken: tuple[Extent, ...],
    total: Extent | None,
    context: Static,
) -> tuple[tuple[Extent, ...], Extent | None]:
    """Widen the counts to every size that a pool can have where an earlier choice left it open."""
    pools, roundings = counted
    sizes = [pool_sizes(pool, context) for pool in pools]
    if all(size.least == size.most for size in sizes):
        return taken, total
    if block.per == "global" and take.needs_scores:
        fixed_sum = None
        if isinstance(take, Staged):
            after, before = take.gone(pools, roundings), take.gone(pools, roundings, before=True)
            fixed_sum = Extent(least=max(0, after.least - before.most), most=max(0, after.most - before.least))
        return tuple(
            _anything(block, pool, size, fixed_sum) for pool, size in zip(pools, sizes, strict=True)
        ), fixed_sum
    widened = tuple(
        extent if size.least == size.most else _widened(block, take, pool, size, extent, context)
        for pool, size, extent in zip(pools, sizes, taken, strict=True)
    )
    fixed = all(extent.least == extent.most for extent in widened)
    return widened, exactly(sum(extent.least for extent in widened)) if fixed else None


def _widened(block: Identify, take: Take, pool: Pool, size: Extent, at_most: Extent, context: Static) -> Extent:
    counts = range(size.least, size.most + 1, size.step)
    if len(counts) > _OPEN_MOST:
        return _anything(block, pool, size)
    low, high = at_most.least, at_most.most
    quiet = replace(context, sink=Sink(context.file))
    for count in counts:
        one = pool.replaced(size=count)
        (extent,), _, _ = take.select((one,), (_rounding(block, one),), "site", quiet)
        low, high = min(low, extent.least), max(high, extent.most)
    return Extent(least=low, most=high)


def _anything(block: Identify, pool: Pool, size: Extent, total: Extent | None = None) -> Extent:
    """Return bounds that hold whatever the size is and whatever the ranking gives."""
    least_kept = _rounding(block, pool.replaced(size=size.least)).keep_at_least
    most = max(size.most - least_kept, 0)
    return Extent(least=0, most=most if total is None else min(most, total.most))


def pool_sizes(pool: Pool, context: Static) -> Extent:
    """Return how many units a pool can have."""
    interface = context.interface
    if pool.axis is not None:
        size = interface.axes[pool.axis].size
        return size if isinstance(size, Extent) else exactly(pool.size)
    if pool.tensor:
        least, most = bookkeeping.numel(interface, [interface.tensor_by_name[pool.tensor]])
        return Extent(least=least, most=most)
    return exactly(pool.size)
