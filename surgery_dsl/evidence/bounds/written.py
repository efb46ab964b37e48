"""Graphs as files: their calls as JSON, their constants as tensors.

Whoever reads them back needs neither the module nor its code, and makes the nodes by the same rules.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.assembly import Assembly
from surgery_dsl.evidence.bounds.graph import Call, Graph, Source
from surgery_dsl.evidence.bounds.region import Box, Region

Json = Any
"""What :mod:`json` reads and writes."""


def written(graph: Graph, prefix: str) -> tuple[Json, dict[str, Tensor]]:
    """Return a graph as JSON and the constants that it names, each once, in the network's own dtype.

    Args:
        graph: What is written.
        prefix: Names of tensors start with it.
    """
    tensors: dict[str, Tensor] = {}
    known: dict[int, str] = {}

    def plain(value: Any) -> Json:
        if isinstance(value, Source):
            return {"value": value.node}
        if isinstance(value, Tensor):
            if id(value) not in known:
                known[id(value)] = f"{prefix}{len(known)}"
                tensors[known[id(value)]] = value.detach().to("cpu").contiguous()
            return {"tensor": known[id(value)]}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"an argument of type {type(value).__name__} cannot be written")

    calls = [
        {
            "operator": call.operator,
            "module": call.module,
            "shape": list(call.shape),
            "arguments": plain(call.arguments),
            "keywords": {name: plain(value) for name, value in call.keywords.items()},
        }
        for call in graph.calls
    ]
    shapes = [list(node.shape) for node in graph.nodes[: graph.inputs]]
    return {"inputs": shapes, "calls": calls, "output": graph.output, "unit": graph.unit}, tensors


def region_tensors(region: Region, points: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return a region and one input of each of its parts as tensors by name, for :func:`region_of` and `points_of`."""
    found: dict[str, Tensor] = {}
    given = iter(points)
    for box in region.boxes.values():
        found |= {"box.low": box.low, "box.high": box.high, "attack.points": next(given)}
    for allowed in region.tokens.values():
        found |= {"tokens": allowed, "attack.tokens": next(given)}
    return found


def region_of(tensors: Mapping[str, Tensor]) -> Region:
    """Return the region that :func:`region_tensors` wrote: real numbers are input 0, tokens the next."""
    boxes = {0: Box(tensors["box.low"], tensors["box.high"])} if "box.low" in tensors else {}
    if "tokens" not in tensors:
        return Region(boxes)
    allowed = tensors["tokens"]
    if allowed.dtype != torch.bool or (boxes and len(allowed) != len(boxes[0].low)):
        raise ValueError("tokens that are no region beside the boxes")
    return Region(boxes, {len(boxes): allowed})


def points_of(tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the inputs that :func:`region_tensors` wrote."""
    return tuple(tensors[name] for name in ("attack.points", "attack.tokens") if name in tensors)


def read(data: Json, tensors: Mapping[str, Tensor]) -> Graph:
    """Return the graph that :func:`written` wrote.

    Raises:
        KeyError, TypeError, ValueError, IndexError: The data are not what that function writes.
        Unbounded: An operator has no rule.
    """
    assembly = Assembly([tuple(int(size) for size in shape) for shape in data["inputs"]])
    shapes: dict[int, tuple[int, ...]] = dict(enumerate(tuple(shape) for shape in data["inputs"]))

    def value_of(plain: Json) -> Any:
        if isinstance(plain, list):
            return [value_of(item) for item in plain]
        if isinstance(plain, dict):
            if "tensor" in plain:
                return tensors[plain["tensor"]]
            return Source(plain["value"], shapes[plain["value"]])
        return plain

    for call in data["calls"]:
        arguments = tuple(value_of(item) for item in call["arguments"])
        keywords = {str(name): value_of(item) for name, item in call["keywords"].items()}
        shape = tuple(int(size) for size in call["shape"])
        made = assembly.add(Call(arguments, keywords, shape, str(call["operator"]), str(call["module"])))
        for source in [made] if isinstance(made, Source) else made.parts:
            if isinstance(source, Source):
                shapes[source.node] = source.shape
    return assembly.graph(int(data["output"]), float(data.get("unit", 0.0)))
