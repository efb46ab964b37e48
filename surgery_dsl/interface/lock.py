"""The lock file: what ``check`` reads in place of models, data and code.

``plan.surg.lock`` is one JSON object. Structure and weights are kept apart: where only weights changed, shapes and
budgets need no new proof; where sources of the structure changed, ``check`` reports drift.
"""

import hashlib
import re
from typing import Literal

from surgery_dsl.interface.hosts import HostFacts
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Data, Interface


class DataFacts(Data):
    """What a lock knows of a data set: enough to compare it with a model without reading it.

    Attributes:
        name: Name of the ``data`` block.
        count: Number of examples.
        input_shape: Shape of one example's input.
        input_dtype: ``f32``, ``i64`` …
        target_shape: Shape of one example's target; empty for a class label.
        target_dtype: Dtype of the targets.
        label_range: Least and greatest label where targets are integers; of tokens, those that count.
        digest: SHA-256 over the digests of the bytes of inputs and of targets.
        batch: Batch size that the plan gives, or the default.
        declared: The block's attributes that shaped these facts, in canonical spelling.
        names: Names of the inputs, where the set gives several; ``input_shape`` is that of the first.
        input_range: Least and greatest number of the (first) inputs, where they are integers.
        tokens: Whether the targets are the tokens of the inputs, of which each is to be foretold.
        note: What is worth knowing of how the set was read, in words.
    """

    name: str
    count: int
    input_shape: tuple[int, ...]
    input_dtype: str
    target_shape: tuple[int, ...]
    target_dtype: str
    label_range: tuple[int, int] | None
    digest: str
    batch: int
    declared: str = ""
    names: tuple[str, ...] = ()
    input_range: tuple[int, int] | None = None
    tokens: bool = False
    note: str = ""


class WeightFacts(Data):
    """What a lock knows of the weights it saw: their digest and how many values of each parameter are not zero."""

    digest: str
    nonzero: dict[str, int]


class SourceDigest(Data):
    """A file that defines the structure, its path relative to the plan's folder, and its SHA-256."""

    path: str
    sha256: str


class ModelLock(Data):
    """What the lock holds of one model.

    Attributes:
        name: Name of the ``model`` block.
        declared: The block's attributes that shaped the trace (load, input, output), in canonical spelling.
        sources: Files that define the structure.
        structure: SHA-256 of the canonical interface.
        weights: Facts of the weights; ``None`` where the plan names none.
        interface: The traced interface.
        inputs: The inputs that were made from the model itself, where the plan gives none.
        keyword_inputs: Whether these are given by keyword.
        notes: What was assumed of them, for people.
        host: What the config of the host can say, where the plan has a `target`.
    """

    name: str
    declared: str
    sources: tuple[SourceDigest, ...]
    structure: str
    weights: WeightFacts | None
    interface: Interface
    inputs: tuple[InputSpec, ...] = ()
    keyword_inputs: bool = False
    notes: tuple[str, ...] = ()
    host: HostFacts | None = None


class Lock(Data):
    """A whole lock file.

    Attributes:
        format: Of the file.
        tool: Version of this program that made it.
        torch: Version of torch that traced the models.
        models: One entry for each model of the plan.
        data: One entry for each data set.
        digest: SHA-256 of the file as it stands without this entry, which is its last.
    """

    format: Literal["1"] = "1"
    tool: str
    torch: str
    models: tuple[ModelLock, ...]
    data: tuple[DataFacts, ...] = ()
    digest: str = ""

    def model(self, name: str) -> ModelLock:
        """Return one model's part; raise ``KeyError`` where there is none."""
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)


_SEAL = re.compile(rb',"digest":"([0-9a-f]{64})"\}\s*\Z')


def sealed(text: str) -> str:
    """Return the text of a lock, one JSON object, with its digest as the last entry."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]},"digest":"{digest}"}}'


def is_sealed(data: bytes) -> bool:
    """Whether the bytes of a lock file are as they were written: what a lock says fits together only as a whole."""
    seal = _SEAL.search(data, max(0, len(data) - 200))
    return seal is not None and hashlib.sha256(data[: seal.start()] + b"}").hexdigest().encode() == seal[1]
