"""Plans that take experts out of lists, end to end: proved, applied, loaded again, verified, and right."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import surgery_dsl
from surgery_dsl.certificate.verify import verify
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from tests.unit.run.test_apply import InProcess
from tests.unit.units import mixtures

BUILDER = """

def build():
    torch.manual_seed(7)
    return Decoder({kind}).eval()
"""
PLAN = """surg 1

model net {{
  load = {load}
  {rest}
}}
identify idle {{
  in = experts("**")
  expect = 2
  unit = experts
  by = magnitude
  take = lowest(25%)
}}
excise idle
control final {{
  prove params <= {share} * base.params
}}
"""


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "Reloader", InProcess)


def plan(folder: Path, kind: str) -> Path:
    (folder / "network.py").write_text(Path(mixtures.__file__).read_text() + BUILDER.format(kind=kind))
    path = folder / "plan.surg"
    load, rest = 'python("network:build")', f'input = tokens("i64", [N, T], below = {mixtures.WORDS})'
    path.write_text(PLAN.format(load=load, rest=rest, share=0.8))
    return path


def gone_from(was: nn.Module, now: nn.Module) -> list[int]:
    """Return which rows of a router are gone."""
    kept = {tuple(row) for row in now.weight.tolist()}
    return [index for index, row in enumerate(was.weight.tolist()) if tuple(row) not in kept]


@pytest.mark.parametrize("kind", ["Weighted", "Sparse", "Named"])
def test_a_plan_takes_experts_out_of_lists(kind: str, tmp_path: Path) -> None:
    outcome = apply(plan(tmp_path, kind), tmp_path / "out", allow_code=["network:*"], device="cpu")
    assert outcome.accepted, outcome.diagnostics
    assert verify(tmp_path / "out").held
    small = surgery_dsl.load(tmp_path / "out", allow_code=["network:*"]).double().eval()
    torch.manual_seed(7)
    whole = mixtures.Decoder(getattr(mixtures, kind)).double().eval()
    with torch.no_grad():
        for old, new in zip(whole.blocks, small.blocks, strict=True):
            (gone,) = gone_from(old["moe"].gate, new["moe"].gate)
            old["moe"].gate.weight[gone] = 0
            old["moe"].gate.bias[gone] = -1e4
            names = {name.removeprefix("expert_") for name in new["moe"].experts._modules}
            assert names == {"0", "1", "2"}
    torch.testing.assert_close(mixtures.outputs(small), mixtures.outputs(whole), rtol=1e-9, atol=1e-9)


def test_out_of_core_the_same_entries_and_rows_are_cut_from_files(tmp_path: Path) -> None:
    path = plan(tmp_path, "Sparse")
    torch.manual_seed(7)
    save_file(mixtures.Decoder(mixtures.Sparse).state_dict(), tmp_path / "whole.safetensors")
    path.write_text(path.read_text().replace("  input =", '  weights = "whole.safetensors"\n  input ='))
    for out, streamed in (("in_core", False), ("from_files", True)):
        outcome = apply(path, tmp_path / out, allow_code=["network:*"], device="cpu", out_of_core=streamed)
        assert outcome.accepted, outcome.diagnostics
    one, two = (load_file(tmp_path / out / "model.safetensors") for out in ("in_core", "from_files"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    path.write_text(path.read_text() + "control dear {\n  measure macs <= base.macs\n}\n")
    outcome = apply(path, tmp_path / "third", allow_code=["network:*"], device="cpu", out_of_core=True)
    assert [finding.code.id for finding in outcome.diagnostics] == ["SD517"]


def test_a_mis_coupled_list_is_found_before_weights_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from surgery_dsl.run import self_check

    monkeypatch.setattr(self_check, "_lists", lambda session, axes: {})  # rows move, entries do not
    outcome = apply(plan(tmp_path, "Sparse"), tmp_path / "out", allow_code=["network:*"], device="cpu")
    assert not outcome.accepted
    assert [finding.code.id for finding in outcome.diagnostics] == ["SD906"]
    assert not (tmp_path / "out").exists()


def test_switch_transformers_loads_its_smaller_lists_itself(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SwitchTransformersConfig(
        vocab_size=61,
        d_model=24,
        d_kv=4,
        d_ff=20,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        num_experts=4,
        num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
        expert_capacity=8,
        decoder_start_token_id=0,
    )
    torch.manual_seed(0)
    model = transformers.SwitchTransformersForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path / "tiny")
    path = tmp_path / "plan.surg"
    path.write_text(PLAN.format(load='hf("tiny")', rest="target = hf", share=0.95))
    outcome = apply(path, tmp_path / "out", device="cpu")
    assert outcome.accepted, outcome.diagnostics
    small = transformers.SwitchTransformersForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    assert small.config.num_experts == 3
    whole = transformers.SwitchTransformersForConditionalGeneration.from_pretrained(tmp_path / "tiny").eval()
    for stack, layer in (("encoder", 1), ("decoder", 2)):
        old, new = (getattr(one, stack).block[1].layer[layer].mlp for one in (whole, small))
        assert list(new.experts._modules) == ["expert_0", "expert_1", "expert_2"]
        (gone,) = gone_from(old.router.classifier, new.router.classifier)
        bias = torch.zeros(4)
        bias[gone] = -1e4
        old.router.classifier.bias = nn.Parameter(bias)
    given = {"input_ids": torch.arange(2, 20).view(2, 9), "decoder_input_ids": torch.arange(30, 40).view(2, 5)}
    with torch.no_grad():
        torch.testing.assert_close(small(**given).logits, whole(**given).logits, rtol=1e-5, atol=1e-5)
    shutil.rmtree(tmp_path / "tiny")
    loaded = surgery_dsl.load(tmp_path / "out").eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**given).logits, small(**given).logits, rtol=1e-5, atol=1e-5)
