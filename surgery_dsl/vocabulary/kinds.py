"""The kinds of words, and the rules that a word of each kind defines.

Static rules see interfaces and facts; runtime rules see a live model and import torch in their bodies. All
classes here are abstract; the words in the folders are final.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticKnownError

from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.selection import Picked, Pool, Rounding, Selection, Site
from surgery_dsl.vocabulary.word import NumberOr, Slot, Word

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.bounds.claimed import Claimed
    from surgery_dsl.evidence.bounds.input_sets import InputSet
    from surgery_dsl.evidence.named_inputs import Inputs


# ---- where and which ---------------------------------------------------------------------------------------------


class SiteWord(Word, ABC):
    """Finds places in a network by a path pattern (folder ``sites``)."""

    @abstractmethod
    def resolve(self, interface: Interface, context: Static) -> tuple[Site, ...]:
        """Return the sites in module order; what matches nothing is reported with the closest paths."""


class Unit(Word, ABC):
    """What is picked: weights, channels, modules (folder ``units``)."""

    @abstractmethod
    def pools(self, sites: tuple[Site, ...], context: Static) -> tuple[Pool, ...]:
        """Return the units that are ranked together; what cannot be picked is reported."""


class Criterion(Word, ABC):
    """Scores units; the lowest score matters least (folder ``criteria``).

    Attributes:
        units: Names of the units it can score.
    """

    units: ClassVar[frozenset[str]]

    def check(self, unit: str, pools: tuple[Pool, ...], context: Static) -> None:
        """Report what the criterion needs and the plan does not give (labels, a norm after the site …)."""

    @abstractmethod
    def scores(self, unit: str, pools: tuple[Pool, ...], runtime: Runtime) -> "Mapping[str, torch.Tensor]":
        """Return scores by pool key: float tensors of shape ``(pool.size,)``, for weights of the tensor's shape."""


class Take(Word, ABC):
    """Says how many units are taken, or finds them itself (folder ``takes``).

    Attributes:
        needs_scores: Whether a criterion must rank the units.
        finds: Whether it looks for units itself, and may find any number of them.
    """

    needs_scores: ClassVar[bool] = True
    finds: ClassVar[bool] = False

    def silent_on(self) -> "Region | None":
        """Return the region on which the units that it takes are proved to give 0, where they are."""
        return None

    @abstractmethod
    def select(
        self,
        pools: tuple[Pool, ...],
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        context: Static,
    ) -> tuple[tuple[Extent, ...], Extent | None, tuple[tuple[int, ...] | None, ...]]:
        """Return counts taken of each pool, their total where it is fixed, and units where the plan fixes them."""

    @abstractmethod
    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Take the units. Ties break by index."""


class Mode(Word, ABC):
    """What ``excise`` does with a selection (folder ``modes``)."""

    @abstractmethod
    def transfer(self, selection: Selection, draft: Draft, context: Static) -> Effect:
        """Rewrite the draft for every outcome of the selection."""

    @abstractmethod
    def execute(self, picked: Picked, runtime: Runtime) -> Sequence[Change]:
        """Return the changes, in order."""


class Transform(Word, ABC):
    """What ``replace`` puts at, after, before or around sites (folder ``transforms``).

    Attributes:
        places: Which of ``at``, ``after``, ``before``, ``around`` it can act at.
        accepts_selection: Whether ``at`` may name an ``identify`` step.
    """

    places: ClassVar[frozenset[str]] = frozenset({"at"})
    accepts_selection: ClassVar[bool] = False

    @abstractmethod
    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Rewrite the draft as the runtime rule will change the network."""

    @abstractmethod
    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Return the changes, in order; the runtime's interface is the one before the step."""


class Initializer(Word, ABC):
    """Fills new or re-started tensors (folder ``initializers``)."""

    @abstractmethod
    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a weight of shape ``(out, in, …)`` in place."""


# ---- training ----------------------------------------------------------------------------------------------------


class Loss(Word, ABC):
    """A term of a training loss (folder ``losses``)."""

    def check(self, outputs: Interface, data: DataFacts, context: Static) -> None:
        """Report a loss that does not fit the network's outputs or the targets."""

    @abstractmethod
    def value(
        self, outputs: "torch.Tensor", inputs: "Inputs", targets: "torch.Tensor", runtime: Runtime
    ) -> "torch.Tensor":
        """Return the mean over the batch, a scalar with gradient."""


