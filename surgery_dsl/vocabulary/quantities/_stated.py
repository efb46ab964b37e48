"""Free input sizes that a use of a quantity states: ``macs(N = 1, H = 224, W = 224)``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.expression import evaluate, symbols
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.vocabulary.context import Static


def _whole(sizes: Mapping[str, object]) -> dict[str, int]:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} is {size}; a size is a whole number from 1")
    return {name: size for name, size in sizes.items() if isinstance(size, int)}


Sizes = Annotated[dict[str, int], AfterValidator(_whole)]
"""Free sizes by name."""


def check_stated(word: str, sizes: Mapping[str, int], span: Span | None, context: Static) -> None:
    """Report sizes that the network's inputs do not leave free, and those outside the range that the plan gives."""
    free = {size.name: size for size in context.interface.free}
    for name, size in sizes.items():
        known = free.get(name)
        if known is None:
            there = ", ".join(f"`{other}`" for other in free) or "none"
            text = f"`{word}` states `{name}`, which is no free size of the inputs"
            fix = f"free sizes here: {there}"
            _say(Diagnostic(names.UNKNOWN_ARGUMENT, text, facts={"size": name}, help=fix), span, context)
        elif size < known.least or (known.most is not None and size > known.most):
            most = "" if known.most is None else str(known.most)
            text = f"`{word}` states {name} = {size}, and the input takes {known.least}..{most}"
            fix = f"state a size of {known.least}..{most}, or widen the range in `input`"
            _say(Diagnostic(names.ARGUMENT_OUT_OF_RANGE, text, facts={name: size}, help=fix), span, context)


def _say(finding: Diagnostic, span: Span | None, context: Static) -> None:
    context.say(replace(finding, file=context.file, span=span))


def least_sizes(interface: Interface, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return all free sizes of a network: the stated ones, the others at their least."""
    return {free.name: free.least for free in interface.free} | dict(sizes)


def axis_size(interface: Interface, axis: int, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Return the least and greatest size of a leaf axis where all free sizes are given (1 for one that is not)."""
    size = interface.axes[axis].size
    if isinstance(size, Extent):
        return size.least, size.most
    exact = size if isinstance(size, int) else evaluate(size, {n: sizes.get(n, 1) for n in symbols(size)})
    return exact, exact
