"""``exact``: a step keeps the function."""

from typing import Annotated, ClassVar, final

from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Predicate, Ruling
from surgery_dsl.vocabulary.word import Card, Names


@final
class Exact(Predicate):
    """The step leaves the function as it was: the same outputs for every input, in eval mode and real arithmetic.

    Arguments:
        step: An earlier step.

    Static rule:
        Every transform and mode declares its effect on the function: ``exact`` is a theorem about the transform (a
        zero-initialized branch, a duplicated unit with divided outgoing weights), never a measurement. In floating
        point the outputs may differ by rounding; ``measure change(…)`` says by how much.

    Source:
        Function-preserving transformations: Chen et al. 2016, Net2Net (arXiv 1511.05641), section 2.
    """

    positional = ("step",)
    card: ClassVar[Card] = Card(
        summary="Prove that a step keeps the function",
        source="Function-preserving transformations: Chen et al. 2016, Net2Net (arXiv 1511.05641), section 2.",
        example="exact(wider)",
        near_miss="exact(no_such_step)",
        near_miss_code="SD106",
    )

    step: Annotated[str, Names("identify", "excise", "replace", "recover")]

    def decide(self, context: Static) -> Ruling:
        """Hold where every run of the step is exact or writes nothing."""
        runs = [effect for name, effect in context.history if name == self.step]
        for effect in runs:
            if effect.function not in ("none", "exact"):
                why = f" ({effect.reason})" if effect.reason else ""
                return Ruling(
                    False, f"the effect of `{self.step}` on the function is {effect.function}{why}", (self.step,)
                )
        why = next((effect.reason for effect in runs if effect.reason), "")
        return Ruling(True, why or f"`{self.step}` writes nothing that the function reads", (self.step,))
