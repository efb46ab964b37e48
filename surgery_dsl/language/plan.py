"""The typed plan: what lowering makes of a ``.surg`` file, and what everything else reads.

Frozen data; ``Plan.model_dump_json`` and ``Plan.model_validate_json`` are inverse. Words stand in it as instances
of their classes. Parameters are already put in (:attr:`Plan.params` records the values).
"""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Data
from surgery_dsl.vocabulary.kinds import (
    CriterionSlot,
    DataLoaderSlot,
    ModelLoaderSlot,
    ModeSlot,
    NumberOrSchedule,
    OptimizerSlot,
    PredicateSlot,
    QuantitySlot,
    Schedule,
    ScheduleSlot,
    SiteSlot,
    TakeSlot,
    TrainableSlot,
    TransformSlot,
    UnitSlot,
)
from surgery_dsl.vocabulary.searcher import SearcherSlot
from surgery_dsl.vocabulary.values import Bytes, Number, Percent, Plain, Point, Points, Seconds
from surgery_dsl.vocabulary.word import Names, NumberOr, Slot, Word

ParamValue = Plain | Percent | str


class Block(Data):
    """What every block has. Abstract.

    Attributes:
        name: The block's name.
        span: The header line.
        spans: Where the value of each attribute stands.
    """

    name: str
    span: Span | None = None
    spans: dict[str, Span] = {}


class Param(Block):
    """A value that ``--set`` may change.

    ``value`` is the one in force: between ``least`` and ``most``, or one of ``choices``, where these are given. The
    order of choices is the plan's.
    """

    block: Literal["param"] = "param"
    default: ParamValue
    value: ParamValue
    choices: tuple[ParamValue, ...] = ()
    least: ParamValue | None = None
    most: ParamValue | None = None
    scale: Literal["linear", "log"] = "linear"


class Model(Block):
    """A model. Exactly one has no role: the patient.

    ``inferred`` says that the inputs stand in the lock, not in the plan: they were made from the model itself.
    """

    block: Literal["model"] = "model"
    load: ModelLoaderSlot
    weights: str = ""
    inputs: tuple[InputSpec, ...] = ()
    keyword_inputs: bool = False
    inferred: bool = False
    outputs: tuple[str, ...] = ()
    target: Literal["hf", "timm", "none"] = "none"
    role: Literal["patient", "reference", "partner"] = "patient"


class DataSet(Block):
    """A data set."""

    block: Literal["data"] = "data"
    load: DataLoaderSlot
    batch: int = 64
    split: Annotated[Word | None, Slot("splits")] | None = None


class Environment(Block):
    """An environment for reinforcement learning."""

    block: Literal["env"] = "env"
    load: Annotated[Word, Slot("environments")]
    parallel: int = 1
    seed: int = 0


class Target(Data):
    """What ``in``, ``at``, ``after`` … name: a site word, or an earlier step (``identify`` or ``replace``).

    ``model`` names another model of the plan (``critic.norm("**")``), empty for the patient.
    """

    word: SiteSlot | None = None
    step: str = ""
    model: str = ""
    span: Span | None = None


class Identify(Block):
    """Names a selection and changes nothing."""

    block: Literal["identify"] = "identify"
    sites: tuple[Target, ...]
    expect: int | None = None
    unit: UnitSlot | None = None
    by: CriterionSlot | None = None
    take: TakeSlot | None = None
    per: Literal["site", "global"] = "site"
    round: int | None = None
    floor: int | Percent | None = None
    cap: int | Percent | None = None
    optional: bool = False


class Excise(Block):
    """Removes or zeroes the selection of the same name."""

    block: Literal["excise"] = "excise"
    mode: ModeSlot
    schedule: ScheduleSlot | None = None
    between: tuple[str, ...] = ()
    nest: bool = False
    tie: Literal["keep", "untie"] | None = None
    changes: tuple[Literal["inputs", "outputs", "values"], ...] = ()
    bridge: Annotated[Word, Slot("bridges")] | None = None


class Replace(Block):
    """Puts something at, after, before or around sites."""

    block: Literal["replace"] = "replace"
    where: Literal["at", "after", "before", "around"]
    sites: tuple[Target, ...]
    transform: TransformSlot
    expect: int | None = None
    scope: Literal["site", "all"] | None = None
    tie: Literal["keep", "untie"] | None = None
    changes: tuple[Literal["inputs", "outputs", "values"], ...] = ()
    optional: bool = False


class LossTerm(Data):
    """One term of a weighted sum of losses or penalties."""

    weight: Annotated[float | Schedule, NumberOr("schedules")] = 1.0
    word: Annotated[Word, Slot("losses", "penalties")]


