"""``npz("file.npz")``: arrays ``x`` and ``y`` of a NumPy archive."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary.kinds import DataLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Npz(DataLoader):
    """Read inputs ``x`` and targets ``y``; arrays of Python objects are pickles and are refused.

    Arguments:
        file: The archive, relative to the plan's folder.

    Runtime rule:
        Both arrays as tensors on the CPU, in the dtype of the file.

    Source:
        ``numpy.load`` with ``allow_pickle=False``.
    """

    card: ClassVar[Card] = Card(
        summary="Read inputs x and targets y from a NumPy archive",
        source="NumPy, numpy.load with allow_pickle=False",
        example='npz("examples.npz")',
        near_miss='npz("no_such_file.npz")',
        near_miss_code=trust.FILE_MISSING.id,
        needs=frozenset({"data"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: str

    def load(self, folder: Path) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return both arrays as tensors on the CPU.

        Raises:
            Refused: The file is missing, damaged, holds objects, or lacks ``x`` or ``y``.
        """
        import numpy as np
        import torch

        path = folder / self.file
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                missing = [name for name in ("x", "y") if name not in archive.files]
                if missing:
                    raise Refused(self._malformed(f"it holds {archive.files}, not `{missing[0]}`"))
                return torch.from_numpy(np.array(archive["x"])), torch.from_numpy(np.array(archive["y"]))
        except FileNotFoundError:
            raise Refused(
                Diagnostic(
                    trust.FILE_MISSING,
                    f"the file `{self.file}` is not there",
                    span=self.span,
                    help="put the file beside the plan, or mend its name",
                )
            ) from None
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise Refused(self._malformed(str(error).splitlines()[0])) from None

    def _malformed(self, why: str) -> Diagnostic:
        return Diagnostic(
            trust.DATA_UNREADABLE,
            f"`{self.file}` cannot be read as inputs `x` and targets `y`: {why}",
            span=self.span,
            help="write it with `numpy.savez(file, x=inputs, y=targets)`",
        )
