"""The seven examples do what their READMEs and their ``expected.json`` say, and plain torch measures the same."""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import surgery_dsl
from surgery_dsl.language.format import format_source
from tests.certificates import statement_of
from tests.cli.program import EXAMPLES, ROOT, Ran, run

PLANS = {
    "slim_digits": "01-slim-digits",
    "sparse_schedule": "02-sparse-schedule",
    "swap_and_adapt": "04-swap-and-adapt",
    "grow": "05-grow",
    "repair": "06-repair",
    "int8_certified": "07-int8-certified",
    "low_rank_head": "08-low-rank-head",
}
GRANTS = ("digits:*", "vision:*")
GRANT = [word for pattern in GRANTS for word in ("--allow-code", pattern)]

each_example = pytest.mark.parametrize("name", PLANS)


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name / "expected.json").read_text())
    return found


def copy(name: str, folder: Path) -> Path:
    """Copy an example, its lock included, as a new user has it."""
    for path in (EXAMPLES / name).iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


def within(value: float, wanted: float | list[float]) -> bool:
    low, high = wanted if isinstance(wanted, list) else (wanted, wanted)
    slack = 5e-5 * max(abs(low), abs(high))
    return low - slack <= value <= high + slack


# ---- before a weight is read ---------------------------------------------------------------------------------------


@each_example
def test_plan_is_formatted_and_the_one_that_the_language_is_tested_with(name: str) -> None:
    text = (EXAMPLES / name / "plan.surg").read_text(encoding="utf-8")
    assert text == (ROOT / "tests" / "plans" / f"{PLANS[name]}.surg").read_text(encoding="utf-8")
    assert format_source(text) == (text, ())


@each_example
def test_lock_is_fresh(name: str, tmp_path: Path) -> None:
    folder = copy(name, tmp_path)
    committed = json.loads((folder / "plan.surg.lock").read_text(encoding="utf-8"))
    assert run(folder, "lock", "plan.surg", *GRANT).code == 0
    made = json.loads((folder / "plan.surg.lock").read_text(encoding="utf-8"))
    versions = ("tool", "torch", "digest")  # what the digest is of, but for the versions, is compared itself
    assert {k: v for k, v in made.items() if k not in versions} == {
        k: v for k, v in committed.items() if k not in versions
    }, f"run `surgery-dsl lock examples/{name}/plan.surg`"


@each_example
def test_check_says_what_is_expected(name: str) -> None:
    wanted = expected(name)["check"]
    ran = run(EXAMPLES / name, "check", "plan.surg", "--output-format", "json")
    (plan,) = ran.document["plans"]
    assert ran.code == wanted["exit_code"]
    assert not plan["lock_made"]
    assert {one["text"]: one["status"] for one in plan["verdicts"] if one["verb"] != "always"} == wanted["gates"]
    assert {one["status"] for one in plan["verdicts"] if one["verb"] == "always"} == {"proved"}


# ---- applied -------------------------------------------------------------------------------------------------------


