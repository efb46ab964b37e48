"""Loading weights strictly: exactly the network's tensors, tied ones once, finite, and no pickle."""

import mmap
from collections.abc import Iterable, Iterator
from functools import cached_property
from math import prod
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.safetensors_header import MAX_HEADER, Header, files_of, missing, read_weights
from surgery_dsl.interface.staleness import compare_weights, digest_of, digest_of_files
from surgery_dsl.kernels.blocks import blocks
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.trace.dtypes import BY_NAME


class WeightsFile:
    """Open weights, in one file or in several with an index: tensors are read one at a time. Final.

    Attributes:
        path: The file, its index, or the directory of either.
        header: What they hold, already checked.
        files: The files, by name.
    """

    def __init__(self, path: Path) -> None:
        """Open the files; raise :class:`Refused` where one is missing or not sound."""
        self.path = path
        self.header: Header = read_weights(path)
        self.files: dict[str, Path] = {file.name: file for file in files_of(path)}
        self._maps: WeakValueDictionary[str, mmap.mmap] = WeakValueDictionary()
        try:
            self._open = {name: safe_open(file, framework="pt", device="cpu") for name, file in self.files.items()}
        except (OSError, SafetensorError) as error:
            raise Refused(self._damaged(str(error))) from None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file; of several, of what is said of them (see ``staleness.digest_of_files``)."""
        return digest_of_files({name: digest_of(file) for name, file in self.files.items()})

    def read(self, name: str) -> Tensor:
        """Return one tensor on the CPU, in memory of its own."""
        try:
            tensor: Tensor = self._open[self.place(name)[0].name].get_tensor(name)  # type: ignore[no-untyped-call]
        except (OSError, SafetensorError) as error:
            raise Refused(self._damaged(str(error))) from None
        return tensor

    def place(self, name: str) -> tuple[Path, int]:
        """Return the file that holds a tensor, and where in it the tensor's bytes begin."""
        entry = self.header.tensors[name]
        if entry.file:
            return self.files[entry.file], self.header.files[entry.file] + entry.first
        return next(iter(self.files.values())), self.header.start + entry.first

    def mapped(self, name: str) -> Tensor:
        """Return one tensor whose memory is the file's: the system reads what is looked at, and can take it back.

        Writing into it does not write the file. What was looked at counts as resident until the tensor goes, or
        :meth:`release`.
        """
        entry = self.header.tensors[name]
        dtype, count = _dtype(entry.dtype), prod(entry.shape)
        if not count:
            return torch.empty(entry.shape, dtype=dtype)
        path, first = self.place(name)
        start = first - first % mmap.ALLOCATIONGRANULARITY
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
        try:
            with path.open("rb") as file:
                size = first - start + entry.last - entry.first
                area = mmap.mmap(file.fileno(), size, flags=flags, prot=_READ_WRITE, offset=start)
        except (OSError, ValueError) as error:
            raise Refused(self._damaged(str(error))) from None
        self._maps[name] = area
        return torch.frombuffer(area, dtype=dtype, count=count, offset=first - start).view(entry.shape)

    def release(self, names: Iterable[str]) -> None:
        """Give back the memory of mapped tensors; they stay as they are, and are read again where they are needed."""
        for name in names:
            area = self._maps.get(name)
            if area is not None and hasattr(mmap, "MADV_DONTNEED"):
                area.madvise(mmap.MADV_DONTNEED)

    def _damaged(self, why: str) -> Diagnostic:
        return Diagnostic(
            trust.WEIGHTS_MALFORMED,
            f"`{self.path.name}` is not a sound safetensors file: {why}",
            help="write the file again with `safetensors.torch.save_model`",
        )


_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_OTHERS = {"u16": torch.uint16, "u32": torch.uint32, "u64": torch.uint64}


def _dtype(name: str) -> torch.dtype:
    """Return a dtype by its name in a header; the 8-bit floats have torch's own names there."""
    dtype: torch.dtype = BY_NAME.get(name) or _OTHERS.get(name) or getattr(torch, name)
    return dtype


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
    if is_finite(value):
        return
    wide = value.float() if value.element_size() == 1 else value
    nan, infinite = int(torch.isnan(wide).sum()), int(torch.isinf(wide).sum())
    first = int((~torch.isfinite(wide)).reshape(-1).nonzero()[0])
    yield Diagnostic(
        trust.TENSOR_NOT_FINITE,
        f"`{tensor_name}` in `{file}` holds {nan} NaN and {infinite} infinite values among {value.numel()}",
        path=tensor_name,
        facts={"nan": nan, "infinite": infinite, "elements": value.numel(), "first": first},
        help="go back to a checkpoint from before the training diverged",
    )


def is_finite(value: Tensor) -> bool:
    """Whether a floating-point tensor holds neither NaN nor infinity. Extra memory: a block."""
    for block in blocks(value):
        wide = block.float() if block.element_size() == 1 else block
        if not bool(torch.isfinite(torch.stack(torch.aminmax(wide))).all()):
            return False
    return True


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
        value = file.mapped(tensor_name)
        bad.extend(not_finite(tensor_name, value, name))
        tensor = interface.tensor_by_name[tensor_name]
        if tensor.role == "parameter":
            nonzero[tensor.tied_to or tensor_name] = sum(int(torch.count_nonzero(block)) for block in blocks(value))
        del value
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
