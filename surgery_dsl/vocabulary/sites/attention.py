"""Attentions."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._structures import StructureSites
from surgery_dsl.vocabulary.word import Card


@final
class Attention(StructureSites):
    """Attentions, found by what the forward does: a product of queries and keys, a softmax, a product with values.

    Arguments:
        pattern: A path pattern: `*` is one segment, `**` any number of them, `{a,b}` alternatives, each of which must
            match.
        except: Patterns of paths to leave out; each must match something.

    Static rule:
        A site is the smallest module that holds an attention's projections of queries, keys, values and result. It goes
        by its own path, by the paths of modules inside it that hold the attention (`attention.self`), and by those
        around it that hold no other (`layers.0`). Fused operators and written-out ones count alike. A pattern that
        matches nothing is an error that names the closest paths.

    Source:
        Vaswani et al., NeurIPS 2017, section 3.2.
    """

    card: ClassVar[Card] = Card(
        summary="Match attentions by what the forward does",
        source="Vaswani et al., NeurIPS 2017, section 3.2",
        example='attention("blocks.*.attn")',
        near_miss='attention("block.*.attn")',
        near_miss_code="SD120",
        fixture="attention",
    )

    def found(self, interface: Interface) -> Sequence[tuple[Site, str]]:
        """Return the attentions with the modules that run them."""
        return [
            (Site(word=self.name, path=one.holder, module=one.holder), one.module)
            for one in attentions(Flow(interface))
        ]