class Applied:
    """An example that was applied in a folder of its own, with its network as plain torch builds it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = copy(name, folder)
        arguments = ("apply", "plan.surg", "-o", "out", "--device", "cpu", "--output-format", "json")
        self.ran: Ran = run(self.folder, *arguments, *GRANT)
        self.out = self.folder / "out"
        self.predicate: dict[str, Any] = statement_of(self.out)["predicate"]

    @property
    def expected(self) -> dict[str, Any]:
        return expected(self.name)

    def base(self) -> nn.Module:
        """Build and fill the network without this program."""
        plan = (self.folder / "plan.surg").read_text(encoding="utf-8")
        module, function = re.search(r'python\("(\w+):(\w+)"\)', plan).groups()  # type: ignore[union-attr]
        weights = re.search(r'weights = "(.+)"', plan)[1]  # type: ignore[index]
        spec = importlib.util.spec_from_file_location(f"example_{self.name}", self.folder / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        code = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(code)
        network: nn.Module = getattr(code, function)()
        network.load_state_dict(load_file(self.folder / weights))
        return network.eval()

    def after(self, place: Path | None = None) -> nn.Module:
        return surgery_dsl.load(place or self.out, GRANTS)

    def gate(self, text: str) -> float:
        """Return what the certificate says was measured."""
        (claim,) = [one for one in self.predicate["claims"]["measured"] if one["statement"] == text]
        return float(Fraction(claim["value"]))


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Applied]:
    """Apply each example once."""
    known: dict[str, Applied] = {}

    def get(name: str) -> Applied:
        if name not in known:
            known[name] = Applied(name, tmp_path_factory.mktemp(name))
        return known[name]

    return get


@each_example
def test_apply_accepts_with_the_expected_figures(name: str, applied: Callable[[str], Applied]) -> None:
    example = applied(name)
    wanted = example.expected
    assert (example.ran.code, example.ran.document["accepted"]) == (wanted["apply"]["exit_code"], True)
    assert example.ran.findings == []
    verdicts = {one["text"]: one for one in example.ran.document["verdicts"]}
    assert {one["status"] for one in verdicts.values()} == {"proved", "passed"}
    for text, number in wanted["apply"]["gates"].items():
        assert within(float(Fraction(verdicts[text]["value"])), number), (text, verdicts[text]["value"])
    found = {row["quantity"]: row for row in example.predicate["efficiency"]}
    assert found.keys() - wanted["efficiency"].keys() == {"macs", "disk", "peak_memory"}
    assert wanted["efficiency"].keys() <= found.keys()
    assert 2 * found["macs"]["after"] == found["flops"]["after"]
    assert found["disk"]["after"] == sum(file.stat().st_size for file in example.out.glob("*.safetensors"))
    assert found["peak_memory"]["how"] == "estimated"
    for quantity, (before, after) in wanted["efficiency"].items():
        assert within(found[quantity]["before"], before), (quantity, found[quantity])
        assert within(found[quantity]["after"], after), (quantity, found[quantity])
    kept = {pool["pool"]: pool for selection in example.predicate["selections"] for pool in selection["pools"]}
    assert kept.keys() == wanted["kept"].keys()
    for pool, (units, left) in wanted["kept"].items():
        assert kept[pool]["units"] == units
        assert kept[pool]["taken"] + kept[pool]["kept"] == units
        assert within(kept[pool]["kept"], left), kept[pool]
    trained = {record["step"]: [record["epochs"], record["samples"]] for record in example.predicate["training"]}
    assert trained == wanted["trained"]


def test_the_readmes_export_is_a_program(applied: Callable[[str], Applied], tmp_path: Path) -> None:
    example = applied("slim_digits")
    ran = run(example.folder, "export", "out", "-o", tmp_path / "slim.pt2", "--allow-code", "digits:*")
    assert ran.code == 0, ran.err
    assert "largest difference 0 of" in ran.out
    assert (tmp_path / "slim.pt2").is_file()


@each_example
def test_result_verifies(name: str, applied: Callable[[str], Applied]) -> None:
    example = applied(name)
    ran = run(example.folder, "verify", "out", "--output-format", "json")
    assert (ran.code, ran.document["verified"], ran.findings) == (0, True, [])
    names = {path.name for path in example.out.iterdir()}
    assert names >= {
        "model.safetensors",
        "surgery.json",
        "certificate.json",
        "plan.surg",
        "plan.surg.lock",
        "report.md",
    }


@each_example
def test_result_loads_wherever_it_is_moved(name: str, applied: Callable[[str], Applied], tmp_path: Path) -> None:
    example = applied(name)
    moved = tmp_path / "elsewhere"
    shutil.copytree(example.out, moved)
    (images, _), _ = digits(flat=name != "slim_digits")
    with torch.no_grad():
        assert torch.equal(example.after()(images[:64]), example.after(moved)(images[:64]))


def digits(flat: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the training and the test set, from scikit-learn itself: every fifth image of a class is for the test."""
    pixels, classes = load_digits(return_X_y=True)
    seen = [0] * 10
    is_test = torch.zeros(len(classes), dtype=torch.bool)
    for position, label in enumerate(classes):
        seen[label] += 1
        is_test[position] = seen[label] % 5 == 0
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    images = images if flat else images.reshape(-1, 1, 8, 8)
    labels = torch.tensor(classes, dtype=torch.int64)
    return (images[~is_test], labels[~is_test]), (images[is_test], labels[is_test])


@each_example
def test_plain_torch_measures_what_the_certificate_says(name: str, applied: Callable[[str], Applied]) -> None:
    example = applied(name)
    base, after = example.base(), example.after()
    _, (x, y) = digits(flat=name != "slim_digits")
    with torch.no_grad():
        old, new = base(x), after(x)
    rows = {row["quantity"]: row for row in example.predicate["efficiency"]}
    if "accuracy" in rows:
        for outputs, found in ((old, rows["accuracy"]["before"]), (new, rows["accuracy"]["after"])):
            assert float((outputs.argmax(1) == y).double().mean()) == pytest.approx(found, abs=1e-9)
    assert sum(p.numel() for p in base.parameters()) == rows["params"]["before"]
    if name != "int8_certified":  # its 8-bit weights are buffers of torch, and count as parameters all the same
        assert sum(p.numel() for p in after.parameters()) == rows["params"]["after"]
        assert sum(int(p.count_nonzero()) for p in after.parameters()) == rows["nonzero"]["after"]
    assert sum(t.nbytes for t in after.state_dict().values()) == pytest.approx(rows["memory"]["after"], abs=64)
    gates = example.expected["apply"]["gates"]
    for text in gates:
        if text.startswith("loss(test)"):
            assert float(cross_entropy(new.double(), y)) == pytest.approx(example.gate(text), rel=1e-5)
        if text.startswith("change(test, norm = inf)") and name != "swap_and_adapt":  # there it is read half-way
            assert float((new - old).abs().max()) == pytest.approx(example.gate(text), rel=1e-4, abs=2e-6)
    assert torch.isfinite(new).all()


