"""Building a network of the zoo with lively weights, and inputs for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from surgery_dsl.interface.inputs import InputSpec


@dataclass(frozen=True)
class Input:
    """An input: its shape, ``f32``, ``i64`` or ``bool``, and what integers stay below."""

    shape: tuple[int, ...]
    dtype: str = "f32"
    below: int = 2


@dataclass(frozen=True)
class Architecture:
    """One network of the zoo.

    Attributes:
        name: Its name, unique in the zoo.
        suite: ``transformers`` or ``timm``.
        family: The row of the table that it counts in.
        build: Makes it, untrained.
        inputs: By the forward's keyword.
        outputs: Which of the result's keys are the contract; ``None`` for all.
    """

    name: str
    suite: str
    family: str
    build: Callable[[], nn.Module]
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] | None = None


@dataclass
class Network:
    """A built network with lively weights, and the values it runs on."""

    model: nn.Module
    specs: tuple[InputSpec, ...]
    values: dict[str, Tensor]
    outputs: tuple[str, ...] | None = None
    notes: list[str] = field(default_factory=list)

    def run(self, model: nn.Module, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Run a model, this one or one made of it, and return the tensors of the contract by name."""
        from surgery_dsl.trace.recorder import named_tensors

        values = {k: v.to(dtype) if v.is_floating_point() else v for k, v in self.values.items()}
        torch.manual_seed(0)
        with torch.no_grad():
            result = model(*values.values()) if len(values) == 1 else model(**values)
        found = dict(named_tensors(result))
        return found if self.outputs is None else {name: found[name] for name in self.outputs}


def prepare(architecture: Architecture, seed: int = 0) -> Network:
    """Build an architecture, give it lively weights, and calibrate its batch norms."""
    torch.manual_seed(seed)
    model = architecture.build().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    _enliven(model, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    values: dict[str, Tensor] = {}
    specs = []
    for name, given in architecture.inputs.items():
        if given.dtype == "f32":
            values[name] = torch.randn(given.shape, generator=generator)
        else:
            drawn = torch.randint(0, given.below, given.shape, generator=generator)
            values[name] = drawn.bool() if given.dtype == "bool" else drawn
            if "mask" in name and given.below == 2:
                values[name] = torch.ones_like(values[name])
        below = given.below if given.dtype == "i64" else None
        specs.append(InputSpec(name=name, dtype=given.dtype, dims=given.shape, below=below))
    network = Network(model, tuple(specs), values, architecture.outputs)
    _calibrate(network)
    return network


def _enliven(model: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter anew, so that none is zero or one in all its entries and no part of a network is dead."""
    seen: set[int] = set()
    for name, tensor in model.named_parameters():
        if id(tensor) in seen or not tensor.is_floating_point() or tensor.numel() <= 1:
            continue
        seen.add(id(tensor))
        last = name.rpartition(".")[2]
        with torch.no_grad():
            if tensor.squeeze().dim() <= 1:
                _draw_vector(last, tensor, generator)
            else:
                spread = min(max((tensor.numel() / max(tensor.shape[0], 1)) ** -0.5, 0.05), 0.5)
                tensor.normal_(0.0, spread, generator=generator)


def _draw_vector(name: str, tensor: Tensor, generator: torch.Generator) -> None:
    """Scales stay around one, all else around zero."""
    constant = bool((tensor == tensor.reshape(-1)[0]).all())
    scale = name in ("weight", "scale", "gamma", "g", "gain") or (constant and float(tensor.reshape(-1)[0]) == 1.0)
    if scale:
        tensor.uniform_(0.6, 1.5, generator=generator)
    else:
        tensor.normal_(0.0, 0.3, generator=generator)


def _calibrate(network: Network) -> None:
    """Set the statistics of every batch norm to those of its input in one forward, a little off."""
    generator = torch.Generator().manual_seed(3)
    hooks = []

    def hook(module: Any, args: tuple[Any, ...]) -> None:
        x = args[0]
        dims = [d for d in range(x.dim()) if d != 1]
        var, mean = torch.var_mean(x, dims, correction=0)
        jitter = torch.empty(mean.shape).uniform_(0.8, 1.25, generator=generator)
        module.running_mean.copy_(mean + 0.1 * (jitter - 1))
        # What varies little around its mean would have its rounding blown up layer by layer.
        module.running_var.copy_((var + mean**2 + 1e-3) * jitter)

    for module in network.model.modules():
        mean = getattr(module, "running_mean", None)
        if isinstance(mean, Tensor) and mean.dim() == 1 and isinstance(getattr(module, "running_var", None), Tensor):
            hooks.append(module.register_forward_pre_hook(hook))
    network.run(network.model, torch.float32)
    for handle in hooks:
        handle.remove()
