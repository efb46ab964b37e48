"""Data sets in memory: facts for the lock, batches for rules."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.named_inputs import Inputs, NamedInputs, digest_of_data, main, named
from surgery_dsl.evidence.tokens import IGNORED
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.staleness import declared_data, placed
from surgery_dsl.language.plan import DataSet
from surgery_dsl.run.grants import Grants
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.vocabulary.context import LoadedData


class TensorData(LoadedData):
    """A data set in memory, on the CPU. Final.

    Attributes:
        facts: What the lock knows of it.
        inputs: ``(n, …)``, one tensor or several by name.
        targets: ``(n, …)``.
        device: Where batches go.
        dtype: What floating-point inputs and targets are turned into; ``None`` leaves them.
    """

    def __init__(self, facts: DataFacts, inputs: Inputs, targets: Tensor) -> None:
        self.facts = facts
        self.inputs = inputs
        self.targets = targets
        self.device = torch.device("cpu")
        self.dtype: torch.dtype | None = None

    def __len__(self) -> int:
        return self.facts.count

    def batches(self, limit: int | None = None, size: int | None = None) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield (inputs, targets) in order; at most ``limit`` batches of ``size`` (default: the plan's batch)."""
        size = size or self.facts.batch
        count = -(-len(self) // size)
        for index in range(count if limit is None else min(count, limit)):
            part = slice(index * size, (index + 1) * size)
            yield self.brought(self.inputs[part]), self.moved(self.targets[part])

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return the examples at ``indices`` (a CPU tensor), in that order, on the device."""
        return self.brought(self.inputs[indices]), self.moved(self.targets[indices])

    def brought(self, inputs: Inputs) -> Inputs:
        """Return inputs on the device, as :meth:`moved` has it."""
        return inputs.mapped(self.moved) if isinstance(inputs, NamedInputs) else self.moved(inputs)

    def moved(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, floating-point numbers in the run's dtype."""
        wanted = self.dtype if tensor.is_floating_point() else None
        return tensor.to(device=self.device, dtype=wanted)


def load(block: DataSet, folder: Path, grants: Grants, file: str, near: tuple[Path, ...] = ()) -> TensorData:
    """Load a data set and take its facts.

    Args:
        block: The plan's block.
        folder: The plan's folder.
        grants: Which user code may run.
        file: The plan's file.
        near: Folders that the patient is read from: its tokenizer may stand there.

    Raises:
        Refused: Its code is not granted or failed, the file does not read, the lengths of inputs and targets
            differ, it is empty, or it holds NaN or infinity.
    """
    span = block.spans.get("load", block.span)
    try:
        grants.require(block.load.grant())
        inputs, targets = block.load.load_near(folder, near)
    except Refused as refused:
        raise Refused(*(placed(found, file, span) for found in refused.diagnostics)) from None
    found = list(_findings(block.name, inputs, targets))
    if found:
        raise Refused(*(placed(finding, file, span) for finding in found))
    return TensorData(_facts(block, inputs, targets, near), inputs, targets)


def _findings(name: str, inputs: Inputs, targets: Tensor) -> Iterator[Diagnostic]:
    parts = [*named(inputs).values(), targets]
    lengths = [0 if tensor.dim() == 0 else len(tensor) for tensor in parts]
    if 0 in lengths or len(set(lengths)) > 1:
        yield Diagnostic(
            trust.DATA_MALFORMED,
            f"`{name}` has {min(lengths[:-1])} inputs and {lengths[-1]} targets",
            facts={"inputs": min(lengths[:-1]), "targets": lengths[-1]},
            help="give as many targets as inputs, at least one",
        )
        return
    for what, tensor in ((("inputs" if tensor is not targets else "targets"), tensor) for tensor in parts):
        if tensor.is_floating_point() and not bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all()):
            bad = ~torch.isfinite(tensor).reshape(len(tensor), -1).all(1)
            yield Diagnostic(
                trust.DATA_NOT_FINITE,
                f"the {what} of `{name}` hold NaN or infinity in {int(bad.sum())} of {len(tensor)} examples, "
                f"first in example {int(bad.nonzero()[0])}",
                facts={"examples": int(bad.sum()), "count": len(tensor), "first": int(bad.nonzero()[0])},
                help="mend or leave out these examples",
            )


def _facts(block: DataSet, inputs: Inputs, targets: Tensor, near: tuple[Path, ...]) -> DataFacts:
    first, tokens = main(inputs), block.load.tokens
    counted = targets[targets != IGNORED] if tokens else targets
    return DataFacts(
        name=block.name,
        count=len(inputs),
        input_shape=tuple(first.shape[1:]),
        input_dtype=name_of(first.dtype),
        target_shape=tuple(targets.shape[1:]),
        target_dtype=name_of(targets.dtype),
        label_range=_range(counted),
        digest=digest_of_data(inputs, targets),
        batch=block.batch,
        declared=declared_data(block),
        names=tuple(inputs.tensors) if isinstance(inputs, NamedInputs) else (),
        input_range=_range(first),
        tokens=tokens,
        note=block.load.note(near),
    )


def _range(tensor: Tensor) -> tuple[int, int] | None:
    """Return least and greatest of integers; ``None`` for other numbers, and where there are none."""
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool or not tensor.numel():
        return None
    low, high = torch.aminmax(tensor)
    return int(low), int(high)
