"""Every code has a page, and what the page shows is true."""

from collections import Counter
from pathlib import Path

import pytest

from surgery_dsl.diagnostics import codes as families
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.fix import applied
from surgery_dsl.diagnostics.page import FOLDER, Example, Page, all_codes, find_page, load_page
from surgery_dsl.language.format import format_source
from surgery_dsl.language.parse import parse
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.mending import Judged, mended
from tests.golden.page_runners import RUNNERS, SETS, Runner, execute, read

CODES = all_codes()
PAGES = {path.stem for path in FOLDER.glob("*.md")}
WITH_PAGE = [code for code in CODES if code.id in PAGES]
BEHIND_OTHERS = {"SD027"}
"""Codes that end a list of findings instead of heading it."""

each_page = pytest.mark.parametrize("code", WITH_PAGE, ids=lambda code: code.id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert sorted(code.id for code in CODES) == sorted(PAGES)


def test_codes_are_unique_and_stand_in_their_family() -> None:
    assert [name for name, count in Counter(code.id for code in CODES).items() if count > 1] == []
    assert [name for name, count in Counter(code.name for code in CODES).items() if count > 1] == []
    digits = {
        path.stem: {code.id[2] for code in _codes_of(path.stem)}
        for path in Path(families.__path__[0]).glob("*.py")
        if path.stem != "__init__"
    }
    assert all(len(found) == 1 for found in digits.values()), digits
    assert len(set(map(min, digits.values()))) == len(digits)


def _codes_of(module: str) -> list[Code]:
    from importlib import import_module

    return [item for item in vars(import_module(f"{families.__name__}.{module}")).values() if isinstance(item, Code)]


def test_pages_are_found_by_id_and_by_name() -> None:
    assert find_page("sd001") is find_page(" missing-value ")
    assert find_page("SD999") is None


@each_page
def test_page_has_its_form(code: Code) -> None:
    page = load_page(code)
    if page.unshown:
        assert code.id[2] in "245689", "what a plan can give is shown"


@each_page
def test_plans_are_formatted(code: Code) -> None:
    page = load_page(code)
    for example in (page.wrong, page.fixed):
        if example is None or b"\0" in example.data or code.id in ("SD020", "SD022", "SD023", "SD024"):
            continue
        text = example.text
        if not parse(text)[1]:
            assert format_source(text) == (text, ())


@each_page
def test_plans_do_what_the_page_says(code: Code, folder: Path) -> None:
    page = load_page(code)
    if page.wrong is None or page.fixed is None:
        assert page.unshown
        return
    runner = RUNNERS.get(code.id[2])
    assert runner is not None, f"tests/golden/page_runners.py has no runner for {code.id}"
    found = [finding.code.id for finding in runner(page, page.wrong, folder)]
    assert code.id == (found[-1] if code.id in BEHIND_OTHERS else found[0]), found
    assert [f"{finding.code.id}: {finding.message}" for finding in runner(page, page.fixed, folder)] == []


# ---- edits ---------------------------------------------------------------------------------------------------------


@each_page
def test_edits_that_are_offered_end_the_finding(code: Code, folder: Path) -> None:
    page = load_page(code)
    runner = RUNNERS.get(code.id[2])
    if page.wrong is None or runner is None or runner is execute or b"\\x" in page.wrong.data or code.id == "SD024":
        return
    text = page.wrong.text

    def judge(changed: str) -> Judged:
        plan = None if runner is read else read_plan(changed, "plan.surg", SETS.get(code.id, {}))[0]
        return Judged(plan, runner(page, Example(changed.encode()), folder), plan is not None)

    for found in mended(text, judge(text), judge):
        assert found.help, "what is told has a help, whatever was tried"
        for fix in found.fixes:
            after = judge(applied(text, fix.replacements))
            assert (found.code, found.message) not in {
                (one.code, one.message) for one in after.found
            } or code.id == "SD010"
            assert fix.verified != "accepted" or not [one for one in after.found if one.severity == "error"]


def test_edits_of_pages_are_many(folder: Path) -> None:
    """So that a reader that reads nothing does not pass."""
    wanted = {
        "SD008",
        "SD101",
        "SD105",
        "SD121",
        "SD220",
        "SD222",
        "SD223",
        "SD301",
        "SD307",
        "SD315",
        "SD316",
        "SD703",
    }
    edited = set()
    for code in CODES:
        if code.id in wanted:
            page, runner = load_page(code), RUNNERS[code.id[2]]
            assert page.wrong is not None

            def judge(changed: str, page: Page = page, runner: Runner = runner) -> Judged:
                plan = None if runner is read else read_plan(changed, "plan.surg")[0]
                return Judged(plan, runner(page, Example(changed.encode()), folder), plan is not None)

            found = mended(page.wrong.text, judge(page.wrong.text), judge)
            edited |= {one.code.id for one in found if one.fixes}
    assert wanted <= edited
