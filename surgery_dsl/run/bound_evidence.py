"""What a certified bound leaves in the result: both networks as graphs, boxes with their bounds, and witnesses."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from surgery_dsl.certificate.evidence import BoundEvidence
from surgery_dsl.evidence.bounds.written import region_tensors, written
from surgery_dsl.run.certifying import Certified

FOLDER = "evidence"


def write_evidence(found: Certified, name: str, folder: Path) -> BoundEvidence:
    """Write the files of a bound below ``evidence/`` of a result, and return the evidence that names them."""
    evidence = found.evidence
    record, tensors = f"{FOLDER}/{name}.json", f"{FOLDER}/{name}.safetensors"
    (folder / FOLDER).mkdir(exist_ok=True)
    data, values = _contents(found, evidence)
    (folder / tensors).write_bytes(save(values))
    text = json.dumps({**data, "tensors": tensors}, ensure_ascii=False, separators=(",", ":")) + "\n"
    (folder / record).write_text(text, encoding="utf-8", newline="")
    digests = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in (record, tensors)}
    return evidence.replaced(record=record, tensors=tensors, digests=digests)


def _contents(found: Certified, evidence: BoundEvidence) -> tuple[dict[str, object], dict[str, Tensor]]:
    bounding = found.bounding
    old, constants = written(bounding.old, "old.")
    new, more = written(bounding.new, "new.")
    tensors = {**constants, **more, **region_tensors(found.region, found.points), "bounds": found.bounds}
    if bounding.claimed.labels is not None:
        tensors["labels"] = bounding.claimed.labels
    for number, match in enumerate(bounding.matches):
        tensors |= {f"match.{number}.old": match.old_units, f"match.{number}.new": match.new_units}
    if found.parts:
        tensors |= _parts(found)
    data = {
        "format": "1",
        "old": old,
        "new": new,
        "matches": [[match.old, match.new] for match in bounding.matches],
        "claim": bounding.claimed.written(),
        **{name: getattr(evidence, name) for name in ("arithmetic", "bound", "attack", "limit", "parts", "boxes")},
    }
    return data, {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _parts(found: Certified) -> dict[str, Tensor]:
    """Return all parts in the order of their bounds, and the number of the box that each was cut from."""
    lows, highs, origin = [], [], []
    whole = found.region.boxes[0]
    for at in range(len(whole.low)):
        box = found.parts[at].pieces if at in found.parts else None
        lows.append(whole.low[at : at + 1] if box is None else box.low)
        highs.append(whole.high[at : at + 1] if box is None else box.high)
        origin.append(torch.full((len(lows[-1]),), at))
    return {"part.low": torch.cat(lows), "part.high": torch.cat(highs), "part.of": torch.cat(origin)}
