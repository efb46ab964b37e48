"""The certificate: an in-toto statement (v1) whose predicate keeps proved, bounded, measured and assumed apart.

Grades mean: ``proved`` by ``check`` for every outcome and every free size; ``bounded`` by bound propagation over a
region; ``measured`` on the stated data, and no more than that; ``assumed`` neither. Numbers that must be exact stand
as text. Nothing in it names a person, a machine or a path outside the result.
"""

from typing import Final, Literal

from pydantic import Field

from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence, TouchedData
from surgery_dsl.certificate.health import Health
from surgery_dsl.certificate.search_record import SearchRecord
from surgery_dsl.interface.model import Data

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:surgery-dsl:certificate:1"


class Digest(Data):
    """A SHA-256 in hexadecimal."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Subject(Data):
    """A file of the result, matched by digest alone."""

    name: str
    digest: Digest


class Input(Data):
    """Something the run read: the plan, the lock, weights, a source file, a data set."""

    name: str
    role: Literal["plan", "lock", "weights", "source", "data"]
    digest: Digest


class Parameter(Data):
    """A ``param`` of the plan: the value in force and the one the plan gives."""

    name: str
    value: str
    default: str


class Environment(Data):
    """What the run ran on."""

    tool: str
    python: str
    torch: str
    device: str
    dtype: str
    seed: int
    threads: int
    deterministic: bool


class Claim(Data):
    """One obligation and what became of it.

    Attributes:
        verb: ``prove``, ``certify`` or ``measure``; ``always`` for those that hold without being written.
        kind: What it is about: ``budget``, ``shapes``, ``contract``, ``metric``, ``reload`` …
        statement: The line of the plan, or what is claimed.
        step: The block it stands in or speaks of.
        line: Line of the plan, where there is one.
        status: What was found.
        method: How: the proof tier, the data set and number of samples, the reload.
        value: What was found, exact or to full precision.
        limit: What it had to keep.
        margin: Distance from the limit, positive where it is kept.
        note: What the claim does not say, or why it failed.
        evidence: What it rests on, where others can compute it again.
    """

    verb: Literal["prove", "certify", "measure", "always"]
    kind: str
    statement: str
    step: str = ""
    line: int | None = None
    status: Literal[
        "proved", "refuted", "undecided", "passed", "failed", "too weak", "vacuous", "to measure", "assumed"
    ]
    method: str
    value: str = ""
    limit: str = ""
    margin: str = ""
    note: str = ""
    evidence: BoundEvidence | StatisticalEvidence | None = Field(default=None, discriminator="kind")


class Claims(Data):
    """All claims, by grade."""

    proved: tuple[Claim, ...] = ()
    bounded: tuple[Claim, ...] = ()
    measured: tuple[Claim, ...] = ()
    assumed: tuple[Claim, ...] = ()


class PoolRecord(Data):
    """Asked against achieved for one pool of a selection."""

    pool: str
    units: int
    asked: str
    taken: int
    kept: int


class SelectionRecord(Data):
    """What one ``identify`` selected; ``stage`` counts from 1 where a schedule selects several times.

    ``sites`` of the ``sites_of_kind`` that the network has, by the ``words`` that name them.
    """

    step: str
    unit: str
    stage: int = 1
    sites: int
    sites_of_kind: int
    words: tuple[str, ...] = ()
    pools: tuple[PoolRecord, ...]


class StepRecord(Data):
    """What one step did: matched against changed, its effect, the tensors it wrote."""

    step: str
    block: str
    stage: int = 1
    effect: str
    reason: str = ""
    matched: int = 0
    changed: int = 0
    tensors_written: int = 0
    seconds: float = 0.0


class TrainingRecord(Data):
    """What one run of a ``recover`` did."""

    step: str
    stage: int = 1
    epochs: int
    optimizer_steps: int
    samples: int
    trained_tensors: int
    first_loss: float
    last_loss: float
    losses: tuple[float, ...]
    seconds: float
    note: str = ""


class Surgery(Data):
    """The surgery certificate K_surg (reference: UP-Surgery, step 10).

    Attributes:
        magnitude: ‖Δθ‖/‖θ‖ right after the last structural step, before recovery; removed entries count as set to
            zero, new tensors are left out.
        immediate_loss_change: Loss after surgery, before any recovery, minus the base loss, on ``data``.
        samples_to_recover: Training samples seen, repetitions counted.
        recovered_loss: Loss at the end.
        base_loss: Loss of the base.
        data: Data set of the losses; empty where the plan names none with a loss.
    """

    magnitude: float | None
    immediate_loss_change: float | None
    samples_to_recover: int
    recovered_loss: float | None
    base_loss: float | None
    data: str = ""


class EfficiencyRow(Data):
    """One row: before, after, and the share saved (a drop for ``accuracy``: before − after).

    Each figure stands for itself: zeros are not parameters removed, and neither is speed. What was not measured has no
    row.

    Attributes:
        quantity: ``memory`` is that of the weights; ``disk`` the bytes of the files they lie in; ``peak_memory`` what
            inference holds at once; ``latency`` the median time of a forward.
        unit: What it counts in.
        before: Of the base.
        after: Of the result.
        saving: 1 − after / before.
        how: ``counted`` exactly, ``estimated`` from the interface, or ``measured`` on this machine or on data.
        conditions: What it holds for: input sizes, batch, device, threads, dtype, number of runs.
        before_spread: First and third quartile of the runs, where there are several.
        after_spread: The same of the result.
    """

    quantity: Literal["params", "flops", "macs", "memory", "nonzero", "disk", "peak_memory", "latency", "accuracy"]
    unit: str
    before: float
    after: float
    saving: float
    how: Literal["counted", "estimated", "measured"] = "counted"
    conditions: str = ""
    before_spread: tuple[float, float] | None = None
    after_spread: tuple[float, float] | None = None

    @property
    def within_spread(self) -> bool:
        """Whether the middle halves of the runs overlap: then their medians tell no difference."""
        if self.before_spread is None or self.after_spread is None:
            return False
        return self.before_spread[0] <= self.after_spread[1] and self.after_spread[0] <= self.before_spread[1]


class Predicate(Data):
    """The claims of one run and what they rest on.

    ``seal`` is the SHA-256 of the canonical statement whose seal is empty: it shows accidents, not who made them.
    """

    format: Literal["1"] = "1"
    verdict: Literal["accepted", "refused"]
    plan: str
    parameters: tuple[Parameter, ...] = ()
    inputs: tuple[Input, ...]
    environment: Environment
    claims: Claims
    selections: tuple[SelectionRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    training: tuple[TrainingRecord, ...] = ()
    surgery: Surgery
    efficiency: tuple[EfficiencyRow, ...] = ()
    health: Health | None = None
    touched: tuple[TouchedData, ...] = ()
    search: SearchRecord | None = None
    conventions: dict[str, str] = {}
    seal: str = Field(default="", pattern="^([0-9a-f]{64})?$")


class Statement(Data):
    """The whole file."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT_TYPE, alias="_type")
    subject: tuple[Subject, ...]
    predicateType: Literal["urn:surgery-dsl:certificate:1"] = PREDICATE_TYPE
    predicate: Predicate
