"""Pieces of network as the tracer would record them, for static rules that bring modules in.

Each function adds a module with its tensors to a draft and returns its run and the value that it gives. The run is
not placed yet: that is the caller's work, with :meth:`~surgery_dsl.interface.draft.Draft.insert_after` and its like.
"""

from collections.abc import Sequence
from typing import Literal

from surgery_dsl.interface.draft import Draft, Run, operator
from surgery_dsl.interface.model import Dim, Operator, Setting

Built = tuple[Run, int]
"""A run, and the value that it gives."""

Act = Literal["relu", "gelu", "silu", "leaky_relu", "identity"]

ACTIVATIONS: dict[str, tuple[str, str, dict[str, Setting]]] = {
    "relu": ("torch.nn.ReLU", "relu", {}),
    "gelu": ("torch.nn.GELU", "gelu", {"approximate": "none"}),
    "silu": ("torch.nn.SiLU", "silu", {}),
    "leaky_relu": ("torch.nn.LeakyReLU", "leaky_relu", {"negative_slope": 0.01}),
}
"""By name: torch's class, and kind and settings of the operator."""


def module(
    draft: Draft,
    path: str,
    type_name: str,
    inputs: Sequence[int],
    events: "Sequence[Operator | Run]",
    result: int,
) -> Built:
    """Add a module without tensors of its own, which runs ``events``."""
    draft.add_module(path, type_name)
    return Run(path, tuple(inputs), (result,), list(events)), result


def activation(draft: Draft, path: str, name: str, value: int) -> Built:
    """Add an activation module; ``identity`` gives its input."""
    if name == "identity":
        return module(draft, path, "torch.nn.Identity", (value,), (), value)
    type_name, kind, settings = ACTIVATIONS[name]
    return pointwise(draft, path, type_name, kind, settings, value)


def pointwise(draft: Draft, path: str, type_name: str, kind: str, settings: dict[str, Setting], value: int) -> Built:
    """Add a module that applies one function to each entry."""
    result = draft.new_value(draft.values[value].dtype, draft.values[value].dims)
    call = operator(kind, path, path, (value,), (result,), settings=settings)
    return module(draft, path, type_name, (value,), (call,), result)


def linear(draft: Draft, path: str, value: int, out: Dim, dtype: str, bias: bool = True) -> Built:
    """Add a ``torch.nn.Linear`` along the last dimension of a value."""
    dims = draft.values[value].dims
    result = draft.new_value(draft.values[value].dtype, (*dims[:-1], out))
    tensors = {"weight": f"{path}.weight"}
    draft.add_module(path, "torch.nn.Linear", {"in_features": dims[-1], "out_features": out})
    draft.add_tensor(tensors["weight"], "parameter", dtype, (out, dims[-1]))
    if bias:
        tensors["bias"] = f"{path}.bias"
        draft.add_tensor(tensors["bias"], "parameter", dtype, (out,))
    call = operator("linear", path, path, (value,), (result,), tensors=tensors, macs=(_product(dims, out),))
    return Run(path, (value,), (result,), [call]), result


def convolution(draft: Draft, path: str, value: int, out: Dim, dtype: str) -> Built:
    """Add a ``torch.nn.Conv1d``, ``2d`` or ``3d`` of kernel size 1 along the second dimension of a value."""
    dims = draft.values[value].dims
    rank = len(dims) - 2
    source, space = dims[1], dims[2:]
    result = draft.new_value(draft.values[value].dtype, (dims[0], out, *space))
    tensors = {"weight": f"{path}.weight", "bias": f"{path}.bias"}
    draft.add_module(path, f"torch.nn.Conv{rank}d", {"in_channels": source, "out_channels": out})
    draft.add_tensor(tensors["weight"], "parameter", dtype, (out, source, *[()] * rank))
    draft.add_tensor(tensors["bias"], "parameter", dtype, (out,))
    settings: dict[str, Setting] = {
        "stride": (1,) * rank,
        "padding": (0,) * rank,
        "dilation": (1,) * rank,
        "groups": 1,
    }
    macs = (_product((dims[0], source, *space), out),)
    call = operator(f"conv{rank}d", path, path, (value,), (result,), tensors, settings, macs)
    return Run(path, (value,), (result,), [call]), result


def add(draft: Draft, path: str, left: int, right: int) -> tuple[Operator, int]:
    """Add two values of equal dimensions in the forward of the module at ``path``."""
    result = draft.new_value(draft.values[left].dtype, draft.values[left].dims)
    return operator("add", f"{path}/add#0", path, (left, right), (result,)), result


