"""Networks of transformers and timm, by directory, config or name: locked, checked and applied."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.zoo import vision_stub
from surgery_dsl.run import prepare
from surgery_dsl.run.apply import apply
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.load import Sources
from surgery_dsl.run.outputs import first_output

transformers = pytest.importorskip("transformers")
vision_stub.install()
pytest.importorskip("timm")

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 56}
STEP = """
identify narrow {{
  in = linear("{site}")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}}

excise narrow {{ mode = remove }}
"""


def bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=97, max_position_embeddings=64, **SIZES)
    return transformers.BertForMaskedLM(config).eval()


def plan(folder: Path, load: str, site: str = "**.intermediate.dense", more: str = "") -> Path:
    path = folder / "plan.surg"
    path.write_text(f"surg 1\n\nmodel net {{\n  load = {load}\n{more}}}\n{STEP.format(site=site)}")
    return path


def codes(diagnostics: Any) -> list[str]:
    return [found.code.id for found in diagnostics]


@pytest.fixture(params=["1GB", "60KB"], ids=["one file", "shards"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    transformers.logging.disable_progress_bar()
    bert().save_pretrained(tmp_path / "net", max_shard_size=request.param)
    return tmp_path


def test_a_checkpoint_is_locked_and_checked_without_an_input(checkpoint: Path) -> None:
    checked = prepare.check(plan(checkpoint, 'hf("net")'))
    assert not checked.diagnostics
    assert checked.report is not None
    assert checked.lock is not None
    assert checked.plan is not None
    model = checked.lock.model("net")
    assert [spec.dims for spec in model.inputs] == [("N", "T")]
    assert (model.inputs[0].below, model.keyword_inputs) == (97, True)
    assert "net/config.json" in [source.path for source in model.sources]
    assert model.weights is not None
    assert model.weights.nonzero["bert.encoder.layer.0.intermediate.dense.weight"] == 56 * 48
    assert checked.plan.patient.inputs == model.inputs
    assert not prepare.check(plan(checkpoint, 'hf("net")')).lock_made


def test_loading_gives_the_numbers_of_the_checkpoint(checkpoint: Path) -> None:
    checked = prepare.check(plan(checkpoint, 'hf("net")'))
    assert checked.plan is not None
    assert checked.lock is not None
    network = Sources(checked.plan, checkpoint, Grants(patterns=())).network(
        checked.plan.patient, checked.lock.model("net").interface
    )
    assert network.file is not None, "tensors can be read again"
    ids = torch.randint(0, 97, (2, 9))
    with torch.no_grad():
        assert torch.equal(network.model(ids).logits, bert()(ids).logits)


def test_a_checkpoint_is_applied_and_comes_back(checkpoint: Path) -> None:
    outcome = apply(plan(checkpoint, 'hf("net")'), checkpoint / "out")
    assert outcome.accepted, codes(outcome.diagnostics)
    import surgery_dsl

    smaller: Any = surgery_dsl.load(str(checkpoint / "out"))
    assert smaller.bert.encoder.layer[0].intermediate.dense.out_features == 42
    with torch.no_grad():
        assert torch.isfinite(first_output(smaller(torch.randint(0, 97, (2, 9))))).all()


def test_a_changed_config_is_drift(checkpoint: Path) -> None:
    path = plan(checkpoint, 'hf("net")')
    prepare.check(path)
    config = checkpoint / "net" / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 56', '"intermediate_size": 57'))
    assert codes(prepare.check(path).diagnostics) == ["SD420"]


def test_other_names_are_converted_as_the_host_does(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    transformers.logging.disable_progress_bar()
    bert().save_pretrained(tmp_path / "net")
    file = tmp_path / "net" / "model.safetensors"
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in load_file(file).items()}
    old = {name.replace("LayerNorm.bias", "LayerNorm.beta"): value for name, value in old.items()}
    assert old.keys() != load_file(file).keys()
    save_file(old, file, {"format": "pt"})
    checked = prepare.check(plan(tmp_path, 'hf("net")'))
    assert not checked.diagnostics
    assert checked.lock is not None
    assert checked.lock.model("net").weights is None
    outcome = apply(plan(tmp_path, 'hf("net")'), tmp_path / "out")
    assert outcome.accepted, codes(outcome.diagnostics)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    transformers.logging.disable_progress_bar()
    bert().save_pretrained(tmp_path / "net")
    file = tmp_path / "net" / "model.safetensors"
    tensors = load_file(file)
    del tensors["bert.encoder.layer.1.intermediate.dense.weight"]
    save_file(tensors, file, {"format": "pt"})
    found = prepare.check(plan(tmp_path, 'hf("net")')).diagnostics
    assert codes(found) == ["SD413"]
    assert "intermediate" in found[0].message


def config_file(folder: Path, **settings: Any) -> Path:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 97, **SIZES, **settings}
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def test_a_config_is_checked_at_any_size(tmp_path: Path) -> None:
    config_file(tmp_path, hidden_size=8192, intermediate_size=28672, num_attention_heads=64, num_hidden_layers=3)
    checked = prepare.check(plan(tmp_path, 'hf_config("config.json", dtype = "bf16")', "**.gate_proj"))
    assert not checked.diagnostics
    assert checked.lock is not None
    tensors = checked.lock.model("net").interface.tensor_by_name
    assert tensors["model.layers.0.mlp.gate_proj.weight"].dtype == "bf16"
    assert checked.lock.model("net").weights is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model_type": "lama"}, "did you mean `llama`"),
        ({"architectures": ["LlamaForCausalML"]}, "did you mean `LlamaForCausalLM`"),
        ({"architectures": ["Mine"], "auto_map": {"AutoModel": "mine.Mine"}}, "code of its own"),
        ({"num_attention_heads": "many"}, "save_pretrained"),
    ],
)
def test_a_config_that_describes_no_network_is_refused(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    config_file(tmp_path, **settings)
    found = prepare.check(plan(tmp_path, 'hf_config("config.json")', "**.gate_proj")).diagnostics
    assert codes(found) == ["SD419"]
    assert says in (found[0].help or "")
    assert found[0].span is not None


@pytest.mark.parametrize(("text", "code"), [(None, "SD410"), ("{", "SD419"), ("[]", "SD419")])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str | None, code: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    assert codes(prepare.check(plan(tmp_path, 'hf_config("config.json")')).diagnostics) == [code]


def test_without_architectures_the_base_model_is_built(tmp_path: Path) -> None:
    config_file(tmp_path, architectures=None)
    checked = prepare.check(plan(tmp_path, 'hf_config("config.json")', "**.gate_proj"))
    assert not checked.diagnostics
    assert checked.lock is not None
    assert checked.lock.model("net").interface.network.endswith("LlamaModel")


def test_a_missing_package_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_file(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    found = prepare.check(plan(tmp_path, 'hf_config("config.json")')).diagnostics
    assert codes(found) == ["SD810"]
    assert "pip install" in (found[0].help or "")


def test_a_network_of_timm_by_its_name(tmp_path: Path) -> None:
    load = 'timm("resnet18", num_classes = 7, in_chans = 1)'
    path = plan(tmp_path, load)
    path.write_text(path.read_text().replace('linear("**.intermediate.dense")', 'conv2d("layer1.*.conv1")'))
    checked = prepare.check(path)
    assert not checked.diagnostics
    assert checked.lock is not None
    model = checked.lock.model("net")
    assert model.inputs[0].dims == ("N", 1, 224, 224)
    assert not model.keyword_inputs


def test_a_network_that_timm_does_not_have_is_refused(tmp_path: Path) -> None:
    found = prepare.check(plan(tmp_path, 'timm("resnet81")')).diagnostics
    assert codes(found) == ["SD419"]
    assert "did you mean" in (found[0].help or "")


def test_other_loaders_still_need_an_input(tmp_path: Path) -> None:
    assert codes(prepare.check(plan(tmp_path, 'python("nets:build")')).diagnostics) == ["SD102"]


GUARD = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "numpy", "transformers", "safetensors", "timm"}:
            raise ImportError("banned: " + name)
sys.meta_path.insert(0, Guard())
sys.argv = ["surgery-dsl", "check", "plan.surg"]
from surgery_dsl.cli.main import main
main()
"""


def test_check_with_a_lock_imports_neither_torch_nor_transformers(checkpoint: Path) -> None:
    prepare.check(plan(checkpoint, 'hf("net")'))
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{GUARD}"]
    done = subprocess.run(command, cwd=checkpoint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'input_ids("i64", [N, T in 1..64], below = 97)' in done.stdout
