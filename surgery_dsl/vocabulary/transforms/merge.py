"""``merge()``: adapters folded back into the layers that they stand beside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import DetachModule, Untie
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._adapters import ADAPTER, all_names, own_name, tie_is_said, tied
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import only_operator
from surgery_dsl.vocabulary.transforms._ties import untie
from surgery_dsl.vocabulary.word import Card

BITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
"""Bits of a significand, the first included: rounding moves a number by at most 2^-bits of its size."""


@final
class Merge(Transform):
    """Folds low-rank adapters into their layers: `W + (alpha / rank) · B A`, and the adapters are gone.

    Static rule:
        `at` names the step that added the adapters. Each layer is again the module that it was, at its own path, with
        a changed weight. Exact in real arithmetic; each entry of the sum is rounded once, to the dtype of the weight
        (by at most 2⁻⁸ of its size in bf16, 2⁻¹¹ in f16, 2⁻²⁴ in f32), which is all that the outputs drift by. In 16
        bits parts of an update may lie below half a step and vanish: `merge_drift` measures it. Refused: a site that
        is no adapter (SD244), a weight that something else reads too (SD243), a tied weight where the step does not
        say `tie` (SD230); `tie = keep` changes every layer that shares the weight.

    Runtime rule:
        Products and sums in float32, or float64 for float64, on the weight's device; updates of several adapters of a
        weight are added before the sum is rounded. How much of each update was lost is kept for the certificate.

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
            reason=_reason(scene.interface, found) if exact else "layers that share a weight take up a foreign update",
            writes=writes,
            merges=tuple(one.paths[0] for one in found),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Add each update to its weight and detach the adapter; what rounding takes away is told."""
        found = _adapters(Scene.of_runtime(place, runtime, self.span)) or ()
        names = tied(runtime.interface, (one.weight for one in found)) if place.tie == "untie" else ()
        changes = [Change(edit=Untie(tensor=name)) for name in names]
        shared: dict[object, list[_Adapter]] = {}
        for one in found:
            key = one.weight if one.weight in names else id(runtime.tensor(one.weight))
            shared.setdefault(key, []).append(one)
        for number, adapters in enumerate(shared.values()):
            runtime.progress("merging", number, len(shared))
            changes += _merged(adapters, runtime)
        return changes


def _reason(interface: Interface, found: Iterable["_Adapter"]) -> str:
    dtypes = sorted({interface.tensor_by_name[one.weight].dtype for one in found})
    rounded = " and ".join(f"to {dtype} (by at most 2^-{BITS[dtype]} of its size)" for dtype in dtypes)
    return f"the weights take the updates up, in real arithmetic; each entry is rounded once, {rounded}"


@dataclass(frozen=True)
class _Adapter:
    """An adapter, at all its paths; the weight that it updates, by its name in the layer; how that is stored."""

    paths: tuple[str, ...]
    weight: str
    transposed: bool

    @property
    def host(self) -> str:
        """The layer."""
        return self.paths[0].rpartition(".")[0]


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
        dtype = interface.tensor_by_name[operator.tensors["weight"]].dtype
        if dtype not in BITS:
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{host}` stores its weight as {dtype}, and a merge would round the update at `{path}` to its steps",
                path=path,
                help="merge before the step that quantizes: adapters, training, merge, then quantize",
            )
            return None
        transposed = operator.settings.get("input_dim", 1) == 0
        name = own_name(host, operator.tensors["weight"])
        found[path] = _Adapter(interface.aliases.get(path, (path,)), name, transposed)
    return tuple(found.values())


def _merged(adapters: Sequence[_Adapter], runtime: Runtime) -> Iterator[Change]:
    """Yield what takes adapters of one weight out; all updates are added before the sum is rounded, once."""
    import torch

    from surgery_dsl.kernels.factorizations import add_product
    from surgery_dsl.kernels.stored_sums import stored_sum
    from surgery_dsl.modules.low_rank_adapter import LowRankAdapter

    weight = runtime.tensor(adapters[0].weight).detach()
    total = weight.to(torch.promote_types(weight.dtype, torch.float32))
    updates = []
    for one in adapters:
        module = runtime.model.get_submodule(one.paths[0])
        if not isinstance(module, LowRankAdapter):
            raise TypeError(f"{one.paths[0]} is no adapter")
        up, down = module.up.weight.detach(), module.down.weight.detach()
        left, right = (down.t(), up.t()) if one.transposed else (up, down)
        total = add_product(total, left, right, module.scale)
        updates.append((left, right, module.scale))
    stored = total.to(weight.dtype)
    runtime.rounded(adapters[0].host, stored_sum(weight, updates, stored))
    for one in adapters:
        edit = DetachModule(host=one.host, name=one.paths[0].rpartition(".")[2])
        yield Change(edit=edit, tensors={one.weight: stored} if one is adapters[-1] else {})


def _read_by_layers_alone(scene: Scene, one: _Adapter) -> bool:
    """Report a weight that is read beside its layer: that reader would see the update too."""
    if tied(scene.interface, [one.weight]):
        return True
    owner = scene.interface.tensor_by_name[one.weight].tied_to or one.weight
    others = [operator for operator in scene.readers.get(owner, ()) if operator.module != one.host]
    if others:
        scene.say(
            shapes.READ_ELSEWHERE,
            f"`{one.weight}` is also read by `{others[0].path}`, which has no such update",
            path=one.weight,
            facts={"readers": len(others)},
            help=f"leave the adapter at `{one.host}` unmerged, or leave `{one.host}` out where it is added",
        )
    return not others


def _take_out(draft: Draft, run: Run, one: _Adapter) -> None:
    """Let a layer's own result be what comes out of it where an adapter stood around it."""
    for event in list(run.events):
        if isinstance(event, Run) and event.module in one.paths:
            run.events.remove(event)
            run.rename(event.inputs[0], event.outputs[0])
