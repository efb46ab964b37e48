"""``report``: the same bytes from the result alone, and no silence about what was changed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import surgery_dsl
from surgery_dsl.run.apply import apply
from tests.certificates import certify, edit
from tests.cli.program import run
from tests.unit.certificate.small import NETWORK, PLAN
from tests.unit.report.page import Page


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported")
    (folder / "plan.surg").write_text(PLAN)
    (folder / "small.py").write_text(NETWORK)
    outcome = apply(folder / "plan.surg", folder / "out", allow_code=["small:*"], device="cpu")
    assert outcome.accepted, outcome.diagnostics
    return folder / "out"


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(result, tmp_path / "out"))


def test_the_reports_of_a_result_are_made_again_byte_for_byte(copy: Path, tmp_path: Path) -> None:
    (copy.parent / "small.py").unlink(missing_ok=True)
    for name in ("report.md", "report.html"):
        ran = run(tmp_path, "report", "out", "-o", name)
        assert (ran.code, ran.out, ran.err) == (0, f"wrote {name}\n", "")
        assert (tmp_path / name).read_bytes() == (copy / name).read_bytes()
    assert run(tmp_path, "report", "out").out == (copy / "report.md").read_text()
    assert run(tmp_path, "report", "out", "--format", "html").out == (copy / "report.html").read_text()


def test_neither_torch_nor_the_users_code_is_touched(copy: Path) -> None:
    (copy / "small.py").write_text("raise SystemExit('ran')")
    code = (
        "import sys; from surgery_dsl.cli.main import group\n"
        f"group.main(['report', {str(copy)!r}], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'safetensors', 'small'} & set(sys.modules), 'imported'"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_was_changed_is_said_before_all_else(copy: Path, tmp_path: Path) -> None:
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    ran = run(tmp_path, "report", "out")
    assert ran.code == 4
    assert ran.out.splitlines()[2:5] == [
        "> **This result is not as it was certified. Do not rely on it.**",
        ">",
        "> - `model.safetensors` was changed after it was certified (SD603)",
    ]
    assert "SD603" in ran.err
    assert run(tmp_path, "report", "out", "-o", "seen.html").code == 4
    page = Page((tmp_path / "seen.html").read_text())
    assert page.text.index("not as it was certified") < page.text.index("Before and after")
    assert [one["role"] for one in page.having("div") if one.get("class") == "warn"] == ["alert"]


def test_a_certificate_that_was_edited_is_reported_as_such(copy: Path, tmp_path: Path) -> None:
    edit(copy, lambda document: document["predicate"]["efficiency"][0].update(after=1.0), seal=False)
    ran = run(tmp_path, "report", "out")
    assert ran.code == 4
    assert "the statement was changed after it was sealed (SD602)" in ran.out.splitlines()[4]


def test_changes_are_not_told_from_another_plan(copy: Path, tmp_path: Path) -> None:
    (copy / "plan.surg").write_text(PLAN.replace("only([1, 3])", "only([1])"))
    ran = run(tmp_path, "report", "out")
    assert ran.code == 4
    assert "This cannot be shown: plan and lock are not those certified." in ran.out


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"payloadType": "x"}', "\0"])
def test_without_a_certificate_there_is_no_report(copy: Path, tmp_path: Path, content: str | None) -> None:
    if content is None:
        (copy / "certificate.json").unlink()
    else:
        (copy / "certificate.json").write_text(content)
    ran = run(tmp_path, "report", "out", "-o", "seen.md", "--output-format", "json")
    assert ran.code == 4
    assert ran.codes[0] in ("SD601", "SD602")
    assert ran.document["written"] is None
    assert not (tmp_path / "seen.md").exists()


def test_a_report_does_not_go_into_the_result(copy: Path, tmp_path: Path) -> None:
    ran = run_usage(tmp_path, "report", "out", "-o", "out/other.md")
    assert "must lie outside of the result" in ran
    assert not (copy / "other.md").exists()
    assert "cannot be written" in run_usage(tmp_path, "report", "out", "-o", "absent/other.md")


def run_usage(folder: Path, *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "surgery_dsl", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    return ran.stderr


def test_signing_a_result_leaves_its_report_as_it_is(copy: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "key", "new", "release.key").code == 0
    assert run(tmp_path, "sign", "out", "--key", "release.key").code == 0
    ran = run(tmp_path, "report", "out")
    assert (ran.code, ran.out) == (0, (copy / "report.md").read_text())


def test_json_holds_the_report(copy: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, "report", "out", "--output-format", "json")
    assert (ran.code, ran.findings) == (0, [])
    assert ran.document["report"] == (copy / "report.md").read_text()
    assert run(tmp_path, "report", "out", "-o", "a.html", "--output-format", "json").document["written"] == "a.html"


def test_a_changed_report_is_found_by_verify(copy: Path, tmp_path: Path) -> None:
    with (copy / "report.html").open("a") as file:
        file.write("<p>accepted</p>")
    ran = run(tmp_path, "verify", "out", "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD603"])


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_report_that_was_certified_with_other_words_is_found_by_verify(copy: Path, tmp_path: Path, name: str) -> None:
    assert "`report.md` and `report.html` made again, byte for byte" in run(tmp_path, "verify", "out").out
    text = (copy / name).read_text()
    (copy / name).write_text(text.replace("passed", "proved", 1))
    assert (copy / name).read_text() != text
    certify(copy)
    ran = run(tmp_path, "verify", "out", "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD615"])
    assert [found.code.id for found in surgery_dsl.verify(copy).diagnostics] == ["SD615"], "for callers as for people"


def test_a_report_of_another_version_is_not_judged_by_this_one(copy: Path, tmp_path: Path) -> None:
    edit(copy, lambda d: d["predicate"]["environment"].update(tool="surgery-dsl 0.0.1"))
    ran = run(tmp_path, "verify", "out")
    assert (ran.code, "not made again: written by surgery-dsl 0.0.1" in ran.out) == (0, True)
