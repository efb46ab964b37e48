"""Which attentions a site means, and the pools of their heads."""

import math
from collections.abc import Callable

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.attention import Attention, attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.units._axes import inside, site_dims

Make = Callable[[Attention, tuple[Site, ...], Interface], Pool | None]


def head_pools(
    sites: tuple[Site, ...], context: Static, axis_of: Callable[[Attention], int | None], make: Make
) -> tuple[Pool, ...]:
    """Return one pool for each head axis, in the order of the sites; report sites that no attention belongs to."""
    interface = context.interface
    flow = Flow(interface)
    every = attentions(flow)
    found: dict[int, tuple[Attention, dict[Site, None]]] = {}
    for site in sites:
        meant = attentions_at(site, every, flow)
        if not meant:
            refuse(names.UNIT_DOES_NOT_FIT, site, "belongs to no attention, so it has no heads", context)
        for attention in meant:
            axis = axis_of(attention)
            if axis is None:
                _without(attention, site, context, interface)
            else:
                found.setdefault(axis, (attention, {}))[1][site] = None
    pools = (make(attention, tuple(of), interface) for attention, of in found.values())
    return tuple(pool for pool in pools if pool is not None)


def attentions_at(site: Site, every: tuple[Attention, ...], flow: Flow) -> list[Attention]:
    """Return the attentions inside a site's module; where none is, those whose heads the site's units are made of."""
    interface = flow.interface
    if site.word == "attention":
        return [one for one in every if one.holder == site.module]
    if site.word != "param" and not site.operators:
        within = set(inside(site.module, interface))
        held = [one for one in every if one.at in within]
        if held:
            return held
    carried = {axis for dim in site_dims(site, flow) for axis in interface.leaves(dim)}
    return [one for one in every if not carried.isdisjoint(one.heads)]


def refuse(code: Code, site: Site, text: str, context: Static, help: str = "") -> None:
    """Report a site that a unit does not fit."""
    context.say(
        Diagnostic(
            code,
            f"`{site.path or '.'}` {text}",
            file=context.file,
            path=site.path,
            help=help or f'add except = ["{site.path}"], or name attentions, such as attention("**")',
        )
    )


def _without(attention: Attention, site: Site, context: Static, interface: Interface) -> None:
    queries = most(attention.heads, interface)
    if attention.heads:
        text = (
            f"has a single key/value head for {queries} query heads, which cannot be taken away; "
            f"legal keep counts of key/value heads: 1"
        )
        fix = "write unit = heads, which takes query heads"
    else:
        text, fix = "has a single head, which cannot be taken away", f'add except = ["{site.path}"]'
    refuse(names.UNIT_DOES_NOT_FIT, site, text, context, fix)


def free_first(axes: Dim, interface: Interface) -> int | None:
    """Return the innermost axis that is free, the innermost where none is, ``None`` where there is no axis."""
    free = [axis for axis in axes if not interface.axes[axis].frozen]
    return free[-1] if free else axes[-1] if axes else None


def most(dim: Dim, interface: Interface) -> int:
    """Return the size of a product of leaf axes; the greatest, where a choice before has left one open."""
    sizes = (interface.axes[axis].size for axis in dim)
    return math.prod(size.most if isinstance(size, Extent) else size if isinstance(size, int) else 1 for size in sizes)


def about(attention: Attention, step: int, interface: Interface) -> str:
    """Say how the heads of an attention lie, and how many query heads may stay: multiples of ``step``."""
    queries = most(attention.heads, interface)
    counts = [step * count for count in range(1, queries // step + 1)]
    shown = [str(count) for count in counts]
    if len(shown) > 6:
        shown = [*shown[:3], "…", *shown[-1:]]
    listed = ", ".join(shown[:-1]) + (f" and {shown[-1]}" if len(shown) > 1 else shown[-1])
    keys = most(attention.shared, interface)
    return f"{queries} query / {keys} KV heads: legal keep counts are {listed} query heads"
