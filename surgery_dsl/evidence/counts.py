"""Counting on a live network what the proofs predict: both must agree to the last unit."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from surgery_dsl.evidence.metrics import evaluating
from surgery_dsl.interface.expression import evaluate, symbols
from surgery_dsl.interface.model import Extent, Interface

DTYPES = {
    "bool": torch.bool,
    "u8": torch.uint8,
    "i8": torch.int8,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
}


def params(model: nn.Module) -> int:
    """Return the number of elements of all parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def nonzero(model: nn.Module) -> int:
    """Return how many elements of all parameters are not zero, tied ones once; NaN is not zero."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of parameters and saved buffers, tied tensors once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _saved(model))


def _saved(model: nn.Module) -> Iterator[Tensor]:
    seen: set[int] = set()
    for module in model.modules():
        buffers = {n: b for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set}
        for tensor in (*module._parameters.values(), *buffers.values()):
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def macs(
    model: nn.Module,
    interface: Interface,
    device: torch.device,
    run: Callable[[nn.Module, Mapping[str, Tensor]], Any],
    sizes: Mapping[str, int] | None = None,
) -> int:
    """Return the multiply-accumulates of one forward of zeros, free sizes as given or at their least.

    Counted are convolutions, linear layers and matrix products, as ATen runs them. ``run`` runs a network on named
    inputs.
    """
    inputs = zero_inputs(model, interface, device, sizes or {})
    counter = _Macs()
    with evaluating(model), counter:
        run(model, inputs)
    return counter.total


def zero_inputs(
    model: nn.Module, interface: Interface, device: torch.device, sizes: Mapping[str, int]
) -> dict[str, Tensor]:
    """Return inputs of zeros by name, real ones in the dtype of the parameters; free sizes as given or at their least.

    The names are those of the interface's inputs, the shapes theirs, the device ``device``.
    """
    inputs = {port.name: _zeros(interface, port.value, device, sizes) for port in interface.inputs}
    floats = [tensor for tensor in model.parameters() if tensor.is_floating_point()]
    if not floats:
        return inputs
    dtype = floats[0].dtype
    return {name: one.to(dtype) if one.is_floating_point() else one for name, one in inputs.items()}


def _zeros(interface: Interface, value: int, device: torch.device, sizes: Mapping[str, int]) -> Tensor:
    found = interface.values[value]
    least = {free.name: free.least for free in interface.free} | dict(sizes)
    shape = []
    for dim in found.dims:
        size = 1
        for axis in interface.leaves(dim):
            one = interface.axes[axis].size
            if isinstance(one, Extent):
                size *= one.least
            else:
                size *= evaluate(one, {name: least.get(name, 1) for name in symbols(one)})
        shape.append(size)
    return torch.zeros(shape, dtype=DTYPES[found.dtype], device=device)


class _Macs(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-accumulates."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call and count it."""
        result = func(*args, **(kwargs or {}))
        self.total += _macs_of(func.overloadpacket.__name__, args, result)
        return result


def _macs_of(name: str, args: Any, result: Any) -> int:
    if name in ("mm", "bmm", "mv", "dot"):
        return args[0].numel() * (args[1].shape[-1] if name in ("mm", "bmm") else 1)  # type: ignore[no-any-return]
    if name in ("addmm", "baddbmm"):
        return args[1].numel() * args[2].shape[-1]  # type: ignore[no-any-return]
    if name in ("convolution", "_convolution"):
        weight, transposed = args[1], args[6]
        positions = args[0] if transposed else result
        spatial = positions.shape[2:].numel() * positions.shape[0]
        return spatial * weight.numel()  # type: ignore[no-any-return]
    if name.startswith("_scaled_dot_product"):
        query, key, value = args[:3]
        return query.numel() * key.shape[-2] + query.shape[:-1].numel() * key.shape[-2] * value.shape[-1]  # type: ignore[no-any-return]
    return 0
