"""``train = all``: every parameter."""

from collections.abc import Mapping
from typing import ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.kinds import Trainable
from surgery_dsl.vocabulary.word import Card


@final
class All(Trainable):
    """Every floating-point parameter may change; quantized codes cannot be trained.

    Static rule:
        The floating-point parameters, tied ones by their first name.

    Source:
        docs/language.md, section 5.
    """

    card: ClassVar[Card] = Card(
        summary="Train every parameter (the default)",
        source="docs/language.md, section 5",
        example="all",
        near_miss="all(3)",
        near_miss_code="SD110",
    )
    positional: ClassVar[tuple[str, ...]] = ()

    def tensors(self, epoch: int, interface: Interface, brought: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the floating-point parameters, ties by their first name."""
        return frozenset(
            t.name for t in interface.tensors if t.role == "parameter" and not t.tied_to and trains(t.dtype)
        )


def trains(dtype: str) -> bool:
    """Whether values of a dtype can have a gradient."""
    return dtype in ("f16", "bf16", "f32", "f64")
