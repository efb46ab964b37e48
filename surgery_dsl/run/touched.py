"""Which data had a part in making or choosing the network: it is no evidence of what the network does.

What a step reads while it scores, trains or sets statistics is noted as it happens; a result that a plan begins with
tells what its own steps read. Examples go by a digest of their inputs, so that one that stands in two sets, or in
another order or under another label, is known again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from surgery_dsl.certificate.evidence import TouchedData
from surgery_dsl.certificate.integrity import read_statement
from surgery_dsl.evidence.named_inputs import Inputs, named
from surgery_dsl.evidence.statistics.recheck import CHOSEN_ON, TOUCHED
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.language.plan import Plan
from surgery_dsl.run.data import TensorData
from surgery_dsl.vocabulary.models.result import Result

if TYPE_CHECKING:
    from surgery_dsl.run.evidence_record import RunEvidence
    from surgery_dsl.run.session import Session


class Touched:
    """Hears which step reads which data set. Final."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Hear nothing yet; ``folder`` is the plan's."""
        self._plan, self._folder = plan, folder
        self._step = ""
        self._steps: dict[str, list[str]] = {}
        self._rows: dict[str, Tensor] = {}

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Note what is read inside as read by a step."""
        before, self._step = self._step, step
        try:
            yield
        finally:
            self._step = before

    def read(self, data: str) -> None:
        """Hear that a data set is read."""
        if self._step and self._step not in self._steps.setdefault(data, []):
            self._steps[data].append(self._step)

    @cached_property
    def earlier(self) -> "Earlier":
        """What the results that the plan begins with say."""
        return Earlier(self._plan, self._folder)

    def record(self, facts: Mapping[str, DataFacts]) -> tuple[TouchedData, ...]:
        """Return the data that had a part so far, in this plan and before it."""
        own = (
            TouchedData(name=name, digest=facts[name].digest, count=facts[name].count, steps=tuple(steps))
            for name, steps in self._steps.items()
        )
        return (*self.earlier.data, *own)

    def rows(self, data: Callable[[str], TensorData]) -> dict[str, Tensor]:
        """Return the digests of the examples that had a part, by the digest of their set."""
        return self.earlier.rows | {data(name).facts.digest: self.examples(data(name)) for name in self._steps}

    def examples(self, data: TensorData) -> Tensor:
        """Return the digests of the examples of a data set, in their order."""
        if data.facts.digest not in self._rows:
            self._rows[data.facts.digest] = rows_of(data.inputs)
        return self._rows[data.facts.digest]


def rows_of(inputs: Inputs) -> Tensor:
    """Return a digest of each example's inputs, ``[n]`` in int64 on the CPU: equal bytes give equal digests.

    Shapes do not count: an image is the same example when it is flattened. (64 bits of BLAKE2b: among 10⁶ examples
    two different ones are taken for one with a probability below 10⁻⁷.)
    """
    parts = [tensor.detach().cpu().contiguous().reshape(len(tensor), -1) for tensor in named(inputs).values()]
    tables = [part.view(torch.uint8).numpy() for part in parts if part.numel()]
    found = bytearray()
    for index in range(len(parts[0])):
        one = hashlib.blake2b(digest_size=8)
        for table in tables:
            one.update(table[index])
        found += one.digest()
    return torch.frombuffer(found, dtype=torch.int64)


# ---- earlier results ---------------------------------------------------------------------------------------------


class Earlier:
    """What earlier results, which a plan's models are loaded from, say of the data that made them. Final.

    Attributes:
        data: The data sets, their names with that of the result.
        rows: Digests of the examples of each set, by the set's digest.
        silent: Results that say nothing of it.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Read what lies in the results; one that does not say is remembered as silent."""
        self.data: tuple[TouchedData, ...] = ()
        self.rows: dict[str, Tensor] = {}
        self.silent: tuple[str, ...] = ()
        for model in plan.models:
            if isinstance(model.load, Result):
                self._add(model.load.directory, folder / model.load.directory)

    def _add(self, name: str, result: Path) -> None:
        try:
            said = read_statement(result).predicate.touched
            files = [result / name for name in (TOUCHED, CHOSEN_ON) if (result / name).is_file()]
            rows = {digest: tensor for file in files for digest, tensor in load_file(file).items()}
        except (OSError, ValueError):
            self.silent += (name,)
            return
        prefix = f"{Path(name).name}/"
        self.data += tuple(one.replaced(name=prefix + one.name) for one in said)
        self.rows |= {digest: tensor for digest, tensor in rows.items() if tensor.dtype == torch.int64}


def note_touched(session: "Session", evidence: "RunEvidence") -> None:
    """Record which data made the network, and the examples of it for plans that begin with the result."""
    evidence.touched = session.touched.record(session.data_facts)
    rows = session.touched.rows(session.data)
    if rows:
        evidence.files[TOUCHED] = save({digest: tensor.sort().values for digest, tensor in sorted(rows.items())})
