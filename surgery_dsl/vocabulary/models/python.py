"""``python("module:factory", k = v)``: a network that a function of the user's builds."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary import user_code
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Python(ModelLoader):
    """Call a function that returns a ``torch.nn.Module``.

    Arguments:
        target: ``module:function``, looked for in the plan's folder, then in the working directory.
        arguments: Everything else: named arguments of the function (numbers, texts, truth values, lists of these).

    Runtime rule:
        The function runs only with a grant from outside the plan, and only where a network is needed (``lock``,
        ``apply``, ``load``); ``check`` compares digests of the module's file and of the siblings that it imports.

    Source:
        docs/language.md, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Build the network by calling a function of yours",
        source="docs/language.md, section 2",
        example='python("networks:mlp", width = 8)',
        near_miss='python("networks.mlp")',
        near_miss_code=trust.MODULE_NOT_FOUND.id,
    )
    positional: ClassVar[tuple[str, ...]] = ("target", "**arguments")

    target: str
    arguments: dict[str, JsonValue] = {}

    def sources(self, folder: Path) -> tuple[Path, ...]:
        """Return the module's file and the siblings that it imports."""
        return user_code.sources(self.target, folder)

    def grant(self) -> str:
        """Return the target."""
        return self.target

    def build(self, folder: Path, device: str) -> "torch.nn.Module":
        """Call the function with ``device`` as torch's default device.

        Raises:
            Refused: The code is missing, raised, or returned something that is no network.
        """
        import torch

        with torch.device(device):
            module = user_code.call(self.target, folder, self.arguments, self.span)
        if not isinstance(module, torch.nn.Module):
            raise Refused(
                Diagnostic(
                    trust.NOT_A_NETWORK,
                    f"`{self.target}` returned {type(module).__name__}, not a torch.nn.Module",
                    span=self.span,
                    help="return the network itself",
                )
            )
        return module
