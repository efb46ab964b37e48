"""Proofs that units are silent, as files; and computed again from these, without the network and without search."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from surgery_dsl.evidence.bounds.graph import Pointwise
from surgery_dsl.evidence.bounds.recheck import unlike_files
from surgery_dsl.evidence.bounds.written import read, written
from surgery_dsl.evidence.silence import RELU, Proof, proof

SLACK = 1e-6
"""Relative difference that other kernels may make; that a unit is dead is decided on the bound found here."""


METHOD = "CROWN for what each ReLU is given, in float64, with the rounding of its own arithmetic"


def claims(count: int, units: int) -> str:
    """Return what is proved of so many units, as a formula."""
    return f"z_k(x) ≤ 0 for {count} of {units} ReLU units k"


def contents(found: Proof, tensors: str) -> tuple[str, bytes]:
    """Return the record, which names the file ``tensors``, and the content of that file."""
    graph, constants = written(found.graph, "new.")
    values = {**constants, "box.low": found.corners[0], "box.high": found.corners[1]}
    values |= {f"dead.{at}": one.dead for at, one in enumerate(found.found)}
    places = [{"node": node, "path": path, "position": position} for node, path, position in found.places]
    record = {"format": "1", "new": graph, "relus": places, "tensors": tensors}
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in values.items()}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n", save(plain)


def recheck(folder: Path, claim: Any) -> str:
    """Return why the stored proof does not show that so many units are silent; empty where it does.

    Args:
        folder: The result.
        claim: A claim of the certificate: its value is how many units are dead.

    Raises:
        OSError, KeyError, TypeError, ValueError, IndexError, RuntimeError, ArithmeticError: Its files are not what
            they should be.
    """
    evidence = claim.evidence
    if why := unlike_files(folder, evidence):
        return why
    record, tensors = (
        json.loads((folder / evidence.record).read_text(encoding="utf-8")),
        load_file(folder / evidence.tensors),
    )
    graph = read(record["new"], tensors)
    places = tuple((int(one["node"]), str(one["path"]), int(one["position"])) for one in record["relus"])
    if len({node for node, _, _ in places}) != len(places):
        return "a ReLU is counted twice"
    for node, path, _ in places:
        made = graph.nodes[node]
        if not isinstance(made, Pointwise) or made.scalar.name != RELU:
            return f"`{path}` is no ReLU in the stored graph"
    corners = torch.stack([tensors["box.low"], tensors["box.high"]])
    if (
        corners.dtype != torch.float64
        or not bool((corners[0] <= corners[1]).all())
        or not bool(corners.isfinite().all())
    ):
        return "the stored boxes are none"
    again = proof(graph, places, corners)
    for at, one in enumerate(again.found):
        stored = tensors[f"dead.{at}"]
        if stored.dtype != torch.bool or stored.shape != one.dead.shape or bool((stored & ~one.dead).any()):
            return f"units of `{one.path}` are stored as dead, and are not proved so"
    count = sum(int(tensors[f"dead.{at}"].sum()) for at in range(len(places)))
    if Fraction(claim.value) != count or evidence.claims != claims(count, sum(one.units for one in again.found)):
        return f"the claim says {claim.value}, and its evidence shows {count}"
    said = float.fromhex(evidence.bound), float.fromhex(evidence.attack), evidence.limit, evidence.arithmetic
    places_of = evidence.boxes, evidence.parts, evidence.dimensions, evidence.method
    if said[2:] != ("0", "real") or places_of != (*[len(corners[0])] * 2, corners[0, 0].numel(), METHOD):
        return "its evidence speaks of another claim"
    for stored_number, found in zip(said[:2], (again.most, again.seen), strict=True):
        if not abs(stored_number - found) <= SLACK * max(abs(found), 1e-3):
            return f"{stored_number:.6g} is stored, and computed again it is {found:.6g}"
    return ""
