"""The contract: a network's inputs and outputs, which no step may change unasked."""

from typing import Final, Literal

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label, Sink
from surgery_dsl.interface.expression import text
from surgery_dsl.interface.model import Extent, Interface, Port
from surgery_dsl.language.plan import Excise, Replace
from surgery_dsl.proof.state import State

Side = Literal["inputs", "outputs"]
SIDES: Final[tuple[Side, ...]] = ("inputs", "outputs")


def compare(state: State, step: Excise | Replace, side: Side, after: Interface, sink: Sink) -> None:
    """Report every port that a step would give another dtype or size."""
    before = state.interface
    old_ports: tuple[Port, ...] = getattr(before, side)
    new_ports: tuple[Port, ...] = getattr(after, side)
    code = shapes.INPUT_CONTRACT if side == "inputs" else shapes.OUTPUT_CONTRACT
    for old, new in zip(old_ports, new_ports, strict=True):
        was, now = shape_text(before, old), shape_text(after, new)
        if was == now:
            continue
        labels: tuple[Label, ...] = ()
        if isinstance(step, Replace) and step.spans.get(step.where) is not None:
            labels = (Label(step.spans[step.where], "these sites lead to it"),)
        span = step.transform.span if isinstance(step, Replace) else step.span
        sink.say(
            Diagnostic(
                code,
                f"`{step.name}` would change the network's {side[:-1]} `{old.name}` from {was} to {now}",
                file=state.file,
                span=span or step.span,
                labels=labels,
                path=old.name,
                facts={"before": was, "after": now},
                help=f"write `changes = {side}` in `{step.name}` if that is meant, or choose other sites",
            )
        )


def shape_text(interface: Interface, port: Port) -> str:
    """Write a port's dtype and sizes, open ones as ranges: ``f32[N, 10]``."""
    value = interface.values[port.value]
    sizes = []
    for dim in value.dims:
        exact = interface.exact(dim)
        sizes.append(str(exact) if exact is not None else " * ".join(_size_text(interface, axis) for axis in dim))
    return f"{value.dtype}[{', '.join(sizes)}]"


def _size_text(interface: Interface, axis: int) -> str:
    parts = interface.axes[axis].parts
    if parts:
        return "(" + " + ".join(" * ".join(_size_text(interface, a) for a in part) or "1" for part in parts) + ")"
    size = interface.axes[axis].size
    if isinstance(size, Extent):
        return str(size.least) if size.least == size.most else f"{size.least}..{size.most}"
    return text(size)
