"""Bad files of every kind at the command line: a code, an exit code, nothing written, no traceback."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import EXAMPLES, Ran, run, spawn, tree

NOISE = bytes(range(256)) * 40


@pytest.fixture
def slim(tmp_path: Path) -> Path:
    folder = tmp_path / "slim"
    folder.mkdir()
    for name in ("plan.surg", "plan.surg.lock", "digits.py", "digits_cnn.safetensors"):
        shutil.copy(EXAMPLES / "slim_digits" / name, folder / name)
    return folder


def apply(folder: Path, *more: str) -> Ran:
    arguments = ("apply", "plan.surg", "-o", "out", "--allow-code", "digits:*", "--output-format", "json")
    return run(folder, *arguments, *more)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"surg 1\n" + b"# x\n" * 2_600_000, "SD020"),
        (b"surg 1\n\nparam p {\n  default = " + b"(" * 10_000 + b"1" + b")" * 10_000 + b"\n}\n", "SD021"),
        (NOISE, "SD025"),
        (b"surg 1\n\xff\xfe\n", "SD024"),
        (b"", "SD006"),
    ],
    ids=["10 MB", "10,000 brackets", "noise", "not UTF-8", "empty"],
)
def test_hostile_plans_are_refused_at_once(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "plan.surg").write_bytes(content)
    before = set(tree(tmp_path))
    ran = run(tmp_path, "check", "plan.surg", "--output-format", "json")
    assert ran.code == 1
    assert ran.codes[0] == code
    assert set(tree(tmp_path)) == before


def test_several_mistakes_are_told_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "plan.surg").write_text(
        'surg 1\n\nmodel net {\n  load = python("a:b"\n  input = x("f32", [N, 1])\n}\n'
        "data d {\n  load =\n}\nfoo bar {\n}\n"
    )
    ran = run(tmp_path, "check", "plan.surg", "--output-format", "json")
    assert ran.code == 1
    assert len(ran.codes) >= 3
    assert all(finding["line"] and finding["help"] for finding in ran.findings)


@pytest.mark.parametrize("plan", ["missing.surg", "."])
def test_a_plan_that_is_no_file(tmp_path: Path, plan: str) -> None:
    ran = run(tmp_path, "check", plan, "--output-format", "json")
    assert (ran.code, ran.codes) == (1, ["SD408"])


def test_a_full_directory_is_not_overwritten(slim: Path) -> None:
    (slim / "out").mkdir()
    (slim / "out" / "mine.txt").write_text("mine")
    before = tree(slim)
    ran = apply(slim)
    assert (ran.code, ran.codes) == (1, ["SD520"])
    assert tree(slim) == before


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_bad_weights_leave_nothing(slim: Path, damage: str) -> None:
    weights = slim / "digits_cnn.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        shutil.copy(EXAMPLES / "grow" / "digits_mlp.safetensors", weights)
    before = set(tree(slim))
    ran = apply(slim)
    assert ran.code == 1
    assert ran.codes[0].startswith("SD41")
    assert ran.findings[0]["help"]
    assert set(tree(slim)) == before


def test_code_runs_only_with_a_grant(slim: Path) -> None:
    (slim / "plan.surg.lock").unlink()
    ran = run(slim, "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.codes) == (1, ["SD401"])
    assert not (slim / "plan.surg.lock").exists()


def test_a_stale_lock_is_drift(slim: Path) -> None:
    source = slim / "digits.py"
    source.write_text(source.read_text() + "\n# changed\n")
    ran = run(slim, "check", "plan.surg", "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD420"])


def test_a_param_outside_its_range_teaches(slim: Path) -> None:
    ran = run(slim, "check", "plan.surg", "--set", "ratio=95%", "--output-format", "json")
    assert (ran.code, ran.codes) == (1, ["SD113"])
    assert "60%" in ran.findings[0]["help"]
    assert run(slim, "check", "plan.surg", "--set", "ratio").code == 2


def test_names_are_never_markup_or_control(tmp_path: Path) -> None:
    (tmp_path / "plan.surg").write_text('surg 1\n\nmodel net {\n  load = python("\x1b[31m[bold]a:b")\n  inptu = 3\n}\n')
    ran = spawn(tmp_path, "check", "plan.surg", "--color", "never")
    assert ran.code == 1
    assert "\x1b" not in ran.out + ran.err
    assert "[bold]" in ran.err


def test_usage_mistakes_exit_with_two(slim: Path) -> None:
    for arguments in (("apply", "plan.surg"), ("check",), ("explain", "SD999"), ("schema", "nothing"), ("nothing",)):
        assert spawn(slim, *arguments).code == 2


def test_an_unknown_device_is_named(slim: Path) -> None:
    ran = apply(slim, "--device", "tpu")
    assert (ran.code, ran.codes) == (1, ["SD523"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it takes a device that is always full")
@pytest.mark.parametrize("arguments", [("check", "plan.surg"), ("check", "plan.surg", "--output-format", "json")])
def test_output_that_has_no_room_is_no_defect(slim: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "surgery_dsl", *arguments]
        done = subprocess.run(command, cwd=slim, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error[SD521]: what the command prints could not be written: No space left on device")
    assert "SD900" not in done.stderr
