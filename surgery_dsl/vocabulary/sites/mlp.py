"""Multilayer perceptrons of blocks."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.feedforward import feedforwards
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._structures import StructureSites
from surgery_dsl.vocabulary.word import Card


@final
class Mlp(StructureSites):
    """Multilayer perceptrons of blocks: up, an activation, and down to the width that they began with.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        A site is the smallest module that holds linear layers up and down with an activation between them, gated or
        not; what comes out must be as wide as what went in. Its channels are the width in between. It goes by its own
        path, by those of modules inside it that hold the activation, and by those around it that hold no other. A
        pattern that matches nothing is an error that names the closest paths.

    Source:
        Vaswani et al., NeurIPS 2017, section 3.3; Shazeer, arXiv:2002.05202.
    """

    card: ClassVar[Card] = Card(
        summary="Match the multilayer perceptrons of blocks",
        source="Vaswani et al., NeurIPS 2017, section 3.3",
        example='mlp("blocks.*.mlp")',
        near_miss='mlp("block.*.mlp")',
        near_miss_code="SD120",
        fixture="attention",
    )

    def found(self, interface: Interface) -> Sequence[tuple[Site, str]]:
        """Return the multilayer perceptrons with the modules that run their activations."""
        return [
            (Site(word=self.name, path=one.holder, module=one.holder), one.core)
            for one in feedforwards(Flow(interface))
        ]
