"""Single calls of modules that a forward calls several times, as sites of their own."""

from collections.abc import Iterable, Mapping, Sequence

from surgery_dsl.interface.calling import turns
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.patterns import Pattern
from surgery_dsl.vocabulary.selection import Site


def calls_of(sites: Iterable[Site], interface: Interface) -> Mapping[str, tuple[Site, ...]]:
    """Return, for the path of each site that is a module which one forward calls several times, its calls as sites."""
    known = turns(interface)
    found: dict[str, tuple[Site, ...]] = {}
    for site in sites if known else ():
        if site.path == site.module and site.path in known:
            found[site.path] = tuple(
                site.replaced(path=turn.name, operators=_within(site, turn.positions, interface))
                for turn in known[site.path]
            )
    return found


def without(site: Site, calls: Sequence[Site], out: Iterable[Pattern]) -> Sequence[Site]:
    """Return a site, or those of its calls that are left where some of them are excepted."""
    left = [call for call in calls if not any(pattern.matches(call.path) for pattern in out)]
    return left if len(left) < len(calls) else (site,)


def _within(site: Site, positions: Iterable[int], interface: Interface) -> tuple[int, ...]:
    runs = [interface.calls[position] for position in positions]
    return tuple(at for at in site.operators if any(run.first <= at < run.last for run in runs))
