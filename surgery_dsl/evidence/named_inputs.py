"""Inputs of networks that take several tensors: by name, cut and moved as one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from surgery_dsl.kernels.differences import digest


@final
class NamedInputs:
    """Tensors by the names of a forward's arguments, examples along the first dimension of each.

    Indexing and ``len`` go by examples, as for a tensor, so that code which cuts batches need not tell them apart.

    Attributes:
        tensors: The tensors; the first is the main one, whose shape and dtype stand for the data set's.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        if not tensors:
            raise ValueError("named inputs hold at least one tensor")
        self.tensors = dict(tensors)

    @property
    def main(self) -> Tensor:
        """The first tensor."""
        return next(iter(self.tensors.values()))

    def __len__(self) -> int:
        return len(self.main)

    def __getitem__(self, which: slice | Tensor) -> "NamedInputs":
        """Return the same examples of every tensor."""
        return NamedInputs({name: tensor[which] for name, tensor in self.tensors.items()})

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "NamedInputs":
        """Return what a function makes of each tensor."""
        return NamedInputs({name: change(tensor) for name, tensor in self.tensors.items()})


Inputs = Tensor | NamedInputs
"""What a data set gives a network."""


def main(inputs: Inputs) -> Tensor:
    """Return the tensor whose shape and dtype stand for the data set's."""
    return inputs.main if isinstance(inputs, NamedInputs) else inputs


def named(inputs: Inputs) -> dict[str, Tensor]:
    """Return every tensor by name; a single tensor goes by the empty name."""
    return inputs.tensors if isinstance(inputs, NamedInputs) else {"": inputs}


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Return the examples of several data sets behind one another.

    Raises:
        ValueError: The sets name different inputs, or their examples have different shapes.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    sets = [named(part) for part in parts]
    if any(one.keys() != sets[0].keys() for one in sets):
        raise ValueError(f"data sets give different inputs: {', '.join(str(sorted(one)) for one in sets)}")
    shapes = {name: {tuple(one[name].shape[1:]) for one in sets} for name in sets[0]}
    odd = next((name for name, found in shapes.items() if len(found) > 1), None)
    if odd is not None:
        raise ValueError(f"examples have the shapes {' and '.join(str(list(one)) for one in sorted(shapes[odd]))}")
    tensors = {name: torch.cat([one[name] for one in sets]) for name in sets[0]}
    return NamedInputs(tensors) if isinstance(first, NamedInputs) else tensors[""]


def digest_of_data(inputs: Inputs, targets: Tensor) -> str:
    """Return the digest by which a data set is known: of the digests of its tensors, the targets last."""
    parts = [digest(tensor) for tensor in (*named(inputs).values(), targets)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
