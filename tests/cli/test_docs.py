"""What the documents show is true: plans are plans, commands exist, the README's transcript is what comes out."""

import re
from pathlib import Path

import pytest

from surgery_dsl.cli.main import group
from surgery_dsl.language.format import format_source
from surgery_dsl.vocabulary.catalogue import kinds, names
from tests.cli.program import ROOT, run

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "examples").glob("*/README.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_plans_in_documents_are_formatted_plans(path: Path) -> None:
    for block in re.findall(r"```surg\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        assert format_source(block) == (block, ())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_documents_exist(path: Path) -> None:
    names = set(group.commands) | set(group.list_commands(None))  # type: ignore[arg-type]
    for name in re.findall(r"surgery-dsl ([a-z]+)\b", path.read_text(encoding="utf-8")):
        assert name in names or name in ("makes", "is"), name


def test_the_transcript_is_what_check_prints() -> None:
    shown = README.split("$ surgery-dsl check examples/slim_digits/plan.surg\n")[1].split("  ...\n")[0]
    assert run(ROOT, "check", "examples/slim_digits/plan.surg").out.startswith(shown)


def test_the_two_commands_are_those_of_the_set_up_script() -> None:
    script = (ROOT / "dev.py").read_text(encoding="utf-8")
    for job in re.findall(r"python3 dev\.py (\w+)", README):
        assert f"def {job}()" in script
    assert "python3 dev.py test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_language_page_has_every_word_and_every_option() -> None:
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    said = set(re.findall(r"[\w-]+", page))
    absent = {f"{kind}/{name}" for kind in kinds() for name in names(kind) if name not in said}
    assert absent == set()
    commands = [group.get_command(None, name) for name in group.list_commands(None)]  # type: ignore[arg-type]
    options = {long for command in commands for option in command.params for long in option.opts if long[:2] == "--"}
    assert {option for option in options if option[2:] not in said and option not in page} == set()


@pytest.mark.parametrize("example", ["gqa_groups", "moe_experts"])
def test_the_commands_of_the_front_page_prove(example: str) -> None:
    assert f"$ surgery-dsl check examples/{example}/plan.surg" in README
    assert run(ROOT, "check", f"examples/{example}/plan.surg").code == 0


def test_the_preview_of_the_front_page_is_what_plan_prints() -> None:
    shown = README.split("$ surgery-dsl plan examples/gqa_groups/plan.surg\n")[1].split("```")[0]
    out = run(ROOT, "plan", "examples/gqa_groups/plan.surg").out
    parts = [part for part in shown.split("...\n") if part]
    assert len(parts) == 2
    assert all(part in out for part in parts)
