"""The example of an operator and a module of one's own: its rules are true, and without them the plan is refused."""

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import surgery_dsl
from surgery_dsl.language.format import format_source
from surgery_dsl.trace import declared
from surgery_dsl.trace.capture import trace
from tests.cli.program import EXAMPLES, ROOT, run
from tests.unit.trace.oracle import assert_permutable, assert_removable, inputs_for, reasons, shaken, spec

FOLDER = EXAMPLES / "custom_operator"
GRANT = ("--allow-code", "scan:*")
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())


def within(value: float, wanted: float | list[float]) -> bool:
    low, high = wanted if isinstance(wanted, list) else (wanted, wanted)
    return low <= value <= high


def copy(folder: Path) -> Path:
    for path in FOLDER.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(autouse=True)
def rules_of_this_test_alone() -> Iterator[None]:
    before = set(declared._DECLARED)
    yield
    for name in set(declared._DECLARED) - before:
        declared.forget(name)


def network(path: Path) -> nn.Module:
    located = importlib.util.spec_from_file_location("example_custom_operator", path)
    assert located is not None
    assert located.loader is not None
    code = importlib.util.module_from_spec(located)
    sys.modules["example_custom_operator"] = code
    try:
        located.loader.exec_module(code)
        built: nn.Module = code.build()
    finally:
        del sys.modules["example_custom_operator"]
    return built


def test_the_rules_are_true_of_the_operators() -> None:
    torch.manual_seed(0)
    model = network(FOLDER / "scan.py")
    specs = spec("N", 1, 8, 8)
    interface = trace(model, specs)
    places = ("row.weight[0]", "decay[0]", "place[1]", "gate.weight[1]", "hidden.weight[1]")
    dims = {interface.tensor_by_name[p.partition("[")[0]].dims[int(p[-2])] for p in places}
    assert len(dims) == 1
    assert reasons(interface, "row.weight[0]") == [""]
    assert any("`time`" in one for one in reasons(interface, "place[0]"))
    assert interface.module_by_path["gate"].integers == {"width": dims.pop()}
    model, given = shaken(model), inputs_for(specs, {"N": 3})
    assert_permutable(model, interface, given)
    assert_removable(model, interface, given)


def test_plan_and_lock_are_in_order(tmp_path: Path) -> None:
    text = (FOLDER / "plan.surg").read_text(encoding="utf-8")
    assert format_source(text) == (text, ())
    folder = copy(tmp_path)
    committed = json.loads((folder / "plan.surg.lock").read_text(encoding="utf-8"))
    assert run(folder, "lock", "plan.surg", *GRANT).code == 0
    made = json.loads((folder / "plan.surg.lock").read_text(encoding="utf-8"))
    for versions in ("tool", "torch", "digest"):  # what the digest is of, but for the versions, is compared itself
        committed.pop(versions), made.pop(versions)
    assert made == committed, "run `surgery-dsl lock examples/custom_operator/plan.surg`"


def test_check_says_what_is_expected() -> None:
    ran = run(FOLDER, "check", "plan.surg", "--output-format", "json")
    (plan,) = ran.document["plans"]
    assert ran.code == EXPECTED["check"]["exit_code"]
    gates = {one["text"]: one["status"] for one in plan["verdicts"] if one["verb"] != "always"}
    assert gates == EXPECTED["check"]["gates"]


def test_apply_accepts_and_the_result_loads(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    ran = run(folder, "apply", "plan.surg", "-o", "out", "--device", "cpu", "--output-format", "json", *GRANT)
    assert (ran.code, ran.document["accepted"], ran.findings) == (0, True, [])
    verdicts = {one["text"]: one for one in ran.document["verdicts"]}
    for text, number in EXPECTED["apply"]["gates"].items():
        assert within(float(Fraction(verdicts[text]["value"])), number), (text, verdicts[text]["value"])
    small = surgery_dsl.load(folder / "out", ("scan:*",))
    before, after = EXPECTED["efficiency"]["params"]
    assert sum(p.numel() for p in load_file(folder / "reader.safetensors").values()) == before
    assert sum(p.numel() for p in small.parameters()) == after
    assert small.gate.width == EXPECTED["kept"]["place[1]"][1]
    assert small(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def edited(folder: Path, old: str, new: str) -> Path:
    code = copy(folder) / "scan.py"
    text = code.read_text(encoding="utf-8")
    assert text.count(old) == 1
    code.write_text(text.replace(old, new), encoding="utf-8")
    (folder / "plan.surg.lock").unlink()
    return folder


def test_without_the_rules_the_plan_is_refused_with_the_operator_and_the_line(tmp_path: Path) -> None:
    text = (FOLDER / "scan.py").read_text(encoding="utf-8")
    (calls,) = re.findall(r"^surgery_dsl\.operator_signature.*?^\)$", text, re.MULTILINE | re.DOTALL)
    ran = run(edited(tmp_path, calls, ""), "check", "plan.surg", "--output-format", "json", *GRANT)
    assert (ran.code, ran.codes) == (1, ["SD226"])
    message = ran.findings[0]["message"]
    assert "digits_scan::scan" in message
    assert re.search(r"at scan\.py:\d+", message)
    assert "docs/operators.md" in message


def test_a_rule_that_lies_is_refused_by_name(tmp_path: Path) -> None:
    folder = edited(tmp_path, "decay[c] -> [batch, time, c]", "decay[c] -> [batch, c, time]")
    ran = run(folder, "check", "plan.surg", "--output-format", "json", *GRANT)
    assert (ran.code, ran.codes) == (1, ["SD206"])
    assert "digits_scan::scan" in ran.findings[0]["message"]
    assert any("registered at scan.py:" in note for note in ran.findings[0]["notes"])


def test_the_code_blocks_of_the_page_run() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    space: dict[str, Any] = {"__name__": "docs_operators"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/operators.md block {number}", "exec"), space)
    gate, mixer = space["gate"], space["Mixer"]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.mix, self.b = nn.Linear(4, 6), mixer(6), nn.Linear(6, 3)
            self.scale = nn.Parameter(torch.ones(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.mix(gate(self.a(x), self.scale)))

    interface = trace(Net(), spec(2, 5, 4))
    assert reasons(interface, "a.weight[0]") == [""]
    assert_permutable(shaken(Net()), interface, inputs_for(spec(2, 5, 4), {}))


def test_readme_names_commands_and_counts() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8").replace(" ", " ")
    commands = re.findall(r"^    surgery-dsl (\w+) examples/custom_operator/plan\.surg", text, re.MULTILINE)
    assert commands == ["check", "apply"]
    assert all(f"{n // 1000} {n % 1000:03}" in text for n in EXPECTED["efficiency"]["params"])
