"""``safetensors("file.safetensors")``: tensors ``x`` and ``y``."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.safetensors_header import read_header
from surgery_dsl.vocabulary.kinds import DataLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Safetensors(DataLoader):
    """Read inputs ``x`` and targets ``y`` from a safetensors file.

    Arguments:
        file: The file, relative to the plan's folder.

    Runtime rule:
        Both tensors on the CPU, in the dtype of the file; the header is checked before anything is read.

    Source:
        The safetensors format.
    """

    card: ClassVar[Card] = Card(
        summary="Read inputs x and targets y from a safetensors file",
        source="safetensors, format description",
        example='safetensors("examples.safetensors")',
        near_miss='safetensors("no_such_file.safetensors")',
        near_miss_code=trust.FILE_MISSING.id,
        needs=frozenset({"data"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: str

    def load(self, folder: Path) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return both tensors on the CPU.

        Raises:
            Refused: The file is missing, damaged, or lacks ``x`` or ``y``.
        """
        from safetensors import safe_open

        path = folder / self.file
        header = read_header(path)
        missing = [name for name in ("x", "y") if name not in header.tensors]
        if missing:
            raise Refused(
                Diagnostic(
                    trust.DATA_UNREADABLE,
                    f"`{self.file}` holds {sorted(header.tensors)[:8]}, not `{missing[0]}`",
                    span=self.span,
                    help="write it with `safetensors.torch.save_file({'x': inputs, 'y': targets}, file)`",
                )
            )
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.get_tensor("x"), file.get_tensor("y")
