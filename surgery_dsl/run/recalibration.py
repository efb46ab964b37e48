"""``train = statistics``: running statistics of norms averaged anew over one pass of the data."""

import time
from typing import TYPE_CHECKING

import torch
from torch import nn

from surgery_dsl.certificate.model import TrainingRecord
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.language.plan import Recover
from surgery_dsl.run.batches import Batches
from surgery_dsl.run.losses import total_loss
from surgery_dsl.vocabulary.trainables.statistics import Statistics

if TYPE_CHECKING:
    from surgery_dsl.run.session import Session


def is_meant(step: Recover) -> bool:
    """Whether a recover step only recalibrates."""
    return isinstance(step.train, Statistics)


def recalibrate(step: Recover, session: "Session", batches: Batches, stage: int) -> TrainingRecord:
    """Set each norm's running mean and variance to the plain average over the batches, in the data's order.

    Raises:
        Refused: The network has no norm with running statistics, or fails.
    """
    began = time.perf_counter()
    norms = [m for m in session.model.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and has_statistics(m)]
    if not norms:
        raise Refused(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                f"`{step.name}` has no running statistics to recalibrate",
                file=session.file,
                span=step.span,
                help="leave the step out, or train parameters",
            )
        )
    before = _mean_loss(step, session, batches)
    session.transaction.before_write(buffer for norm in norms for buffer in norm.buffers(recurse=False))
    momenta = [norm.momentum for norm in norms]
    samples = 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum, norm.training = None, True
        with torch.no_grad(), session.looking(f"in `{step.name}`", step.span):
            for done, (inputs, _) in enumerate(batches.ordered(), 1):
                session.outputs(session.model, inputs)
                samples += len(inputs)
                session.progress(step.name, done, len(batches))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        session.model.eval()
    after = _mean_loss(step, session, batches)
    return TrainingRecord(
        step=step.name,
        stage=stage,
        epochs=1,
        optimizer_steps=0,
        samples=samples,
        trained_tensors=0,
        first_loss=before,
        last_loss=after,
        losses=(after,),
        seconds=time.perf_counter() - began,
        note=f"statistics of {len(norms)} norms averaged over {len(batches)} batches; no parameter changed",
    )


def _mean_loss(step: Recover, session: "Session", batches: Batches) -> float:
    """Return the step's loss over the data, in eval mode: what recalibration is there to lower."""
    total, seen = 0.0, 0
    with torch.no_grad(), session.looking(f"in `{step.name}`", step.span):
        for inputs, targets in batches.ordered():
            outputs = session.outputs(session.model, inputs)
            loss = float(total_loss(step, session, outputs, inputs, targets))
            total, seen = total + loss * len(inputs), seen + len(inputs)
    return total / seen


def has_statistics(norm: nn.modules.batchnorm._NormBase) -> bool:
    """Whether a norm keeps running statistics."""
    return norm.running_mean is not None and norm.running_var is not None
