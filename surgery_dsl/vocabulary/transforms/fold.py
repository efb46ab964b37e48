"""``fold()``: batch norms folded into the layers before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.fragment import Built, activation
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._adapters import inserted_into
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import ends, only_operator, replace_at, runs_of
from surgery_dsl.vocabulary.transforms._values import writers_of
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    from torch import nn

_CONVOLUTIONS = tuple(f"{name}{rank}d" for name in ("conv", "conv_transpose") for rank in "123")
_REBUILT = frozenset({"torch.nn.Linear", *(f"torch.nn.Conv{t}{rank}d" for t in ("", "Transpose") for rank in "123")})
"""Classes that can be built anew with a bias."""


@final
class Fold(Transform):
    """A batch norm folded into the linear layer or convolution before it; `torch.nn.Identity` stands in its place.

    Static rule:
        `at` names batch norms with running statistics. Each is fed by one layer of any rank, grouped or transposed,
        whose result nothing else reads. The layer gets a bias where it had none, so that the network loses three
        numbers for each channel at least. Exact in eval mode: there both are affine. Refused: another norm, another
        operator before it, something inserted into the layer, a layer or norm that runs several times (SD244), a
        weight or a result that something else reads (SD243), tied tensors of the norm without `tie` (SD230), a layer
        without a bias whose class is not torch's own (SD244).

    Runtime rule:
        `s = γ / √(σ² + ε)`; weights times s by output, bias `s · (b − μ) + β`. In float64, rounded once to the
        weight's dtype.

    Source:
        Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference,
        CVPR 2018, section 3.2.

    Raises:
        SD230, SD240, SD241, SD242, SD243, SD244, SD310.
    """

    card: ClassVar[Card] = Card(
        summary="Fold batch norms into the layers before them",
        source="Jacob et al., CVPR 2018, section 3.2",
        example="fold()",
        near_miss="fold(1)",
        near_miss_code="SD110",
        function="exact",
        interface=frozenset({"topology", "values"}),
        fixture="cnn",
    )

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Give each layer a bias, and take the norm away."""
        scene = Scene.of_static(place, context, self.span)
        found = _pairs(scene, draft)
        if found is None:
            return refused(place)
        writes = {name for pair in found for path in pair.target.paths for name in scene.tensors_of(path)}
        creates: set[str] = set()
        axes: frozenset[int] = frozenset()
        for pair in found:
            layer, run = pair.layer, pair.run
            writes |= {layer.tensors["weight"], *([layer.tensors["bias"]] if "bias" in layer.tensors else [])}
            if "bias" not in layer.tensors:
                name = f"{layer.module}.bias"
                (out,) = draft.tensors[pair.norm.tensors["running_mean"]].dims
                draft.add_tensor(name, "parameter", draft.tensors[layer.tensors["weight"]].dtype, (out,))
                run.events[run.events.index(layer)] = layer.replaced(tensors={**layer.tensors, "bias": name})
                creates.add(name)
            axes |= replace_at(draft, pair.target, pair.runs, _nothing)
        recouple(draft, axes)
        settle(draft)
        return Effect(
            function="exact",
            rule="norm_fold",
            reason="each layer takes the factor and the constant of the norm behind it; each entry is rounded once",
            writes=frozenset(writes),
            creates=frozenset(creates),
            brings=tuple(path for pair in found for path in (*pair.target.paths, *pair.rebuilt)),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Write the folded weights, and put an identity in the place of each norm."""
        from surgery_dsl.kernels.norm_folding import fold_norm

        draft = Draft(runtime.interface)
        changes: list[Change] = []
        for pair in _pairs(Scene.of_runtime(place, runtime, self.span), draft) or ():
            layer, norm = pair.layer, pair.norm
            values = {role: runtime.tensor(name) for role, name in norm.tensors.items()}
            eps = norm.settings.get("eps", 1e-5)
            transposed = layer.kind.startswith("conv_transpose")
            stored = 1 if transposed or layer.settings.get("input_dim", 1) == 0 else 0
            groups = layer.settings.get("groups", 1)
            weight, bias = fold_norm(
                runtime.tensor(layer.tensors["weight"]),
                runtime.tensor(layer.tensors["bias"]) if "bias" in layer.tensors else None,
                values["running_mean"],
                values["running_var"],
                values.get("weight"),
                values.get("bias"),
                eps=float(eps) if isinstance(eps, int | float) else 1e-5,
                position=stored,
                groups=int(groups) if transposed and isinstance(groups, int) else 1,
            )
            tensors = {layer.tensors["weight"]: weight, layer.tensors.get("bias", f"{layer.module}.bias"): bias}
            dtype = runtime.interface.tensor_by_name[layer.tensors["weight"]].dtype
            spec = _with_bias(runtime.model.get_submodule(layer.module), dtype) if pair.rebuilt else None
            changes.append(Change(edit=SetModule(paths=pair.rebuilt, spec=spec) if spec else None, tensors=tensors))
            identity = ModuleSpec(type="torch.nn.Identity")
            changes.append(Change(edit=SetModule(paths=pair.target.paths, spec=identity)))
        return changes


@dataclass(frozen=True)
class _Pair:
    """A norm and the layer before it.

    Attributes:
        target: The norm's module.
        runs: Its one run.
        norm: Its operator.
        layer: The layer's operator.
        run: The layer's run.
        rebuilt: The layer's path where it has no bias, so that it must be built anew; else nothing.
    """

    target: Target
    runs: tuple[Run, ...]
    norm: Operator
    layer: Operator
    run: Run
    rebuilt: tuple[str, ...]


def _pairs(scene: Scene, draft: Draft) -> tuple[_Pair, ...] | None:
    """Return the norms that the sites mean, with the layers before them; ``None`` after reporting."""
    targets = scene.targets()
    if targets is None:
        return None
    writers = writers_of(draft)
    found = [_pair(scene, draft, writers, t, runs) for t, runs in zip(targets, runs_of(draft, targets), strict=True)]
    pairs = tuple(pair for pair in found if pair is not None)
    return pairs if len(pairs) == len(found) else None


def _pair(
    scene: Scene, draft: Draft, writers: Mapping[int, Operator], target: Target, runs: tuple[Run, ...]
) -> _Pair | None:
    norm = only_operator(draft, runs[0])
    if norm is None or norm.kind != "batch_norm" or "running_mean" not in norm.tensors:
        return _misfit(scene, target, "is no batch norm with running statistics")
    if len(runs) > 1 or inserted_into(scene.interface, target.path):
        return _misfit(scene, target, "does not stand alone: it runs several times, or holds what a step inserted")
    value = ends(draft, runs[0])[0]
    layer = writers.get(value)
    kinds = ("linear", *_CONVOLUTIONS)
    if layer is None or layer.kind not in kinds or "weight" not in layer.tensors:
        before = f"`{layer.path}` ({layer.kind})" if layer is not None else "the network's input"
        return _misfit(scene, target, f"reads {before}, no linear layer or convolution")
    own = draft.runs_of(layer.module)
    if len(own) != 1 or only_operator(draft, own[0]) != layer or inserted_into(scene.interface, layer.module):
        return _misfit(scene, target, f"reads `{layer.path}`, which is not all that one run of its module does")
    if layer.kind == "linear" and len(draft.values[value].dims) != 2:
        return _misfit(scene, target, f"has its channels along another dimension than `{layer.path}` writes")
    weight = draft.tensors[layer.tensors["weight"]]
    if weight.dtype not in ("f16", "bf16", "f32", "f64") or layer.tensors.keys() - {"weight", "bias"}:
        return _misfit(scene, target, f"reads `{layer.path}`, whose weight is no single floating-point tensor")
    rebuilt = () if "bias" in layer.tensors else (layer.module,)
    if rebuilt and (scene.interface.module_by_path[layer.module].type not in _REBUILT or weight.tied_to):
        return _misfit(scene, target, f"reads `{layer.path}`, which has no bias and is no layer of torch's own")
    if not scene.may_go(target) or not _read_once(scene, draft, target, layer, value):
        return None
    return _Pair(target, runs, norm, layer, own[0], rebuilt)


def _read_once(scene: Scene, draft: Draft, target: Target, layer: Operator, value: int) -> bool:
    """Report a layer whose result, weight or bias something else reads."""
    others = [
        operator.path for operator in draft.operators() if value in operator.inputs and operator.path != target.path
    ]
    if value in draft.root.outputs:
        others.append("the network's outputs")
    what = f"what `{layer.path}` gives"
    for name in layer.tensors.values():
        owner = draft.tensors[name].tied_to or name
        readers = [reader.path for reader in scene.readers.get(owner, ()) if reader.path != layer.path]
        if readers or scene.ties([name], [layer.module]):
            what, others = f"`{name}`", readers or list(scene.ties([name], [layer.module])[name])
    if others:
        scene.say(
            shapes.READ_ELSEWHERE,
            f"{what} is also read by `{others[0]}`, which has no such norm",
            path=target.path,
            facts={"readers": len(others)},
            help=f"leave `{target.path}` out with `except`",
        )
    return not others


def _misfit(scene: Scene, target: Target, why: str) -> _Pair | None:
    scene.say(
        shapes.SITE_DOES_NOT_FIT,
        f"`{target.path}` {why}, so it cannot be folded",
        path=target.path,
        help=f'name batch norms that stand right behind a layer, or leave it out: except = ["{target.path}"]',
    )
    return None


def _nothing(draft: Draft, path: str, value: int) -> Built:
    return activation(draft, path, "identity", value)


def _with_bias(layer: "nn.Module", dtype: str) -> ModuleSpec:
    """Return how to build a layer of torch's like another one, with a bias."""
    kind = type(layer).__name__
    names = ["in_features", "out_features"]
    if kind != "Linear":
        names = [
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "groups",
            "padding_mode",
        ]
        names += ["output_padding"] if "Transpose" in kind else []
    arguments: dict[str, JsonValue] = {}
    for name in names:
        value = getattr(layer, name)
        arguments[name] = list(value) if isinstance(value, tuple) else value
    return ModuleSpec(type=f"torch.nn.{kind}", arguments={**arguments, "bias": True}, dtype=dtype)
