"""``python("module:function", k = v)``: a data set that a function of the user's returns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.vocabulary import user_code
from surgery_dsl.vocabulary.kinds import DataLoader
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.named_inputs import Inputs


@final
class Python(DataLoader):
    """Call a function that returns a pair (inputs, targets) of tensors, or a ``Dataset`` of such pairs.

    Inputs may be a dictionary of tensors too, by the names of the network's inputs.

    Arguments:
        target: ``module:function``, looked for in the plan's folder, then in the working directory.
        arguments: Everything else: named arguments of the function (numbers, texts, truth values, lists of these).

    Runtime rule:
        The function is called once, with a grant from outside the plan; a ``Dataset`` is read through and stacked.

    Source:
        ``torch.utils.data.Dataset``.
    """

    card: ClassVar[Card] = Card(
        summary="Load the data by calling a function of yours",
        source="docs/language.md, section 2",
        example='python("networks:data", count = 32)',
        near_miss='python("networks.data")',
        near_miss_code=trust.MODULE_NOT_FOUND.id,
        needs=frozenset({"data"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("target", "**arguments")

    target: str
    arguments: dict[str, JsonValue] = {}

    def grant(self) -> str:
        """Return the target."""
        return self.target

    def load(self, folder: Path) -> "tuple[Inputs, torch.Tensor]":
        """Call the function; a ``Dataset`` is read through and stacked.

        Raises:
            Refused: The code is missing, raised, or returned something else.
        """
        import torch

        from surgery_dsl.evidence.named_inputs import NamedInputs

        found = user_code.call(self.target, folder, self.arguments, self.span)
        if isinstance(found, tuple | list) and len(found) == 2 and all(isinstance(t, torch.Tensor) for t in found):
            return found[0].detach().cpu(), found[1].detach().cpu()
        if isinstance(found, tuple | list) and len(found) == 2 and _is_named(found[0], found[1]):
            return NamedInputs(found[0]).mapped(lambda tensor: tensor.detach().cpu()), found[1].detach().cpu()
        if (
            hasattr(found, "__getitem__")
            and hasattr(found, "__len__")
            and not isinstance(found, tuple | list | dict | str)
        ):
            return self._stacked(found, folder)
        raise Refused(self._wrong(f"returned {type(found).__name__}"))

    def _stacked(self, dataset: Any, folder: Path) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        try:
            pairs = [dataset[index] for index in range(len(dataset))]
            inputs = torch.stack([torch.as_tensor(pair[0]) for pair in pairs])
            targets = torch.stack([torch.as_tensor(pair[1]) for pair in pairs])
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it is reported
            root = user_code.roots(folder)[0]
            raise Refused(user_code.failure(self.target, root, error, self.span)) from None
        return inputs.detach().cpu(), targets.detach().cpu()

    def _wrong(self, what: str) -> Diagnostic:
        return Diagnostic(
            trust.NOT_A_NETWORK,
            f"`{self.target}` {what}, not a pair of tensors or a Dataset of pairs",
            span=self.span,
            help="return `(inputs, targets)`, two tensors of equal length",
        )


def _is_named(inputs: Any, targets: Any) -> bool:
    """Whether a pair is a dictionary of tensors by name, and a tensor."""
    import torch

    if not isinstance(inputs, dict) or not inputs or not isinstance(targets, torch.Tensor):
        return False
    return all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in inputs.items())
