"""Results come back: ties, buffers that no state dict holds, plain tensors, big and small, and nothing by pickle."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.run import reload, restore
from surgery_dsl.run.apply import apply
from surgery_dsl.run.reload import Answer, Job, Probe, Reloader

NETWORK = '''
import torch
from torch import nn


class Odd(nn.Module):
    """Tied layers, a buffer that is not saved, a plain tensor, and a shared module."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 6, bias=False)
        self.act = nn.ReLU()
        self.mid = nn.Linear(6, 8)
        self.back = nn.Linear(8, 6)
        self.out = nn.Linear(6, 6, bias=False)
        self.out.weight = self.stem.weight
        self.register_buffer("shift", torch.linspace(0, 1, 6), persistent=False)
        self.factor = torch.tensor(3.0)

    def forward(self, x):
        h = self.act(self.stem(x))
        h = self.act(self.back(self.act(self.mid(h))))
        return self.out(h) * self.factor + self.shift


def build():
    return Odd()


def build_stubborn():
    if torch.empty(0).is_meta:
        raise RuntimeError("this factory needs memory")
    return Odd()
'''

PLAN = """\
surg 1

model net {
  load = python("odd:build")
  input = x("f32", [N, 6])
}

replace acts {
  at = relu("**")
  with = silu()
  scope = all
}
identify weak {
  in = linear("mid")
  unit = channels
  take = only([1, 4])
}
excise weak { mode = remove }
replace extra {
  after = linear("back")
  with = bottleneck(width = 3, init = "zero")
}
"""


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A result directory."""

    class InProcess:
        def __enter__(self) -> "InProcess":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def ask(self, job: Job, timeout: float = 0) -> Answer:
            return reload.answer(job)

    monkeypatch.setattr(reload, "Reloader", InProcess)
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "odd.py").write_text(NETWORK)
    (folder / "plan.surg").write_text(PLAN)
    outcome = apply(folder / "plan.surg", tmp_path / "out", allow_code=["odd:*"], device="cpu", seed=4)
    assert outcome.output, [d.message for d in outcome.diagnostics]
    return tmp_path / "out"


def test_ties_are_written_once_and_come_back_as_ties(result: Path) -> None:
    names = set(load_file(result / "model.safetensors"))
    assert ("stem.weight" in names) != ("out.weight" in names)
    assert "shift" in names
    model = surgery_dsl.load(result, ["odd:build"])
    assert model.out.weight is model.stem.weight
    assert model.mid.weight.shape == (6, 6)
    assert model.back.in_features == 6
    assert torch.equal(model.factor, torch.tensor(3.0))
    assert type(model.act) is torch.nn.SiLU
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert not model.training


@pytest.mark.parametrize("large", [0, 1 << 60])
def test_big_and_small_results_come_back_the_same(result: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(restore, "LARGE", large)
    model = surgery_dsl.load(result, ["odd:build"])
    again = surgery_dsl.load(result, ["odd:build"])
    x = torch.randn(3, 6)
    assert torch.equal(model(x), again(x))
    assert torch.equal(model.shift, torch.linspace(0, 1, 6))


@pytest.mark.parametrize("mapped", [False, True])
def test_a_mapped_network_needs_no_memory_of_its_own(result: Path, mapped: bool) -> None:
    network = surgery_dsl.load(result, allow_code=["odd:*"], mapped=mapped)
    file = os.path.realpath(result / "model.safetensors")
    areas = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(file)]
    spans = [tuple(int(end, 16) for end in area.split("-")) for area in areas]
    places = [tensor.data_ptr() for tensor in network.state_dict().values()]
    assert places
    assert all(any(low <= place < high for low, high in spans) == mapped for place in places)
    plain = surgery_dsl.load(result, allow_code=["odd:*"]).state_dict()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        network.mid.bias.zero_()  # the file stays as it is
    assert torch.equal(load_file(result / "model.safetensors")["mid.bias"], plain["mid.bias"])


def test_a_factory_that_needs_memory_gets_it(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((result / "surgery.json").read_text())
    record["loader"]["target"] = "odd:build_stubborn"
    (result / "surgery.json").write_text(json.dumps(record))
    monkeypatch.setattr(restore, "LARGE", 0)
    assert surgery_dsl.load(result, ["odd:*"])(torch.zeros(1, 6)).shape == (1, 6)


def test_loading_leaves_the_random_state_alone(result: Path) -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    surgery_dsl.load(result, ["odd:*"])
    assert torch.equal(torch.rand(3), wanted)


def refused(path: Path) -> list:
    with pytest.raises(Refused) as caught:
        surgery_dsl.load(path, ["odd:*"])
    return [d.code for d in caught.value.diagnostics]


def change_record(result: Path, change: Callable[[dict], None]) -> None:
    record = json.loads((result / "surgery.json").read_text())
    change(record)
    (result / "surgery.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["edits"].pop(),
        lambda r: r.update(edits=[{"edit": "run_this", "code": "import os"}]),
        lambda r: r["loader"].update(word="models/no_such"),
        lambda r: r["loader"].update(word="../../etc"),
        lambda r: r.update(format="2"),
        lambda r: r.update(surprise=1),
        lambda r: r["edits"].append({"edit": "set_module", "paths": ["act"], "spec": {"type": "os.system"}}),
        lambda r: r["sources"].append({"path": "../odd/odd.py", "sha256": "0" * 64}),
        lambda r: r["sources"].append({"path": "missing.py", "sha256": "0" * 64}),
    ],
)
def test_a_record_that_was_edited_is_refused_not_run(result: Path, change: Callable[[dict], None]) -> None:
    change_record(result, change)
    (code,) = set(refused(result))
    assert code in (trust.RESULT_UNREADABLE, trust.TENSOR_MISSING, trust.TENSOR_EXTRA, trust.TENSOR_SHAPE)


def test_a_record_that_claims_other_ties_is_refused(result: Path) -> None:
    change_record(result, lambda r: r["ties"].update({"mid.weight": "back.weight"}))
    assert set(refused(result)) <= {trust.RESULT_CHANGED, trust.TENSOR_EXTRA}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
def test_noise_is_no_record(result: Path, content: bytes) -> None:
    (result / "surgery.json").write_bytes(content)
    assert refused(result) == [trust.RESULT_UNREADABLE]


def test_a_directory_without_a_record_is_no_result(tmp_path: Path) -> None:
    assert refused(tmp_path) == [trust.RESULT_UNREADABLE]
    assert refused(tmp_path / "nowhere") == [trust.RESULT_UNREADABLE]


def test_weights_that_are_a_pickle_are_refused(result: Path) -> None:
    torch.save({"a": torch.zeros(1)}, result / "model.safetensors")
    assert refused(result) == [trust.PICKLE_REFUSED]


def test_weights_that_were_swapped_are_refused(result: Path) -> None:
    tensors = load_file(result / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, result / "model.safetensors")
    assert refused(result) == [trust.RESULT_CHANGED]
    (result / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert refused(result) == [trust.RESULT_CHANGED]


# ---- the clean process ---------------------------------------------------------------------------------------------


def job(result: Path, probe: Path, **changes: object) -> Job:
    fields = {
        "result": str(result),
        "probe": str(probe),
        "inputs": ("x",),
        "keyword_inputs": False,
        "allow_code": ("odd:*",),
        "folder": str(result.parent),
        "device": "cpu",
        "threads": 1,
        "deterministic": True,
    }
    return Job(**(fields | changes))


def test_a_difference_of_one_bit_is_told(result: Path) -> None:
    model = surgery_dsl.load(result, ["odd:*"])
    x = torch.randn(4, 6)
    with torch.no_grad():
        wanted = model(x)
    with Probe({"x": x}, [wanted]) as probe:
        found = reload.answer(job(result, probe.path))
    assert (found.same_bits, found.difference, found.outputs, found.error) == (True, 0.0, 24, "")
    assert not probe.path.exists()
    off = wanted.clone()
    off[0, 0] = torch.nextafter(off[0, 0], torch.tensor(float("inf")))
    with Probe({"x": x}, [off]) as probe:
        found = reload.answer(job(result, probe.path))
    assert not found.same_bits
    assert 0 < found.difference < 1e-5


@pytest.mark.slow
def test_what_goes_wrong_in_the_child_is_an_answer(result: Path) -> None:
    with Probe({"x": torch.zeros(1, 6)}, [torch.zeros(1, 6)]) as probe:
        with Reloader() as child:
            found = child.ask(job(result, probe.path, allow_code=()))
            assert "SD401" in found.error
        with Reloader() as child:
            found = child.ask(job(result, probe.path, inputs=("no_such",)))
            assert "ended with code 1" in found.error
        with Reloader() as child:
            assert "did not answer" in child.ask(job(result, probe.path), timeout=0.01).error


def test_a_child_that_is_not_asked_is_stopped() -> None:
    with Reloader() as child:
        process = child._child
    assert process.poll() is not None
