"""A stored bound computed again: by the same rules, on the stored boxes, with no search and no code of the networks.

What is shown: that the two stored graphs differ by no more than the bound on the stored boxes, that parts cover the
boxes that they were cut from, that the stored inputs lie in the boxes and reach what is said of them. What is not
shown, that the graphs are those of the networks, is made likely by :func:`linked`: constants that stand, byte for
byte, in the files of weights.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Any, final

import torch
from safetensors.torch import load_file
from torch import Tensor

from surgery_dsl.evidence.bounds import assumptions, claimed
from surgery_dsl.evidence.bounds.analysis import FLOAT32, REAL
from surgery_dsl.evidence.bounds.bounding import Bounding
from surgery_dsl.evidence.bounds.changes import Match
from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.evidence.bounds.rounding import ASSUMED_UNITS
from surgery_dsl.evidence.bounds.written import points_of, read, region_of
from surgery_dsl.kernels.quantizers import dequantize

SLACK = 1e-6
"""Relative difference that other kernels may make; the bound that is compared with the limit is the one found here."""


@final
@dataclass(frozen=True)
class Rechecked:
    """What came of computing a bound again.

    Attributes:
        bound: The bound, from the stored boxes alone.
        attack: What the stored inputs reach.
        why: Why the evidence does not show the claim; empty where it does.
        constants: Tensors of the second graph.
        linked: Those that stand in the result's own weights, byte for byte, as they are, transposed or dequantized.
        assumes: Functions that the networks run in float32, and of which something is assumed.
        formula: What is bounded.
        dimensions: How many numbers and tokens an input has.
    """

    bound: float
    attack: float
    why: str
    constants: int
    linked: int
    assumes: tuple[str, ...]
    formula: str
    dimensions: int


def unlike_files(folder: Path, evidence: Any) -> str:
    """Return why the files of some evidence are not those that were certified; empty where they are."""
    for name, digest in evidence.digests.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            return f"`{name}` is not the file that was certified"
    if not evidence.record or {evidence.record, evidence.tensors} != set(evidence.digests):
        return "no files show it"
    return ""


def recheck(folder: Path, claim: Any) -> str:
    """Return why the evidence of a claim does not show it; empty where it does.

    Args:
        folder: The result.
        claim: A claim of the certificate whose evidence is of kind ``bound``.

    Raises:
        OSError, KeyError, TypeError, ValueError, IndexError, RuntimeError, ArithmeticError: Its files are not what
            they should be.
    """
    evidence = claim.evidence
    if why := unlike_files(folder, evidence):
        return why
    found = rechecked(folder, evidence.record)
    if found.why:
        return found.why
    record = json.loads((folder / evidence.record).read_text(encoding="utf-8"))
    if {one.function for one in evidence.assumes if one.units == ASSUMED_UNITS} != set(found.assumes):
        return "it does not say what it assumes of float32 functions"
    if (evidence.claims, evidence.dimensions) != (found.formula, found.dimensions):
        said = f"{evidence.claims} in {evidence.dimensions} dimensions"
        return f"it is of {said}, and its evidence of {found.formula} in {found.dimensions}"
    numbers = {name: getattr(evidence, name) for name in ("bound", "attack", "limit", "arithmetic", "parts", "boxes")}
    for name, value in numbers.items():
        if record[name] != value:
            return f"the claim says {name} {value}, and its evidence {record[name]}"
    passed = Fraction(found.bound) <= Fraction(evidence.limit)
    if passed != (claim.status == "passed"):
        return f"the bound is {found.bound:.6g}, the limit {float(Fraction(evidence.limit)):.6g}: not {claim.status}"
    return ""


def rechecked(folder: Path, record: str) -> Rechecked:
    """Compute a stored bound again; ``record`` is the file's name in the folder. Errors as of :func:`recheck`."""
    data = json.loads((folder / record).read_text(encoding="utf-8"))
    tensors = load_file(folder / data["tensors"])
    old, new = read(data["old"], tensors), read(data["new"], tensors)
    what = claimed.read(data["claim"], tensors.get("labels"))
    bounding = Bounding(
        old, new, _matches(data, tensors, old, new), what, {"real": REAL, "float32": FLOAT32}[data["arithmetic"]]
    )
    region = region_of(tensors)
    parts, origin = region, torch.arange(region.count)
    why = "" if region.count == data["boxes"] else f"{region.count} regions are stored, not {data['boxes']}"
    if "part.low" in tensors:
        pieces, origin = Box(tensors["part.low"], tensors["part.high"]), tensors["part.of"]
        parts = Region({0: pieces})
        why = why or (_uncovered(region.boxes[0], pieces, origin) if not region.tokens else "parts of tokens")
    bounds = bounding.over(parts, None if what.labels is None else what.labels[origin])
    why = why or _other_bounds(bounds, tensors["bounds"], float.fromhex(data["bound"]))
    attack, against = _reached(data, tensors, region, bounding)
    constants = [tensor for name, tensor in tensors.items() if name.startswith("new.")]
    found = linked(constants, sorted(folder.glob("*.safetensors")))
    assumes = assumptions.assumed((old, new)) if bounding.arithmetic.unit else ()
    said = what.formula, region.dimensions
    return Rechecked(float(bounds.max()), attack, why or against, len(constants), found, assumes, *said)


