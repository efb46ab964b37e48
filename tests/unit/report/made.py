"""Results made by hand, with claims of every grade, and results of any size."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

from surgery_dsl.certificate.build import certify, write
from surgery_dsl.certificate.evidence import BoundEvidence, SampledTerm, StatisticalEvidence, TouchedData
from surgery_dsl.certificate.health import ActivationHealth, Health, LayerHealth, NormHealth
from surgery_dsl.certificate.model import (
    Claim,
    Claims,
    Digest,
    EfficiencyRow,
    Environment,
    Input,
    Parameter,
    PoolRecord,
    Predicate,
    SelectionRecord,
    StepRecord,
    Surgery,
    TrainingRecord,
)

ZERO = "0" * 64
ITEMS = "evidence/final-line-9.safetensors"


def sample(values: Sequence[float], limit: str = "1/2") -> StatisticalEvidence:
    return StatisticalEvidence(
        population="what the examples of `test` were drawn from",
        says="with 95% confidence the mean is at most 0.25",
        form="mean",
        method="betting",
        relation="<=",
        data="test",
        data_digest=ZERO,
        count=len(values),
        distinct=len(set(values)),
        confidence="19/20",
        joint=1,
        risk="1/20",
        terms=(SampledTerm(factor="1", quantity="loss(test)", point="now"),),
        low="0",
        high="5",
        seed=ZERO,
        value=(sum(values) / len(values)).hex(),
        bound=(0.25).hex(),
        opposite=(0.0).hex(),
        limit=limit,
        items=ZERO,
        file=ITEMS,
    )


def tensor_file(values: Sequence[float]) -> bytes:
    """Return a safetensors file, by the format's own description."""
    head = {"terms": {"dtype": "F64", "shape": [1, len(values)], "data_offsets": [0, 8 * len(values)]}}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(values)}d", *values)


def claim(statement: str, verb: str = "measure", status: str = "passed", **fields: object) -> Claim:
    return Claim.model_validate(
        {"verb": verb, "kind": "metric", "statement": statement, "status": status, "method": "measurement", **fields}
    )


def bound(limit: str = "1/2") -> BoundEvidence:
    return BoundEvidence(
        region="every input within 1/255 of an example",
        boxes=2,
        dimensions=64,
        claims="max |f'(x) - f(x)|",
        method="CROWN",
        arithmetic="real",
        bound=(0.0979).hex(),
        attack=(0.0930).hex(),
        limit=limit,
        parts=2,
        seconds=0.5,
    )


def predicate(count: int = 3, values: Sequence[float] = (0.0, 0.1, 0.2)) -> Predicate:
    """Return claims of every grade about a network of ``count`` layers, no two of which are alike."""
    layers = [f"stages.{at % 7}.blocks.{at}.convolution_{at * at}" for at in range(count)]
    return Predicate(
        verdict="accepted",
        plan="plan.surg",
        parameters=(Parameter(name="ratio", value="40%", default="30%"),),
        inputs=(Input(name="plan.surg", role="plan", digest=Digest(sha256=ZERO)),),
        environment=Environment(
            tool="surgery-dsl 0", python="3", torch="2", device="cpu", dtype="f32", seed=0, threads=1,
            deterministic=True,
        ),
        claims=Claims(
            proved=(claim("params <= 10", "prove", "proved", value="9", limit="10", margin="1", line=7),),
            bounded=(claim("change(box) <= 0.5", "certify", value="0.0979", limit="1/2", evidence=bound()),),
            measured=(
                claim("accuracy(test) >= 90%", value="70/71", limit="9/10", margin="61/710"),
                claim("loss(test, confidence = 95%) <= 0.5", evidence=sample(values)),
                claim("flips(test) <= 1%", status="too weak", note="400 examples would do"),
            ),
            assumed=(claim("torch does what it says", "always", "assumed"),),
        ),
        selections=(
            SelectionRecord(
                step="weak",
                unit="channels",
                sites=count,
                sites_of_kind=count,
                pools=tuple(
                    PoolRecord(pool=f"{name}.weight[0]", units=64 + at, asked="lowest 40%", taken=at % 60, kept=64)
                    for at, name in enumerate(layers)
                ),
            ),
        ),
        steps=(
            StepRecord(step="weak", block="excise", effect="changing", matched=3, changed=2, reason="one has no units"),
        ),
        training=(
            TrainingRecord(
                step="tune", epochs=4, optimizer_steps=8, samples=64, trained_tensors=2, first_loss=2.0, last_loss=0.5,
                losses=(2.0, 1.0, 0.75, 0.5), seconds=1.5,
            ),
        ),
        surgery=Surgery(
            magnitude=0.5, immediate_loss_change=0.25, samples_to_recover=64, recovered_loss=0.5, base_loss=0.25,
            data="test",
        ),
        efficiency=(
            EfficiencyRow(quantity="params", unit="elements", before=1000, after=600, saving=0.4),
            EfficiencyRow(
                quantity="latency", unit="ms", before=2.5, after=2.0, saving=0.2, how="measured",
                conditions="batch 1, cpu", before_spread=(2.4, 2.6), after_spread=(1.9, 2.2),
            ),
        ),
        health=Health(
            data="train",
            examples=32,
            layers=tuple(
                LayerHealth(path=name, now=name, weight_change=0.5, output_change=1 / (1 + at), score=at - 1.0)
                for at, name in enumerate(layers)
            ),
            activations=(ActivationHealth(path="act", units=8, dead=1, constant=1, redundant=0, effective_rank=5.5),),
            norms=(NormHealth(path="norm", shift=0.125),),
            notes=("the layer `x` runs twice",),
        ),
        touched=(TouchedData(name="train", digest=ZERO, count=32, steps=("tune",)),),
        conventions={"params": "elements of parameters"},
    )  # fmt: skip


def put(folder: Path, made: Predicate, values: Sequence[float] = (0.0, 0.1, 0.2)) -> Path:
    """Write a result whose certificate is sound, though no run made it and its plan does not read."""
    (folder / "evidence").mkdir(parents=True)
    (folder / "plan.surg").write_text("surg 1\n")
    (folder / "plan.surg.lock").write_text("{}")
    (folder / ITEMS).write_bytes(tensor_file(values))
    write(folder, certify(folder, made))
    return folder
