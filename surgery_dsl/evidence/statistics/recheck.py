"""A statistical claim computed again from the values of its examples: without networks, data or trust in the run."""

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from surgery_dsl.evidence.statistics.deciding import Bounds, Sample, bounds
from surgery_dsl.evidence.statistics.order import seed_of

FOLDER = "evidence"
TOUCHED = f"{FOLDER}/touched.safetensors"
"""Where a result keeps the digests of the examples that made it, a tensor for each digest of a data set."""
CHOSEN_ON = f"{FOLDER}/chosen_on.safetensors"
"""Where it keeps, in the same form, those that chose the value of a param by a search that kept its risk: evidence of
the lines that were searched by, and of nothing that begins with the result."""
CLOSE = 1e-12
"""How far sums of float64 may differ between machines, relative to the range."""

RANGES = {"cosine": (-1, 1)}
"""Between which numbers the value of an example lies, where it is not a share."""


def recheck(folder: Path, claim: Any) -> str:
    """Return why the stored values do not show a claim, or nothing.

    Args:
        folder: The result.
        claim: A claim of its certificate, with statistical evidence.

    Raises:
        OSError: The file is not there.
        ValueError: It cannot be read.
    """
    evidence = claim.evidence
    try:
        items, rows = _stored(folder, evidence)
    except LookupError as error:
        return str(error)
    if evidence.seed != seed_of(evidence.data_digest, claim.statement):
        return "the order of the examples does not follow from the data and the line"
    confidence, risk = Fraction(evidence.confidence), Fraction(evidence.risk)
    if not Fraction(1, 2) <= confidence < 1 or risk * evidence.joint != 1 - confidence:
        return (
            f"a risk of {evidence.risk} for each of {evidence.joint} claims is no confidence of {evidence.confidence}"
        )
    if evidence.looks != 1:
        return f"the bound holds for one look, and there were {evidence.looks}"
    touched = _touched(folder, evidence, rows)
    if touched:
        return touched
    sample = _sample(evidence, items)
    if not sample.finite:
        return "the values hold NaN"
    if evidence.form == "mean" and (sample.low, sample.high) != _range(evidence):
        return f"the range from {evidence.low} to {evidence.high} does not follow from the line"
    if _outside(sample):
        return "some value lies outside the range that the bound rests on"
    return _compared(evidence, claim.status, bounds(sample), float(sample.high - sample.low))


def recomputed(folder: Path, evidence: Any) -> tuple[float, float]:
    """Return the mean, or rate, of the stored values and the bound on the side of the limit.

    Raises:
        LookupError: The file is not the one that the evidence names.
    """
    items, _ = _stored(folder, evidence)
    found = bounds(_sample(evidence, items))
    return found.value, found.bound


def _stored(folder: Path, evidence: Any) -> tuple[Tensor, Tensor]:
    parts = Path(evidence.file).parts
    if len(parts) != 2 or parts[0] != FOLDER or parts[1] in ("..", "."):
        raise LookupError(f"`{evidence.file}` is no file of `{FOLDER}`")
    content = (folder / evidence.file).read_bytes()
    if hashlib.sha256(content).hexdigest() != evidence.items:
        raise LookupError(f"`{evidence.file}` is not the file of values that the claim rests on")
    tensors = load(content)
    items, rows = tensors["terms"], tensors["rows"]
    if items.dtype != torch.float64 or items.shape != (len(evidence.terms), evidence.count):
        raise LookupError(f"`{evidence.file}` does not hold a value of each term for {evidence.count} examples")
    if rows.shape != (evidence.count,) or len(set(rows.tolist())) != evidence.distinct:
        raise LookupError(f"`{evidence.file}` does not name {evidence.distinct} examples")
    return items, rows


def _sample(evidence: Any, items: Tensor) -> Sample:
    return Sample(
        items=items,
        factors=tuple(Fraction(term.factor) for term in evidence.terms),
        clip=float(Fraction(evidence.clip)) if evidence.clip else None,
        low=Fraction(evidence.low),
        high=Fraction(evidence.high),
        threshold=Fraction(evidence.threshold) if evidence.threshold else None,
        counts=evidence.method != "betting",
        below=evidence.relation in ("<=", "<"),
        risk=Fraction(evidence.risk),
        seed=evidence.seed,
    )


def _range(evidence: Any) -> tuple[Fraction, Fraction]:
    """Return the range of a sum: of each quantity it is known, of a loss by its clip."""
    low, high = Fraction(0), Fraction(0)
    for term in evidence.terms:
        name, clip = term.quantity.partition("(")[0], Fraction(evidence.clip or 1)
        between = (Fraction(0), clip) if name == "loss" else RANGES.get(name, (0, 1))
        ends = sorted(Fraction(term.factor) * end for end in between)
        low, high = low + ends[0], high + ends[1]
    return low, high


def _outside(sample: Sample) -> bool:
    values = sample.values()
    return bool((values < float(sample.low) - CLOSE).any() or (values > float(sample.high) + CLOSE).any())


def _touched(folder: Path, evidence: Any, rows: Tensor) -> str:
    same = [one.name for one in evidence.touched if one.digest == evidence.data_digest]
    if same:
        return f"`{same[0]}` had a part in making the network, and is the evidence"
    if (folder / TOUCHED).is_file():
        for digest, made in load((folder / TOUCHED).read_bytes()).items():
            shared = int(torch.isin(rows, made).sum())
            if shared:
                return f"{shared} examples of the evidence stand in the data {digest[:12]} that made the network"
    return ""


def _compared(evidence: Any, status: str, found: Bounds, scale: float) -> str:
    for name in ("value", "bound", "opposite"):
        stored, again = float.fromhex(getattr(evidence, name)), float(getattr(found, name))
        if not abs(stored - again) <= CLOSE * max(1.0, scale):
            return f"the {name} is stored as {stored:.6g}, and computed again it is {again:.6g}"
    closed = float.fromhex(evidence.bernstein) if evidence.bernstein else None
    if (closed is None) != (found.bernstein is None) or (
        closed is not None and not abs(closed - float(found.bernstein or 0)) <= CLOSE * max(1.0, scale)
    ):
        return f"the empirical Bernstein bound is stored as {closed}, and computed again it is {found.bernstein}"
    if found.method != evidence.method:
        return f"the method is stored as {evidence.method}, and is {found.method}"
    bound, limit = Fraction(float.fromhex(evidence.bound)), Fraction(evidence.limit)
    kept = {"<=": bound <= limit, "<": bound < limit, ">=": bound >= limit, ">": bound > limit}[evidence.relation]
    if kept != (status == "passed"):
        return f"the bound is {float(bound):.6g}, the limit {float(limit):.6g}, and the line is said to have {status}"
    return ""
