"""It holds whatever happened."""

from typing import Annotated, ClassVar, final

from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Predicate, Ruling
from surgery_dsl.vocabulary.word import Card, Names


@final
class AlwaysHolds(Predicate):
    """The step keeps the function.

    Arguments:
        step: An earlier step.

    Static rule:
        Always.

    Source:
        This file.
    """

    positional = ("step",)
    card: ClassVar[Card] = Card(
        summary="Hold always",
        source="this file",
        example="always_holds(wider)",
        near_miss="always_holds(no_such_step)",
        near_miss_code="SD106",
    )

    step: Annotated[str, Names("replace")]

    def decide(self, context: Static) -> Ruling:
        """Hold."""
        return Ruling(True, "because")
