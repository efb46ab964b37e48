"""What language models say of text: how likely each next token is."""

import torch
from torch import Tensor
from torch.nn import functional

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.answers import Answered

IGNORED = -100
"""A target that no loss counts: a prompt's token, or padding."""


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of −log p(token t + 1 | tokens up to t) over the targets that count, in nats.

    Args:
        logits: ``(B, T, V)``; those at position t speak of the token at t + 1.
        targets: ``(B, T)``, token numbers, or −100 where a token does not count. The first of each row never does.

    In float32, or float64 for float64. Zero, with a gradient, where nothing counts.

    Raises:
        ValueError: The shapes do not fit.
    """
    total, count = _sum(logits, targets)
    return total / max(count, 1)


def likelihood_of(answers: Answered, data: str) -> float:
    """Return the mean negative log-likelihood of a data set's next tokens, in nats: each token weighs the same.

    Summed over batches in float64; NaN in an output gives NaN. ``data`` names the data set in findings.

    Raises:
        Refused: Outputs and targets have shapes that do not fit, or no token counts.
    """
    total, count = 0.0, 0
    for outputs, targets in answers:
        try:
            for logits, row in zip(outputs, targets, strict=True):  # one row's logits at a time: they are large
                part, own = _sum(logits[None], row[None])
                total, count = total + float(part), count + own
        except (ValueError, IndexError) as error:
            raise Refused(_misfit(outputs, targets, data, str(error))) from None
    if not count:
        raise Refused(
            Diagnostic(
                runs.TARGETS_DO_NOT_FIT,
                f"no token of `{data}` counts: every target is {IGNORED} or the first of its row",
                facts={"tokens": 0},
                help="give longer texts, or completions behind the prompts",
            )
        )
    return total / count


def _sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    if logits.dim() != 3 or logits.shape[:2] != targets.shape:
        raise ValueError(f"logits are {tuple(logits.shape)}, targets {tuple(targets.shape)}")
    shifted, wanted = logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten().long()
    work = torch.promote_types(shifted.dtype, torch.float32)
    total = functional.cross_entropy(shifted.to(work), wanted, ignore_index=IGNORED, reduction="sum")
    return total, int((wanted != IGNORED).sum())


def _misfit(outputs: Tensor, targets: Tensor, data: str, why: str) -> Diagnostic:
    shapes = {"outputs": str(list(outputs.shape)), "targets": str(list(targets.shape))}
    return Diagnostic(
        runs.TARGETS_DO_NOT_FIT,
        f"`{data}` does not fit a network whose outputs are {shapes['outputs']}: {why}",
        facts=shapes,
        help="name data of tokens, and a network that gives logits for each position",
    )
