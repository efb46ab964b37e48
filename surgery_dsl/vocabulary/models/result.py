"""``result("dir")``: what an earlier ``apply`` wrote."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Result(ModelLoader):
    """Rebuild the network of a result directory: its architecture, the recorded edits, its tensors.

    Arguments:
        directory: The result, relative to the plan's folder.

    Runtime rule:
        The code that builds the architecture runs under the same grants as any other; then the recorded edits are
        replayed and the tensors loaded. Nothing is unpickled.

    Source:
        docs/language.md, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Go on with the network that an earlier apply wrote",
        source="docs/language.md, section 2",
        example='result("result")',
        near_miss='result("no_such_result")',
        near_miss_code=trust.RESULT_UNREADABLE.id,
    )
    positional: ClassVar[tuple[str, ...]] = ("directory",)

    directory: str

    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return the record and the source files beside it."""
        result = folder / self.directory
        return (result / "surgery.json", *sorted(path for path in result.rglob("*.py") if path.is_file()))

    def grant(self) -> str:
        """Return nothing: what must be granted stands in the record and is asked for when it is read."""
        return ""

    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Rebuild the network; on ``meta`` its tensors have no values, elsewhere they are loaded.

        Raises:
            Refused: The directory is no result, or its files were changed.
        """
        # Rebuilding replays edits, which the run layer does; it is found at run time because it stands above us.
        restore = importlib.import_module("surgery_dsl.run.restore")
        network: torch.nn.Module = restore.rebuild(folder / self.directory, device)
        return network