class Recover(Block):
    """Training: changes values, never the interface."""

    block: Literal["recover"] = "recover"
    data: tuple[Annotated[str, Names("data")], ...] = ()
    env: Annotated[str, Names("env")] = ""
    epochs: int | Literal["auto"] | None = None
    steps: int | None = None
    batch: int | Annotated[Word, Slot("schedules", "batches")] | None = None
    optimizer: OptimizerSlot
    schedule: tuple[ScheduleSlot, ...] = ()
    loss: tuple[LossTerm, ...]
    train: TrainableSlot | None = None
    clip: NumberOrSchedule | None = None
    penalty: tuple[LossTerm, ...] = ()
    augment: tuple[Annotated[Word, Slot("augmentations")], ...] = ()
    sample: Annotated[Word, Slot("samplers")] | None = None
    gradient: tuple[Annotated[Word, Slot("gradients")], ...] = ()
    guard: tuple[Annotated[Word, Slot("guards")], ...] = ()
    average: Annotated[Word, Slot("averages")] | None = None
    keep: Annotated[Word, Slot("keeps")] | None = None
    run: Annotated[Word, Slot("engines")] | None = None
    memory: Annotated[Word, Slot("memories")] | None = None
    explore: Annotated[Word, Slot("explorations")] | None = None
    privacy: Annotated[Word, Slot("privacies")] | None = None
    aggregate: Annotated[Word, Slot("aggregations")] | None = None
    seed: int = 0


class Observe(Block):
    """Measures and changes nothing."""

    block: Literal["observe"] = "observe"
    sites: tuple[Target, ...] = ()
    record: tuple[Annotated[Word, Slot("observers")], ...]
    seed: int = 0


class Search(Block):
    """Fills params or chooses cells; ``record`` names the file that says how it was done, empty while it is open."""

    block: Literal["search"] = "search"
    over: tuple[Annotated[str, Names("param")], ...]
    by: SearcherSlot
    goal: Annotated[Word | None, Slot("goals")] | None = None
    record: str = ""
    trials: int | None = None
    seed: int = 0
    workers: int = 1


# ---- control -----------------------------------------------------------------------------------------------------


class Quantified(Data):
    """A number with its unit."""

    node: Literal["literal"] = "literal"
    value: Number | Percent | Points | Bytes | Seconds
    span: Span | None = None

    @property
    def number(self) -> Number:
        """The number that it stands for: a percentage is its share, bytes and seconds their count."""
        if isinstance(self.value, Percent):
            return self.value.share
        if isinstance(self.value, Points):
            return self.value.value / 100
        return self.value.value if isinstance(self.value, Bytes | Seconds) else Fraction(self.value)


class Reading(Data):
    """A quantity at a point: ``base.loss(test)``."""

    node: Literal["reading"] = "reading"
    point: Point
    word: QuantitySlot
    span: Span | None = None


class RunReading(Data):
    """A value of a training run: ``tune.lr``."""

    node: Literal["run_reading"] = "run_reading"
    step: str
    name: str
    span: Span | None = None


class Arithmetic(Data):
    """``left operator right``."""

    node: Literal["arithmetic"] = "arithmetic"
    operator: Literal["+", "-", "*", "/"]
    left: "Expression"
    right: "Expression"
    span: Span | None = None


class Apply(Data):
    """A function of numbers: ``max(…)``, ``abs(…)``, ``mean(…)``."""

    node: Literal["apply"] = "apply"
    function: Literal["max", "min", "abs", "mean", "first", "last"]
    arguments: tuple["Expression", ...]
    span: Span | None = None


Expression = Annotated[Quantified | Reading | RunReading | Arithmetic | Apply, Field(discriminator="node")]


class Comparison(Data):
    """``left relation right``."""

    statement: Literal["comparison"] = "comparison"
    relation: Literal["<=", ">=", "<", ">", "=="]
    left: Expression
    right: Expression


class Property(Data):
    """A predicate: ``exact(wider)``."""

    statement: Literal["property"] = "property"
    word: PredicateSlot


class Obligation(Data):
    """One line of a control block.

    Attributes:
        verb: ``prove``, ``certify`` or ``measure``.
        text: The statement as the plan has it, in canonical spelling.
        statement: What is claimed.
        span: The line.
    """

    verb: Literal["prove", "certify", "measure"]
    text: str
    statement: Annotated[Comparison | Property, Field(discriminator="statement")]
    span: Span | None = None


class Control(Block):
    """Obligations that hold at the block's place."""

    block: Literal["control"] = "control"
    obligations: tuple[Obligation, ...]


Step = Annotated[
    Identify | Excise | Replace | Recover | Observe | Control | Search,
    Field(discriminator="block"),
]


class Plan(Data):
    """A whole plan.

    Attributes:
        file: Path as the user gave it.
        dialect: The number after ``surg``.
        digest: SHA-256 of the text.
        params: Parameters with the values in force.
        models: Models, the patient among them.
        data: Data sets.
        environments: Environments.
        steps: Steps in order.
    """

    file: str
    dialect: int
    digest: str
    params: tuple[Param, ...] = ()
    models: tuple[Model, ...]
    data: tuple[DataSet, ...] = ()
    environments: tuple[Environment, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def patient(self) -> Model:
        """The model that the plan operates on."""
        return next(model for model in self.models if model.role == "patient")
