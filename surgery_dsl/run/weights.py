"""Loading weights strictly: exactly the network's tensors, tied ones once, finite, and no pickle."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.safetensors_header import MAX_HEADER, Header, missing, read_header
from surgery_dsl.interface.staleness import compare_weights, digest_of
from surgery_dsl.run.digests import named_tensors


class WeightsFile:
    """An open weights file: tensors are read one at a time. Final.

    Attributes:
        path: The file.
        header: Its header, already checked.
    """

    def __init__(self, path: Path) -> None:
        """Open a file; raise :class:`Refused` where it is missing or not sound."""
        self.path = path
        self.header: Header = read_header(path)
        try:
            self._file = safe_open(path, framework="pt", device="cpu")
        except (OSError, SafetensorError) as error:
            raise Refused(self._damaged(str(error))) from None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_of(self.path)

    def read(self, name: str) -> Tensor:
        """Return one tensor on the CPU, in memory of its own."""
        try:
            tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        except (OSError, SafetensorError) as error:
            raise Refused(self._damaged(str(error))) from None
        return tensor

    def _damaged(self, why: str) -> Diagnostic:
        return Diagnostic(
            trust.WEIGHTS_MALFORMED,
            f"`{self.path.name}` is not a sound safetensors file: {why}",
            help="write the file again with `safetensors.torch.save_model`",
        )


def load(model: nn.Module, file: WeightsFile, interface: Interface, name: str) -> WeightFacts:
    """Copy every tensor of a file into a network on the CPU and count what is not zero.

    Args:
        model: Built with memory, on the CPU.
        file: The file; it must hold exactly the tensors that ``interface`` says.
        interface: The network's interface.
        name: What the plan calls the file.

    Raises:
        Refused: One diagnostic for each tensor that is missing, extra, mis-shaped, of another dtype or not finite.
    """
    found = list(compare_weights(file.header, interface, name))
    if found:
        raise Refused(*found)
    tensors = dict(named_tensors(model))
    bad: list[Diagnostic] = []
    with torch.no_grad():
        for tensor_name in file.header.tensors:
            value = file.read(tensor_name)
            bad.extend(not_finite(tensor_name, value, name))
            tensors[tensor_name].copy_(value)
    if bad:
        raise Refused(*bad)
    return facts(model, interface, file.digest)


def facts(model: nn.Module, interface: Interface, digest: str) -> WeightFacts:
    """Count the nonzero elements of each parameter, tied ones once."""
    tensors = dict(named_tensors(model))
    nonzero = {
        tensor.name: int(torch.count_nonzero(tensors[tensor.name]))
        for tensor in interface.tensors
        if tensor.role == "parameter" and not tensor.tied_to
    }
    return WeightFacts(digest=digest, nonzero=nonzero)


def not_finite(tensor_name: str, value: Tensor, file: str) -> Iterator[Diagnostic]:
    """Yield a diagnostic where a floating-point tensor holds NaN or infinity.

    Least and greatest value are not finite exactly where some element is not, and need no memory.
    """
    if not value.is_floating_point() or value.numel() == 0:
        return
    wide = value.float() if value.element_size() == 1 else value
    if bool(torch.isfinite(torch.stack(torch.aminmax(wide))).all()):
        return
    nan, infinite = int(torch.isnan(wide).sum()), int(torch.isinf(wide).sum())
    first = int((~torch.isfinite(wide)).reshape(-1).nonzero()[0])
    yield Diagnostic(
        trust.TENSOR_NOT_FINITE,
        f"`{tensor_name}` in `{file}` holds {nan} NaN and {infinite} infinite values among {value.numel()}",
        path=tensor_name,
        facts={"nan": nan, "infinite": infinite, "elements": value.numel(), "first": first},
        help="go back to a checkpoint from before the training diverged",
    )


def count(file: WeightsFile, interface: Interface, name: str) -> WeightFacts:
    """Read a file through without a network: what :func:`load` would find, one tensor in memory at a time.

    Raises:
        Refused: As :func:`load`.
    """
    found = list(compare_weights(file.header, interface, name))
    if found:
        raise Refused(*found)
    nonzero: dict[str, int] = {}
    bad: list[Diagnostic] = []
    for tensor_name in file.header.tensors:
        value = file.read(tensor_name)
        bad.extend(not_finite(tensor_name, value, name))
        tensor = interface.tensor_by_name[tensor_name]
        if tensor.role == "parameter":
            nonzero[tensor.tied_to or tensor_name] = int(torch.count_nonzero(value))
    if bad:
        raise Refused(*bad)
    return WeightFacts(digest=file.digest, nonzero=nonzero)


def is_pickle(path: Path) -> bool:
    """Whether a file begins as ``torch.save`` files do (a zip archive or a bare pickle)."""
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
    except OSError:
        return False
    # Of a safetensors file these bytes are the length of its header, which can look like the start of a pickle.
    length = int.from_bytes(prefix, "little")
    return prefix.startswith((b"PK", b"\x80")) and (len(prefix) < 8 or length > MAX_HEADER)


def load_pickle(model: nn.Module, path: Path, interface: Interface, name: str) -> WeightFacts:
    """Copy a state dict that was written by ``torch.save``, where the user allowed pickles.

    ``weights_only`` is set, but is no sandbox against a hostile file; hence the switch.

    Raises:
        Refused: As :func:`load`, and where the file holds no state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise Refused(missing(path, error)) from None
    except Exception as error:  # noqa: BLE001 - a foreign file may fail in any way; it is reported
        raise Refused(_no_state_dict(name, str(error).splitlines()[0] if str(error) else "")) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise Refused(_no_state_dict(name, "it holds something else"))
    bad: list[Diagnostic] = []
    for tensor_name, value in state.items():
        bad.extend(not_finite(tensor_name, value, name))
    if bad:
        raise Refused(*bad)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise Refused(_no_state_dict(name, " ".join(str(error).split())[:300])) from None
    return facts(model, interface, digest_of(path))


def _no_state_dict(name: str, why: str) -> Diagnostic:
    return Diagnostic(
        trust.WEIGHTS_MALFORMED,
        f"`{name}` is not a state dict of this network: {why}",
        help="write the weights with `safetensors.torch.save_model`",
    )
