"""What a proof that units are silent leaves in the result: the network as a graph, the boxes, and which units."""

import hashlib
from pathlib import Path

from surgery_dsl.certificate.evidence import BoundEvidence
from surgery_dsl.evidence.silence import Proof
from surgery_dsl.evidence.silence_files import METHOD, claims, contents
from surgery_dsl.run.bound_evidence import FOLDER


def write_silence(region: str, proof: Proof, name: str, folder: Path) -> BoundEvidence:
    """Write the files of a proof below ``evidence/`` of a result, and return the evidence that names them."""
    record, tensors = f"{FOLDER}/{name}.json", f"{FOLDER}/{name}.safetensors"
    (folder / FOLDER).mkdir(exist_ok=True)
    text, values = contents(proof, tensors)
    (folder / record).write_text(text, encoding="utf-8", newline="")
    (folder / tensors).write_bytes(values)
    digests = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in (record, tensors)}
    units = sum(one.units for one in proof.found)
    return BoundEvidence(
        region=region,
        boxes=len(proof.corners[0]),
        dimensions=proof.corners[0, 0].numel(),
        claims=claims(proof.count, units),
        method=METHOD,
        arithmetic="real",
        bound=proof.most.hex(),
        attack=proof.seen.hex(),
        limit="0",
        parts=len(proof.corners[0]),
        seconds=0.0,
        record=record,
        tensors=tensors,
        digests=digests,
    )
