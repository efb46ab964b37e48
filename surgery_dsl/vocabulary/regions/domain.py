"""``domain``: every input with numbers in a declared range."""

from typing import TYPE_CHECKING, ClassVar, Self, final

from pydantic import model_validator

from surgery_dsl.interface.model import FLOATS, Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._inputs import above, below, clip_ordered, dtypes, input_sizes, same_sizes, say
from surgery_dsl.vocabulary.values import Number, Range, number_text
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    from surgery_dsl.evidence.bounds.input_sets import Fixed, InputSet
    from surgery_dsl.evidence.bounds.region import Box


@final
class Domain(Region):
    """Every input whose numbers all lie between ``low`` and ``high``: a declared range, read off no data.

    Tokens take every value for which the base's tables have a row, where nothing else is said: ``domain()`` is every
    input of a network of tokens. An input may be named: ``domain(image = 0..1, tokens = 0..99, mask = true)``.

    Arguments:
        low: The least value of any number of inputs that are not named.
        high: The greatest; above ``low``.
        inputs: Inputs by name: a range of numbers or of tokens, or one value that every number of the input has.

    Static rule:
        Inputs of exact sizes but for the batch. Each of real numbers has a range or a value, each of booleans a value.

    Runtime rule:
        One box, its corners in float64, rounded outward; and at every place every token of the range. An input with one
        value is a constant, and may be used in any way.

    Source:
        The input region of Albarghouthi, Introduction to Neural Network Verification (2021), chapter 4.
    """

    positional = ("low", "high", "**inputs")
    card: ClassVar[Card] = Card(
        summary="All inputs with numbers in a declared range",
        source="The input region of Albarghouthi, Introduction to Neural Network Verification (2021), chapter 4.",
        example="domain(0, 1)",
        near_miss="domain(1, 1)",
        near_miss_code="SD112",
    )

    low: Number | None = None
    high: Number | None = None
    inputs: dict[str, bool | Range | Number] = {}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("a range has two ends: `low` and `high`")
        clip_ordered(self.low, self.high)
        return self

    def check(self, context: Static) -> None:
        """Report inputs of which nothing is said, and what is said of inputs that are none, or of another kind."""
        kinds, sizes = dtypes(context.base), input_sizes(context.base)
        strange = [name for name in self.inputs if name not in kinds]
        if strange:
            there = ", ".join(f"`{name}`" for name in kinds)
            say(f"the network takes no input `{strange[0]}`", self.span, context, f"inputs here: {there}")
        elif same_sizes(self.span, context):
            unlike = next(filter(None, (self._unlike(name, dtype) for name, dtype in kinds.items())), None)
            free = next((name for name in kinds if None in sizes[name]), "")
            if unlike:
                say(unlike[0], self.span, context, unlike[1])
            elif self.low is not None and not any(d in FLOATS and n not in self.inputs for n, d in kinds.items()):
                text = "`low` and `high` are ends of real numbers, and no input of real numbers is left to have them"
                say(text, self.span, context, "name the range of tokens: `domain(INPUT = 0..9)`, or write `domain()`")
            elif free:
                text = f"the input `{free}` has free sizes, and a domain speaks of inputs of one size"
                say(text, self.span, context, "state the sizes in `input = …`, or name examples: `box(data, eps = …)`")

    def _unlike(self, name: str, dtype: str) -> tuple[str, str] | None:
        """Return what does not fit of what is said of an input, and what would."""
        given = self.inputs.get(name)
        if dtype == "bool":
            fits = isinstance(given, bool)
            return None if fits else (f"`{name}` is of booleans, which are no range", f"fix them: `{name} = true`")
        if isinstance(given, bool):
            return f"`{name}` is of {dtype}, not of booleans", f"write a range: `{name} = 0..1`"
        if dtype in FLOATS:
            fits = given is not None or self.low is not None
            return None if fits else (f"nothing is said of `{name}`", f"write its range: `domain({name} = 0..1)`")
        ends = (given.first, given.last) if isinstance(given, Range) else () if given is None else (given,)
        fits = all(end.denominator == 1 for end in ends) and not (isinstance(given, Range) and given.first < 0)
        return None if fits else (f"`{name}` is of {dtype}", f"write whole numbers from 0: `{name} = 0..9`")

    def constants(self, interface: Interface) -> frozenset[str]:
        """Return the inputs that have one value."""
        return frozenset(name for name, given in self.inputs.items() if not isinstance(given, Range))

    def said(self) -> str:
        """Return the declared range."""
        parts = []
        if self.low is not None and self.high is not None:
            parts.append(f"numbers from {number_text(self.low)} to {number_text(self.high)}")
        for name, given in self.inputs.items():
            if isinstance(given, Range):
                parts.append(f"`{name}` from {number_text(given.first)} to {number_text(given.last)}")
            else:
                parts.append(f"`{name}` = {str(given).lower() if isinstance(given, bool) else number_text(given)}")
        return f"every input with {', '.join(parts)}" if parts else "every input"

    def input_sets(self, runtime: Runtime, inside: str = "") -> "dict[str, InputSet]":
        """Return one box for each input of real numbers, the tokens of each other, and the constants."""
        from surgery_dsl.evidence.bounds.input_sets import Tokens

        if inside:
            raise LookupError("a declared range says nothing of the sizes inside of a network")
        found: dict[str, InputSet] = {}
        kinds = dtypes(runtime.interface)
        for name, sizes in input_sizes(runtime.interface).items():
            shape, given = tuple(size or 0 for size in sizes), self.inputs.get(name)
            if given is not None and not isinstance(given, Range):
                found[name] = _constant(given, kinds[name], shape)
            elif kinds[name] in FLOATS:
                low, high = (self.low, self.high) if given is None else (given.first, given.last)
                assert low is not None
                assert high is not None
                found[name] = _box(below(low), above(high), shape)
            elif given is None:
                found[name] = Tokens((1, *shape))
            else:
                found[name] = Tokens((1, *shape), None, int(given.first), int(given.last))
        return found


def _box(low: float, high: float, shape: tuple[int, ...]) -> "Box":
    import torch

    from surgery_dsl.evidence.bounds.region import Box

    return Box(*(torch.full((1, 1, *shape), end, dtype=torch.float64) for end in (low, high)))


def _constant(given: bool | Number, dtype: str, shape: tuple[int, ...]) -> "Fixed":
    import torch

    from surgery_dsl.evidence.bounds.input_sets import Fixed
    from surgery_dsl.trace.dtypes import BY_NAME

    return Fixed(torch.full((1, *shape), given if isinstance(given, bool) else float(given), dtype=BY_NAME[dtype]))
