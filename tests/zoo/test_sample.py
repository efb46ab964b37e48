"""A sample of real architectures: every judged removal is exact, or undecidable by a stated argument."""

import random
import warnings
from collections.abc import Iterator

import pytest
import torch

from benchmarks.zoo import vision_stub
from benchmarks.zoo.networks import Architecture, prepare
from benchmarks.zoo.oracle import EXACT_F32, Judge

TRANSFORMERS = (
    "BertForSequenceClassification",
    "GPT2LMHeadModel",
    "LlamaForCausalLM",
    "FalconForCausalLM",
    "MixtralForCausalLM",
    "Mamba2ForCausalLM",
    "T5ForConditionalGeneration",
    "ViTForImageClassification",
    "SwinForImageClassification",
    "ConvNextV2ForImageClassification",
    "Wav2Vec2ForCTC",
    "CLIPModel",
)
TIMM = ("timm/convmixer", "timm/mlp_mixer")
AXES = 3
"""Axes that are judged of each."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def judge(architecture: Architecture) -> Judge:
    from surgery_dsl.trace.capture import trace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of their own future
        network = prepare(architecture)
        interface = trace(network.model, network.specs, network.outputs)
    return Judge(network, interface, float32=True)


def architecture(name: str) -> Architecture:
    if name in TIMM:
        vision_stub.install()
        pytest.importorskip("timm")
        from benchmarks.zoo import architectures_timm as suite
    else:
        pytest.importorskip("transformers")
        from benchmarks.zoo import architectures_hf as suite
    return next(a for a in suite.architectures() if a.name == name)


@pytest.mark.parametrize("name", [*TRANSFORMERS, *TIMM])
def test_removals_of_a_real_architecture_are_exact(name: str) -> None:
    oracle = judge(architecture(name))
    free = oracle.prunable()
    assert free
    drawn = random.Random(0).sample(free, min(AXES, len(free)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdicts = [oracle.axis(axis) for axis in drawn] + [oracle.joint()]
    assert not [verdict for verdict in verdicts if verdict.kind == "wrong"]
    exact = [verdict for verdict in verdicts if verdict.kind == "exact"]
    assert len(exact) >= 0.95 * len([v for v in verdicts if v.kind in ("exact", "wrong")])
    assert exact
    assert all(verdict.error_f32 is not None and verdict.error_f32 <= EXACT_F32 for verdict in exact)
