"""Losses, accuracies, and how far one function lies from another, over a whole data set."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.answers import Answered, Batches, Forward

__all__ = [
    "Batches",
    "Forward",
    "accuracy_of",
    "change_of",
    "cosines_of",
    "evaluating",
    "loss_of",
    "other_outputs",
    "refuse_no_classes",
    "refuse_other_shape",
]


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put networks into eval mode without gradients while inside; every module gets its own mode back."""
    before = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before:
            module.training = training


def loss_of(answers: Answered, data: str) -> float:
    """Return the mean loss: cross-entropy in nats for integer targets, squared error for real ones.

    Outputs ``[N, C, …]`` and class numbers ``[N, …]``, or outputs and targets of one shape. Computed and summed in
    float64 on the network's device; the mean is over examples and positions. NaN in an output gives NaN. ``data`` names
    the data set in findings.

    Raises:
        Refused: Targets and outputs have shapes that do not fit.
    """
    total, count = 0.0, 0
    for outputs, targets in answers:
        if targets.is_floating_point():
            refuse_other_shape(outputs, targets, data)
            total += float(functional.mse_loss(outputs.double(), targets.double(), reduction="sum"))
        else:
            refuse_no_classes(outputs, targets, data)
            total += float(functional.cross_entropy(outputs.double(), targets.long(), reduction="sum"))
        count += targets.numel()
    return total / count if count else math.nan


def accuracy_of(answers: Answered, data: str) -> float:
    """Return the share of labels that the greatest output finds; of equal outputs the first counts.

    Outputs ``[N, C, …]``, integer labels ``[N, …]``; exact, k/n.

    Raises:
        Refused: The targets are no class numbers, or do not fit the outputs.
    """
    right, count = 0, 0
    for outputs, targets in answers:
        refuse_no_classes(outputs, targets, data)
        right += int((outputs.argmax(dim=1) == targets).sum())
        count += targets.numel()
    return right / count if count else math.nan


def change_of(before: Answered, after: Answered, norm: Literal["inf", "relative"] | int, data: str) -> float:
    """Return how far the outputs ``after`` lie from those ``before``, over a data set.

    ``"inf"``: the greatest absolute difference of any output on any example; ``2``: the greatest Euclidean norm of
    one example's difference; ``"relative"``: √(Σ‖f′ − f‖² / Σ‖f‖²). Differences are taken in float64. NaN gives NaN.

    Raises:
        Refused: The two networks' outputs have different shapes.
    """
    greatest = torch.zeros((), dtype=torch.float64)
    squared, scale = 0.0, 0.0
    for first, second in paired(before, after, data):
        difference = (second - first).reshape(len(first), -1)
        each = difference.abs() if norm == "inf" else torch.linalg.vector_norm(difference, dim=1)
        if each.numel():
            greatest = torch.maximum(greatest, each.max().cpu())  # keeps NaN, unlike max of floats
        if norm == "relative":
            squared += float((difference * difference).sum())
            scale += float((first * first).sum())
    if norm != "relative":
        return float(greatest)
    if scale == 0:
        return squared if math.isnan(squared) else math.inf if squared else 0.0
    return math.sqrt(squared / scale)


def cosines_of(before: Answered, after: Answered, data: str) -> Tensor:
    """Return the cosine similarity of each output vector of two networks, ``(vectors,)`` in float64 on the CPU.

    Vectors lie along the last dimension; 0 where one of both is zero; NaN in an output gives NaN.

    Raises:
        Refused: The two networks' outputs have different shapes.
    """
    pairs = paired(before, after, data)
    return torch.cat([functional.cosine_similarity(first, second, dim=-1).flatten().cpu() for first, second in pairs])


def paired(before: Answered, after: Answered, data: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs of two networks on the same batches, in float64."""
    for (first, _), (second, _) in zip(before, after, strict=True):
        if first.shape != second.shape:
            raise Refused(other_outputs(first, second, data))
        yield first.double(), second.double()


# ---- what does not fit -------------------------------------------------------------------------------------------


def refuse_other_shape(outputs: Tensor, targets: Tensor, data: str) -> None:
    """Refuse real targets that do not have the outputs' shape."""
    if outputs.shape != targets.shape:
        raise Refused(_misfit(outputs, targets, data, "targets that are numbers have the shape of the outputs"))


def refuse_no_classes(outputs: Tensor, targets: Tensor, data: str) -> None:
    """Refuse targets that are no class numbers of the outputs."""
    if targets.is_floating_point():
        raise Refused(_misfit(outputs, targets, data, "class labels are integers"))
    if outputs.dim() < 2 or outputs.shape[:1] + outputs.shape[2:] != targets.shape:
        raise Refused(_misfit(outputs, targets, data, "labels have the shape of the outputs without the classes"))
    least, most = (int(bound) for bound in torch.aminmax(targets)) if targets.numel() else (0, 0)
    if least < 0 or most >= outputs.shape[1]:
        message = f"`{data}` has labels {least} to {most}, the network has {outputs.shape[1]} classes"
        facts = {"least_label": least, "greatest_label": most, "classes": outputs.shape[1]}
        raise Refused(Diagnostic(runs.LABELS_DO_NOT_FIT, message, facts=facts, help="name data with these classes"))


def _misfit(outputs: Tensor, targets: Tensor, data: str, why: str) -> Diagnostic:
    shapes = {"outputs": str(list(outputs.shape)), "targets": str(list(targets.shape))}
    return Diagnostic(
        runs.TARGETS_DO_NOT_FIT,
        f"targets of `{data}` are {targets.dtype} {shapes['targets']}, outputs {shapes['outputs']}: {why}",
        facts=shapes,
        help="name data that fits the network's output",
    )


def other_outputs(before: Tensor, after: Tensor, data: str) -> Diagnostic:
    """Say that two networks' outputs cannot be compared."""
    shapes = {"base": str(list(before.shape)), "now": str(list(after.shape))}
    return Diagnostic(
        runs.TARGETS_DO_NOT_FIT,
        f"on `{data}` the base gives {shapes['base']}, the network here {shapes['now']}: there is no change",
        facts=shapes,
        help="compare a quantity that both have, such as accuracy",
    )
