"""What boxes of inputs need of a network: one input of real numbers, of known sizes."""

from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import FLOATS, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.values import Point

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from surgery_dsl.evidence.named_inputs import Inputs
    from surgery_dsl.vocabulary.context import Runtime


def one_real_input(span: Span | None, context: Static) -> bool:
    """Report a network that takes anything but one input of real numbers, of the base's sizes; say if it is fine."""
    found = [context.base.values[port.value] for port in context.base.inputs]
    if len(found) != 1:
        why, fix = f"the network takes {len(found)} inputs", "certify speaks of networks of one input"
    elif found[0].dtype not in FLOATS:
        why, fix = f"the input is {found[0].dtype}: integers have no distance", "measure on data instead"
    elif input_sizes(context.base) != input_sizes(context.interface):
        why, fix = "the input has other sizes than the base's", "certify before the step that changes the input"
    else:
        return True
    say(f"{why}, and a box has no meaning there", span, context, f"{fix}: `measure change(…) <= …`")
    return False


def input_sizes(interface: Interface) -> tuple[int | None, ...]:
    """Return the sizes of one example's input; ``None`` where one is open or free."""
    return tuple(interface.exact(dim) for dim in interface.values[interface.inputs[0].value].dims[1:])


def say(message: str, span: Span | None, context: Static, fix: str) -> None:
    """Report that a region does not fit."""
    context.say(Diagnostic(budgets.REGION_DOES_NOT_FIT, message, file=context.file, span=span, help=fix))


def clip_ordered(low: Fraction | None, high: Fraction | None) -> None:
    """Raise ``ValueError`` where the ends of a domain are not in order."""
    if low is not None and high is not None and not low < high:
        raise ValueError(f"low = {float(low):g} is not below high = {float(high):g}")


def below(value: Fraction) -> float:
    """Return the greatest float64 that is at most a number."""
    import math

    found = float(value)
    return math.nextafter(found, -math.inf) if Fraction(found) > value else found


def above(value: Fraction) -> float:
    """Return the least float64 that is at least a number."""
    return -below(-value)


def examples(data: str, count: int | None, runtime: "Runtime", inside: str = "") -> "torch.Tensor":
    """Return the first inputs of a data set on the CPU, in the run's dtype; or what a module of the base is given."""
    import torch

    from surgery_dsl.evidence.named_inputs import main

    loaded = runtime.data(data)
    many = loaded.facts.count if count is None else min(count, loaded.facts.count)
    turns = -(-many // loaded.facts.batch)
    batches = loaded.batches(turns)
    if not inside:
        return torch.cat([main(inputs).cpu() for inputs, _ in batches])[:many]
    found = _given(inside, batches, runtime)
    if len(found) != turns or sum(map(len, found)) != min(turns * loaded.facts.batch, loaded.facts.count):
        raise LookupError(f"`{inside}` does not run once for each example")
    return torch.cat(found)[:many]


def _given(module: str, batches: "Iterator[tuple[Inputs, torch.Tensor]]", runtime: "Runtime") -> "list[torch.Tensor]":
    """Return the first argument of each run of a module of the base, on the CPU."""
    from surgery_dsl.evidence.watching import watch

    base, _ = runtime.point(Point(at="base"))
    found: list[torch.Tensor] = []

    def note(_path: str, value: "torch.Tensor") -> None:
        found.append(value.cpu().clone())

    watch(base, (), batches, note, lambda inputs: runtime.outputs(base, inputs), entering=(module,))
    return found
