"""``timm("name")``: an architecture of timm."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.models._hosts import closest, package
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Timm(ModelLoader):
    """Build a network of timm; its weights, if any, stand in the plan's ``weights``.

    Arguments:
        model: The name that ``timm.create_model`` takes.
        arguments: Everything else that it takes (``num_classes = 10``, ``in_chans = 1``).

    Runtime rule:
        Nothing is downloaded (``pretrained = false``); without ``weights``, weights are drawn from the run's seed.
        Without ``input``, the input is the size that timm gives for the network.

    Source:
        docs/language.md, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Build a network of timm by its name",
        source="docs/language.md, section 2",
        example='timm("resnet18", num_classes = 10)',
        near_miss='timm("resnet18", num_classes = "ten")',
        near_miss_code=trust.CONFIG_UNREADABLE.id,
    )
    positional: ClassVar[tuple[str, ...]] = ("model", "**arguments")
    makes_inputs: ClassVar[bool] = True

    model: str
    arguments: dict[str, JsonValue] = {}

    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return nothing: the structure follows from the name and timm itself."""
        return ()

    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Build the network.

        Raises:
            Refused: timm is missing or does not import, has no such network, or does not take the arguments.
        """
        import torch

        timm = package("timm", "pip install timm", self.span)
        if not timm.is_model(self.model):
            message = f"timm {timm.__version__} has no network `{self.model}`"
            raise Refused(self._refusal(message, closest(self.model, timm.list_models())))
        try:
            with warnings.catch_warnings(), torch.device(device):
                warnings.simplefilter("ignore")
                arguments = {**self.arguments, "pretrained": False}
                network: torch.nn.Module = timm.create_model(self.model, **arguments)
        except Exception as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            message = f"timm does not build `{self.model}` with these arguments: {said}"
            raise Refused(self._refusal(message, "give arguments that `timm.create_model` takes")) from error
        return network

    def _refusal(self, message: str, fix: str) -> Diagnostic:
        return Diagnostic(
            trust.CONFIG_UNREADABLE,
            message,
            span=self.span,
            help=fix or "`timm.list_models()` lists the networks",
        )
