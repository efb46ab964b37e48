"""``svd(rank = 24)``: two thin layers in the place of a wide one."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.fragment import Built, low_rank
from surgery_dsl.interface.parting import recouple
from surgery_dsl.interface.sums import size_range
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import created, refused
from surgery_dsl.vocabulary.transforms._layers import Layer, linear_layers
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import replace_at
from surgery_dsl.vocabulary.word import Card


@final
class Svd(Transform):
    """A linear layer becomes the product of two thin ones, the nearest of their rank.

    Arguments:
        rank: Units between the two layers.

    Static rule:
        `weight` (m, n) becomes `up.weight` (m, rank) and `down.weight` (rank, n) on a new axis; the bias goes on as
        `up.bias`. Bounded: the result moves by at most the first singular value left out, times ‖x‖. Refused: a rank at
        which the factors hold no fewer weights than the matrix, rank ≥ m·n / (m + n), for any outcome of earlier steps
        (SD245), a site that is no plain linear layer (SD244), tied weights without `tie = untie` (SD230).

    Runtime rule:
        The truncated singular value decomposition, singular values shared evenly; float32 at least, on the weight's
        device.

    Source:
        Eckart and Young, 1936; Denton et al., Exploiting linear structure within convolutional networks, NeurIPS 2014.

    Raises:
        SD230, SD240, SD241, SD242, SD243, SD244, SD245, SD310.
    """

    positional: ClassVar[tuple[str, ...]] = ("rank",)
    card: ClassVar[Card] = Card(
        summary="Factor a linear layer into two thin ones",
        source="Eckart and Young, 1936; Denton et al., NeurIPS 2014",
        example="svd(rank = 8)",
        near_miss="svd(rank = 48)",
        near_miss_code="SD245",
        function="bounded",
        interface=frozenset({"topology"}),
    )

    rank: Annotated[int, Field(ge=1)]

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Put two layers in the place of each."""
        scene = Scene.of_static(place, context, self.span)
        layers = linear_layers(scene, draft, "svd")
        saving = [self._saves(scene, draft, layer) for layer in layers or ()]
        if layers is None or not all(saving):
            return refused(place)
        writes: set[str] = set()
        renamed: dict[str, str] = {}
        axes: frozenset[int] = frozenset()
        for layer in layers:
            for path in layer.target.paths:
                writes.add(f"{path}.{layer.weight.rpartition('.')[2]}")
                if layer.bias:
                    renamed[f"{path}.{layer.bias.rpartition('.')[2]}"] = f"{path}.up.bias"

            def body(draft: Draft, path: str, value: int, layer: Layer = layer) -> Built:
                return low_rank(draft, path, value, self.rank, layer.out, layer.dtype, bool(layer.bias))

            axes |= replace_at(draft, layer.target, layer.runs, body)
        if draft.before.ties:
            recouple(draft, axes)
        settle(draft)
        return Effect(
            function="bounded",
            reason="the result moves by at most the first singular value left out, times the norm of the input",
            writes=frozenset(writes),
            brings=tuple(path for layer in layers for path in layer.target.paths),
            creates=created(draft) - frozenset(renamed.values()),
            renamed=renamed,
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _saves(self, scene: Scene, draft: Draft, layer: Layer) -> bool:
        """Report a rank at which the factors are not smaller than the smallest matrix that may stand here."""
        rows, columns = size_range(draft.axes, layer.out), size_range(draft.axes, layer.read)
        if rows is None or columns is None:
            return True
        m, n = rows[0], columns[0]
        if self.rank * (m + n) < m * n:
            return True
        most = max(0, -(-m * n // (m + n)) - 1)
        scene.say(
            shapes.RANK_TOO_HIGH,
            f"at rank {self.rank} the factors of `{layer.weight}` hold {self.rank * (m + n)} weights, "
            f"the matrix itself {m * n}",
            path=layer.weight,
            facts={"rank": self.rank, "break_even": round(m * n / (m + n), 2), "rows": m, "columns": n},
            help=f"write `rank = {most}` or less" if most else "leave this layer out: no rank saves anything",
            at_word=True,
        )
        return False

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Factor each weight."""
        from surgery_dsl.kernels.factorizations import truncated_svd

        layers = linear_layers(Scene.of_runtime(place, runtime, self.span), Draft(runtime.interface), "svd") or ()
        changes = []
        for number, layer in enumerate(layers):
            runtime.progress("factoring", number, len(layers))
            weight = runtime.tensor(layer.weight)
            factors = truncated_svd(weight.t() if layer.transposed else weight, self.rank)
            path = layer.target.path
            tensors = {f"{path}.up.weight": factors.outer_OR, f"{path}.down.weight": factors.inner_RI}
            if layer.bias:
                tensors[f"{path}.up.bias"] = runtime.tensor(layer.bias).detach()
            spec = ModuleSpec(
                type="surgery_dsl.LowRank",
                arguments={
                    "in_features": factors.inner_RI.shape[1],
                    "out_features": factors.outer_OR.shape[0],
                    "rank": self.rank,
                    "bias": bool(layer.bias),
                },
                dtype=layer.dtype,
            )
            changes.append(Change(edit=SetModule(paths=layer.target.paths, spec=spec), tensors=tensors))
        return changes
