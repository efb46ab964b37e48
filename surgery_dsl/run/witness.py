"""Inputs that stand against a ``certify`` line, kept in a file that was asked for, and run again.

A run that is refused writes no result, so the network that it made is gone. What is kept is a witness: the input, what
both networks gave there, and both networks as the graphs that bounds read. Whoever has the file runs both again, in
float64, without the plan, its code or its weights.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from surgery_dsl.evidence.bounds import claimed
from surgery_dsl.evidence.bounds.written import read, written
from surgery_dsl.proof.verdict import exact_text

if TYPE_CHECKING:
    from surgery_dsl.run.certifying import Certified


@final
@dataclass(frozen=True)
class Replay:
    """A witness, run again.

    Attributes:
        line: The line of the plan that it stands against.
        formula: What is bounded.
        limit: What the line allows, exact.
        inputs: What the networks are given, by name, [1, …], in the run's dtype.
        old: What the base gives, run again in float64.
        new: What the network after surgery gives.
        value: The quantity of both.
        seen: What the networks' own modules reached in the run, in its dtype.
    """

    line: str
    formula: str
    limit: str
    inputs: dict[str, Tensor]
    old: Tensor
    new: Tensor
    value: float
    seen: float

    def __str__(self) -> str:
        """Return all of it, for people."""
        given = "\n".join(f"{name} = {value.tolist()}" for name, value in self.inputs.items())
        return (
            f"{self.line}\n{given}\nbase:  {self.old.flatten().tolist()}\nafter: {self.new.flatten().tolist()}\n"
            f"{self.formula} = {self.value:.6g} here, {self.seen:.6g} through the networks' own modules; "
            f"the limit is {self.limit}"
        )


def write_witness(path: Path, found: "Certified", line: str) -> None:
    """Write the worst input that was found for a line, and both networks, as one safetensors file."""
    bounding, witness = found.bounding, found.witness
    old, constants = written(bounding.old, "old.")
    new, more = written(bounding.new, "new.")
    tensors = {**constants, **more, "output.old": witness.old, "output.new": witness.new}
    tensors |= {f"input.{name}": value for name, value in witness.inputs.items()}
    tensors |= {f"point.{at}": value for at, value in enumerate(witness.point)}
    if bounding.claimed.labels is not None:
        tensors["label"] = bounding.claimed.labels[witness.region : witness.region + 1]
    data = {
        "line": line,
        "limit": exact_text(found.asked.limit),
        "claim": bounding.claimed.written(),
        "replayed": witness.replayed.hex(),
        "old": old,
        "new": new,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_file(stored, path, {"witness": json.dumps(data, ensure_ascii=False)})


def replay(path: Path | str) -> Replay:
    """Run both networks again on a witness that ``apply(…, witness = …)`` kept.

    Raises:
        OSError, ValueError, KeyError: The file is none of these.
    """
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        data: Any = json.loads(file.metadata()["witness"])
    old, new = (read(data[side], tensors) for side in ("old", "new"))
    what = claimed.read(data["claim"], tensors.get("label"))
    points = [tensors[f"point.{at}"] for at in range(old.inputs)]
    outputs = (old.run(*points), new.run(*points))
    return Replay(
        data["line"],
        what.formula,
        data["limit"],
        {name.removeprefix("input."): value for name, value in tensors.items() if name.startswith("input.")},
        *outputs,
        float(what.value(*outputs, what.labels)),
        float.fromhex(data["replayed"]),
    )
