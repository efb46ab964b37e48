"""Rules of the reference: what each ATen operator does where some entries of its arguments do not exist."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.zoo.living import Masks, NoRule

INFINITY = float("inf")
Rule = Callable[[Any, list[Any], dict[str, Any], Masks], Any]

# What a dead entry counts as where it is gathered with living ones.
_FILL = {
    **dict.fromkeys(("sum", "nansum", "linalg_vector_norm", "norm", "cumsum", "any", "count_nonzero"), 0.0),
    **dict.fromkeys(("prod", "cumprod", "all"), 1.0),
    **dict.fromkeys(("amax", "max", "argmax", "logsumexp", "_softmax", "_safe_softmax", "_log_softmax"), -INFINITY),
    **dict.fromkeys(("logcumsumexp", "topk", "cummax"), -INFINITY),
    **dict.fromkeys(("amin", "min", "argmin", "cummin"), INFINITY),
}
_SAME = ("clone", "_to_copy", "contiguous", "copy", "tril", "triu", "lift_fresh_copy", "native_dropout", "masked_fill")
_FORGET: tuple[str, ...] = (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "bernoulli",
    "new_zeros",
)
_FORGET += ("new_ones", "new_full", "new_empty", "fill_", "zero_", "new_empty_strided", "randint_like")
_MOVES: tuple[str, ...] = (
    "cat",
    "stack",
    "index",
    "gather",
    "index_select",
    "embedding",
    "roll",
    "flip",
    "repeat",
    "pixel_shuffle",
)
_MOVES += ("index_put", "scatter", "index_copy", "slice_scatter", "select_scatter", "pixel_unshuffle", "rot90")
_MOVES += ("channel_shuffle", "masked_scatter", "masked_select", "im2col", "_unsafe_index", "take", "index_fill")
_MOVES += ("native_channel_shuffle", "unfold_copy", "slice_copy", "col2im", "index_add", "diagonal_scatter")
_WINDOWS: tuple[str, ...] = (
    "max_pool",
    "avg_pool",
    "upsample",
    "_adaptive_avg",
    "adaptive_",
    "reflection_pad",
    "replication_pad",
)
_WINDOWS += ("grid_sampler", "fractional", "_upsample")
_POINTWISE: tuple[str, ...] = (
    "where",
    "lerp",
    "addcmul",
    "addcdiv",
    "hardswish",
    "hardsigmoid",
    "glu",
    "polar",
    "_prelu_kernel",
    "isin",
)


def apply(func: Any, args: Sequence[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Run an operator on living entries and set the masks of what it returns.

    Raises:
        NoRule: There is no rule for it.
    """
    name = func.overloadpacket.__name__
    base = name.removesuffix("_")
    given = list(args)
    if name == "copy_":
        func(*args, **kwargs)
        masks.put(given[0], masks.alive(given[1]))
        return given[0]
    if name in _FORGET:
        return _forget(func, given, kwargs, masks)
    rule = RULES.get(base)
    if rule is None and base in _FILL:
        rule = _reduce
    if rule is None and base in _MOVES:
        rule = _move
    if rule is None and base.startswith(_WINDOWS):
        rule = _window
    if rule is None and (torch.Tag.pointwise in func.tags or base in (*_POINTWISE, *_SAME)):
        rule = _pointwise
    if rule is None:
        raise NoRule(name)
    return rule(func, given, kwargs, masks)


