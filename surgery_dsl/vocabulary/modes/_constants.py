"""Constants of dead units that go: what their readers took from them moves into the readers' biases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.constants import Leg, targets, trail
from surgery_dsl.interface.flow import Flow, weight_position
from surgery_dsl.interface.gathering import entries
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.units._axes import owners

if TYPE_CHECKING:
    import torch


def may_hold(axes: Sequence[int], interface: Interface) -> frozenset[str]:
    """Return the tensors that constants of units along some axes may move into; empty where there are no constants."""
    flow = Flow(interface)
    legs = trail(axes, flow)
    return frozenset(targets(legs, flow).values()) if _has_sources(legs, interface) else frozenset()


def _has_sources(legs: Sequence[Leg], interface: Interface) -> bool:
    """Whether something on the way gives a constant to a unit without weights: a bias, or a batch norm."""
    sources = (interface.operators[leg.at] for leg in legs if leg.action in ("layer", "norm") and leg.written >= 0)
    return any("bias" in operator.tensors or operator.kind == "batch_norm" for operator in sources)


def folded(
    gone: Mapping[int, Sequence[int]], kept: Mapping[int, Sequence[int]], runtime: Runtime
) -> "dict[str, torch.Tensor]":
    """Return new values of the tensors that take over the constants of removed units, as they are after the edit.

    A unit counts as dead only if all weights that write it are exactly zero, or the norm behind it scales it by zero.

    Args:
        gone: For each axis, the indices that are removed.
        kept: For each axis, those that stay.
        runtime: The run; its model is the one before the edit.

    Raises:
        Refused: With SD519 where a constant that is not zero meets what cannot hold it, and the step does not say
            ``changes = values``.
    """
    interface = runtime.interface
    flow = Flow(interface)
    legs = trail(tuple(gone), flow)
    if not _has_sources(legs, interface):
        return {}
    walk = _Walk(interface, runtime, gone)
    holders = targets(legs, flow)
    for leg in legs:
        walk.step(leg, holders.get(leg.at, ""))
    if walk.leaks and "values" not in runtime.changes:
        raise Refused(*walk.leaks[:8])
    return {name: _cut(name, shift, kept, runtime) for name, shift in walk.shifts.items()}


def _cut(name: str, shift: "torch.Tensor", kept: Mapping[int, Sequence[int]], runtime: Runtime) -> "torch.Tensor":
    import torch

    tensor = runtime.tensor(name).detach()
    summed = tensor.double().cpu() + shift
    (dim,) = runtime.interface.tensor_by_name[name].dims
    stays = torch.tensor(entries(dim, kept, runtime.interface), dtype=torch.int64)
    return summed[stays].to(tensor.device, tensor.dtype)


@dataclass
class _Walk:
    """Follows constants through a forward: one number for each unit of a value, NaN where it is none."""

    interface: Interface
    runtime: Runtime
    gone: Mapping[int, Sequence[int]]
    known: "dict[int, torch.Tensor]" = field(default_factory=dict)
    shifts: "dict[str, torch.Tensor]" = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    leaks: list[Diagnostic] = field(default_factory=list)

    def step(self, leg: Leg, holder: str) -> None:
        """Take one operator."""
        operator = self.interface.operators[leg.at]
        source = self.known.get(operator.inputs[0])
        if leg.action == "layer":
            self._layer(leg, operator, holder)
        elif leg.action == "stop":
            for value in operator.inputs:
                if value in self.known:
                    self._leak(operator, self._lost(value, leg.read), value, leg.read, "it cannot be folded into one")
        elif leg.action == "join":
            self.known[operator.outputs[0]] = self._joined(operator, leg.read)
        elif source is not None or leg.action in ("add", "norm"):
            result = self._result(leg, operator, source)
            if result is not None:
                self.known[operator.outputs[0]] = result

    def _result(self, leg: Leg, operator: Operator, source: "torch.Tensor | None") -> "torch.Tensor | None":
        if leg.action == "add":
            parts = [self.known.get(value) for value in operator.inputs]
            return parts[0] + parts[1] if parts[0] is not None and parts[1] is not None else None
        if leg.action == "norm":
            return self._norm(operator, source)
        if source is None:
            return None
        if leg.action == "function":
            return self._function(operator, source)
        if leg.action == "spread":
            own = self.interface.values[operator.inputs[0]].dims[leg.read]
            return _spread(source, own, self.interface.values[operator.outputs[0]].dims[leg.written], self.interface)
        if leg.action == "scalar":
            return _scalar(operator, source)
        return self._pooled(operator, source)

    # ---- layers ----------------------------------------------------------------------------------------------

    def _layer(self, leg: Leg, operator: Operator, holder: str) -> None:
        source = self.known.get(operator.inputs[0])
        weight = self._weight(operator)
        if source is not None and leg.read >= 0:
            lost = self._lost(operator.inputs[0], leg.read)
            if bool((lost != 0).any()):
                shift = _through(operator, weight, lost)
                if bool((shift != 0).any()):
                    self._move(operator, shift, holder, lost, leg.read)
        if leg.written >= 0:
            self._written(operator, weight, source, self.interface.values[operator.outputs[0]].dims[leg.written])

    def _written(self, operator: Operator, weight: "torch.Tensor", source: "torch.Tensor | None", dim: Dim) -> None:
        """Note which of the units that go are constant where a layer writes them."""
        import torch

        rows = self._going(dim).nonzero().view(-1)
        chosen = weight.index_select(0, rows.to(weight.device))
        groups = _groups(operator)
        width = weight.shape[1] * groups
        given = source if source is not None else torch.full((width,), torch.nan, dtype=torch.float64)
        read = given.view(groups, -1)[rows // (weight.shape[0] // groups)]
        silent = chosen.flatten(2).abs().amax(2).cpu() == 0 if chosen.dim() > 2 else chosen.cpu() == 0
        constant = (silent | ~read.isnan()).all(1)
        if _padded(operator):
            constant &= (silent | (read == 0)).all(1)
        if not bool(constant.any()):
            return
        summed = chosen[constant.to(chosen.device)].double().cpu()
        summed = summed.flatten(2).sum(2) if summed.dim() > 2 else summed
        result = torch.full((weight.shape[0],), torch.nan, dtype=torch.float64)
        result[rows[constant]] = (summed * read[constant].nan_to_num(0.0)).sum(1)
        if "bias" in operator.tensors:
            result = result + self._vector(operator.tensors["bias"])
        self.known[operator.outputs[0]] = result

    def _move(self, operator: Operator, shift: "torch.Tensor", holder: str, lost: "torch.Tensor", read: int) -> None:
        value = operator.inputs[0]
        if _padded(operator):
            self._leak(operator, lost, value, read, "its padding makes the sum differ at the borders")
            return
        owner = self.interface.tensor_by_name[holder].tied_to or holder if holder else ""
        if not owner:
            self._leak(operator, lost, value, read, "it has no bias, and no batch norm of its own behind it")
            return
        if self._readers(owner) > 1:
            self._leak(operator, lost, value, read, f"`{owner}` serves several calls")
            return
        sign = -1.0 if holder.rpartition(".")[2] == "running_mean" else 1.0
        self.shifts[owner] = self.shifts.get(owner, 0.0) + sign * shift

    def _readers(self, name: str) -> int:
        named = self.interface.tensor_by_name
        return sum(
            any((named[used].tied_to or used) == name for used in operator.tensors.values())
            for operator in self.interface.operators
        )

    def _weight(self, operator: Operator) -> "torch.Tensor":
        weight = self.runtime.tensor(operator.tensors["weight"]).detach()
        return weight.T if operator.kind == "linear" and weight_position(operator) == 1 else weight

    def _vector(self, name: str) -> "torch.Tensor":
        return self.runtime.tensor(name).detach().double().cpu()

    # ---- what lies between -----------------------------------------------------------------------------------

    def _norm(self, operator: Operator, source: "torch.Tensor | None") -> "torch.Tensor | None":
        import torch

        named = operator.tensors
        if "running_mean" not in named or "running_var" not in named:
            return None
        if source is None:
            source = torch.full((self.runtime.tensor(named["running_mean"]).numel(),), torch.nan, dtype=torch.float64)
        eps = operator.settings.get("eps", 1e-5)
        deviation = (self._vector(named["running_var"]) + float(eps if isinstance(eps, float) else 1e-5)).sqrt()
        result = (source - self._vector(named["running_mean"])) / deviation
        if "weight" in named:
            scale = self._vector(named["weight"])
            result = (result * scale).masked_fill(scale == 0, 0.0)
        return result + self._vector(named["bias"]) if "bias" in named else result

    def _function(self, operator: Operator, source: "torch.Tensor") -> "torch.Tensor | None":
        import torch

        if operator.kind == "prelu":
            slope = self._vector(operator.tensors["weight"]) if "weight" in operator.tensors else None
            return None if slope is None else torch.where(source >= 0, source, source * slope)
        function = getattr(torch.nn.functional, operator.kind, None) or getattr(torch, operator.kind, None)
        if function is None:
            return None
        settings = {name: value for name, value in operator.settings.items() if name not in ("inplace", "training")}
        result: torch.Tensor = function(source, **settings)
        return result

    def _pooled(self, operator: Operator, source: "torch.Tensor") -> "torch.Tensor | None":
        """Constants stay what they are, unless an average counts padding."""
        counted = operator.settings.get("count_include_pad", True)
        if operator.kind.startswith("avg_pool") and _padded(operator) and counted:
            return source.masked_fill(source != 0, float("nan"))
        return source

    def _joined(self, operator: Operator, read: int) -> "torch.Tensor":
        import torch

        parts = []
        for value in operator.inputs:
            size = self.interface.exact(self.interface.values[value].dims[read]) or 1
            parts.append(self.known.get(value, torch.full((size,), torch.nan, dtype=torch.float64)))
        return torch.cat(parts)

    # ---- what goes -------------------------------------------------------------------------------------------

    def _lost(self, value: int, position: int) -> "torch.Tensor":
        """Return the constants of the units that go; zero for all others."""
        going = self._going(self.interface.values[value].dims[position])
        return self.known[value].nan_to_num(0.0).masked_fill(~going, 0.0)

    def _going(self, dim: Dim) -> "torch.Tensor":
        """Return which entries of a dimension go."""
        import torch

        going = torch.zeros(self.interface.exact(dim) or 1, dtype=torch.bool)
        for axis, indices in self.gone.items():
            if axis in self.interface.leaves(dim):
                owner = torch.tensor(owners(dim, axis, self.interface))
                going |= torch.isin(owner, torch.tensor(list(indices)))
        return going

    def _leak(self, operator: Operator, lost: "torch.Tensor", value: int, read: int, why: str) -> None:
        found = lost.nonzero().view(-1).tolist()
        if not found:
            return
        layer = next(Flow(self.interface).layers_behind(value), None)
        writer = self.interface.operators[layer].path if layer is not None else ""
        first = found[0]
        self.leaks.append(
            Diagnostic(
                runs.CONSTANT_LEAK,
                f"channel {first} at `{writer}` is dead and still gives {float(lost[first]):.4g} to `{operator.path}`; "
                f"to remove it changes the function",
                file=self.runtime.file,
                path=operator.path,
                facts={"channel": first, "constant": float(lost[first]), "channels": len(found)},
                notes=(f"`{operator.path}` cannot take the constant over: {why}",),
                help="write changes = values in the excise step if that is meant, or leave the channel out",
            )
        )


def _through(operator: Operator, weight: "torch.Tensor", units: "torch.Tensor") -> "torch.Tensor":
    """Return what a layer without bias makes of constant units, away from any border."""
    import torch

    groups = _groups(operator)
    if groups == 1:
        which = units.nonzero().view(-1)
        read = weight.index_select(1, which.to(weight.device)).double().cpu()
        return (read.flatten(2).sum(2) if read.dim() > 2 else read) @ units[which]
    summed = weight.double().cpu().flatten(2).sum(2)
    grouped = summed.view(groups, summed.shape[0] // groups, summed.shape[1])
    return torch.einsum("goi,gi->go", grouped, units.view(groups, -1)).flatten()


def _groups(operator: Operator) -> int:
    groups = operator.settings.get("groups", 1)
    return groups if isinstance(groups, int) else 1


def _padded(operator: Operator) -> bool:
    padding = operator.settings.get("padding", 0)
    sides = padding if isinstance(padding, tuple) else (padding,)
    return any(side != 0 for side in sides)


def _spread(source: "torch.Tensor", own: Dim, dim: Dim, interface: Interface) -> "torch.Tensor":
    """Return the constants of a dimension that holds another one as a factor."""
    start = next(start for start in range(len(dim)) if dim[start : start + len(own)] == own)
    outer = prod(interface.exact((axis,)) or 1 for axis in dim[:start])
    inner = prod(interface.exact((axis,)) or 1 for axis in dim[start + len(own) :])
    return source.repeat_interleave(inner).repeat(outer)


def _scalar(operator: Operator, source: "torch.Tensor") -> "torch.Tensor | None":
    other = operator.settings.get("other")
    if not isinstance(other, int | float):
        return None
    alpha = operator.settings.get("alpha", 1)
    step = other * alpha if isinstance(alpha, int | float) else other
    if operator.kind == "add":
        return source + step
    if operator.kind == "sub":
        return source - step
    return source * other if operator.kind == "mul" else source / other
