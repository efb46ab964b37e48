"""``python("module:factory", k = v)``: a network that a function of the user's builds."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary import user_code
from surgery_dsl.vocabulary.kinds import ModelLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


class Python(ModelLoader):
    """Call a function and take the ``torch.nn.Module`` that it returns.

    The module is looked for in the plan's folder, then in the working directory. It runs only with a grant from
    outside the plan, and only where a network is needed (``lock``, ``apply``, ``load``).

    Attributes:
        target: ``module:function``.
        arguments: Keyword arguments of the function.
    """

    card: ClassVar[Card] = Card(
        summary="Build the network by calling a function of yours.",
        source="LANGUAGE, section 2",
        example='python("network:build", width = 8)',
        near_miss='python("network.build")',
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
