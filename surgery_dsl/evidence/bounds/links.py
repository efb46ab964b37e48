"""Whether a stored graph is that of a network whose weights are at hand: its constants stand in them, byte for byte."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from safetensors.torch import load_file
from torch import Tensor

from surgery_dsl.evidence.bounds.recheck import bytes_of, standing


@final
@dataclass(frozen=True)
class Link:
    """What of a graph stands in weights.

    Attributes:
        constants: How many tensors the graph names.
        linked: How many of them stand in the weights.
        other: A tensor of the weights whose module computes with another one of its form; empty where none does.
        plain: Whether the weights are floating-point numbers alone, which nothing has to be computed from.
    """

    constants: int
    linked: int
    other: str
    plain: bool

    @property
    def foreign(self) -> bool:
        """Whether nothing of the graph stands in weights that hold nothing but a network's own numbers."""
        return bool(self.constants) and not self.linked and self.plain


def stored(folder: Path, record: str, tensors: str) -> tuple[Any, dict[str, Tensor]]:
    """Return the two files of a bound."""
    return json.loads((folder / record).read_text(encoding="utf-8")), load_file(folder / tensors)


def link(graph: Any, tensors: Mapping[str, Tensor], files: Sequence[Path]) -> Link:
    """Look for the constants of a written graph in files of weights.

    Args:
        graph: As :func:`surgery_dsl.evidence.bounds.written.written` wrote it.
        tensors: The tensors that it names, and others.
        files: Files of weights.
    """
    known = standing(files)
    weights = {name: tensor for file in files for name, tensor in load_file(file).items()}
    found: dict[str, bool] = {}
    other = ""
    for module, name in _named(graph):
        if name in found or not tensors[name].dim():
            continue
        found[name] = bytes_of(tensors[name]) in known
        if not found[name]:
            other = other or _own(module, tensors[name], weights)
    plain = all(tensor.is_floating_point() for tensor in weights.values() if tensor.dim())
    return Link(len(found), sum(found.values()), other, plain)


def _named(graph: Any) -> Iterator[tuple[str, str]]:
    """Yield the tensors of a graph, each with the module that computes with it."""

    def within(value: Any) -> Iterator[str]:
        if isinstance(value, list):
            for item in value:
                yield from within(item)
        elif isinstance(value, dict) and "tensor" in value:
            yield value["tensor"]

    for call in graph["calls"]:
        for value in (*call["arguments"], *call["keywords"].values()):
            yield from ((call["module"], name) for name in within(value))


def _own(module: str, constant: Tensor, weights: Mapping[str, Tensor]) -> str:
    """Return the module's own tensor of the same form, if it has one."""
    for name, tensor in weights.items():
        holder, _, _ = name.rpartition(".")
        if holder == module and (tensor.dtype, tensor.shape) == (constant.dtype, constant.shape):
            return name
    return ""
