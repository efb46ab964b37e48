"""The commands around certificates: exit codes, JSON, signing in one go and after the fact, measuring again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from surgery_dsl.certificate.signing import new_key
from tests.certificates import edit, report_again, statement_of
from tests.cli.program import run

GRANT = ("--allow-code", "small:*")


@pytest.fixture
def folder(result: Path, tmp_path: Path) -> Path:
    """A folder with a plan, its result and a key."""
    shutil.copytree(result.parent, tmp_path, dirs_exist_ok=True)
    new_key(tmp_path / "key")
    return tmp_path


def test_exit_codes(folder: Path) -> None:
    assert run(folder, "verify", "out").code == 0
    assert run(folder, "verify", "out", "--key", "key.pub").code == 4
    assert run(folder, "verify", "out", "--require-signature").code == 4
    assert run(folder, "verify", "out", "--key", "nowhere.pub").code == 1
    assert run(folder, "verify", "nowhere").code == 2
    assert run(folder, "verify", "out", *GRANT).code == 2
    (folder / "out" / "model.safetensors").write_bytes(b"")
    assert run(folder, "verify", "out").code == 4


def test_json_says_what_rests_on_what(folder: Path) -> None:
    ran = run(folder, "verify", "out", "--output-format", "json")
    assert (ran.document["verified"], ran.document["key"]) == (True, "")
    assert {check["basis"] for check in ran.document["checks"]} == {"re-derived", "trusted"}
    assert all(check["held"] for check in ran.document["checks"])


def test_apply_signs(folder: Path) -> None:
    ran = run(folder, "apply", "plan.surg", "-o", "signed", "--device", "cpu", "--sign", "key", *GRANT)
    assert ran.code == 0, ran.err
    verified = run(folder, "verify", "signed", "--key", "key.pub")
    assert (verified.code, "and signed by" in verified.out) == (0, True)


def test_a_key_that_cannot_sign_stops_a_run_before_it_begins(folder: Path) -> None:
    for key in ("nowhere", "key.pub"):
        ran = run(folder, "apply", "plan.surg", "-o", "signed", "--device", "cpu", "--sign", key, *GRANT)
        assert (ran.code, "SD609" in ran.err) == (1, True)
        assert not (folder / "signed").exists()


def test_a_result_is_signed_afterwards_and_anew(folder: Path) -> None:
    new_key(folder / "other")
    before = statement_of(folder / "out")
    assert run(folder, "sign", "out", "--key", "key").code == 0
    assert run(folder, "verify", "out", "--key", "key.pub").code == 0
    assert run(folder, "sign", "out", "--key", "other").code == 0
    assert run(folder, "verify", "out", "--key", "other.pub").code == 0
    assert run(folder, "verify", "out", "--key", "key.pub").code == 4
    assert statement_of(folder / "out") == before
    assert not list((folder / "out").glob(".*"))


def test_the_very_bytes_are_signed(folder: Path) -> None:
    """A statement that leaves out what a later version writes stays as it is: fields with defaults may be absent."""
    edit(folder / "out", lambda d: [d["predicate"].pop(name) for name in ("conventions", "training")])
    report_again(folder / "out")
    before = statement_of(folder / "out")
    assert run(folder, "sign", "out", "--key", "key").code == 0
    assert run(folder, "verify", "out", "--key", "key.pub").code == 0
    assert statement_of(folder / "out") == before
    assert "conventions" not in before["predicate"]


def test_what_does_not_verify_is_not_signed(folder: Path) -> None:
    (folder / "out" / "report.md").write_text("better")
    before = (folder / "out" / "certificate.json").read_bytes()
    assert run(folder, "sign", "out", "--key", "key").code == 4
    assert (folder / "out" / "certificate.json").read_bytes() == before


def test_a_certificate_names_no_person_machine_or_place(folder: Path) -> None:
    import getpass
    import socket

    text = json.dumps(statement_of(folder / "out"))
    for word in (str(folder), socket.gethostname(), "/home/", "/tmp/", "/root", getpass.getuser() + "@"):
        assert word not in text


# ---- measuring again -----------------------------------------------------------------------------------------------


def lines(folder: Path, *options: str) -> list[str]:
    ran = run(folder, "verify", "out", "--reproduce", *options)
    return [line for line in ran.out.splitlines() if " reproduce " in line or "erified" in line]


def test_what_was_measured_is_measured_again(folder: Path) -> None:
    again, *each, trusted, last = lines(folder, *GRANT)
    assert again.startswith("re-derived  reproduce    3 lines measured again with the very same numbers")
    assert [line.partition(" reproduced: ")[2].endswith(" again") for line in each] == [True] * 3
    assert "line 21: `nonzero <= 100` reproduced: 63 again" in each[0]
    assert "which was run" in trusted
    assert last.startswith("verified")


def test_measuring_needs_a_grant(folder: Path) -> None:
    (folder / "out" / "pyproject.toml").unlink(missing_ok=True)
    ran = run(folder, "verify", "out", "--reproduce", "--output-format", "json")
    assert ran.codes == ["SD401"]


def test_a_number_that_was_not_measured_is_found(folder: Path) -> None:
    def better(document: dict[str, Any]) -> None:
        claims = document["predicate"]["claims"]["measured"]
        claim = next(one for one in claims if one["statement"].startswith("change"))
        claim.update(value="0.5", margin="19.5")

    edit(folder / "out", better)
    report_again(folder / "out")
    assert run(folder, "verify", "out").code == 0, "the word of the run is trusted, and said to be"
    ran = run(folder, "verify", "out", "--reproduce", *GRANT, "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD613"])
    (message,) = [found["message"] for found in ran.document["diagnostics"]]
    assert "differs: it is certified as passed with 0.5 against 20" in message
    assert "and measures as passed with 0." in message
    assert "(one part in 1000000 is allowed)" in message


def test_data_that_are_not_those_are_found(folder: Path) -> None:
    """Data come from code: a machine on which it gives others measures nothing."""
    (folder / "elsewhere").mkdir()
    text = (folder / "small.py").read_text().replace("manual_seed(1)", "manual_seed(2)")
    (folder / "elsewhere" / "small.py").write_text(text)
    ran = run(folder, "verify", "out", "--reproduce", "--from", "elsewhere", *GRANT, "--output-format", "json")
    assert (ran.code, ran.codes) == (4, ["SD613"])
