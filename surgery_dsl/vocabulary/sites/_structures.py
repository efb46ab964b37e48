"""Sites that are found by what the forward does, and go by the path of any module that stands for one alone."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._paths import PathSites


class StructureSites(PathSites, ABC):
    """Sites with a module of their own and a structure. Abstract.

    A site goes by its module's path, by that of any module inside it that holds the structure's core, and by that of
    any module around it that holds no other such site.
    """

    @abstractmethod
    def found(self, interface: Interface) -> Sequence[tuple[Site, str]]:
        """Return each site with the path of the innermost module that holds its core, in the order of the forward."""

    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return every site, once, in module order."""
        order = {module.path: at for at, module in enumerate(interface.modules)}
        sites = dict.fromkeys(site for site, _ in self.found(interface))
        return sorted(sites, key=lambda site: order.get(site.path, 0))

    def resolve(self, interface: Interface, context: Static) -> tuple[Site, ...]:
        """Return the sites of which one of the paths is matched, and none is excepted."""
        sites = self.candidates(interface)
        called = self._paths(interface)
        paths = list(dict.fromkeys(path for site in sites for path in (site.path, *called[site])))
        sink = Sink(context.file)
        wanted = self._pattern(self.pattern, paths, interface, replace(context, sink=sink), "")
        excepted = [
            self._pattern(text, paths, interface, replace(context, sink=sink), "except: ") for text in self.except_
        ]
        context.sink.extend(sink.found)
        if wanted is None or None in excepted:
            return ()
        out = [pattern for pattern in excepted if pattern is not None]
        found = [site for site in sites if any(wanted.matches(path) for path in called[site])]
        kept = [s for s in found if not any(p.matches(path) for p in out for path in called[s])]
        if not kept:
            context.say(self._all_excepted(len(found), context))
        return tuple(kept)

    def _paths(self, interface: Interface) -> dict[Site, tuple[str, ...]]:
        """Return the paths that each site goes by."""
        holding: dict[str, set[Site]] = {}
        chains: dict[Site, dict[str, None]] = {}
        for site, core in self.found(interface):
            chain = chains.setdefault(site, {site.path: None})
            path = core
            while path.startswith(site.path) and path != site.path:
                chain[path] = None
                path = path.rpartition(".")[0]
            around = site.path
            while around:
                holding.setdefault(around, set()).add(site)
                around = around.rpartition(".")[0]
            holding.setdefault("", set()).add(site)
        for path, sites in holding.items():
            if len(sites) == 1 and path:
                chains[next(iter(sites))][path] = None
        return {site: tuple(chain) for site, chain in chains.items()}
