"""Each injected fault is refused from plan and lock alone, where it stands, with a fix; its twin is accepted."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.fix import applied
from surgery_dsl.interface import staleness
from surgery_dsl.run import weights
from tests.faults.checking import Workplace
from tests.faults.families import EVERY, FAMILIES
from tests.faults.fault import EDIT, Fault

OF_NUMBERS = frozenset(
    ("SD113", "SD121", "SD129", "SD220", "SD221", "SD223", "SD224", "SD231", "SD245", "SD301", "SD307", "SD316")
)
"""Findings that say which two numbers disagree."""
OF_A_PLACE = frozenset(
    ("SD129", "SD220", "SD221", "SD222", "SD224", "SD226", "SD227", "SD230", "SD231", "SD245", "SD246")
)
"""Findings that are about one module or tensor."""
WITHOUT_NUMBERS = ("frozen", "coverage", "exact")
"""Claims that hold or do not."""

every_fault = pytest.mark.parametrize("fault", EVERY, ids=lambda fault: f"{fault.architecture}: {fault.name}")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("faults"))


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing opens a file of weights, neither for its values nor for its digest."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("weights were opened")

    monkeypatch.setattr(weights.WeightsFile, "__init__", opened)
    monkeypatch.setattr(staleness, "weights_digest", opened)
    return iter(())


def errors(found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    return [one for one in found if one.severity == "error"]


def said(found: Diagnostic) -> str:
    return "\n".join((found.message, *found.notes, found.help, *map(str, found.facts.values())))


def numbers_of(text: str) -> list[str]:
    """Return the numbers in a message, those of paths left out."""
    return re.findall(r"\d[\d,.]*", re.sub(r"`[^`]*`", "", text))


@every_fault
def test_a_fault_is_refused_where_it_stands(fault: Fault, workplace: Workplace) -> None:
    found = errors(workplace.once(fault.wrong).diagnostics)
    assert {one.code.id for one in found} == {fault.code}, [one.message for one in found]
    for one in found:
        assert one.span is not None
        assert one.span.line == fault.line
        assert one.help
        assert fault.code not in OF_A_PLACE or one.path
        if fault.code in OF_NUMBERS and not any(word in fault.wrong for word in WITHOUT_NUMBERS):
            assert len(numbers_of(said(one))) >= 2
    text = "\n".join(map(said, found))
    assert [part for part in fault.says if part not in text] == [], text
    assert not fault.path or fault.path in [one.path for one in found]


@every_fault
def test_an_edit_that_is_offered_ends_it(fault: Fault, workplace: Workplace) -> None:
    found = errors(workplace.once(fault.wrong).diagnostics)
    for one in found:
        for fix in one.fixes:
            edited = applied(fault.wrong, fix.replacements)
            left = [
                (other.code.id, other.message) for other in errors(workplace.check(edited, fixes=False).diagnostics)
            ]
            before = [(other.code.id, other.message) for other in found]
            assert left == [] if fix.verified == "accepted" else set(left) < set(before), fix


def test_most_faults_can_be_edited_away(workplace: Workplace) -> None:
    fixed = {fault.code for fault in EVERY for one in workplace.once(fault.wrong).diagnostics if one.fixes}
    count = sum(any(one.fixes for one in workplace.once(fault.wrong).diagnostics) for fault in EVERY)
    assert count >= 150
    assert {"SD101", "SD105", "SD121", "SD200", "SD222", "SD224", "SD231", "SD301", "SD307"} <= fixed


@every_fault
def test_its_twin_is_accepted(fault: Fault, workplace: Workplace) -> None:
    checked = workplace.check(fault.right)
    spoken = [one for one in checked.diagnostics if one.severity in ("error", "warning")]
    assert [one.message for one in spoken] == []
    assert checked.report is not None
    assert {verdict.status for verdict in checked.report.verdicts} <= {"proved", "to measure"}


@every_fault
def test_one_thing_is_wrong(fault: Fault) -> None:
    assert fault.wrong != fault.right
    assert len({fault.plan[: edit.start()].count("\n") for edit in EDIT.finditer(fault.plan)}) <= 2


def test_there_are_enough() -> None:
    assert len(EVERY) >= 200
    assert all(len(family) >= 15 for family in FAMILIES.values())
    assert max(Counter((fault.architecture, fault.name) for fault in EVERY).values()) == 1
    assert len({fault.architecture for fault in EVERY}) >= 30
    assert len({fault.code for fault in EVERY}) >= 35


def test_findings_do_not_depend_on_the_folder(workplace: Workplace, tmp_path: Path) -> None:
    fault = EVERY[0]
    here, there = (place.check(fault.wrong) for place in (workplace, Workplace(tmp_path)))
    assert [said(one) for one in here.diagnostics] == [said(one) for one in there.diagnostics]