class Optimizer(Word, ABC):
    """Builds an optimizer; always called after surgery, so that no state is stale (folder ``optimizers``)."""

    @abstractmethod
    def build(self, groups: "list[dict[str, Any]]") -> "torch.optim.Optimizer":
        """Build it for parameter groups; each has ``params`` and may have ``lr`` (already resolved)."""


class Schedule(Word, ABC):
    """A number that depends on the step alone (folder ``schedules``)."""

    @abstractmethod
    def at(self, step: int, total: int, start: float) -> float:
        """Return the value at ``step`` of ``total`` (0 ≤ step < total), where ``start`` is the plain value."""


class Rates(Word, ABC):
    """Learning rates that differ between parameter groups (folder ``rates``)."""

    @abstractmethod
    def groups(self, tensors: Sequence[str], interface: Interface) -> tuple[tuple[float, tuple[str, ...]], ...]:
        """Split the trained tensors into groups of one learning rate each."""


class Trainable(Word, ABC):
    """Which tensors a ``recover`` may change (folder ``trainables``)."""

    @abstractmethod
    def tensors(self, epoch: int, interface: Interface, brought: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
        """Return the names of the parameters that may change in an epoch; ``brought`` maps steps to module paths."""

    def check(self, context: Static) -> None:
        """Report what it names and does not exist, and a choice that freezes everything."""


# ---- control -----------------------------------------------------------------------------------------------------


class Quantity(Word, ABC):
    """A number that a gate reads (folder ``quantities``).

    Attributes:
        unit: What it counts in: ``count``, ``bytes``, ``share``, ``number``, ``seconds``.
        least: The least value it can ever have, ``None`` where there is none; with ``most`` it finds gates that
            cannot fail.
        static: Whether :meth:`bounds` is defined (``prove``).
        denominator: :meth:`bounds` counts in one ``denominator``-th of the unit (more than 1 for shares).
        attained: Whether some outcome reaches each of two different bounds, so that a bound beyond a limit refutes.
        certifies: What ``certify`` can bound over a region: the quantity ``itself``, its ``increase`` over the base,
            or nothing; a ``count`` of what is proved over a region is measured.
        within_run: Whether only the run that makes a result can measure it, because it speaks of a step.
        remedy: What helps where a line that reads it does not hold; empty for what helps anywhere.
    """

    unit: ClassVar[Literal["count", "bytes", "share", "number", "seconds"]]
    least: ClassVar[float | None] = None
    most: ClassVar[float | None] = None
    static: ClassVar[bool] = False
    denominator: ClassVar[int] = 1
    attained: ClassVar[bool] = False
    certifies: ClassVar[Literal["", "itself", "increase", "count"]] = ""
    within_run: ClassVar[bool] = False
    remedy: ClassVar[str] = ""

    def counts_in(self) -> Literal["count", "bytes", "share", "number", "seconds"]:
        """Return the unit of this use of the word, where its arguments decide it."""
        return self.unit

    def examples(self, facts: DataFacts) -> int:
        """Return how many examples of its data set are read: all, unless an argument says otherwise."""
        return facts.count

    def nominal(self) -> Mapping[str, int]:
        """Return the free sizes that this use of the word states; proofs put them in, measurements run at them."""
        return {}

    def check(self, context: Static) -> None:
        """Report what the quantity needs and the network or the data does not give."""

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return lower and upper polynomials over axes, for ``context.interface`` at the point that is read.

        They are equal where the count is a polynomial. Exact sizes may already stand in them as numbers.
        """
        raise LookupError(f"{self.name} has no static rule")

    def reached(self, interface: Interface, context: Static) -> bool:
        """Return whether some outcome reaches each of two different bounds here."""
        return self.attained

    def claimed(self, runtime: Runtime) -> "Claimed":
        """Return what is bounded over a region, for quantities that ``certify`` knows."""
        raise LookupError(f"{self.name} has no bound")

    @abstractmethod
    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return its value on a model. Counts are exact integers as floats up to 2**53."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a predicate found: whether it holds for every outcome, why, and which steps and tensors decide it."""

    holds: bool
    reason: str
    steps: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class Predicate(Word, ABC):
    """A property that ``prove`` states without a comparison (folder ``predicates``)."""

    @abstractmethod
    def decide(self, context: Static) -> Ruling:
        """Return whether it holds for every outcome, and why."""


class Region(Word, ABC):
    """A set of inputs that ``certify`` speaks of (folder ``regions``): boxes of numbers, tokens, and constants.

    Attributes:
        around_examples: Whether every box stands around one example of ``data``, whose label it has.
    """

    around_examples: ClassVar[bool] = False

    def check(self, context: Static) -> None:
        """Report what the region needs and the network's input, or the data, does not give."""

    @abstractmethod
    def said(self) -> str:
        """Return which inputs are meant, in words that follow ``for ``."""

    @abstractmethod
    def input_sets(self, runtime: Runtime, inside: str = "") -> "Mapping[str, InputSet]":
        """Return what each input may be, by its name, on the CPU; B regions lie side by side in all of them.

        ``inside`` names a module of the base: then it is what that is given, and not the network's inputs. A
        ``LookupError`` says why what there is cannot be bounded.
        """

    def constants(self, interface: Interface) -> frozenset[str]:
        """Return the inputs that have one value in all of the region, by name, as far as a plan can tell."""
        return frozenset()

    def labels(self, runtime: Runtime) -> "torch.Tensor | None":
        """Return the class of each box, ``[B]``, where the boxes stand around labelled examples."""
        return None


# ---- loading -----------------------------------------------------------------------------------------------------


class ModelLoader(Word, ABC):
    """Builds the architecture of a model (folder ``models``).

    Attributes:
        makes_inputs: Whether its networks say what they take, so that a plan may leave ``input`` out.
    """

    makes_inputs: ClassVar[bool] = False

    @abstractmethod
    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return the files that define the structure; their digests tell drift."""

    def moved(self, place: str) -> "ModelLoader":
        """Return the loader that reads its files, by their own names, from the folder ``place``.

        Itself, which is the default, where its files keep their places in a result.
        """
        return self

    def grant(self) -> str:
        """Return the ``module:function`` that a grant must cover, or the empty string."""
        return ""

    def weights(self) -> str:
        """Return where the loader's own weights stand, as a plan would name them; empty where it has none."""
        return ""

    @abstractmethod
    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Build the module; ``device`` may be ``meta``."""

    def pretrained(self, folder: Path) -> "torch.nn.Module":
        """Build the module on the CPU with the loader's own weights, where these need converting."""
        raise LookupError(f"{self.name} has no weights of its own")


class DataLoader(Word, ABC):
    """Loads a data set (folder ``datasets``).

    Attributes:
        tokens: Whether targets are the tokens of the inputs, −100 where one does not count.
    """

    tokens: ClassVar[bool] = False

    def grant(self) -> str:
        """Return the ``module:function`` that a grant must cover, or the empty string."""
        return ""

    @abstractmethod
    def load(self, folder: Path) -> "tuple[Inputs, torch.Tensor]":
        """Return inputs and targets on the CPU, examples along the first dimension."""

    def load_near(self, folder: Path, near: tuple[Path, ...]) -> "tuple[Inputs, torch.Tensor]":
        """Load what the plan's folder holds; ``near`` are the folders that the patient's structure is read from."""
        return self.load(folder)

    def note(self, near: tuple[Path, ...]) -> str:
        """Return what is worth knowing of how the set is read, in words."""
        return ""


def _positive(value: Any) -> Any:
    """Refuse a plain number that is not above 0; words have bounds of their own."""
    if isinstance(value, float) and not value > 0:
        raise PydanticKnownError("greater_than", {"gt": 0})
    return value


SiteSlot = Annotated[SiteWord, Slot("sites")]
UnitSlot = Annotated[Unit, Slot("units")]
CriterionSlot = Annotated[Criterion, Slot("criteria")]
TakeSlot = Annotated[Take, Slot("takes")]
ModeSlot = Annotated[Mode, Slot("modes")]
TransformSlot = Annotated[Transform, Slot("transforms")]
InitializerSlot = Annotated[Initializer, Slot("initializers")]
LossSlot = Annotated[Loss, Slot("losses")]
OptimizerSlot = Annotated[Optimizer, Slot("optimizers")]
ScheduleSlot = Annotated[Schedule, Slot("schedules")]
TrainableSlot = Annotated[Trainable, Slot("trainables")]
QuantitySlot = Annotated[Quantity, Slot("quantities")]
PredicateSlot = Annotated[Predicate, Slot("predicates")]
ModelLoaderSlot = Annotated[ModelLoader, Slot("models")]
DataLoaderSlot = Annotated[DataLoader, Slot("datasets")]
RateOrNumber = Annotated[float | Schedule | Rates, NumberOr("schedules", "rates"), AfterValidator(_positive)]
NumberOrSchedule = Annotated[float | Schedule, NumberOr("schedules")]
