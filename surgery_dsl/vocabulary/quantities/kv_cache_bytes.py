"""``kv_cache_bytes``: what a decoder remembers of the tokens that it has seen."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.attention import Attention, attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Dim, Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity, SiteWord
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.units._heads import attentions_at
from surgery_dsl.vocabulary.word import Card, Slot

if TYPE_CHECKING:
    import torch


@final
class KvCacheBytes(Quantity):
    """Bytes of the keys and values that the attentions of a decoder keep of the tokens it has seen.

    Arguments:
        at: The attentions that keep them, such as ``attention("decoder.**.self_attn")``; without it, all.
        T: How many tokens are kept of each sequence, at least 1; without it one, so that the count is bytes a token.
        N: How many sequences there are, at least 1.
        window: The most tokens that these attentions keep, where they slide a window.
        dtype: What is kept, if another dtype than the forward's own (``"bf16"``).

    Static rule:
        Σ over attentions of N · min(T, window) · kv_heads · (width of a key + width of a value) · bytes(dtype).
        Keys and values are counted before they are repeated for grouped queries, so that a single key/value head
        counts once (multi-query) and taking whole ``kv_groups`` makes the cache smaller by their share; taking query
        ``heads`` of a group does not. Attentions that read the same keys and values share them. An attention is found
        by what the forward does, which does not tell encoders from decoders: name the ones that keep a cache with
        ``at``. How far a window reaches is in the mask, not in the sizes, so it must be stated. A network without
        attentions is refused.

    Runtime rule:
        The same count over the interface that the network was compared with after the last step.

    Source:
        Ainslie et al., "GQA", EMNLP 2023, arXiv:2305.13245, section 1; Shazeer, arXiv:1911.02150, section 2.4.
    """

    unit = "bytes"
    least = 0
    static = True
    positional = ("at",)
    card: ClassVar[Card] = Card(
        summary="Count the bytes of cached keys and values of all attentions",
        source="Ainslie et al., EMNLP 2023, arXiv:2305.13245, section 1; Shazeer, arXiv:1911.02150, section 2.4",
        example="kv_cache_bytes(T = 128)",
        near_miss="kv_cache_bytes(T = 0)",
        near_miss_code="SD112",
        fixture="attention",
    )

    at: Annotated[SiteWord | None, Slot("sites")] = None
    tokens: Annotated[int, Field(ge=1, alias="T")] = 1
    sequences: Annotated[int, Field(ge=1, alias="N")] = 1
    window: Annotated[int, Field(ge=1)] | None = None
    dtype: Literal["", "f16", "bf16", "f32", "f64", "i8", "u8"] = ""

    def check(self, context: Static) -> None:
        """Report sites that hold no attention, and a network that has none."""
        before = len(context.sink.found)
        if self._kept(context.interface, context) or len(context.sink.found) > before:
            return
        what = "the named sites have" if self.at is not None else "this network has"
        context.say(
            Diagnostic(
                names.SITES_DO_NOT_FIT,
                f"`{self.name}` counts what attentions keep, and {what} none",
                file=context.file,
                span=self.span,
                help='name attentions, such as attention("**"), or leave the line out',
            )
        )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the count twice: it is exact."""
        count = self._count(interface, replace(context, interface=interface, sink=Sink(context.file)))
        return count, count

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the count over the interface: it is compared with the network after every step."""
        context = Static(interface, interface, {}, None, {}, {}, "", runtime.file, Sink(runtime.file))
        count = self._count(interface, context).substitute(interface.exact_size).value
        if count is None:
            raise LookupError("a key or value has an open size")
        return float(count)

    def _count(self, interface: Interface, context: Static) -> Polynomial:
        kept = self.sequences * (self.tokens if self.window is None else min(self.tokens, self.window))
        return _counting.total(
            interface,
            [
                (kept * _counting.element_bytes(self.dtype or interface.values[value].dtype), dim)
                for value, dim in self._kept(interface, context)
            ],
        )

    def _kept(self, interface: Interface, context: Static) -> list[tuple[int, Dim]]:
        """Return the values that are kept, keys and values of each attention, with the axes of one token of them."""
        flow = Flow(interface)
        every = attentions(flow)
        chosen = every
        if self.at is not None:
            sites = self.at.resolve(interface, context)
            chosen = tuple(dict.fromkeys(one for site in sites for one in attentions_at(site, every, flow)))
        found: dict[tuple[frozenset[int], ...], list[tuple[int, Dim]]] = {}
        for one in chosen:
            sources = tuple(frozenset(flow.layers_behind(value)) or frozenset({-1 - value}) for value in one.sides[1:])
            found.setdefault(sources, _of_one(one, interface))
        return [kept for pair in found.values() for kept in pair]


def _of_one(attention: Attention, interface: Interface) -> list[tuple[int, Dim]]:
    """Return keys and values of an attention: queries and keys are contracted, so that they are equally wide."""
    query, key, value = attention.sides
    width, depth = interface.values[query].dims[-1], interface.values[value].dims[-1]
    return [(key, attention.shared + width), (value, attention.shared + depth)]