def _matches(data: Any, tensors: dict[str, Tensor], old: Graph, new: Graph) -> list[Match]:
    found = []
    last = (-1, -1)
    for number, (one, other) in enumerate(data["matches"]):
        units = tensors[f"match.{number}.old"], tensors[f"match.{number}.new"]
        sizes = old.nodes[one].size, new.nodes[other].size
        inside = all(bool(((unit >= 0) & (unit < size)).all()) for unit, size in zip(units, sizes, strict=True))
        if not inside or len(units[0]) != len(units[1]) or len(set(units[1].tolist())) != len(units[1]):
            raise ValueError("matched units that are none")
        if one <= last[0] or other <= last[1]:
            raise ValueError("matched functions that are not in order")
        last = (one, other)
        found.append(Match(one, other, *units))
    return found


def _other_bounds(bounds: Tensor, stored: Tensor, said: float) -> str:
    if stored.shape != bounds.shape:
        return f"{stored.numel()} bounds are stored for {bounds.numel()} boxes"
    room = SLACK * bounds.abs().clamp(min=1e-3)
    apart = (bounds - stored).abs()
    if not bool((apart <= room).all()):
        at = int((apart - room).argmax())
        one, other = float(stored[at]), float(bounds[at])
        return f"the bound of box {at} is stored as {one:.6g}, and computed again it is {other:.6g}"
    if not abs(float(stored.max()) - said) <= SLACK * max(abs(said), 1e-3):
        return f"the greatest stored bound is {float(stored.max()):.6g}, not {said:.6g}"
    return ""


def _reached(data: Any, tensors: dict[str, Tensor], region: Region, bounding: Bounding) -> tuple[float, str]:
    points = points_of(tensors)
    if len(points) != len(region.boxes) + len(region.tokens):
        return -inf, "there is not one input for each box"
    if not region.holds(*points):
        return -inf, "an input that the attack found lies outside its box"
    reached = float(bounding.values(*points).max())
    said = float.fromhex(data["attack"])
    if not abs(reached - said) <= SLACK * max(abs(said), 1e-3):
        return reached, f"the stored inputs reach {reached:.6g}, not {said:.6g}"
    return reached, ""


# ---- parts cover their box ---------------------------------------------------------------------------------------


def _uncovered(boxes: Box, parts: Box, origin: Tensor) -> str:
    """Say which box is not covered by the parts that were cut from it."""
    for at in range(len(boxes.low)):
        mine = origin == at
        low, high = parts.low[mine].flatten(1), parts.high[mine].flatten(1)
        if not covers(boxes.low[at].flatten(), boxes.high[at].flatten(), low, high):
            return f"the parts of box {at} do not cover it"
    return ""


def covers(low: Tensor, high: Tensor, lows: Tensor, highs: Tensor) -> bool:
    """Whether boxes [n, d] that come from halving a box [d], again and again, cover it.

    A box is covered by a part that contains it; or where a plane through its middle cuts no part, and both halves are
    covered by the parts on their sides.
    """
    ahead = [(low, high, torch.arange(len(lows)))]
    while ahead:
        low, high, within = ahead.pop()
        first, last = lows[within], highs[within]
        if not len(within):
            return False
        if bool(((first <= low) & (last >= high)).all(1).any()):
            continue
        middle = (low + high) / 2
        free = ~((first < middle) & (last > middle)).any(0) & (low < middle) & (middle < high)
        sides = free.nonzero().flatten()
        if not len(sides):
            return False
        side = int(sides[0])
        upper, lower = low.clone(), high.clone()
        upper[side], lower[side] = middle[side], middle[side]
        ahead.append((low, lower, within[first[:, side] < middle[side]]))
        ahead.append((upper, high, within[last[:, side] > middle[side]]))
    return True


# ---- constants that stand in the weights -------------------------------------------------------------------------


def linked(constants: Iterable[Tensor], files: Iterable[Path]) -> int:
    """Return how many constants stand in files of weights, byte for byte, as they are, transposed or dequantized."""
    known = standing(files)
    return sum(bytes_of(tensor) in known for tensor in constants)


def standing(files: Iterable[Path]) -> set[tuple[str, tuple[int, ...], str]]:
    """Return what stands in files of weights, as :func:`bytes_of` tells it."""
    known = set()
    for file in files:
        stored = load_file(file)
        for tensor in (*stored.values(), *_dequantized(stored)):
            known.add(bytes_of(tensor))
            if tensor.dim() == 2:
                known.add(bytes_of(tensor.T))
    return known


def _dequantized(stored: dict[str, Tensor]) -> Iterator[Tensor]:
    """Yield the weights that stored integers stand for, in the dtype of their scales."""
    for name, scale in stored.items():
        prefix, _, leaf = name.rpartition(".")
        values = stored.get(f"{prefix}.weight")
        if leaf == "scale" and values is not None and not values.is_floating_point():
            yield dequantize(values, scale, stored.get(f"{prefix}.zero_point"), scale.dtype)


def bytes_of(tensor: Tensor) -> tuple[str, tuple[int, ...], str]:
    """Return the dtype, the shape and the SHA-256 of a tensor's bytes."""
    plain = (
        tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_zeros(0, dtype=torch.uint8)
    )
    return str(tensor.dtype), tuple(tensor.shape), hashlib.sha256(plain.numpy().tobytes()).hexdigest()
