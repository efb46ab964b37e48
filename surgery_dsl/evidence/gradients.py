"""Gradients of the loss that the targets suggest, accumulated over data."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.evidence.tokens import next_token_loss
from surgery_dsl.kernels.scores import accumulate_, accumulator


def loss_of(outputs: Tensor, targets: Tensor, tokens: bool = False) -> Tensor:
    """Return the mean loss of a batch: cross-entropy where targets are integers, else the mean squared error.

    Args:
        outputs: The network's output, logits or numbers.
        targets: Class numbers ``(N, …)`` for logits ``(N, C, …)``, or numbers of the outputs' shape.
        tokens: Whether targets are the tokens ``(N, T)`` of texts: logits ``(N, T, V)`` foretell the next.

    Raises:
        ValueError: The shapes do not fit.
    """
    if tokens:
        return next_token_loss(outputs, targets)
    if targets.dtype.is_floating_point:
        if targets.shape != outputs.shape:
            raise ValueError(f"targets have the shape {tuple(targets.shape)}, outputs {tuple(outputs.shape)}")
        return functional.mse_loss(outputs.float(), targets.float())
    return functional.cross_entropy(outputs.float(), targets)


def accumulated(
    forward: Callable[[Inputs], Tensor],
    tensors: Mapping[str, Tensor],
    batches: Iterable[tuple[Inputs, Tensor]],
    score: Callable[[Tensor], Tensor] | None = None,
    *,
    tokens: bool = False,
) -> dict[str, Tensor]:
    """Return the mean over examples of the loss's gradient, or of a score of each batch's gradient.

    Args:
        forward: From inputs to the output, through the tensors; the model's mode is the caller's.
        tensors: Parameters by name; their ``grad`` is not touched, and whether they require gradients is put back.
        batches: Pairs of inputs and targets. Each batch's mean loss counts as often as it has examples.
        score: Elementwise function of a batch's gradient, applied before the mean; with batches of one example and the
            square it gives the diagonal of the empirical Fisher information. ``None`` keeps the gradient itself.
        tokens: As in :func:`loss_of`.

    Shapes: those of the tensors. Dtype: float32, or float64 for float64. Device: the tensors'.

    Raises:
        ValueError: There is no example, or targets do not fit the outputs.
    """
    totals = {name: accumulator(tensor) for name, tensor in tensors.items()}
    count = 0
    with _requiring(tensors.values()), torch.enable_grad():
        for inputs, targets in batches:
            loss = loss_of(forward(inputs), targets, tokens)
            count += len(inputs)
            if not totals or not loss.requires_grad:  # no tensor is asked for, or none of them is used
                continue
            found = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
            for total, gradient in zip(totals.values(), found, strict=True):
                if gradient is not None:
                    accumulate_(total, _weighted(score, len(inputs)), gradient)
    if not count:
        raise ValueError("gradients need at least one example")
    for total in totals.values():
        total.div_(count)
    return totals


def _weighted(score: Callable[[Tensor], Tensor] | None, examples: int) -> Callable[[Tensor], Tensor]:
    def weighted(gradient: Tensor) -> Tensor:
        return (gradient if score is None else score(gradient)) * examples

    return weighted


@contextmanager
def _requiring(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Let tensors require gradients while inside."""
    held = list(tensors)
    before = [tensor.requires_grad for tensor in held]
    for tensor in held:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor, required in zip(held, before, strict=True):
            tensor.requires_grad_(required)