def low_rank(draft: Draft, path: str, value: int, rank: int, out: Dim, dtype: str, bias: bool) -> Built:
    """Add a :class:`surgery_dsl.modules.low_rank.LowRank`."""
    between = _inside(draft, f"{path}.down.weight", rank)
    down, inner = linear(draft, f"{path}.down", value, between, dtype, bias=False)
    up, result = linear(draft, f"{path}.up", inner, out, dtype, bias=bias)
    return module(draft, path, own_type("low_rank", "LowRank"), (value,), (down, up), result)


def bottleneck(draft: Draft, path: str, value: int, width: int, act: str, dtype: str) -> Built:
    """Add a :class:`surgery_dsl.modules.bottleneck.Bottleneck`."""
    inside = _inside(draft, f"{path}.down.weight", width)
    down, narrow = linear(draft, f"{path}.down", value, inside, dtype)
    middle, bent = activation(draft, f"{path}.act", act, narrow)
    up, branch = linear(draft, f"{path}.up", bent, draft.values[value].dims[-1], dtype)
    total, result = add(draft, path, value, branch)
    return module(draft, path, own_type("bottleneck", "Bottleneck"), (value,), (down, middle, up, total), result)


def deepened(draft: Draft, path: str, value: int, act: str, channels: bool, dtype: str) -> Built:
    """Add a :class:`surgery_dsl.modules.deepened.Deepened`, which keeps the dimensions of its input.

    ``channels`` says that it works on the second dimension.
    """
    dims = draft.values[value].dims
    if channels:
        layer, inner = convolution(draft, f"{path}.layer", value, dims[1], dtype)
    else:
        layer, inner = linear(draft, f"{path}.layer", value, dims[-1], dtype)
    bend, result = activation(draft, f"{path}.act", act, inner)
    return module(draft, path, own_type("deepened", "Deepened"), (value,), (layer, bend), result)


def residual(draft: Draft, path: str, result: int, source: int, gate: float, learned: bool, dtype: str) -> Built:
    """Add a :class:`surgery_dsl.modules.residual.Residual` that runs on a host's result and what it was made of."""
    events: list[Operator | Run] = []
    gated = source
    draft.add_module(path, own_type("residual", "Residual"))
    if learned or gate != 1:
        gated = draft.new_value(draft.values[source].dtype, draft.values[source].dims)
        tensors = {"other": f"{path}.gate"} if learned else {}
        settings: dict[str, Setting] = {} if learned else {"other": float(gate)}
        events.append(operator("mul", f"{path}/mul#0", path, (source,), (gated,), tensors, settings))
    if learned:
        draft.add_tensor(f"{path}.gate", "parameter", dtype, ())
    total, out = add(draft, path, result, gated)
    if not events:  # the module's only operator goes by the module's path
        total = total.replaced(path=path)
    return Run(path, (result, source), (out,), [*events, total]), out


def low_rank_adapter(
    draft: Draft, path: str, result: int, source: int, rank: int, scale: float, dropout: bool, dtype: str
) -> Built:
    """Add a :class:`surgery_dsl.modules.low_rank_adapter.LowRankAdapter` around what made ``result`` of ``source``."""
    events: list[Operator | Run] = []
    if dropout:
        events.append(module(draft, f"{path}.dropout", "torch.nn.Dropout", (source,), (), source)[0])
    between = _inside(draft, f"{path}.down.weight", rank)
    down, inner = linear(draft, f"{path}.down", source, between, dtype, bias=False)
    up, update = linear(draft, f"{path}.up", inner, draft.values[result].dims[-1], dtype, bias=False)
    scaled = draft.new_value(draft.values[update].dtype, draft.values[update].dims)
    settings: dict[str, Setting] = {"other": float(scale)}
    factor = operator("mul", f"{path}/mul#0", path, (update,), (scaled,), settings=settings)
    total, out = add(draft, path, result, scaled)
    draft.add_module(path, own_type("low_rank_adapter", "LowRankAdapter"))
    return Run(path, (result, source), (out,), [*events, down, up, factor, total]), out


def own_type(file: str, name: str) -> str:
    """Return the qualified class of one of the project's modules, as the tracer names it."""
    return f"surgery_dsl.modules.{file}.{name}"


def _inside(draft: Draft, weight: str, size: int) -> Dim:
    """Return a new axis for what a weight writes, or the one it has: a shared module is built once and runs often."""
    known = draft.tensors.get(weight)
    return (draft.new_axis(size, f"{weight}[0]"),) if known is None else known.dims[0]


def _product(dims: Sequence[Dim], out: Dim) -> Dim:
    return (*(axis for dim in dims for axis in dim), *out)
