"""What docs/certificates.md says is so: its commands, its exit codes, its table of checks, its pipeline."""

import re
from pathlib import Path

import pytest
import yaml

from surgery_dsl.certificate.verify import verify
from surgery_dsl.cli.main import group
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import certificates
from tests.cli.program import ROOT

PAGE = (ROOT / "docs" / "certificates.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"surgery-dsl ((?:key new|[a-z]+)[^\n`]*)", PAGE)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_take_what_the_page_gives_them(line: str) -> None:
    words = line.split()
    command = group.get_command(None, words[0])  # type: ignore[arg-type]
    assert command is not None, words[0]
    if words[0] == "key":
        command = command.commands[words[1]]  # type: ignore[attr-defined]
    known = {name for option in command.params for name in option.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_pipeline_is_yaml_that_runs_the_gate() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    workflow = yaml.safe_load(text)
    (job,) = workflow["jobs"].values()
    assert job["runs-on"]
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    (gate,) = [step["run"] for step in job["steps"] if step.get("run", "").startswith("surgery-dsl")]
    assert "--require-signature" in gate
    assert "--key" in gate


def test_exit_codes_are_those_of_the_codes() -> None:
    rows = {int(code): text for code, text in re.findall(r"^\| (\d) \| (.*) \|$", PAGE, re.MULTILINE)}
    found = {code.exit_code for code in vars(certificates).values() if isinstance(code, Code)}
    assert found | {0, 2} == set(rows)
    assert "a key" in rows[1]


def test_the_table_of_checks_is_complete_and_in_order(copy: Path) -> None:
    told = [
        name
        for row in re.findall(r"^\| ([a-z, ]+) \|[^\n]*\|[^\n]*\|$", PAGE, re.MULTILINE)
        for name in row.split(", ")
    ]
    made = list(dict.fromkeys(finding.check for finding in verify(copy).findings))
    order = [told.index(name) for name in made if name not in ("measured", "assumed")]
    assert order == sorted(order)
    assert set(made) <= set(told)