def named(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included."""
    found = {}
    for position, argument in enumerate(func._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        found[argument.name] = args[position] if position < len(args) else kwargs.get(argument.name, default)
    return found


def _forget(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    result = func(*args, **kwargs)
    if func.overloadpacket.__name__.endswith("_"):
        masks.put(result, torch.ones(()).bool())
    return result


def _pointwise(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    found = [masks.get(tensor) for tensor in tensors]
    alive = [mask.clone() for mask in found if mask is not None]
    result = func(*args, **kwargs)
    outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    for output in outputs:
        together = torch.ones(output.shape, dtype=torch.bool)
        for mask in alive:
            together = together & mask
        masks.put(output, together)
    return result


def _dims(arguments: dict[str, Any], rank: int) -> list[int]:
    dim = arguments.get("dim")
    if dim is None or dim == []:
        return list(range(rank)) if "dim" not in arguments or dim is None or dim == [] else []
    return [int(d) % max(rank, 1) for d in (dim if isinstance(dim, list | tuple) else [dim])]


def _reduced(mask: Tensor, dims: Sequence[int], output: Tensor) -> Tensor:
    """Return the mask of a reduction: alive where anything that went in is."""
    if output.shape == mask.shape:
        return mask
    kept = mask
    for dim in sorted(dims, reverse=True):
        kept = kept.any(dim, keepdim=output.dim() == mask.dim())
    return kept


def _reduce(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    name = func.overloadpacket.__name__
    if func._overloadname == "other" or len([a for a in args[:2] if isinstance(a, Tensor)]) == 2:
        return _pointwise(func, args, kwargs, masks)
    source = args[0]
    mask = masks.alive(source).clone()
    arguments = named(func, args, kwargs)
    fill = _FILL[name]
    if name == "topk" and not arguments["largest"]:
        fill = INFINITY
    result = func(masks.living(source, fill), *args[1:], **kwargs)
    outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    if name == "topk":
        kept = torch.gather(mask, arguments["dim"], outputs[1])
        for output in outputs:
            masks.put(output, kept)
        return result
    same = name in ("_softmax", "_safe_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp")
    for output in outputs:
        masks.put(output, mask if same else _reduced(mask, _dims(arguments, source.dim()), output))
    return result


def _sort(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    arguments = named(func, args, kwargs)
    fill = -INFINITY if arguments["descending"] else INFINITY
    mask = masks.alive(args[0]).clone()
    result = func(masks.living(args[0], fill), *args[1:], **kwargs)
    order = result if isinstance(result, Tensor) else result[1]
    kept = torch.gather(mask, arguments["dim"], order)
    for output in [result] if isinstance(result, Tensor) else result:
        masks.put(output, kept)
    return result


def moments(values: Tensor, mask: Tensor, dims: list[int], correction: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance over the living entries of some dimensions, these kept with size one."""
    count = mask.sum(dims, keepdim=True)
    mean = torch.where(mask, values, 0).sum(dims, keepdim=True) / count
    squares = torch.where(mask, (values - mean) ** 2, 0).sum(dims, keepdim=True)
    return mean, squares / (count - correction)


def _mean_and_spread(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    name = func.overloadpacket.__name__
    arguments = named(func, args, kwargs)
    values = args[0].to(kwargs["dtype"]) if kwargs.get("dtype") else args[0]
    dims = _dims(arguments, values.dim())
    correction = arguments.get("correction")
    if correction is None:
        correction = 0.0 if arguments.get("unbiased") is False else 1.0
    mask = masks.alive(args[0])
    mean, var = moments(values, mask, dims, 0.0 if name == "mean" else correction)
    found = {"mean": [mean], "var": [var], "std": [var.sqrt()], "var_mean": [var, mean], "std_mean": [var.sqrt(), mean]}
    outputs = []
    for output in found[name]:
        kept = mask.any(dims[0], keepdim=True) if len(dims) == 1 else mask.sum(dims, keepdim=True) > 0
        if not arguments.get("keepdim"):
            shape = [n for i, n in enumerate(output.shape) if i not in dims]
            output, kept = output.reshape(shape), kept.reshape(shape)
        outputs.append(output.contiguous().clone())
        masks.put(outputs[-1], kept)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _product(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Matrix products: dead entries add nothing; a row or column is dead where all of it is."""
    factors = [a for a in args if isinstance(a, Tensor)]
    left, right = factors[-2:]
    bias = factors[0] if len(factors) == 3 else None
    rows = masks.alive(left).any(-1)
    columns = masks.alive(right).any(-2 if right.dim() > 1 else -1)
    kept = rows.unsqueeze(-1) & columns.unsqueeze(-2) if left.dim() > 1 and right.dim() > 1 else rows & columns
    if bias is not None:
        kept = kept & masks.alive(bias)
    new = [masks.living(a, 0.0) if a is left or a is right else a for a in args]
    result = func(*new, **kwargs)
    masks.put(result, kept)
    return result


def _grouped_product(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    left, right = args[:2]
    if left.dim() != 2 or right.dim() != 3:
        raise NoRule("_grouped_mm of other ranks")
    kept = masks.alive(left).any(-1).unsqueeze(-1) & masks.alive(right).any(1).any(0)
    result = func(masks.living(left, 0.0), masks.living(right, 0.0), *args[2:], **kwargs)
    masks.put(result, kept)
    return result


def _convolution(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    arguments = named(func, args, kwargs)
    x, weight, bias, transposed, groups = (arguments[n] for n in ("input", "weight", "bias", "transposed", "groups"))
    mask = masks.alive(weight)
    flat = mask.reshape(mask.shape[0], mask.shape[1], -1).any(-1)
    if transposed:
        per_group = flat.reshape(groups, -1, flat.shape[1]).any(1).reshape(-1)
        kept = per_group
    else:
        kept = flat.any(1)
    if bias is not None:
        kept = kept & masks.alive(bias)
    result = func(masks.living(x, 0.0), masks.living(weight, 0.0), *args[2:], **kwargs)
    batch = masks.alive(x).reshape(x.shape[0], -1).any(1) if x.dim() == result.dim() else torch.ones(1).bool()
    masks.put(result, (batch[:, None] & kept).reshape(-1, kept.shape[0], *[1] * (result.dim() - 2)))
    return result


def _layer_norm(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    a = named(func, args, kwargs)
    x = a["input"]
    dims = list(range(x.dim() - len(a["normalized_shape"]), x.dim()))
    mask = masks.alive(x)
    eps = a["eps"] if a["eps"] is not None else torch.finfo(x.dtype).eps
    if "rms" in func.overloadpacket.__name__:
        mean = torch.zeros(())
        square = torch.where(mask, x**2, 0).sum(dims, keepdim=True) / mask.sum(dims, keepdim=True)
    else:
        mean, square = moments(x, mask, dims, 0.0)
    rest = (square + eps).rsqrt()
    out = (x - mean) * rest
    for name in ("weight", "bias"):
        if a.get(name) is not None:
            out = out * a[name] if name == "weight" else out + a[name]
            mask = mask & masks.alive(a[name])
    masks.put(out, mask)
    if "rms" in func.overloadpacket.__name__:
        return out, rest
    return out, mean, rest


def _group_norm(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    a = named(func, args, kwargs)
    x, groups = a["input"], a["group"]
    shape = (x.shape[0], groups, -1)
    mask = masks.alive(x)
    mean, var = moments(x.reshape(shape), mask.reshape(shape), [2], 0.0)
    rest = (var + a["eps"]).rsqrt()
    out = ((x.reshape(shape) - mean) * rest).reshape(x.shape)
    wide = (1, -1, *[1] * (x.dim() - 2))
    for name in ("weight", "bias"):
        if a[name] is not None:
            out = out * a[name].reshape(wide) if name == "weight" else out + a[name].reshape(wide)
            mask = mask & masks.alive(a[name]).reshape(wide)
    masks.put(out, mask)
    return out, mean.reshape(shape[:2]), rest.reshape(shape[:2])


def _batch_norm(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    a = named(func, args, kwargs)
    x = a["input"]
    wide = (1, -1, *[1] * (x.dim() - 2))
    mask = masks.alive(x)
    if a.get("training") or a.get("running_mean") is None:
        mean, var = moments(x, mask, [0, *range(2, x.dim())], 0.0)
    else:
        mean, var = a["running_mean"].reshape(wide), a["running_var"].reshape(wide)
        mask = mask & masks.alive(a["running_mean"]).reshape(wide) & masks.alive(a["running_var"]).reshape(wide)
    out = (x - mean) / (var + a["eps"]).sqrt()
    for name in ("weight", "bias"):
        if a[name] is not None:
            out = out * a[name].reshape(wide) if name == "weight" else out + a[name].reshape(wide)
            mask = mask & masks.alive(a[name]).reshape(wide)
    masks.put(out, mask)
    return (out, *(torch.empty(0) for _ in func._schema.returns[1:]))


def _weight_norm(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    a = named(func, args, kwargs)
    v, g = a["v"], a["g"]
    dims = [d for d in range(v.dim()) if d != a["dim"] % v.dim()]
    mask = masks.alive(v)
    norm = torch.where(mask, v**2, 0).sum(dims, keepdim=True).sqrt()
    out = v * (g / norm)
    masks.put(out, mask & masks.alive(g))
    return out, norm


def _move(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Operators that put entries elsewhere: the masks go the same way."""
    schema = func._schema.arguments
    positions = [i for i, a in enumerate(schema) if a.name in ("self", "tensors", "weight", "src", "values", "source")]
    positions = [i for i in positions if i < len(args)]
    shadow = list(args)
    for i in positions:
        shadow[i] = tree_map(lambda t: masks.alive(t).double() if isinstance(t, Tensor) else t, args[i])
    in_place = func.overloadpacket.__name__.endswith("_")
    if in_place:
        shadow[0] = shadow[0].clone()
    if not isinstance(args[-1], Tensor) and schema[len(args) - 1].name == "value":
        shadow[-1] = 1.0
    kept = func(*shadow, **kwargs)
    result = func(*args, **kwargs)
    masks.put(result, kept > 0.5)
    return result


def _window(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Pooling, resizing and mirrored padding: channels stay what they are, dead entries may not vary in space."""
    x = args[0]
    mask = masks.alive(x)
    name = func.overloadpacket.__name__
    space = 1 if "1d" in name else 3 if "3d" in name else 2
    flat = mask.reshape(*mask.shape[: mask.dim() - space], -1)
    if bool((flat.any(-1) != flat.all(-1)).any()):
        raise NoRule(f"{name} over a dimension with dead entries")
    result = func(*args, **kwargs)
    for output in (leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)):
        masks.put(output, flat.any(-1).reshape(*flat.shape[:-1], *[1] * space))
    return result


def _pad(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    mask = masks.alive(args[0])
    pads = list(args[1])
    padded = [mask.dim() - 1 - i // 2 for i in range(0, len(pads), 2) if pads[i] or pads[i + 1]]
    anywhere = mask
    for dim in padded:
        anywhere = anywhere.any(dim, keepdim=True)
    result = func(*args, **kwargs)
    masks.put(result, (torch.constant_pad_nd(mask.double(), pads, 1.0) > 0.5) & anywhere)
    return result


def _split(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Copies of pieces."""
    mask = masks.alive(args[0]).double()
    result = func(*args, **kwargs)
    for output, kept in zip(result, func(mask, *args[1:], **kwargs), strict=True):
        masks.put(output, kept > 0.5)
    return result


def _glu(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    dim = named(func, args, kwargs)["dim"]
    one, two = masks.alive(args[0]).chunk(2, dim)
    result = func(*args, **kwargs)
    masks.put(result, one & two)
    return result


def _cosine(func: Any, args: list[Any], kwargs: dict[str, Any], masks: Masks) -> Any:
    """Distances of rows: dead coordinates add nothing."""
    result = func(*(masks.living(a, 0.0) if isinstance(a, Tensor) else a for a in args), **kwargs)
    kept = masks.alive(args[0]).any(-1).unsqueeze(-1) & masks.alive(args[1]).any(-1).unsqueeze(-2)
    masks.put(result, kept)
    return result


RULES: dict[str, Rule] = {
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "_addmm_activation"), _product),
    "_grouped_mm": _grouped_product,
    "convolution": _convolution,
    "_convolution": _convolution,
    **dict.fromkeys(("mean", "var", "std", "var_mean", "std_mean"), _mean_and_spread),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm", "rms_norm"), _layer_norm),
    "native_group_norm": _group_norm,
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"), _batch_norm
    ),
    "_batch_norm_no_update": _batch_norm,
    "_batch_norm_with_update": _batch_norm,
    "_weight_norm_interface": _weight_norm,
    "constant_pad_nd": _pad,
    "sort": _sort,
    "argsort": _sort,
    "glu": _glu,
    **dict.fromkeys(("unsafe_split", "unsafe_split_with_sizes", "split_copy", "unbind_copy"), _split),
    "_cdist_forward": _cosine,
    "cdist": _cosine,
}
