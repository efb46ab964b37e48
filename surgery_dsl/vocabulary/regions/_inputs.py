"""What regions need of a network's inputs: numbers between ends, tokens that look up rows, and constants."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import FLOATS, Interface
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.values import Point

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from surgery_dsl.evidence.bounds.input_sets import InputSet
    from surgery_dsl.evidence.bounds.region import Box
    from surgery_dsl.evidence.named_inputs import Inputs
    from surgery_dsl.vocabulary.context import Runtime


def dtypes(interface: Interface) -> dict[str, str]:
    """Return the dtype of each input by its name, in the order of the forward."""
    return {port.name: interface.values[port.value].dtype for port in interface.inputs}


def one_real_input(span: Span | None, context: Static) -> bool:
    """Report a network that takes anything but one input of real numbers, of the base's sizes; say if it is fine."""
    found = list(dtypes(context.base).values())
    if len(found) != 1:
        why, fix = f"the network takes {len(found)} inputs", "units are proved dead in networks of one input"
    elif found[0] not in FLOATS:
        why, fix = f"the input is {found[0]}: integers have no distance", "take units by what they do on data"
    else:
        return same_sizes(span, context)
    say(f"{why}, and one box has no meaning there", span, context, fix)
    return False


def corners(region: Region, runtime: "Runtime") -> "torch.Tensor":
    """Return the boxes of a network's one input of real numbers, ``[2, B, 1, *shape]``, the lower corners first."""
    import torch

    from surgery_dsl.evidence.bounds.region import Box

    (box,) = region.input_sets(runtime).values()
    if not isinstance(box, Box):
        raise LookupError("the network's input is not one of real numbers")
    return torch.stack([box.low, box.high])


def same_sizes(span: Span | None, context: Static) -> bool:
    """Report inputs that are other than the base's; say if they are the same."""
    if (dtypes(context.base), input_sizes(context.base)) == (dtypes(context.interface), input_sizes(context.interface)):
        return True
    say("the inputs have other sizes than the base's", span, context, "certify before the step that changes them")
    return False


def input_sizes(interface: Interface) -> dict[str, tuple[int | None, ...]]:
    """Return the sizes of one example of each input; ``None`` where one is open or free."""
    return {
        port.name: tuple(interface.exact(dim) for dim in interface.values[port.value].dims[1:])
        for port in interface.inputs
    }


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


# ---- examples ----------------------------------------------------------------------------------------------------


def input_sets(
    data: str,
    count: int | None,
    runtime: "Runtime",
    inside: str,
    boxes: "Callable[[torch.Tensor], Box]",
    *,
    together: bool,
) -> "dict[str, InputSet]":
    """Return what each input may be, from the examples of a data set.

    Args:
        data: The data block.
        count: How many examples, from the first; all of them for ``None``.
        runtime: The run.
        inside: A module of the base; then its first argument is meant.
        boxes: Makes boxes of the examples of an input of real numbers.
        together: Whether tokens may be what any example has at their place, or one region stands for each example.

    Raises:
        LookupError: Booleans that differ, which nothing is known to bound.
    """
    from surgery_dsl.evidence.bounds.input_sets import Fixed, Tokens

    found: dict[str, InputSet] = {}
    given = examples(data, count, runtime, inside)
    varied = {name for name, values in given.items() if bool((values != values[:1]).any())}
    reals = any(values.is_floating_point() for values in given.values())
    for name, values in given.items():
        if values.is_floating_point():
            found[name] = boxes(values)
        elif name not in varied and (reals or varied):
            found[name] = Fixed(values[:1])
        elif values.dtype.itemsize == 1 and values.max() <= 1:
            raise LookupError(f"the booleans of `{name}` are not the same in every example of `{data}`")
        else:
            found[name] = Tokens((1, *values.shape[1:]), _seen(name, values.long(), together=together))
    return found


def _seen(name: str, tokens: "torch.Tensor", *, together: bool) -> "torch.Tensor":
    """Return which tokens examples have at each place: [B, 1, …, rows], or [1, 1, …, rows] of all together."""
    import torch

    if int(tokens.min()) < 0:
        raise LookupError(f"`{name}` has the token {int(tokens.min())}, which looks up no row")
    rows = int(tokens.max()) + 1
    count = 1 if together else len(tokens)
    allowed = torch.zeros(count, *tokens.shape[1:], rows, dtype=torch.bool)
    for number, example in enumerate(tokens):
        allowed[0 if together else number].scatter_(-1, example.unsqueeze(-1), value=True)
    return allowed.unsqueeze(1)


def examples(data: str, count: int | None, runtime: "Runtime", inside: str = "") -> "Mapping[str, torch.Tensor]":
    """Return the first inputs of a data set on the CPU, by name, in the run's dtype; or what a module is given."""
    import torch

    from surgery_dsl.evidence.named_inputs import main, named

    loaded = runtime.data(data)
    many = loaded.facts.count if count is None else min(count, loaded.facts.count)
    turns = -(-many // loaded.facts.batch)
    batches = loaded.batches(turns)
    names = list(dtypes(runtime.interface))
    if not inside:
        inputs = [batch for batch, _ in batches]
        if len(names) == 1:
            return {names[0]: torch.cat([main(one).cpu() for one in inputs])[:many]}
        parts = [named(one) for one in inputs]
        return {name: torch.cat([part[name].cpu() for part in parts])[:many] for name in names}
    found = _given(inside, batches, runtime)
    if len(found) != turns or sum(map(len, found)) != min(turns * loaded.facts.batch, loaded.facts.count):
        raise LookupError(f"`{inside}` does not run once for each example")
    return {inside: torch.cat(found)[:many]}


def _given(module: str, batches: "Iterator[tuple[Inputs, torch.Tensor]]", runtime: "Runtime") -> "list[torch.Tensor]":
    """Return the first argument of each run of a module of the base, on the CPU."""
    from surgery_dsl.evidence.watching import watch

    base, _ = runtime.point(Point(at="base"))
    found: list[torch.Tensor] = []

    def note(_path: str, value: "torch.Tensor") -> None:
        found.append(value.cpu().clone())

    watch(base, (), batches, note, lambda inputs: runtime.outputs(base, inputs), entering=(module,))
    return found
