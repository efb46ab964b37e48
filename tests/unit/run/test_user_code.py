import sys
from pathlib import Path

import pytest

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.vocabulary import user_code
from surgery_dsl.vocabulary.datasets.python import Python as PythonData
from surgery_dsl.vocabulary.models.python import Python


def refused(work) -> tuple:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value.diagnostics


def test_a_factory_builds_on_the_device_it_is_asked_for(folder: Path) -> None:
    meta = Python(target="network:build", arguments={"width": 5}).build(folder, "meta")
    assert meta.first.weight.is_meta
    assert meta.first.weight.shape == (5, 6)
    assert Python(target="network:build").build(folder, "cpu").first.weight.device.type == "cpu"


def test_nothing_of_it_stays_behind(folder: Path) -> None:
    (folder / "sibling.py").write_text("VALUE = 3\n")
    (folder / "uses.py").write_text("import sibling\ndef f():\n    from sibling import VALUE\n    return VALUE\n")
    before_path, before_modules = list(sys.path), set(sys.modules)
    assert user_code.call("uses:f", folder, {}) == 3
    assert sys.path == before_path
    assert not {name for name in set(sys.modules) - before_modules if "uses" in name or "sibling" in name}
    assert not (folder / "__pycache__").exists()


def test_a_module_named_like_one_of_pythons_own_hides_nothing(folder: Path) -> None:
    import json

    (folder / "json.py").write_text("def f():\n    return 'mine'\n")
    assert user_code.call("json:f", folder, {}) == "mine"
    assert sys.modules["json"] is json


def test_packages_import_their_own(folder: Path) -> None:
    package = folder / "zoo" / "inner"
    package.mkdir(parents=True)
    (folder / "zoo" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("from ..base import ONE\n")
    (folder / "zoo" / "base.py").write_text("ONE = 1\n")
    (package / "nets.py").write_text(
        "from ..base import ONE\nfrom . import ONE as AGAIN\ndef f():\n    return ONE + AGAIN\n"
    )
    assert user_code.call("zoo.inner.nets:f", folder, {}) == 2
    names = {path.relative_to(folder).as_posix() for path in user_code.sources("zoo.inner.nets:f", folder)}
    assert names == {"zoo/inner/nets.py", "zoo/base.py", "zoo/inner/__init__.py", "zoo/__init__.py"}


def test_the_plans_folder_comes_before_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "network.py").write_text("def where():\n    return 'working directory'\n")
    (elsewhere / "only_here.py").write_text("def where():\n    return 'working directory'\n")
    (folder / "network.py").write_text("def where():\n    return 'plan'\n")
    monkeypatch.chdir(elsewhere)
    assert user_code.call("network:where", folder, {}) == "plan"
    assert user_code.call("only_here:where", folder, {}) == "working directory"


def test_errors_of_the_users_code_name_the_users_frame(folder: Path) -> None:
    (found,) = refused(lambda: Python(target="network:broken").build(folder, "cpu"))
    assert found.code is trust.USER_CODE_FAILED
    assert "ValueError: the user's own mistake" in found.message
    assert found.notes == ('at network.py:42 in helper: `raise ValueError("the user\'s own mistake")`',)
    assert "Traceback" not in found.message


def test_errors_below_the_users_code_still_name_the_users_frame(folder: Path) -> None:
    (folder / "deep.py").write_text("import torch\ndef f():\n    return torch.zeros(2) @ torch.zeros(3)\n")
    (found,) = refused(lambda: user_code.call("deep:f", folder, {}))
    assert found.notes[0].startswith("at deep.py:3 in f")


@pytest.mark.parametrize(
    ("text", "target", "code", "says"),
    [
        ("x = (", "bad:f", trust.USER_CODE_FAILED, "SyntaxError"),
        ("import sys\nsys.exit(3)", "bad:f", trust.USER_CODE_FAILED, "SystemExit"),
        ("def g():\n    pass\n", "bad:gg", trust.FUNCTION_NOT_FOUND, "did you mean `g`?"),
        ("", "badd:f", trust.MODULE_NOT_FOUND, "did you mean `bad`?"),
        ("", "bad.f", trust.MODULE_NOT_FOUND, "module:function"),
        ("def f():\n    raise RuntimeError", "bad:f", trust.USER_CODE_FAILED, "RuntimeError"),
    ],
)
def test_what_cannot_be_run_is_said(folder: Path, text: str, target: str, code: object, says: str) -> None:
    (folder / "bad.py").write_text(text)
    (found,) = refused(lambda: user_code.call(target, folder, {}))
    assert found.code is code
    assert says in f"{found.message} {found.help}"


def test_interruptions_pass(folder: Path) -> None:
    (folder / "slow.py").write_text("def f():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        user_code.call("slow:f", folder, {})


def test_a_factory_must_return_a_network_and_a_data_function_a_pair(folder: Path) -> None:
    (found,) = refused(lambda: Python(target="network:not_a_network").build(folder, "cpu"))
    assert (found.code, "int" in found.message) == (trust.NOT_A_NETWORK, True)
    (found,) = refused(lambda: PythonData(target="network:not_a_network").load(folder))
    assert found.code is trust.NOT_A_NETWORK


def test_a_dataset_of_pairs_is_stacked(folder: Path) -> None:
    (folder / "sets.py").write_text(
        "import torch\nclass Set(torch.utils.data.Dataset):\n"
        "    def __len__(self):\n        return 3\n"
        "    def __getitem__(self, i):\n        return torch.full((2,), float(i)), i\n"
        "def f():\n    return Set()\n"
    )
    inputs, targets = PythonData(target="sets:f").load(folder)
    assert inputs.tolist() == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    assert targets.tolist() == [0, 1, 2]
