"""``bottleneck(width = 16)``: a small residual branch behind a block."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import InsertModule, ModuleSpec
from surgery_dsl.interface.fragment import Built, bottleneck
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import checked_hosts, created, host_has_no, keep_step, refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import insert_child, runs_of
from surgery_dsl.vocabulary.transforms._values import has_number, size_text, works_on_channels
from surgery_dsl.vocabulary.word import Card


@final
class Bottleneck(Transform):
    """An adapter: `x + up(act(down(x)))` on the last dimension, behind or before a module.

    Arguments:
        width: Units of the narrow inside.
        act: The activation between the two layers.
        init: `zero` starts `up` at zero, so that nothing changes until training moves it; `small` draws both layers
            with standard deviation 0.01, as the paper does.
        seed: Seed of what is drawn.

    Static rule:
        The host gets a child of the step's name with two linear layers: 2 · width · features + width + features
        parameters. Exact with `init = "zero"`, because the branch adds zero. Refused: a host that is not called or
        does not make one tensor of one (SD241, SD242), features that are no number (SD248), values whose channels are
        not their last dimension (SD244), a taken name (SD247), a shared host without `scope` (SD310).

    Runtime rule:
        `down` is drawn from N(0, 2 / features); `up` and the biases are zero. `small` draws both from N(0, 0.01²).

    Source:
        Houlsby et al., Parameter-efficient transfer learning for NLP, ICML 2019, section 2.1.

    Raises:
        SD240, SD241, SD242, SD244, SD247, SD248, SD310.
    """

    places: ClassVar[frozenset[str]] = frozenset({"after", "before"})
    positional: ClassVar[tuple[str, ...]] = ("width",)
    card: ClassVar[Card] = Card(
        summary="Add a narrow residual branch that starts as the identity",
        source="Houlsby et al., ICML 2019, section 2.1",
        example='bottleneck(width = 16, act = "gelu", init = "zero")',
        near_miss="bottleneck(width = 0)",
        near_miss_code="SD112",
        function="exact",
        interface=frozenset({"topology"}),
        needs=frozenset({"seed"}),
    )

    width: Annotated[int, Field(ge=1)]
    act: Literal["gelu", "relu", "silu", "leaky_relu"] = "gelu"
    init: Literal["zero", "small"] = "zero"
    seed: int = 0

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Insert the branch into each host."""
        scene = Scene.of_static(place, context, self.span)
        targets = checked_hosts(scene, draft)
        if targets is None:
            return refused(place)
        runs = runs_of(draft, targets)
        fits = True
        for target, own in zip(targets, runs, strict=True):
            for run in own:
                value = _flowing(place, run)
                dims = draft.values[value].dims
                if not dims or works_on_channels(draft, value):
                    size = size_text(draft, dims[1]) if dims else "no"
                    scene.say(
                        shapes.SITE_DOES_NOT_FIT,
                        f"a bottleneck works on the last dimension; what flows at `{target.path}` has {size} channels "
                        "in its second",
                        path=target.path,
                        help="name a site behind which features are the last dimension",
                    )
                    fits = False
                elif not has_number(scene, draft, target, dims[-1], "a bottleneck"):
                    fits = False
        for target, own in zip(targets, runs, strict=True):
            fits = fits and keep_step(scene, draft, target, [_flowing(place, run) for run in own])
        if not fits:
            return refused(place)
        brings: list[str] = []
        for target, own in zip(targets, runs, strict=True):
            brings += insert_child(draft, target, own, place, self._body)
        exact = self.init == "zero"
        return Effect(
            function="exact" if exact else "changing",
            rule="zero_branch" if exact else "",
            reason="the branch adds zero" if exact else "the branch adds small values",
            brings=tuple(brings),
            creates=created(draft),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _body(self, draft: Draft, path: str, run: Run, value: int) -> Built:
        return bottleneck(draft, path, value, self.width, self.act, draft.values[value].dtype)

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Insert a branch into each host, with its values."""
        import torch

        from surgery_dsl.kernels.initializers import kaiming_
        from surgery_dsl.trace.dtypes import BY_NAME

        draft = Draft(runtime.interface)
        targets = Scene.of_runtime(place, runtime, self.span).targets() or ()
        generator = runtime.generator(self.seed)
        changes = []
        for target, (run, *_) in zip(targets, runs_of(draft, targets), strict=True):
            host_has_no(place, runtime, target)
            value = draft.values[_flowing(place, run)]
            features, dtype = runtime.interface.exact(value.dims[-1]), BY_NAME[value.dtype]
            if features is None:
                raise ValueError(f"the size of {target.path} is not known")
            down = torch.empty(self.width, features, dtype=dtype)
            up = torch.zeros(features, self.width, dtype=dtype)
            if self.init == "zero":
                kaiming_(down, generator)
            else:
                for weight in (down, up):
                    weight.normal_(0.0, 0.01, generator=generator)
            spec = ModuleSpec(
                type="surgery_dsl.Bottleneck",
                arguments={"features": features, "width": self.width, "act": self.act},
                dtype=value.dtype,
            )
            path = f"{target.path}.{place.name}" if target.path else place.name
            tensors = {"down.weight": down, "down.bias": torch.zeros(self.width, dtype=dtype)}
            tensors |= {"up.weight": up, "up.bias": torch.zeros(features, dtype=dtype)}
            changes.append(
                Change(
                    edit=InsertModule(host=target.path, name=place.name, where=place.where, spec=spec),
                    tensors={f"{path}.{name}": tensor for name, tensor in tensors.items()},
                )
            )
        return changes


def _flowing(place: Place, run: Run) -> int:
    return run.outputs[0] if place.where == "after" else run.inputs[0]
