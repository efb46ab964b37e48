"""Sites that are linear layers, for the words that exchange them."""

from dataclasses import dataclass

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.model import Dim, Operator
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import only_operator, runs_of


@dataclass(frozen=True)
class Layer:
    """A module whose whole forward is one linear layer.

    Attributes:
        target: The module.
        runs: Its runs.
        operator: The layer, as its first run has it.
        weight: Name of the weight, of dimensions (out, in), or (in, out) where ``transposed``.
        bias: Name of the bias, empty where there is none.
        transposed: Whether the weight is stored as (in, out).
        out: The dimension that it writes.
        read: The dimension that it reads.
        dtype: Dtype of the weight.
    """

    target: Target
    runs: tuple[Run, ...]
    operator: Operator
    weight: str
    bias: str
    transposed: bool
    out: Dim
    read: Dim
    dtype: str


def linear_layers(scene: Scene, draft: Draft, what: str, *, stays: bool = False) -> tuple[Layer, ...] | None:
    """Return the sites as linear layers; ``None`` after reporting.

    They may be exchanged, unless ``stays`` says that they are only added to: then ties are the caller's matter.
    """
    targets = scene.targets()
    if targets is None:
        return None
    found = [_layer(scene, draft, t, runs, what) for t, runs in zip(targets, runs_of(draft, targets), strict=True)]
    layers = tuple(layer for layer in found if layer is not None)
    allowed = [stays or scene.may_go(layer.target) for layer in layers]
    return layers if len(layers) == len(found) and all(allowed) else None


def _layer(scene: Scene, draft: Draft, target: Target, runs: tuple[Run, ...], what: str) -> Layer | None:
    operator = only_operator(draft, runs[0])
    problem, fix = "is no linear layer", 'name linear layers, such as linear("**")'
    if operator is not None and operator.kind == "linear":
        weight, bias = operator.tensors.get("weight", ""), operator.tensors.get("bias", "")
        tensor = draft.tensors[weight]
        home = draft.modules[target.path].same_as or target.path
        own = [name for name in scene.interface.tensors_below(home) if not _is_inserted(draft, name, home + ".")]
        owned = {draft.tensors[name].tied_to or name for name in own}
        if tensor.dtype not in ("f16", "bf16", "f32", "f64"):
            problem = f"stores its weight as {tensor.dtype}"
            fix = f"start from the weights as they were before they were quantized: {what} first, int8() last"
        elif operator.tensors.keys() - {"weight", "bias"} or owned != set(operator.tensors.values()):
            problem = "computes its weight from several tensors"
        elif operator.settings.keys() - {"input_dim"}:
            problem = "scales its result"
        else:
            transposed = operator.settings.get("input_dim", 1) == 0
            out, read = tensor.dims[::-1] if transposed else tensor.dims
            return Layer(target, runs, operator, weight, bias, transposed, out, read, tensor.dtype)
    scene.say(
        shapes.SITE_DOES_NOT_FIT,
        f"`{target.path}` {problem}, and {what} needs one with a floating-point weight",
        path=target.path,
        help=fix,
    )
    return None


def _is_inserted(draft: Draft, tensor: str, prefix: str) -> bool:
    child = tensor.removeprefix(prefix).partition(".")
    return bool(child[1]) and bool(draft.modules[prefix + child[0]].inserted)