# ---- what the READMEs promise ---------------------------------------------------------------------------------------


@each_example
def test_readme_names_commands_that_run(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    surgery-dsl (\w+) examples/(\w+)/plan\.surg", text, re.MULTILINE)
    assert [place for _, place in commands] == [name] * len(commands)
    assert [command for command, _ in commands] == ["check", "apply"]


def test_the_readme_shows_which_layer_hurts(applied: Callable[[str], Applied]) -> None:
    example = applied("slim_digits")
    text = (EXAMPLES / "slim_digits" / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"^      ([\w.]+) +([\d.]+) % +([\d.]+) % +[\d.]+ +[\d.]+(?:   (.+))?$", text, re.MULTILINE)
    health = example.predicate["health"]
    assert f"on the first {health['examples']} examples of `{health['data']}`" in text
    assert [path for path, *_ in said] == [layer["path"] for layer in health["layers"]]
    for (_, weights, output, note), layer in zip(said, health["layers"], strict=True):
        assert 100 * layer["weight_change"] == pytest.approx(float(weights), abs=3)
        assert 100 * layer["output_change"] == pytest.approx(float(output), abs=5)
        assert layer["note"] == note


@each_example
def test_readme_gives_the_expected_counts(name: str, applied: Callable[[str], Applied]) -> None:
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8").replace("\u202f", " ")
    rows = {row["quantity"]: row for row in applied(name).predicate["efficiency"]}
    said = {int(number.replace(" ", "")) for number in re.findall(r"\d{1,3}(?: \d{3})+", text)}
    if rows["params"]["before"] >= 10_000:
        assert rows["params"]["before"] in said
    if rows["params"]["after"] not in (rows["params"]["before"], 49050):  # there the README gives the difference
        assert rows["params"]["after"] in said
    if "accuracy" in rows:
        assert f"{100 * rows['accuracy']['before']:.2f} %" in text


@pytest.mark.parametrize(
    ("name", "wrong", "right", "code"),
    [
        ("grow", "widen(64 -> 96", "widen(60 -> 96", "SD220"),
        ("swap_and_adapt", "  scope = all\n", "", "SD310"),
        ("low_rank_head", "rank = 24", "rank = 48", "SD245"),
        ("low_rank_head", "  changes = outputs\n", "", "SD227"),
    ],
)
def test_changes_that_a_readme_says_are_refused(name: str, wrong: str, right: str, code: str, tmp_path: Path) -> None:
    plan = copy(name, tmp_path) / "plan.surg"
    text = plan.read_text(encoding="utf-8")
    assert text.count(wrong) == 1
    plan.write_text(text.replace(wrong, right), encoding="utf-8")
    ran = run(tmp_path, "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.codes) == (1, [code])


def test_a_ratio_out_of_range_teaches_what_is_allowed() -> None:
    ran = run(EXAMPLES / "slim_digits", "check", "plan.surg", "--set", "ratio=95%", "--output-format", "json")
    assert (ran.code, ran.codes) == (1, ["SD113"])
    assert "10%..60%" in ran.findings[0]["message"]
    assert "60%" in ran.findings[0]["help"]


def test_another_ratio_is_proved_and_shown(applied: Callable[[str], Applied]) -> None:
    ran = run(EXAMPLES / "slim_digits", "check", "plan.surg", "--set", "ratio=30%", "--output-format", "json")
    assert ran.code == 0
    verdicts = {one["text"]: one for one in ran.document["plans"][0]["verdicts"]}
    assert Fraction(verdicts["params <= 0.65 * base.params"]["value"]) > 11222


def test_no_image_near_the_first_twenty_goes_beyond_the_bound(applied: Callable[[str], Applied]) -> None:
    example = applied("int8_certified")
    (claim,) = example.predicate["claims"]["bounded"]
    bound, attack = (float.fromhex(claim["evidence"][name]) for name in ("bound", "attack"))
    assert attack <= bound <= 0.5
    base, after = example.base().double(), example.after().double()
    (_, _), (images, _) = digits(flat=True)
    torch.manual_seed(0)
    near = images[:20].double() + (2 * torch.rand(100, 20, 64, dtype=torch.float64) - 1).sign() / 255
    with torch.no_grad():
        worst = float((after(near.flatten(0, 1)) - base(near.flatten(0, 1))).abs().max())
    assert worst <= bound + 1e-5
    evidence = {path.name for path in (example.out / "evidence").iterdir()}
    assert {"final-1.json", "final-1.safetensors"} <= evidence


def test_equal_seeds_give_equal_bits(applied: Callable[[str], Applied], tmp_path: Path) -> None:
    folder = copy("slim_digits", tmp_path)
    ran = run(folder, "apply", "plan.surg", "-o", "out", "--device", "cpu", "--no-progress", *GRANT)
    assert ran.code == 0
    weights = (folder / "out" / "model.safetensors").read_bytes()
    assert weights == (applied("slim_digits").out / "model.safetensors").read_bytes()
