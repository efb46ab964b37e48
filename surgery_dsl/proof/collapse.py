"""Layers that a global ranking can reduce to a single unit, and the floor that prevents it.

One unit of each pool stays of itself, so that no layer is ever emptied; one channel of 512 is a collapse in all but
name. With n_i units, K of all taken and c_j the most that pool j may lose, pool i can come down to one unit exactly
where n_i − 1 ≤ c_i, n_i − 1 ≤ K, and the rest K − (n_i − 1) fits what the others may lose, Σ_{j≠i} c_j. The last
always holds, because no more than Σ c_j is ever taken: one pass over the pools decides all of them.

Source: Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020,
section 4 (layer collapse); the arithmetic is elementary.
"""

from collections.abc import Iterable
from fractions import Fraction

from surgery_dsl.diagnostics.codes import lints
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.plan import Identify
from surgery_dsl.proof.identify import roundings_of
from surgery_dsl.vocabulary.selection import Pool, Selection
from surgery_dsl.vocabulary.takes._counting import most_taken
from surgery_dsl.vocabulary.takes._reports import noun, path_of
from surgery_dsl.vocabulary.takes._staged import original_of
from surgery_dsl.vocabulary.values import Percent

MANY = 4
"""Units from which on a single one that stays is called a collapse; of two or three it is a large share."""
MOST_SHOWN = 3


def layer_collapse(step: Identify, selection: Selection, file: str) -> Diagnostic | None:
    """Warn where one ranking over all pools can leave a single unit of some of them."""
    if step.per != "global" or step.take is None or not step.take.needs_scores or len(selection.pools) < 2:
        return None
    if not hasattr(step.take, "amount"):
        return None
    wanted = _wanted(selection)
    limits = _limits(step, selection.pools)
    found = [pool for pool, limit in zip(selection.pools, limits, strict=True) if _collapses(pool, limit, wanted)]
    if not found:
        return None
    first, every = found[0], sum(map(original_of, selection.pools))
    size = original_of(first)
    paths = ", ".join(f"`{path_of(pool)}`" for pool in found[:MOST_SHOWN])
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return Diagnostic(
        lints.LAYER_COLLAPSE,
        f"`{step.name}` ranks {len(selection.pools)} layers together and can leave a single unit of {len(found)} of "
        f"them: {paths}{more}",
        file=file,
        span=step.spans.get("per", selection.span or step.span),
        path=path_of(first),
        facts={"layers": len(found), "of": len(selection.pools), "taken": wanted, "units": every},
        notes=(_arithmetic(first, wanted, every, sum(limits) - (size - 1)),),
        help=_help(step, selection, found, wanted),
    )


def _arithmetic(pool: Pool, wanted: int, every: int, others: int) -> str:
    size = original_of(pool)
    rest = wanted - (size - 1)
    text = f"`{path_of(pool)}` has {noun(pool, size)}; all but one are no more than the {wanted} of {every} that go"
    return f"{text}, and the other {rest} fit the {others} that the other layers may lose" if rest > 0 else text


def _wanted(selection: Selection) -> int:
    """Return how many of the original units go in all, at most."""
    total = selection.total if selection.gone is None else selection.gone
    return total.most if total is not None else sum(taken.most for taken in selection.taken)


def _limits(step: Identify, pools: Iterable[Pool]) -> list[int]:
    """Return how many of its original units each pool may lose; pools of one size are counted once."""
    known: dict[tuple[int, int, bool], int] = {}
    found = []
    for pool in pools:
        size = original_of(pool)
        key = size, pool.width, pool.original is None
        if key not in known:
            (rounding,) = roundings_of(step, (pool,))
            known[key] = most_taken(size, rounding)
        found.append(known[key])
    return found


def _collapses(pool: Pool, limit: int, wanted: int) -> bool:
    size = original_of(pool)
    return size >= MANY and size - min(limit, wanted) <= 1


def _help(step: Identify, selection: Selection, found: list[Pool], wanted: int) -> str:
    """Name the smallest floor in whole percent that leaves two units everywhere, after counting again with it."""
    share = 100 // min(map(original_of, found)) + 1
    floor = Percent(value=Fraction(share))
    limits = _limits(step.replaced(floor=floor), selection.pools)
    if any(_collapses(pool, limit, wanted) for pool, limit in zip(selection.pools, limits, strict=True)):
        return "write `per = site`, which takes the same share of each layer"
    room = sum(limits)
    if room < wanted:
        return f"write `floor = {floor}` and take at most {room} units, or `per = site`"
    sizes = {original_of(pool): limit for pool, limit in zip(selection.pools, limits, strict=True)}
    least = min(size - limit for size, limit in sizes.items() if size >= MANY)
    return f"write `floor = {floor}`, the smallest that leaves at least {least} units of each of these layers"
