"""Modules of any class."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._calls import calls_of
from surgery_dsl.vocabulary.sites._paths import PathSites
from surgery_dsl.vocabulary.word import Card


@final
class Module(PathSites):
    """Modules of any class, blocks and whole branches included.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them (none included), `{a,b}` alternatives, each
            of which must match; `"."` is the network itself. Where one forward calls a module without parameters
            several times, `module#0` is the first of these calls.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        Every module whose path matches is a site, in the order in which the network holds them. A pattern that matches
        nothing is an error that names the closest paths.

    Source:
        torch.nn.Module.named_modules
    """

    card: ClassVar[Card] = Card(
        summary="Match modules of any class",
        source="torch.nn.Module.named_modules",
        example='module("hidden.*")',
        near_miss='module("hiden.*")',
        near_miss_code="SD120",
    )

    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return every module."""
        return tuple(Site(word=self.name, path=module.path, module=module.path) for module in interface.modules)

    def calls(self, sites: Sequence[Site], interface: Interface) -> Mapping[str, Sequence[Site]]:
        """Return the single calls of modules that a forward calls several times."""
        return calls_of(sites, interface)
