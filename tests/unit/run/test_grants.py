from pathlib import Path

import pytest

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.run.grants import Grants, collect


def test_globs_cover_targets() -> None:
    grants = Grants(patterns=("digits:*", "zoo.*:build"))
    assert grants.covers("digits:build_cnn")
    assert grants.covers("zoo.small.vit:build")
    assert not grants.covers("zoo.small.vit:build_other")
    assert not grants.covers("digits2:build")


def test_the_nearest_pyproject_upward_counts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.surgery-dsl]\nallow-code = ["far:*"]\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert collect(start=inner).patterns == ("far:*",)
    (tmp_path / "a" / "pyproject.toml").write_text('[tool.surgery-dsl]\nallow-code = ["near:*"]\n')
    assert collect(["hand:f"], start=inner).patterns == ("hand:f", "near:*")


def test_without_a_grant_nothing_runs() -> None:
    with pytest.raises(Refused) as caught:
        Grants().require("digits:build_cnn", "plan.surg")
    (found,) = caught.value.diagnostics
    assert found.code is trust.CODE_NOT_GRANTED
    assert '--allow-code "digits:build_cnn"' in found.help
    Grants().require("")


@pytest.mark.parametrize("text", ["[tool.surgery-dsl]\nallow-code = 3\n", "[tool", '[tool]\nsurgery-dsl = "x"\n'])
def test_malformed_grants_grant_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Refused) as caught:
        collect(start=tmp_path)
    assert caught.value.diagnostics[0].code is trust.GRANTS_UNREADABLE


def test_a_plan_cannot_grant_itself(folder: Path, plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from surgery_dsl.run.apply import apply

    (folder / "network.py").write_text("raise SystemExit('this ran')\n")
    monkeypatch.chdir(tmp_path)
    outcome = apply(plan("control c { prove params <= 100k }\n"), tmp_path / "out")
    assert [d.code for d in outcome.diagnostics] == [trust.CODE_NOT_GRANTED]
    assert outcome.diagnostics[0].span is not None
    assert not (tmp_path / "out").exists()
