"""Calling a network as its plan says, and finding the tensors in what it returns."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.named_inputs import Inputs, NamedInputs, main
from surgery_dsl.language.plan import Model


def call(model: nn.Module, inputs: Mapping[str, Tensor], by_keyword: bool) -> Any:
    """Run the forward; inputs go by position, in order, or by name."""
    return model(**inputs) if by_keyword else model(*inputs.values())


def given(patient: Model, inputs: Inputs, file: str) -> dict[str, Tensor]:
    """Return what the forward gets of a batch: of several inputs those that the plan names.

    Raises:
        Refused: The plan names an input that the data does not give.
    """
    names = [spec.name for spec in patient.inputs] or ["input"]
    if len(names) == 1:
        return {names[0]: main(inputs)}
    have = inputs.tensors if isinstance(inputs, NamedInputs) else {names[0]: inputs}
    missing = [name for name in names if name not in have]
    if missing:
        raise Refused(_not_given(missing[0], tuple(have), file))
    return {name: have[name] for name in names}


def all_outputs(result: Any) -> list[Tensor]:
    """Return every tensor in a result, in order, from tuples, lists, mappings and objects that are mappings."""
    return list(_tensors(result))


def first_output(result: Any, names: tuple[str, ...] = ()) -> Tensor:
    """Return the tensor that losses and metrics read: the first named output, else the first tensor."""
    if names and isinstance(result, Mapping) and isinstance(result.get(names[0]), Tensor):
        named: Tensor = result[names[0]]
        return named
    return next(_tensors(result))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _not_given(name: str, have: tuple[str, ...], file: str) -> Diagnostic:
    return Diagnostic(
        budgets.DATA_SHAPE_MISMATCH,
        f"the network takes the input `{name}`, and the data gives {', '.join(f'`{one}`' for one in have)}",
        file=file,
        facts={"given": len(have)},
        help="name inputs as the data does, or load data that gives every input",
    )
