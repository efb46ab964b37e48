"""``deepen(act = "relu")``: one more layer, which at first gives what it gets."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, final

from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import InsertModule, ModuleSpec
from surgery_dsl.interface.fragment import Built, deepened
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import checked_hosts, created, host_has_no, keep_step, refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import insert_child, runs_of
from surgery_dsl.vocabulary.transforms._values import has_number, never_negative, works_on_channels, writers_of
from surgery_dsl.vocabulary.word import Card


@final
class Deepen(Transform):
    """One more layer and activation behind a module; the layer starts as the identity.

    Arguments:
        act: The activation behind the new layer; `identity` for none.

    Static rule:
        The host gets a child of the step's name: a linear layer on the last dimension or, where channels are the
        second, a convolution of kernel size 1; n² + n parameters. What follows may from then on be pruned apart from
        what stands before. Exact where the activation leaves alone what the host gives: ReLU and leaky ReLU behind
        what is never negative (a ReLU, also through pooling), `identity` anywhere. Refused: a host that is not called
        or does not make one tensor of one (SD241, SD242), features that are no number (SD248), a taken name (SD247),
        a shared host without `scope` (SD310).

    Runtime rule:
        Weight 1 on the diagonal, 0 elsewhere; bias 0.

    Source:
        Chen, Goodfellow and Shlens, Net2Net, ICLR 2016, section 2.3 (Net2DeeperNet).

    Raises:
        SD231, SD240, SD241, SD242, SD244, SD247, SD248, SD310.
    """

    places: ClassVar[frozenset[str]] = frozenset({"after"})
    positional: ClassVar[tuple[str, ...]] = ("act",)
    card: ClassVar[Card] = Card(
        summary="Add a layer that starts as the identity",
        source="Chen, Goodfellow and Shlens, ICLR 2016, section 2.3",
        example='deepen(act = "relu")',
        near_miss='deepen(act = "tan")',
        near_miss_code="SD107",
        function="exact",
        interface=frozenset({"topology"}),
    )

    act: Literal["relu", "gelu", "silu", "leaky_relu", "identity"] = "relu"

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Insert the layer into each host, and part what stands before it from what follows."""
        scene = Scene.of_static(place, context, self.span)
        targets = checked_hosts(scene, draft)
        if targets is None:
            return refused(place)
        runs = runs_of(draft, targets)
        fits = True
        exact = True
        writers = writers_of(draft)
        for target, own in zip(targets, runs, strict=True):
            for run in own:
                features = draft.values[run.outputs[0]].dims[1 if works_on_channels(draft, run.outputs[0]) else -1]
                fits = has_number(scene, draft, target, features, "a new layer") and fits
                exact = exact and self._leaves_alone(writers, run.outputs[0])
            fits = fits and keep_step(scene, draft, target, [run.outputs[0] for run in own])
        if not fits:
            return refused(place)
        brings: list[str] = []
        for target, own in zip(targets, runs, strict=True):
            brings += insert_child(draft, target, own, place, self._body)
        weights = [draft.tensors[f"{path}.layer.weight"] for path in brings]
        recouple(draft, {axis for weight in weights for dim in weight.dims for axis in dim})
        settle(draft)
        return Effect(
            function="exact" if exact else "changing",
            rule="identity_layer" if exact else "",
            reason=f"{self.act} leaves alone what the hosts give" if exact else f"{self.act} bends what the hosts give",
            brings=tuple(brings),
            creates=created(draft),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _leaves_alone(self, writers: Mapping[int, Operator], value: int) -> bool:
        return self.act == "identity" or (self.act in ("relu", "leaky_relu") and never_negative(writers, value))

    def _body(self, draft: Draft, path: str, run: Run, value: int) -> Built:
        return deepened(draft, path, value, self.act, works_on_channels(draft, value), draft.values[value].dtype)

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Insert a layer into each host, with its values."""
        from surgery_dsl.kernels.deepening import identity_convolution, identity_linear
        from surgery_dsl.trace.dtypes import BY_NAME

        draft = Draft(runtime.interface)
        targets = Scene.of_runtime(place, runtime, self.span).targets() or ()
        changes = []
        for target, (run, *_) in zip(targets, runs_of(draft, targets), strict=True):
            host_has_no(place, runtime, target)
            value = draft.values[run.outputs[0]]
            rank = len(value.dims) - 2 if works_on_channels(draft, run.outputs[0]) else 0
            features, dtype = runtime.interface.exact(value.dims[1 if rank else -1]), BY_NAME[value.dtype]
            if features is None:
                raise ValueError(f"the size of {target.path} is not known")
            make = identity_convolution(features, (1,) * rank, dtype=dtype) if rank else None
            weight, bias = make if make is not None else identity_linear(features, dtype=dtype)
            kind = f"conv{rank}d" if rank else "linear"
            path = f"{target.path}.{place.name}" if target.path else place.name
            spec = ModuleSpec(
                type="surgery_dsl.Deepened",
                arguments={"features": features, "act": self.act, "kind": kind},
                dtype=value.dtype,
            )
            changes.append(
                Change(
                    edit=InsertModule(host=target.path, name=place.name, where="after", spec=spec),
                    tensors={f"{path}.layer.weight": weight, f"{path}.layer.bias": bias},
                )
            )
        return changes
