"""The last act: a clean process loads the written result and must give the same outputs, bit for bit.

The child is started early, so that it imports torch while the parent trains; it knows nothing of the run but the
result directory and a file with a batch of inputs and the outputs that the parent computed. It is the program at the
end of this module.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from surgery_dsl.interface.model import Data

TIMEOUT = 600.0
_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from surgery_dsl.run.reload import main; main()"


class Job(Data):
    """What the child is told, one line of JSON.

    Attributes:
        result: The directory.
        probe: A safetensors file with ``input.NAME`` and ``output.NUMBER``.
        inputs: Names of the inputs in order.
        keyword_inputs: Whether inputs are given by name.
        allow_code: Globs of user code that may run.
        folder: Where the parent works; grants are looked up from here.
        device: Where the parent ran.
        threads: How many threads the parent used: sums are split alike.
        deterministic: Whether torch's deterministic kernels are on.
        finite: Whether there are no outputs to compare with, and those that come must only be finite.
        by_host: Whether the host is to load the result too.
        attention: Which implementation of attention the host is to take.
    """

    result: str
    probe: str
    inputs: tuple[str, ...]
    keyword_inputs: bool
    allow_code: tuple[str, ...]
    folder: str
    device: str
    threads: int
    deterministic: bool
    finite: bool = False
    by_host: bool = False
    attention: str = ""


class Answer(Data):
    """What the child found.

    Attributes:
        same_bits: Whether every output is the same bit for bit; where there are none to compare with, finite.
        difference: Greatest absolute difference of an output.
        outputs: How many numbers were compared.
        error: Why nothing could be compared; empty where it could.
        host_same_bits: The same of the network as the host loads it.
        host_difference: The same.
        host_error: Why the host does not load it.
    """

    same_bits: bool = False
    difference: float = 0.0
    outputs: int = 0
    error: str = ""
    host_same_bits: bool = False
    host_difference: float = 0.0
    host_error: str = ""


class Reloader:
    """A child process that waits for a result to load. Final. Use it as a context manager."""

    def __init__(self) -> None:
        """Start the child; it imports torch at once."""
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its child
        )

    def ask(self, job: Job, timeout: float = TIMEOUT) -> Answer:
        """Let the child do its job and return what it found; whatever goes wrong there is an answer too."""
        try:
            output, errors = self._child.communicate(job.model_dump_json() + "\n", timeout=timeout)
        except subprocess.TimeoutExpired:
            self.close()
            return Answer(error=f"the clean process did not answer within {timeout:g} s")
        lines = output.strip().splitlines()
        if self._child.returncode != 0 or not lines:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            return Answer(error=f"the clean process ended with code {self._child.returncode}: {last}")
        return Answer.model_validate_json(lines[-1])

    def close(self) -> None:
        """Stop the child, if it still runs, and free its pipes."""
        if self._child.poll() is None:
            self._child.kill()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None and not stream.closed:
                stream.close()
        self._child.wait()

    def __enter__(self) -> "Reloader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Probe:
    """A batch of inputs and the outputs that go with it, in a file outside the result. Final; a context manager."""

    def __init__(self, inputs: Mapping[str, Any], outputs: Iterable[Any]) -> None:
        """Write the file; tensors on any device."""
        from safetensors.torch import save_file

        self._folder = tempfile.TemporaryDirectory(prefix="surgery-dsl-probe-")
        self.path = Path(self._folder.name) / "probe.safetensors"
        tensors = {f"input.{name}": tensor for name, tensor in inputs.items()}
        tensors |= {f"output.{number}": tensor for number, tensor in enumerate(outputs)}
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, self.path)

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


# ---- the child ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Read one job from standard input, write one answer to standard output."""
    from surgery_dsl.run import outputs, restore  # noqa: F401 - loads torch before the job comes
    from surgery_dsl.run.record import Record
    from surgery_dsl.vocabulary import catalogue

    for name in catalogue.names("models"):
        catalogue.find("models", name)
    Record.model_rebuild()  # readers are built when first needed; that time is the parent's training
    line = sys.stdin.readline()
    if line.strip():
        print(answer(Job.model_validate_json(line)).model_dump_json())  # noqa: T201 - this is the child's protocol


def answer(job: Job) -> Answer:
    """Load the result and compare its outputs with the probe's."""
    import torch
    from safetensors.torch import load_file

    from surgery_dsl.diagnostics.diagnostic import Refused
    from surgery_dsl.kernels.differences import bits_equal, distance
    from surgery_dsl.run.determinism import deterministic
    from surgery_dsl.run.host_files import load_by_host
    from surgery_dsl.run.outputs import all_outputs, call
    from surgery_dsl.run.restore import load

    os.chdir(job.folder)
    torch.set_num_threads(job.threads)
    try:
        model = load(job.result, job.allow_code, job.device, mapped=job.finite)
    except Refused as refused:
        return Answer(error="; ".join(f"{found.code.id} {found.message}" for found in refused.diagnostics))
    tensors = load_file(job.probe, device=job.device)
    # A tensor in a mapped file starts anywhere; kernels may round otherwise where memory is not aligned.
    given = {name: tensors[f"input.{name}"].clone() for name in job.inputs}
    if job.finite:
        with torch.no_grad(), deterministic(job.deterministic):
            found = all_outputs(call(model, given, job.keyword_inputs))
        sound = all(bool(torch.isfinite(tensor).all()) for tensor in found if tensor.is_floating_point())
        return Answer(same_bits=sound, outputs=sum(tensor.numel() for tensor in found))
    wanted = [tensors[f"output.{number}"] for number in range(len(tensors) - len(given))]

    def compared(network: torch.nn.Module) -> Answer:
        with torch.no_grad(), deterministic(job.deterministic):
            found = all_outputs(call(network, given, job.keyword_inputs))
        if [tuple(t.shape) for t in found] != [tuple(t.shape) for t in wanted]:
            return Answer(error=f"the outputs have other shapes: {[list(t.shape) for t in found]}")
        return Answer(
            same_bits=all(bits_equal(a, b) for a, b in zip(wanted, found, strict=True)),
            difference=max((distance(a, b).greatest for a, b in zip(wanted, found, strict=True)), default=0.0),
            outputs=sum(t.numel() for t in found),
        )

    ours = compared(model)
    if not job.by_host or ours.error:
        return ours
    del model
    try:
        theirs = compared(load_by_host(Path(job.result), job.attention, job.device))
    except Exception as error:  # noqa: BLE001 - another program's code, run to see whether it works
        theirs = Answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return ours.replaced(host_same_bits=theirs.same_bits, host_difference=theirs.difference, host_error=theirs.error)
