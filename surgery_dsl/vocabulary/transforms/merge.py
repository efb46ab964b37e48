"""``merge()``: adapters folded back into the layers that they stand beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import DetachModule, Untie
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._adapters import ADAPTER, all_names, own_name, tie_is_said, tied
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import only_operator
from surgery_dsl.vocabulary.transforms._ties import untie
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Merge(Transform):
    """Folds low-rank adapters into their layers: `W + (alpha / rank) · B A`, and the adapters are gone.

    Static rule:
        `at` names the step that added the adapters. Each layer is again the module that it was, at its own path, with
        a changed weight. Exact in real arithmetic; each entry of the sum is rounded once, to the dtype of the weight
        (by at most 2⁻⁸ of its size in bf16, 2⁻²⁴ in f32), which is all that the outputs drift by. Refused: a site that
        is no adapter (SD244), a weight that something else reads too (SD243), a tied weight where the step does not
        say `tie` (SD230); `tie = keep` changes every layer that shares the weight.

    Runtime rule:
        The product and the sum in float32, or float64 for float64, on the weight's device.

    Source:
        Hu et al., LoRA: Low-rank adaptation of large language models, ICLR 2022, section 4.1, "No additional inference
        latency".

    Raises:
        SD230, SD243, SD244.
    """

    positional: ClassVar[tuple[str, ...]] = ()
    card: ClassVar[Card] = Card(
        summary="Fold low-rank adapters back into their layers",
        source="Hu et al., ICLR 2022, section 4.1",
        example="merge()",
        near_miss="merge(adapters)",
        near_miss_code="SD110",
        function="exact",
        interface=frozenset({"topology", "values"}),
    )

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Take the adapters away; the layers' weights change."""
        scene = Scene.of_static(place, context, self.span)
        found = _adapters(scene)
        if found is None or not tie_is_said(scene, (one.weight for one in found)):
            return refused(place)
        alone = [_read_by_layers_alone(scene, one) for one in found]
        if not all(alone):
            return refused(place)
        shared = frozenset(tied(context.interface, (one.weight for one in found)))
        if scene.tie == "untie" and not untie(scene, draft, sorted(shared)):
            return refused(place)
        writes = frozenset(name for one in found for name in all_names(scene, one.weight))
        for one in found:
            for run in list(draft.root.runs()):
                _take_out(draft, run, one)
            for path in one.paths:
                draft.drop_module(path)
        settle(draft)
        exact = scene.tie != "keep" or not shared
        return Effect(
            function="exact" if exact else "changing",
            rule="low_rank_merge" if exact else "",
            reason="the weights take the updates up, in real arithmetic; each entry is rounded once"
            if exact
            else "layers that share a weight take up an update that was not theirs",
            writes=writes,
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Add each update to its weight and detach the adapter."""
        from surgery_dsl.kernels.factorizations import add_product
        from surgery_dsl.modules.low_rank_adapter import LowRankAdapter

        scene = Scene.of_runtime(place, runtime, self.span)
        found = _adapters(scene) or ()
        names = tied(runtime.interface, (one.weight for one in found)) if place.tie == "untie" else ()
        changes = [Change(edit=Untie(tensor=name)) for name in names]
        summed: dict[str, torch.Tensor] = {}
        for number, one in enumerate(found):
            runtime.progress("merging", number, len(found))
            module = runtime.model.get_submodule(one.paths[0])
            if not isinstance(module, LowRankAdapter):
                raise TypeError(f"{one.paths[0]} is no adapter")
            up, down = module.up.weight.detach(), module.down.weight.detach()
            factors = (down.t(), up.t()) if one.transposed else (up, down)
            weight = summed.get(one.weight)
            weight = runtime.tensor(one.weight).detach() if weight is None else weight
            summed[one.weight] = add_product(weight, *factors, module.scale)
            host, _, name = one.paths[0].rpartition(".")
            edit = DetachModule(host=host, name=name)
            changes.append(Change(edit=edit, tensors={one.weight: summed[one.weight]}))
        return changes


@dataclass(frozen=True)
class _Adapter:
    """An adapter, at all its paths; the weight that it updates, by its name in the layer; how that is stored."""

    paths: tuple[str, ...]
    weight: str
    transposed: bool


def _adapters(scene: Scene) -> tuple[_Adapter, ...] | None:
    """Return the adapters that the sites mean, each once; ``None`` after reporting."""
    interface, draft = scene.interface, Draft(scene.interface)
    hosts = {run.module: run for run in draft.root.runs()}
    found: dict[str, _Adapter] = {}
    for site in scene.place.sites:
        module = interface.module_by_path.get(site.module)
        path = (module.same_as or module.path) if module is not None else site.module
        if module is None or module.type != ADAPTER or not module.inserted:
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{site.path}` is no low-rank adapter, and merge folds these alone",
                path=site.path,
                help="write `at = STEP`, where STEP is the `replace` whose transform was lora(…)",
            )
            return None
        host = path.rpartition(".")[0]
        operator = only_operator(draft, hosts[host]) if host in hosts else None
        if operator is None or operator.kind != "linear":
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{host}`, beside which `{path}` stands, is no linear layer any more",
                path=path,
                help="merge the adapters before the step that changes their layers",
            )
            return None
        transposed = operator.settings.get("input_dim", 1) == 0
        name = own_name(host, operator.tensors["weight"])
        found[path] = _Adapter(interface.aliases.get(path, (path,)), name, transposed)
    return tuple(found.values())


def _read_by_layers_alone(scene: Scene, one: _Adapter) -> bool:
    """Report a weight that is read beside its layer: that reader would see the update too."""
    host = one.paths[0].rpartition(".")[0]
    if tied(scene.interface, [one.weight]):
        return True
    owner = scene.interface.tensor_by_name[one.weight].tied_to or one.weight
    others = [operator for operator in scene.readers.get(owner, ()) if operator.module != host]
    if others:
        scene.say(
            shapes.READ_ELSEWHERE,
            f"`{one.weight}` is also read by `{others[0].path}`, which has no such update",
            path=one.weight,
            facts={"readers": len(others)},
            help=f"leave the adapter at `{host}` unmerged, or leave `{host}` out where it is added",
        )
    return not others


def _take_out(draft: Draft, run: Run, one: _Adapter) -> None:
    """Let a layer's own result be what comes out of it where an adapter stood around it."""
    for event in list(run.events):
        if isinstance(event, Run) and event.module in one.paths:
            run.events.remove(event)
            run.rename(event.inputs[0], event.outputs[0])
