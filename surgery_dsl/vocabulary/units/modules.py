"""Whole modules."""

from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Unit
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.word import Card


@final
class Modules(Unit):
    """Whole modules: blocks of a network, entries of a list.

    Static rule:
        The matched modules, numbered from 0 in module order. They must have one parent, because their numbers would
        mean nothing otherwise.

    Runtime rule:
        Numbers of modules.

    Source:
        Depth pruning, as in Men et al., "ShortGPT", arXiv:2403.03853.
    """

    card: ClassVar[Card] = Card(
        summary="Pick whole modules of one parent",
        source="Men et al., arXiv:2403.03853",
        example="modules",
        near_miss="module",
        near_miss_code="SD105",
        fixture="residual",
    )

    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return the one pool of the matched modules."""
        parents: dict[str, list[Site]] = {}
        for site in sites:
            if site.word == "param" or site.path != site.module or not site.module:
                context.say(
                    Diagnostic(
                        names.UNIT_DOES_NOT_FIT,
                        f"`{site.path or '.'}` is no module of a parent",
                        file=context.file,
                        path=site.path,
                        help='name modules, such as module("blocks.*")',
                    )
                )
                return ()
            parents.setdefault(site.module.rpartition(".")[0], []).append(site)
        if len(parents) > 1:
            shown = [f"`{parent or '.'}` ({len(of)})" for parent, of in parents.items()]
            text = ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
            context.say(
                Diagnostic(
                    names.SEVERAL_PARENTS,
                    f"modules are numbered within one parent, and these have {len(parents)}: {text}",
                    file=context.file,
                    path=next(iter(parents)),
                    facts={"parents": len(parents), "modules": len(sites)},
                    help="write one identify for each parent",
                )
            )
            return ()
        return tuple(
            Pool(key=parent, size=len(of), sites=tuple(of), modules=tuple(site.module for site in of))
            for parent, of in parents.items()
        )
