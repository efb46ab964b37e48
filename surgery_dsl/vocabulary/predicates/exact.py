"""``exact``: steps that keep the function."""

from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.context import Effect, Static
from surgery_dsl.vocabulary.kinds import Predicate, Region, Ruling
from surgery_dsl.vocabulary.word import Card, Names, Slot


@final
class Exact(Predicate):
    """Steps that leave the function as it was: the same outputs for every input, in eval mode and real arithmetic.

    Arguments:
        steps: Earlier steps, one or more; together they keep the function if each of them does.
        on: Where given, a region: the same outputs for every input of it. A step that keeps the function on a region
            alone needs it.

    Static rule:
        An exact step names the identity that makes it so, with its proof and source: `explain zero_branch`
        (zero-initialised branches and adapters), `low_rank_merge`, `copied_units` and `identity_layer` (Net2Net),
        `norm_fold`, `reordered_units`, `idle_module`, `same_function`, `silent_units` (units proved dead on a region).
        It is a theorem about the transform, never a measurement. Each exact step is also run against the network before
        it, in float64, when the plan is applied; a difference that rounding does not explain undoes it (SD909). In
        floating point the outputs may differ by rounding; ``measure change(…)`` says by how much.

    Source:
        Function-preserving transformations: Chen et al. 2016, Net2Net (arXiv 1511.05641), section 2.
    """

    positional = ("*steps",)
    card: ClassVar[Card] = Card(
        summary="Prove that steps keep the function",
        source="Function-preserving transformations: Chen et al. 2016, Net2Net (arXiv 1511.05641), section 2.",
        example="exact(wider)",
        near_miss="exact(no_such_step)",
        near_miss_code="SD106",
    )

    steps: Annotated[tuple[Annotated[str, Names("identify", "excise", "replace", "recover")], ...], Field(min_length=1)]
    on: Annotated[Region | None, Slot("regions")] = None

    def decide(self, context: Static) -> Ruling:
        """Hold where every run of every step is exact or writes nothing."""
        reasons: dict[str, None] = {}
        for step in self.steps:
            for effect in (effect for name, effect in context.history if name == step):
                why = self._against(step, effect)
                if why:
                    return Ruling(False, why, (step,))
                reasons |= {_said(effect): None} if _said(effect) else {}
        shown = ", ".join(f"`{step}`" for step in self.steps)
        write = "writes" if len(self.steps) == 1 else "write"
        return Ruling(True, "; ".join(reasons) or f"{shown} {write} nothing that the function reads", self.steps)

    def _against(self, step: str, effect: Effect) -> str:
        """Return why an effect does not keep the function, empty where it does."""
        if effect.function not in ("none", "exact"):
            why = f" ({effect.reason})" if effect.reason else ""
            return f"the effect of `{step}` on the function is {effect.function}{why}"
        region = effect.region
        if not isinstance(region, Region) or (self.on is not None and _same(region, self.on)):
            return ""
        return f"`{step}` keeps the function for {region.said()} alone: name that region, `exact({step}, on = …)`"


def _same(one: Region, other: Region) -> bool:
    return one.replaced(span=None) == other.replaced(span=None)


def _said(effect: Effect) -> str:
    """Return the identity behind an effect, and what the step says of itself."""
    if not effect.rule:
        return effect.reason
    from surgery_dsl.evidence.identities._identity import find

    where = f", for {effect.region.said()}" if isinstance(effect.region, Region) else ""
    return f"{find(effect.rule).said()}{where}: {effect.reason}"
