"""``hf_config("config.json")``: an architecture of transformers, without weights."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.models._hosts import build_transformers
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class HfConfig(ModelLoader):
    """Build the architecture of a transformers config; it is checked at any size without memory for its weights.

    Arguments:
        config: The config file, relative to the plan's folder.
        dtype: What its tensors are (``"bf16"``); without it, what the config says, else f32.
        class: The class to build; without it, the first of the config's ``architectures``, else the base model.

    Runtime rule:
        As ``hf``, with weights drawn as transformers initialises them, from the run's seed, where the plan names no
        ``weights``. Without ``input``, inputs are made from the config.

    Source:
        docs/language.md, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Build the architecture that a config of transformers describes",
        source="docs/language.md, section 2",
        example='hf_config("checkpoint/config.json")',
        near_miss='hf_config("no_such_config.json")',
        near_miss_code=trust.FILE_MISSING.id,
    )
    positional: ClassVar[tuple[str, ...]] = ("config",)
    makes_inputs: ClassVar[bool] = True

    config: str
    dtype: Literal["", "f16", "bf16", "f32", "f64"] = ""
    class_: str = ""

    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return the config."""
        return (folder / self.config,)

    def moved(self, place: str) -> "HfConfig":
        """Return the loader of a config that need not stand below the plan's folder."""
        return self.replaced(config=f"{place}/{Path(self.config).name}")

    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Build the network.

        Raises:
            Refused: There is no such config, transformers is missing or has no such architecture.
        """
        return build_transformers(folder / self.config, device, self.span, self.dtype, self.class_)
