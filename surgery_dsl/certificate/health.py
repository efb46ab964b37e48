"""How a network fared in a surgery, layer by layer: measured on stated examples, and never a bound."""

from surgery_dsl.interface.model import Data


class LayerHealth(Data):
    """One layer of the base.

    Attributes:
        path: Its path in the base.
        now: Its path now; empty where it is gone.
        weight_change: ‖Δθ‖/‖θ‖ over its own parameters; removed entries count as set to zero.
        output_change: √(Σ‖h′ − h‖² / Σ‖h‖²) of what it gives, over the units that are left.
        gradient: Norm of the loss gradient over its own parameters, now.
        score: ⟨∇L(θ), Δθ⟩ on the base: what its change would cost if the loss were a plane. A score, never a bound.
        note: Which units are compared, or why there is no number.
    """

    path: str
    now: str
    weight_change: float | None = None
    output_change: float | None = None
    gradient: float | None = None
    score: float | None = None
    note: str = ""


class ActivationHealth(Data):
    """What the units of one run of an activation do now.

    Attributes:
        path: Its path, with the number of the run where there are several.
        units: How many units it has.
        dead: Units within 1e-6 of zero on all examples and positions.
        constant: Units with a variance of at most 1e-12; dead ones among them.
        redundant: Units within 1e-3 of a multiple of an earlier one.
        effective_rank: exp of the entropy of the singular values.
    """

    path: str
    units: int
    dead: int
    constant: int
    redundant: int | None = None
    effective_rank: float | None = None


class NormHealth(Data):
    """A norm with running statistics, and how many of its deviations they are from the data's: the worst channel."""

    path: str
    shift: float


class MergedLayer(Data):
    """A layer into which adapters were merged: W became W + U, stored in the dtype of W.

    Attributes:
        path: Its path when the step had run.
        dtype: What its weight is stored in.
        lost: ‖stored − (W + U)‖ / ‖U‖: how much of the update rounding took away, or added.
        vanished: Share of the entries of U that left the stored weight as it was.
        output_change: √(Σ‖h′ − h‖² / Σ‖h‖²) of what it gives, with its adapters before, without them after.
    """

    path: str
    dtype: str
    lost: float | None = None
    vanished: float = 0.0
    output_change: float | None = None


class MergeHealth(Data):
    """How far a merge moved the outputs, measured as the step ran: the network just before it beside that after it.

    Attributes:
        step: The step.
        data: The data set; empty where the plan reads none, or the network could not be copied.
        examples: How many of its examples were read, from the first.
        largest: The greatest change of an output.
        mean: The mean change of an output.
        answers: How many largest outputs were compared, one for each example and position.
        changed: How many of them changed their place.
        layers: The merged layers.
    """

    step: str
    data: str = ""
    examples: int = 0
    largest: float | None = None
    mean: float | None = None
    answers: int = 0
    changed: int = 0
    layers: tuple[MergedLayer, ...] = ()


class Health(Data):
    """The health of the network at the end of a run.

    Attributes:
        data: The data set; empty where the plan reads none.
        examples: How many of its examples were read, from the first.
        layers: Layers of the base, in the order of the forward.
        activations: Activations now, in the order of the forward.
        norms: Norms with running statistics now.
        merges: Merges of adapters, in order.
        notes: What was not measured, and why.
    """

    data: str = ""
    examples: int = 0
    layers: tuple[LayerHealth, ...] = ()
    activations: tuple[ActivationHealth, ...] = ()
    norms: tuple[NormHealth, ...] = ()
    merges: tuple[MergeHealth, ...] = ()
    notes: tuple[str, ...] = ()
