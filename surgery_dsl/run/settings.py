"""How a run is made: device, dtype, seed; what it may read and overwrite."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Data
from surgery_dsl.interface.shards import SHARD_SIZE

if TYPE_CHECKING:
    import torch


FLOATS = ("f16", "bf16", "f32", "f64")


class Settings(Data):
    """Everything that a run takes besides the plan. Importing it needs no torch.

    Attributes:
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.
        dtype: What floating-point tensors are turned into before the first step; empty leaves them.
        seed: Mixed into every seed of the plan; 0 leaves them as they are.
        sets: Values of params by name, as written after ``--set``.
        allow_code: Globs of user code that may run.
        allow_pickle: Whether weights may be a pickle.
        force: Whether an earlier result may be replaced.
        dry_run: Whether nothing is written at the end.
        strict: Whether warnings refuse the run.
        allow_undecided: Whether claims that no tier decides are put to the outcome that ``identify`` finds.
        measure_latency: Whether forwards are timed, and their memory watched, where the plan does not ask.
        out_of_core: Whether weights stay in files; ``None`` where memory decides.
        shard_size: Bytes of tensors that one file of the result may hold.
        certify_seconds: Wall time for cutting the boxes of one ``certify`` line.
        witness: File that keeps the worst input for a ``certify`` line that does not pass (for a second such line with
            ``-2`` behind its name).
        sign: Path of the private key that signs the certificate; empty leaves it unsigned.
    """

    device: str = "auto"
    dtype: Literal["", "f16", "bf16", "f32", "f64"] = ""
    seed: int = 0
    sets: dict[str, str] = {}
    allow_code: tuple[str, ...] = ()
    allow_pickle: bool = False
    force: bool = False
    dry_run: bool = False
    strict: bool = False
    allow_undecided: bool = False
    measure_latency: bool = False
    out_of_core: bool | None = None
    shard_size: int = SHARD_SIZE
    certify_seconds: float = 10.0
    witness: Path | str | None = None
    sign: str = ""

    def torch_device(self) -> "torch.device":
        """Return the device.

        Raises:
            Refused: It is not there, or the text names none.
        """
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind, colon, number = self.device.partition(":")
        if kind not in ("cpu", "cuda") or (colon and not (number.isdecimal() and kind == "cuda")):
            raise Refused(_no_device(self.device, "it is none of `auto`, `cpu`, `cuda` and `cuda:0`"))
        count = torch.cuda.device_count() if kind == "cuda" else 1
        if int(number or 0) >= count:
            raise Refused(_no_device(self.device, f"torch sees {count} CUDA device{'s' * (count != 1)}"))
        return torch.device(self.device)

    def cast(self, inputs: tuple[InputSpec, ...]) -> tuple[InputSpec, ...]:
        """Return what a plan says of the inputs, floating-point ones in the run's dtype."""
        if not self.dtype:
            return inputs
        return tuple(spec.replaced(dtype=self.dtype) if spec.dtype in FLOATS else spec for spec in inputs)

    def torch_dtype(self) -> "torch.dtype | None":
        """Return the dtype, ``None`` where tensors stay as they are."""
        if not self.dtype:
            return None
        from surgery_dsl.trace.dtypes import BY_NAME

        return BY_NAME[self.dtype]


def _no_device(device: str, why: str) -> Diagnostic:
    return Diagnostic(
        runs.NO_SUCH_DEVICE,
        f"the device `{device}` is not there: {why}",
        help="pass `--device cpu`, or `--device auto`",
    )
