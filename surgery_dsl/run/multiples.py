"""Which multiples end a refusal: tried on the network, proved, and only then offered.

A forward that fails at some sizes, or goes another way there, may be right wherever it is used: 16 divides the height.
For each free size the smallest number is looked for at whose multiples the forward runs; then the network is traced on
these inputs, and every relation of sizes is proved for all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from torch import nn

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.expression import linear_text, multiply, put_in
from surgery_dsl.interface.inputs import InputSpec, free_names
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.proof.misfits import MULTIPLES, divided
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.tiers.order import decide_all_sizes
from surgery_dsl.trace.capture import trace
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded, record
from surgery_dsl.trace.likeness import first_difference

CODES: Final = (shapes.FORWARD_FAILS, shapes.PATH_DEPENDS_ON_SIZE, shapes.UNKNOWN_SIZE)
COUNTS = (3, 4, 5, 7)
"""How many of them are tried: odd and even, so that no half fits by chance."""
LEAST = 64
"""Size from which multiples are tried: of small images, all strides leave the same."""
BASES = (448, 512, 224, 256, 480, 360)
"""Sizes at which the other free sizes stand meanwhile, most of which divide what is usual."""


def offered(
    model: nn.Module,
    inputs: tuple[InputSpec, ...],
    outputs: tuple[str, ...] | None,
    free: Sequence[FreeSize],
    refused: Refused,
) -> Refused:
    """Return a refusal with the multiples that end it as its fix, or as it was where none do.

    Args:
        model: The network that was traced, left as it was.
        inputs: What the plan says of its inputs.
        outputs: What it says of its outputs.
        free: Ranges of the free sizes.
        refused: Why the tracer refused it.
    """
    found = refused.diagnostics[0]
    names = free_names(inputs)
    if found.code not in CODES or not names or (found.code is shapes.FORWARD_FAILS and not found.facts):
        return refused
    factors = _factors(model, inputs, names)
    if factors is None or set(factors.values()) == {1}:
        return refused
    square = _square(inputs, factors)
    for sides in ({}, square) if square else ({},):
        times = {name: multiply(factor, sides.get(name, name)) for name, factor in factors.items()}
        multiples = tuple(one.replaced(dims=tuple(put_in(dim, times) for dim in one.dims), free=()) for one in inputs)
        ranges = _ranges(free, factors, sides)
        if ranges is None or not _proved(model, multiples, outputs, ranges):
            continue
        spec = next(new for new, old in zip(multiples, inputs, strict=True) if new.dims != old.dims)
        dims = ", ".join(linear_text(dim) for dim in spec.dims)
        told = "".join(
            f", {one.name} = {one.least}..{one.most}" for one in ranges if one.most and one.name in spec.names
        )
        which = "for every square of a multiple" if sides else "for every multiple"
        text = f"write `{spec.name}({chr(34)}{spec.dtype}{chr(34)}, [{dims}]{told})`: so it is proved {which}"
        return Refused(replace(found, help=text), *refused.diagnostics[1:])
    return refused


def _square(inputs: Sequence[InputSpec], factors: dict[str, int]) -> dict[str, str]:
    """Return one name for both sides of an image: a forward may ask which is the smaller."""
    for spec in inputs:
        sides = [dim for dim in spec.dims[-2:] if isinstance(dim, str)]
        if len(spec.dims) == 4 and len(set(sides)) == 2 and len({factors[side] for side in sides}) == 1:
            return {sides[1]: sides[0]}
    return {}


def _ranges(free: Sequence[FreeSize], factors: dict[str, int], sides: dict[str, str]) -> tuple[FreeSize, ...] | None:
    """Return the ranges of the multiples, those of sides that are one put together; ``None`` where one holds none."""
    found: dict[str, FreeSize] = {}
    for one in free:
        if one.name not in factors:
            continue
        least, most = divided(one.least, one.most, factors[one.name])
        name = sides.get(one.name, one.name)
        if name in found:
            least = max(least, found[name].least)
            most = min((end for end in (most, found[name].most) if end is not None), default=None)
        if most is not None and most < least:
            return None
        found[name] = FreeSize(name=name, least=least, most=most)
    return tuple(found.values())


def _factors(model: nn.Module, inputs: Sequence[InputSpec], names: Sequence[str]) -> dict[str, int] | None:
    """Return for each free size the first number at whose multiples the forward runs; ``None`` where there is none."""
    base = next((sizes for sizes in _bases(names) if _runs(model, inputs, sizes)), None)
    if base is None:
        return None
    found: dict[str, int] = {}
    for name in names:
        factor = next((m for m in (1, *MULTIPLES) if _alike(model, inputs, {**base, name: 0}, name, m)), None)
        if factor is None:
            return None
        found[name] = factor
    return found


def _alike(model: nn.Module, inputs: Sequence[InputSpec], base: dict[str, int], name: str, factor: int) -> bool:
    """Say whether the forward runs at some multiples, and makes the same calls at all of them."""
    size = factor * (LEAST // (COUNTS[0] * factor) | 1)
    try:
        first, *others = record(model, inputs, [{**base, name: size * n} for n in COUNTS], tainted=False)
    except (ForwardFailed, ValuesNeeded):
        return False
    return all(first_difference(first, other) is None for other in others)


def _runs(model: nn.Module, inputs: Sequence[InputSpec], sizes: dict[str, int]) -> bool:
    try:
        record(model, inputs, [sizes], tainted=False)
    except (ForwardFailed, ValuesNeeded):
        return False
    return True


def _bases(names: Sequence[str]) -> Iterator[dict[str, int]]:
    for size in BASES:
        yield {name: 2 if at == 0 and len(names) > 1 else size for at, name in enumerate(names)}


def _proved(
    model: nn.Module, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...] | None, ranges: tuple[FreeSize, ...]
) -> bool:
    """Say whether the network can be followed on some inputs, and every relation of its sizes is proved."""
    try:
        interface = trace(model, inputs, outputs, ranges, make_up=False)
    except Refused:
        return False
    ends = tuple((one.name, one.least, one.most) for one in interface.free)
    questions = [SizeQuestion(one.relation, one.left, one.right, ends) for one in interface.requirements]
    return all(answer.status == "proved" for answer in decide_all_sizes(questions))
