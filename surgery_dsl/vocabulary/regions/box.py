"""``box``: every input near some examples."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Self, final

from pydantic import Field, model_validator

from surgery_dsl.interface.model import FLOATS, Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._inputs import (
    above,
    below,
    clip_ordered,
    dtypes,
    input_sets,
    same_sizes,
    say,
)
from surgery_dsl.vocabulary.values import Number, number_text
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.bounds.input_sets import InputSet
    from surgery_dsl.evidence.bounds.region import Box as Ends


@final
class Box(Region):
    """The inputs within ``eps`` of one of the first ``samples`` examples: {x : ‖x − x_i‖_∞ ≤ eps for some i}.

    Arguments:
        data: A data block.
        eps: Radius, in the units of the input; more than 0.
        samples: How many examples, from the first; at least 1.
        low: Where given, the least value that an input of the domain has; boxes are cut there.
        high: The greatest.

    Static rule:
        The network takes an input of real numbers; of several inputs the data give each by its name.

    Runtime rule:
        One box for each example, its corners in float64 and moved outward by one unit in the last place, so that every
        point of the ball in real arithmetic is inside. All inputs of real numbers vary, each by itself; tokens are
        those of the example, and what is not a real number and the same in every example is a constant. Booleans that
        differ from example to example are refused.

    Source:
        The l-infinity ball of Szegedy et al. 2014, Intriguing properties of neural networks.
    """

    positional = ("data",)
    around_examples = True
    card: ClassVar[Card] = Card(
        summary="All inputs within a distance of some examples",
        source="The l-infinity ball of Szegedy et al. 2014 (arXiv 1312.6199) and its successors.",
        example="box(test, eps = 1/255, samples = 20)",
        near_miss="box(test, eps = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    eps: Annotated[Number, Field(gt=0)]
    samples: Annotated[int, Field(ge=1)] = 100
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        clip_ordered(self.low, self.high)
        return self

    def check(self, context: Static) -> None:
        """Report inputs without real numbers, and those that are other than the base's."""
        if not any(dtype in FLOATS for dtype in dtypes(context.base).values()):
            text = "the inputs are integers, which have no distance, and a box has no meaning there"
            say(text, self.span, context, f"write `hull({self.data})` or `domain()`: tokens are tried one by one")
        else:
            same_sizes(self.span, context)

    def constants(self, interface: Interface) -> frozenset[str]:
        """Return the booleans."""
        return frozenset(name for name, dtype in dtypes(interface).items() if dtype == "bool")

    def said(self) -> str:
        """Return the examples and the radius."""
        ends = [
            f"{name} = {number_text(end)}" for name, end in (("low", self.low), ("high", self.high)) if end is not None
        ]
        cut = f", cut at {' and '.join(ends)}" if ends else ""
        near = f"every input within {number_text(self.eps)} of one of the first {self.samples} examples"
        return f"{near} of `{self.data}`{cut}"

    def input_sets(self, runtime: Runtime, inside: str = "") -> "dict[str, InputSet]":
        """Return a box around each example, with its tokens."""
        from surgery_dsl.evidence.bounds.region import around

        low = None if self.low is None else below(self.low)
        high = None if self.high is None else above(self.high)

        def box(values: "torch.Tensor") -> "Ends":
            return around(values, above(self.eps), low, high).boxes[0]

        return input_sets(self.data, self.samples, runtime, inside, box, together=False)

    def labels(self, runtime: Runtime) -> "torch.Tensor | None":
        """Return the examples' classes, where targets are classes."""
        import torch

        loaded = runtime.data(self.data)
        if loaded.facts.label_range is None or loaded.facts.target_shape:
            return None
        many = min(self.samples, loaded.facts.count)
        return torch.cat([targets.cpu() for _, targets in loaded.batches(-(-many // loaded.facts.batch))])[:many].long()
