"""``lora(rank = 16)``: a small trainable update beside a frozen layer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import InsertModule, ModuleSpec, Untie
from surgery_dsl.interface.fragment import Built, low_rank_adapter
from surgery_dsl.interface.sums import size_range
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.initializers.kaiming import Kaiming
from surgery_dsl.vocabulary.kinds import InitializerSlot, Transform
from surgery_dsl.vocabulary.transforms._adapters import (
    adapters_of,
    inserted_into,
    own_name,
    tie_is_said,
    tied,
)
from surgery_dsl.vocabulary.transforms._insertion import created, host_has_no, refused
from surgery_dsl.vocabulary.transforms._layers import Layer, linear_layers
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import insert_child
from surgery_dsl.vocabulary.transforms._ties import untie
from surgery_dsl.vocabulary.transforms._values import name_is_free
from surgery_dsl.vocabulary.word import Card


@final
class Lora(Transform):
    """A low-rank update beside a linear layer: `W x + (alpha / rank) · B A x`, where B starts at zero.

    Arguments:
        rank: Units between A and B, at most as many as the layer's narrower side has.
        alpha: Factor on the update, divided by the rank; left out, it is the rank, so that the factor is 1.
        dropout: Share of the layer's inputs that the update drops in training, from 0 to below 1.
        init: How A is drawn.
        seed: Seed of what is drawn.

    Static rule:
        The layer stays as it is, under its own name; it gets a child of the step's name with `down` (rank, in) and
        `up` (out, rank): rank · (in + out) parameters, which `train = only(STEP)` trains alone. Exact, because B is
        zero. Refused: a site that is no plain linear layer, or one into which something else was inserted (SD244), a
        rank above the layer's narrower side (SD245), tied weights where the step does not say `tie` (SD230), a taken
        name (SD247), a shared layer without `scope` (SD310).

    Runtime rule:
        `down` is drawn by `init`, `up` is zero, both in the dtype of the weight. `merge()` folds them back.

    Source:
        Hu et al., LoRA: Low-rank adaptation of large language models, ICLR 2022, section 4.1.

    Raises:
        SD230, SD240, SD241, SD242, SD244, SD245, SD247, SD310.
    """

    positional: ClassVar[tuple[str, ...]] = ("rank",)
    card: ClassVar[Card] = Card(
        summary="Add a low-rank update that starts at zero beside a frozen layer",
        source="Hu et al., ICLR 2022, section 4.1",
        example="lora(rank = 4, alpha = 8)",
        near_miss="lora(rank = 49)",
        near_miss_code="SD245",
        function="exact",
        interface=frozenset({"topology"}),
        needs=frozenset({"seed"}),
    )

    rank: Annotated[int, Field(ge=1)]
    alpha: Annotated[float, Field(gt=0)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    init: InitializerSlot = Kaiming()
    seed: int = 0

    @property
    def scale(self) -> float:
        """Factor on the update."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Insert an adapter around each layer."""
        scene = Scene.of_static(place, context, self.span)
        layers = linear_layers(scene, draft, "lora", stays=True)
        fitting = [self._fits(scene, draft, layer) for layer in layers or ()]
        if layers is None or not all(fitting):
            return refused(place)
        names = [own_name(layer.target.path, layer.weight) for layer in layers]
        if not tie_is_said(scene, names):
            return refused(place)
        if scene.tie == "untie" and not untie(scene, draft, tied(draft.before, names)):
            return refused(place)
        brings: list[str] = []
        for layer in layers:
            brings += insert_child(draft, layer.target, layer.runs, replace(place, where="around"), self._body(layer))
        return Effect(
            function="exact",
            rule="zero_branch",
            reason="the update starts at zero",
            brings=tuple(brings),
            creates=created(draft),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _body(self, layer: Layer) -> "_Body":
        return _Body(self, layer.dtype)

    def _fits(self, scene: Scene, draft: Draft, layer: Layer) -> bool:
        path = layer.target.path
        others = [one for one in inserted_into(scene.interface, path) if one not in adapters_of(scene.interface, path)]
        if others:
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"an earlier step put `{others[0]}` into `{path}`, so an update beside the layer alone could not be "
                "merged",
                path=path,
                help="add the low-rank update before that step",
            )
            return False
        if not name_is_free(scene, draft, layer.target):
            return False
        return self._narrow(scene, draft, layer)

    def _narrow(self, scene: Scene, draft: Draft, layer: Layer) -> bool:
        """Report a rank above the narrower side of the smallest layer that may stand here."""
        sizes = [found[0] for found in (size_range(draft.axes, layer.out), size_range(draft.axes, layer.read)) if found]
        if not sizes or self.rank <= min(sizes):
            return True
        scene.say(
            shapes.RANK_TOO_HIGH,
            f"`{layer.weight}` has rank {min(sizes)} at most, and the update would have rank {self.rank}",
            path=layer.weight,
            facts={"rank": self.rank, "most": min(sizes)},
            help=f"write `rank = {min(sizes)}` or less",
            at_word=True,
        )
        return False

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Insert an adapter around each layer, with its values."""
        import torch

        from surgery_dsl.trace.dtypes import BY_NAME

        interface = runtime.interface
        layers = linear_layers(Scene.of_runtime(place, runtime, self.span), Draft(interface), "lora", stays=True) or ()
        generator = runtime.generator(self.seed)
        names = [own_name(layer.target.path, layer.weight) for layer in layers]
        changes = [Change(edit=Untie(tensor=n)) for n in tied(interface, names)] if place.tie == "untie" else []
        for layer in layers:
            host_has_no(place, runtime, layer.target)
            out, read = interface.exact(layer.out), interface.exact(layer.read)
            if out is None or read is None:
                raise ValueError(f"the size of {layer.weight} is not known")
            down = torch.empty(self.rank, read, dtype=BY_NAME[layer.dtype])
            self.init.fill(down, generator)
            path = f"{layer.target.path}.{place.name}"
            spec = ModuleSpec(
                type="surgery_dsl.LowRankAdapter",
                arguments={
                    "in_features": read,
                    "out_features": out,
                    "rank": self.rank,
                    "scale": self.scale,
                    "dropout": self.dropout,
                },
                dtype=layer.dtype,
            )
            changes.append(
                Change(
                    edit=InsertModule(host=layer.target.path, name=place.name, where="around", spec=spec),
                    tensors={
                        f"{path}.down.weight": down,
                        f"{path}.up.weight": torch.zeros(out, self.rank, dtype=BY_NAME[layer.dtype]),
                    },
                )
            )
        return changes


class _Body:
    """Builds the adapter of one layer in a draft. Final."""

    def __init__(self, word: Lora, dtype: str) -> None:
        self.word, self.dtype = word, dtype

    def __call__(self, draft: Draft, path: str, run: Run, value: int) -> Built:
        """Add the adapter around what the layer gives."""
        word = self.word
        return low_rank_adapter(
            draft, path, value, run.inputs[0], word.rank, word.scale, bool(word.dropout), self.dtype
        )
