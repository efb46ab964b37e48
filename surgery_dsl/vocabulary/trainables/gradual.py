"""``train = gradual(from = head, every = 1)``: thaw from the top down."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.layers import is_below, layers
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Trainable
from surgery_dsl.vocabulary.trainables.all import trains
from surgery_dsl.vocabulary.word import Card, Names


@final
class Gradual(Trainable):
    """Train a step's layers and all after them; every so many epochs, one layer more towards the input.

    Arguments:
        from: The ``replace`` or ``identify`` block whose layers are trained from the start.
        every: After how many epochs the next layer thaws, at least 1.

    Static rule:
        In epoch e (from 0) the layers from position i − ⌊e / every⌋ on are trained, where i is the first layer of the
        step in the order of the forward. A layer is a module that holds parameters of its own.

    Source:
        Howard and Ruder 2018, Universal Language Model Fine-tuning, section 3.3 (gradual unfreezing).
    """

    card: ClassVar[Card] = Card(
        summary="Thaw layer by layer, from the last towards the first",
        source="Howard and Ruder 2018, Universal Language Model Fine-tuning, section 3.3 (gradual unfreezing)",
        example="gradual(from = head, every = 1)",
        near_miss="gradual(from = head, every = 0)",
        near_miss_code="SD112",
    )
    positional: ClassVar[tuple[str, ...]] = ()

    from_: Annotated[str, Names("replace", "identify")]
    every: Annotated[int, Field(ge=1)] = 1

    def tensors(self, epoch: int, interface: Interface, brought: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the floating-point parameters that are thawed in an epoch."""
        found = layers(interface)
        tops = brought.get(self.from_, ())
        start = [i for i, layer in enumerate(found) if any(is_below(layer.path, top) for top in tops)]
        if not start:
            return frozenset()
        first = max(0, min(start) - epoch // self.every)
        return frozenset(
            name for layer in found[first:] for name in layer.parameters if trains(interface.tensor_by_name[name].dtype)
        )

    def check(self, context: Static) -> None:
        """Report a step that holds no layer to start from."""
        paths = context.brought.get(self.from_, ())
        if not paths and self.from_ in context.selections:
            paths = tuple(dict.fromkeys(site.module for site in context.selections[self.from_].sites))
        if self.tensors(0, context.interface, {self.from_: paths}):
            return
        context.say(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                f"`{self.from_}` holds no layer with parameters to thaw from",
                file=context.file,
                span=self.span,
                facts={"modules": len(paths), "parameters": 0},
                help="start from a step that brings parameters",
            )
        )
