"""Plans that must be refused are refused, with the finding that their header names, where they are marked."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.fix import applied
from surgery_dsl.diagnostics.page import all_codes
from surgery_dsl.language.format import format_source
from surgery_dsl.language.parse import parse
from surgery_dsl.run.prepare import check
from tests.cli.program import EXAMPLES, Ran, run, tree

FOLDER = EXAMPLES / "refused"
CODES = {code.id: code for code in all_codes()}
GRANT = ("--allow-code", "digits:*")
NO_COMMENT = {"01-several-syntax-errors": {16}, "06-hidden-character": {18}}
"""Lines that are pointed at and cannot bear a mark: the mistake swallows it."""


@dataclass(frozen=True)
class Refused:
    """A plan and what its header says of it."""

    path: Path
    expect: tuple[tuple[str, str], ...]
    by: tuple[str, ...]
    says: tuple[str, ...]
    marked: frozenset[int]

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def run(self, folder: Path, *further: str, name: str = "") -> Ran:
        place = ("-o", "out", "--device", "cpu") if self.by[0] == "apply" else ()
        return run(folder, self.by[0], name or self.path.name, *self.by[1:], *place, *GRANT, *further)


def _read(path: Path) -> Refused:
    text = path.read_text(encoding="utf-8")
    header = dict(re.findall(r"^# (expect|by|says): (.+)$", text, re.MULTILINE))
    lines = [number for number, line in enumerate(text.splitlines(), 1) if "# <- here" in line]
    return Refused(
        path,
        tuple((code, name) for code, name in (part.split() for part in header["expect"].split(", "))),
        tuple(header["by"].split()),
        tuple(header["says"].split(" | ")),
        frozenset(lines) | NO_COMMENT.get(path.stem, set()),
    )


PLANS = [_read(path) for path in sorted(FOLDER.glob("*.surg"))]
each_plan = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.path.stem)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the plans, their network and their weights, without locks."""
    copy = tmp_path_factory.mktemp("refused")
    shutil.copytree(FOLDER, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock", "__pycache__"))
    return copy


def test_there_are_enough() -> None:
    assert len(PLANS) >= 25
    assert len({plan.path.stem.split("-", 1)[1] for plan in PLANS}) == len(PLANS)


@each_plan
def test_refused_as_its_header_says(plan: Refused, folder: Path) -> None:
    before = tree(folder)
    ran = plan.run(folder, "--output-format", "json")
    found = ran.findings
    assert list(dict.fromkeys((one["code"], one["name"]) for one in found)) == list(plan.expect)
    assert {one["line"] for one in found} == plan.marked
    assert all(one["file"] == plan.path.name and one["help"] for one in found)
    said = "\n".join(text for one in found for text in (one["message"], *one["notes"], one["help"]))
    assert [part for part in plan.says if part not in said] == [], said
    errors = {CODES[one["code"]].exit_code for one in found if one["severity"] == "error"}
    assert ran.code == ran.document["exit_code"] == (min(errors) if errors else 1)
    assert ran.code in (1, 3)
    made = {name: data for name, data in tree(folder).items() if name not in before}
    assert set(made) <= {f"{plan.path.name}.lock"}
    assert {name: data for name, data in tree(folder).items() if name in before} == before


@each_plan
def test_text_names_the_code_the_place_and_a_fix(plan: Refused, folder: Path) -> None:
    ran = plan.run(folder)
    for code, _ in plan.expect:
        assert f"[{code}]" in ran.err
        assert f"surgery-dsl explain {code}" in ran.err
    for line in plan.marked:
        assert re.search(rf"--> {re.escape(plan.path.name)}:{line}:\d+$", ran.err, re.MULTILINE)
    assert "= help: " in ran.err
    assert "Traceback" not in ran.out + ran.err
    assert "SD9" not in ran.out + ran.err
    assert not (folder / "out").exists()


@each_plan
def test_formatted_where_it_reads(plan: Refused) -> None:
    if not parse(plan.text)[1]:
        assert format_source(plan.text) == (plan.text, ())


def test_the_list_says_what_the_headers_say() -> None:
    rows = re.findall(r"^\| \[(.+)\]\((.+)\) \| (.+) \| (.+) \| `(.+)` \|$", (FOLDER / "index.md").read_text(), re.M)
    wanted = [
        (
            plan.path.name,
            plan.path.name,
            re.search(r"^# (?!expect|by|says)(.+)$", plan.text, re.MULTILINE)[1],  # type: ignore[index]
            ", ".join(f"`{code}` {name}" for code, name in plan.expect),
            " ".join(plan.by),
        )
        for plan in PLANS
    ]
    assert rows == wanted


# ---- the fix that a finding offers does what it promises -----------------------------------------------------------

FIXES = {
    "02": ("lowest(25%  #", "lowest(25%)  #"),
    "03": ("# The dialect", "surg 1\n\n# The dialect"),
    "04": ("surg 9", "surg 1"),
    "07": ("tailor", "taylor"),
    "08": ("flor", "floor"),
    "09": ("excize", "excise"),
    "10": (", keep = 8", ""),
    "11": ("week", "weak"),
    "12": ("tset", "test"),
    "13": ("distill(teacher", "distill(base"),
    "15": ('relu("**")', 'relu("**")\n  with = gelu()'),
    "16": ("take = magnitude(p = 1)", "by = magnitude(p = 1)\n  take = lowest(25%)"),
    "17": ("by = magnitude(p = 1)", "by = magnitude(p = 1)\n  take = lowest(25%)"),
    "19": ("  role = reference\n", ""),
    "20": ("model other {", "model other {\n  role = reference"),
    "21": ("donor.relu", "relu"),
    "22": ("65%  #", "0.65 * base.params  #"),
    "23": ("params <= 20KiB", "weight_bytes <= 20KiB"),
    "24": ("140%)", "25%)"),
    "25": ("default = 70%", "default = 60%"),
    "26": ("lr = -1e-3", "lr = 1e-3"),
    "27": ("epochs = 0", "epochs = 1"),
    "28": ("backbone.**", "features.**"),
    "29": ("expect = 1", "expect = 2"),
    "30": ('"hidden.{0,7}"', '"hidden.0"'),
    "31": (', "neck"', ""),
    "33": ("60 -> 96", "64 -> 96"),
    "34": ("24 -> 8", "16 -> 8"),
    "35": ("[3, 99]", "[3, 15]"),
    "36": ("[3, 5, 3]", "[3, 5]"),
    "38": ("take = all", "take = only(0..14)"),
    "39": ("0..15", "0..14"),
    "40": ("lowest(2%)", "lowest(3.2%)"),
    "41": ("floor = 16  #", "floor = 12  #"),
    "42": ("only([0])", "only([0, 8, 16, 24])"),
    "43": ("mode = remove }", "mode = remove\n  changes = outputs\n}"),
    "44": ("with = linear(12)", "changes = outputs\n  with = linear(12)"),
    "45": ("with = linear(8)", "with = linear(10)"),
    "46": ("[N, 60]", "[N, 64]"),
    "47": ('split = "test"', 'split = "test", flat = true'),
    "48": ("linear(24)", "linear(32)"),
    "51": ("with = gelu()", "with = gelu()\n  scope = all"),
    "52": ("with = svd(rank = 8)", "with = svd(rank = 8)\n  tie = untie"),
    "53": ("rank = 48", "rank = 31"),
    "54": ("bn_scale()", "magnitude(p = 1)"),
    "57": ("train = only(acts)", "train = all"),
    "58": ("lowest(25%)", "lowest(54%)"),
    "63": ('"digits_mpl', '"digits_mlp'),
    "69": ("build_mpl", "build_mlp"),
    "71": ("prove accuracy", "measure accuracy"),
}


@pytest.mark.parametrize(
    "plan", [plan for plan in PLANS if plan.path.name[:2] in FIXES], ids=lambda plan: plan.path.stem
)
def test_the_fix_that_is_offered_works(plan: Refused, folder: Path) -> None:
    wrong, right = FIXES[plan.path.name[:2]]
    assert plan.text.count(wrong) == 1
    fixed = folder / f"fixed-{plan.path.name}"
    fixed.write_text(plan.text.replace(wrong, right), encoding="utf-8")
    ran = plan.run(folder, name=fixed.name)
    assert (ran.code, "error[" in ran.err) == (0, False), ran.err


@each_plan
def test_edits_that_are_offered_are_enough(plan: Refused, folder: Path) -> None:
    edited = folder / f"edited-{plan.path.name}"

    def found(text: str, fixes: bool) -> tuple[Diagnostic, ...]:
        edited.write_text(text, encoding="utf-8")
        for lock in (folder / f"{plan.path.name}.lock", folder / f"{edited.name}.lock"):
            if lock.exists():
                edited.with_name(f"{edited.name}.lock").write_bytes(lock.read_bytes())
        return check(edited, allow_code=["digits:*"], make_lock=False, fixes=fixes).diagnostics

    before = found(plan.text, True)
    for one in before:
        for fix in one.fixes:
            after = [other for other in found(applied(plan.text, fix.replacements), False) if other.code.id != "SD422"]
            assert (one.code, one.message) not in {(other.code, other.message) for other in after}
            assert fix.verified != "accepted" or not [other for other in after if other.severity == "error"]


def test_granting_the_code_is_the_fix_for_code_that_is_not_granted(folder: Path) -> None:
    ran = run(folder, "check", "68-code-without-grant.surg", "--allow-code", "ungranted:build_mlp")
    assert "SD405" in ran.err, "now it runs, and says that it must not be"
    assert "ungranted code was imported" in ran.err


# ---- a lock that no longer describes the network -------------------------------------------------------------------


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A copy of the first example with its lock."""
    for path in (EXAMPLES / "slim_digits").iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    assert run(tmp_path, "lock", "plan.surg", *GRANT).code == 0
    return tmp_path


def test_stale_lock_after_a_change_of_the_source(locked: Path) -> None:
    source = locked / "digits.py"
    source.write_text(source.read_text().replace("64, kernel_size", "72, kernel_size"), encoding="utf-8")
    assert "72, kernel_size" in source.read_text()
    before = tree(locked)
    for arguments in (("check", "plan.surg"), ("apply", "plan.surg", "-o", "out", "--device", "cpu")):
        ran = run(locked, *arguments, "--output-format", "json")
        assert (ran.code, ran.codes) == (4, ["SD420"])
        (finding,) = ran.findings
        assert finding["line"] == 6
        assert "`digits.py` changed" in finding["message"]
        assert "`surgery-dsl lock plan.surg`" in finding["help"]
    assert tree(locked) == before


def test_stale_lock_after_a_change_of_the_plan(locked: Path) -> None:
    plan = locked / "plan.surg"
    plan.write_text(plan.read_text().replace("[N, 1, 8, 8]", "[N, 1, 16, 16]"), encoding="utf-8")
    ran = run(locked, "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD420"])
    assert ran.findings[0]["line"] in (5, 6, 8)


def test_locking_again_is_the_fix_for_a_stale_lock(locked: Path) -> None:
    source = locked / "digits.py"
    source.write_text(source.read_text() + "\n# nothing of the structure changed\n", encoding="utf-8")
    assert run(locked, "check", "plan.surg").code == 4
    assert run(locked, "lock", "plan.surg", *GRANT).code == 0
    assert run(locked, "check", "plan.surg").code == 0
