"""What static rules ask of the values that flow at a site."""

from collections.abc import Mapping

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface import frozen
from surgery_dsl.interface.coupling import exact_size, leaves
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.expression import text
from surgery_dsl.interface.model import Dim, Extent, Operator
from surgery_dsl.interface.sums import size_range
from surgery_dsl.vocabulary.transforms._places import Scene, Target

# Methods and attributes that every ``nn.Module`` has: no child can be called so.
RESERVED = frozenset(
    {
        "T_destination",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "smart_apply",  # a method that transformers gives to every module
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "xpu",
        "zero_grad",
    }
)

_NEVER_NEGATIVE = frozenset({"relu", "relu6", "sigmoid", "abs", "softmax", "softplus", "exp"})
_KEEPS_SIGNS = frozenset(
    {"view", "permute", "expand", "repeat", "slice", "split", "select", "cat", "stack", "mean", "sum", "amax", "amin"}
    | {"dropout", "add", "mul", "cast", "gelu", "silu", "leaky_relu", "upsample_nearest2d", "index_select", "gather"}
    | {
        f"{name}{rank}d"
        for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
        for rank in "123"
    }
)


def size_text(draft: Draft, dim: Dim) -> str:
    """Return the size of a dimension for people."""
    exact = exact_size(draft, dim)
    if exact is not None:
        return str(exact)
    parts = []
    for axis in dim:
        size = draft.axes[axis].size
        parts.append(f"{size.least}..{size.most}" if isinstance(size, Extent) else text(size))
    return " * ".join(parts)


def shape_text(draft: Draft, value: int) -> str:
    """Return the dimensions of a value for people: ``[N, 64]``."""
    return f"[{', '.join(size_text(draft, dim) for dim in draft.values[value].dims)}]"


def works_on_channels(draft: Draft, value: int) -> bool:
    """Whether the units of a value lie along its second dimension: all behind it are positions in space."""
    dims = draft.values[value].dims
    return len(dims) > 2 and all(
        draft.axes[axis].frozen in (frozen.SPATIAL, frozen.FREE) for dim in dims[2:] for axis in leaves(draft, dim)
    )


def has_number(scene: Scene, draft: Draft, target: Target, dim: Dim, what: str) -> bool:
    """Report a dimension whose size is free: a layer cannot be built for it."""
    if size_range(draft.axes, dim) is not None:
        return True
    scene.say(
        shapes.SIZE_IS_FREE,
        f"{what} at `{target.path or 'the network'}` would need the size {size_text(draft, dim)}, which is free",
        path=target.path,
        help="write a number for this size in the model's `input`, or name another site",
    )
    return False


def is_real(scene: Scene, draft: Draft, target: Target, value: int) -> bool:
    """Report a value that holds no floating-point numbers."""
    dtype = draft.values[value].dtype
    if dtype in ("f16", "bf16", "f32", "f64"):
        return True
    scene.say(
        shapes.SITE_DOES_NOT_FIT,
        f"`{target.path or 'the network'}` handles {dtype} numbers, and a layer needs floating-point ones",
        path=target.path,
        help="name a site where activations flow",
    )
    return False


def name_is_free(scene: Scene, draft: Draft, target: Target) -> bool:
    """Report a host that already has something of the step's name."""
    name = scene.place.name
    for path in target.paths:
        full = f"{path}.{name}" if path else name
        if name in RESERVED or name.startswith("_") or full in draft.modules or full in draft.tensors:
            scene.say(
                shapes.NAME_TAKEN,
                f"`{path or 'the network'}` already has something called `{name}`",
                path=full,
                notes=("what a step inserts becomes a child of its host, called by the name of the step",),
                help="give the step another name",
            )
            return False
    return True


def writers_of(draft: Draft) -> dict[int, Operator]:
    """Return the operator that writes each value."""
    return {out: op for op in draft.operators() for out in op.outputs}


def never_negative(writers: Mapping[int, Operator], value: int) -> bool:
    """Whether a value is at least zero for every input, as far as the last operators show."""
    waiting, seen = [value], set[int]()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        writer = writers.get(current)
        if writer is None:
            return False
        if writer.kind in _NEVER_NEGATIVE:
            continue
        plain = not writer.tensors and not writer.settings.keys() & {"other", "alpha", "value"}
        if writer.kind not in _KEEPS_SIGNS or not plain or not writer.inputs:
            return False
        waiting.extend(writer.inputs)
    return True
