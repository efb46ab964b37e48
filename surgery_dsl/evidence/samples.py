"""Values of single examples, from which bounds on their population are made.

Every function takes answers (:mod:`surgery_dsl.evidence.answers`) and returns ``[n]`` in float64 on the CPU, in the
order of the data. NaN in an output gives NaN for its example, or a class that is not found.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from surgery_dsl.evidence import tokens
from surgery_dsl.evidence.answers import Answered
from surgery_dsl.evidence.metrics import paired, refuse_no_classes, refuse_other_shape


def losses(answers: Answered, data: str, of_tokens: bool = False) -> Tensor:
    """Return each example's loss: cross-entropy in nats for class numbers, mean squared error for real targets.

    Of outputs ``[N, C, …]`` it is the mean over positions, of texts over the tokens that count.

    Raises:
        Refused: Targets and outputs have shapes that do not fit.
    """
    found = []
    for outputs, targets in answers:
        if of_tokens:
            rows = zip(outputs, targets, strict=True)
            each = torch.stack([tokens.next_token_loss(one[None].double(), row[None]) for one, row in rows])
        elif targets.is_floating_point():
            refuse_other_shape(outputs, targets, data)
            each = functional.mse_loss(outputs.double(), targets.double(), reduction="none")
        else:
            refuse_no_classes(outputs, targets, data)
            each = functional.cross_entropy(outputs.double(), targets.long(), reduction="none")
        found.append(_by_example(each))
    return torch.cat(found)


def hits(answers: Answered, data: str) -> Tensor:
    """Return 1 where the class of an example is found and 0 where not; a share where it has positions.

    Raises:
        Refused: The targets are no class numbers, or do not fit the outputs.
    """
    found = []
    for outputs, targets in answers:
        refuse_no_classes(outputs, targets, data)
        found.append(_by_example((outputs.argmax(dim=1) == targets).double()))
    return torch.cat(found)


def flips(before: Answered, after: Answered, data: str) -> Tensor:
    """Return 1 where the first network finds an example's class and the second does not.

    Raises:
        Refused: The targets are no class numbers, or do not fit the outputs.
    """
    found = []
    for (first, targets), (second, _) in zip(before, after, strict=True):
        for outputs in (first, second):
            refuse_no_classes(outputs, targets, data)
        right, wrong = first.argmax(dim=1) == targets, second.argmax(dim=1) != targets
        found.append(_by_example((right & wrong).double()))
    return torch.cat(found)


def distances(before: Answered, after: Answered, norm: Literal["inf"] | int, data: str) -> Tensor:
    """Return the norm of each example's difference: the greatest absolute one, or the Euclidean norm.

    Raises:
        Refused: The two networks' outputs have different shapes.
    """
    found = []
    for first, second in paired(before, after, data):
        difference = (second - first).reshape(len(first), -1)
        each = difference.abs().amax(dim=1) if norm == "inf" else torch.linalg.vector_norm(difference, dim=1)
        found.append(each.cpu())
    return torch.cat(found)


def cosines(before: Answered, after: Answered, data: str) -> Tensor:
    """Return each example's cosine similarity between the outputs of two networks, the mean over its positions.

    Raises:
        Refused: The two networks' outputs have different shapes.
    """
    pairs = paired(before, after, data)
    return torch.cat([_by_example(functional.cosine_similarity(first, second, dim=-1)) for first, second in pairs])


def _by_example(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).mean(dim=1).cpu()
