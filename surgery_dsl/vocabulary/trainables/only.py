"""``train = only(STEP)``: what a step brought in, or the sites that it chose."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, final

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.layers import parameters_below
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Trainable
from surgery_dsl.vocabulary.trainables.all import trains
from surgery_dsl.vocabulary.word import Card, Names


@final
class Only(Trainable):
    """The parameters of the modules that a ``replace`` brought in, or of an ``identify``'s sites; nothing else.

    Arguments:
        step: Name of the ``replace`` or ``identify`` block.

    Static rule:
        The floating-point parameters at or below the step's modules, in every epoch; a step that holds none is
        refused, because everything would be frozen. Everything else stays equal bit for bit.

    Source:
        docs/language.md, section 5.
    """

    card: ClassVar[Card] = Card(
        summary="Train what one step brought in or chose; freeze the rest bit for bit",
        source="docs/language.md, section 5",
        example="only(head)",
        near_miss="only(no_such_step)",
        near_miss_code="SD106",
    )
    positional: ClassVar[tuple[str, ...]] = ("step",)

    step: Annotated[str, Names("replace", "identify")]

    def tensors(self, epoch: int, interface: Interface, brought: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the floating-point parameters at or below the step's modules, in every epoch."""
        found = parameters_below(interface, brought.get(self.step, ()))
        return frozenset(name for name in found if trains(interface.tensor_by_name[name].dtype))

    def check(self, context: Static) -> None:
        """Report a step whose modules hold nothing to train."""
        paths = context.brought.get(self.step, ())
        if not paths and self.step in context.selections:
            paths = tuple(dict.fromkeys(site.module for site in context.selections[self.step].sites))
        if self.tensors(0, context.interface, {self.step: paths}):
            return
        context.say(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                f"`{self.step}` brings no parameter that could be trained, and all others are frozen",
                file=context.file,
                span=self.span,
                facts={"modules": len(paths), "parameters": 0},
                notes=tuple(_what(path, context.interface) for path in paths[:4]),
                help="name a step that brings parameters, or write `train = all`",
            )
        )


def _what(path: str, interface: Interface) -> str:
    module = interface.module_by_path.get(path)
    return f"`{path}` is {module.type}" if module is not None else f"`{path}` is no longer there"
