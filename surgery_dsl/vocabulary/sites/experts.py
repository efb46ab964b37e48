"""Mixtures of experts."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.experts import mixtures
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._structures import StructureSites
from surgery_dsl.vocabulary.word import Card


@final
class Experts(StructureSites):
    """Mixtures of experts, found by what the forward does: a router chooses entries of stacked weights.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        A site is the smallest module that holds a router and the stacked weights whose first dimension it chooses from.
        It goes by its own path, by that of the module with the stacked weights, and by those around it that hold no
        other. A pattern that matches nothing is an error that names the closest paths.

    Source:
        Shazeer et al., ICLR 2017, arXiv:1701.06538.
    """

    card: ClassVar[Card] = Card(
        summary="Match mixtures of experts",
        source="Shazeer et al., arXiv:1701.06538",
        example='experts("blocks.*")',
        near_miss='experts("block.*")',
        near_miss_code="SD120",
        fixture="mixture",
    )

    def found(self, interface: Interface) -> Sequence[tuple[Site, str]]:
        """Return the mixtures with the modules that hold their stacked weights."""
        return [
            (Site(word=self.name, path=one.holder, module=one.holder), one.module) for one in mixtures(Flow(interface))
        ]
