import sys
from pathlib import Path
from typing import Any

import pytest
import torch

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


OPERATOR = """
import torch
from torch import Tensor, library, nn

@library.custom_op("user_code_test::scale", mutates_args=())
def scale(x: Tensor) -> Tensor:
    return x * FACTOR

@scale.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)

FACTOR = 2
captured = torch.ops.user_code_test.scale.default

class Net(nn.Module):
    def forward(self, x):
        return scale(x) + captured(x)

def operator():
    return captured

def build():
    return Net()
"""


def test_an_operator_of_an_unchanged_file_is_registered_once(folder: Path) -> None:
    (folder / "net.py").write_text(OPERATOR)
    (folder / "data.py").write_text("from net import operator\ndef f():\n    return operator()\n")
    (folder / "other.py").write_text("def f():\n    from net import operator\n    return operator()\n")
    net = user_code.call("net:build", folder, {})
    operators = [user_code.call(target, folder, {}) for target in ("net:operator", "data:f", "other:f")]
    copied = folder / "result"
    copied.mkdir()
    (copied / "net.py").write_text(OPERATOR)
    operators.append(user_code.call("net:operator", copied, {}))
    assert len({id(one) for one in operators}) == 1
    assert net(torch.ones(2)).tolist() == [4.0, 4.0]


def test_an_operator_of_a_changed_file_is_the_new_one(folder: Path) -> None:
    for factor in (2, 3):
        (folder / "net.py").write_text(OPERATOR.replace("FACTOR = 2", f"FACTOR = {factor}"))
        assert user_code.call("net:build", folder, {})(torch.ones(1)).tolist() == [2.0 * factor]
    (folder / "net.py").write_text("from factor import FACTOR\n" + OPERATOR.replace("FACTOR = 2", ""))
    for factor in (4, 5):  # the file is the same; what it imports is not
        (folder / "factor.py").write_text(f"FACTOR = {factor}\n")
        assert user_code.call("net:build", folder, {})(torch.ones(1)).tolist() == [2.0 * factor]


def test_an_operator_that_somebody_else_replaced_is_made_anew(folder: Path) -> None:
    (folder / "net.py").write_text(OPERATOR)
    user_code.call("net:build", folder, {})
    scope: dict[str, Any] = {}
    exec(compile(OPERATOR.replace("x * FACTOR", "x - FACTOR"), "elsewhere", "exec"), scope)
    assert scope["build"]()(torch.ones(1)).tolist() == [-2.0]
    assert user_code.call("net:build", folder, {})(torch.ones(1)).tolist() == [4.0]


def test_torch_is_left_as_it_was(folder: Path) -> None:
    before = torch.library.custom_op, torch.library.triton_op
    (folder / "net.py").write_text(OPERATOR + "raise ValueError('no')\n")
    refused(lambda: user_code.call("net:build", folder, {}))
    assert (torch.library.custom_op, torch.library.triton_op) == before


def test_a_library_that_cannot_be_made_twice_is_told_where_it_belongs(folder: Path) -> None:
    (folder / "raw.py").write_text(
        "from torch import library\nLIB = library.Library('user_code_raw', 'DEF')\ndef f():\n    return LIB\n"
    )
    kept = user_code.call("raw:f", folder, {})
    (found,) = refused(lambda: user_code.call("raw:f", folder, {}))
    assert kept.ns == "user_code_raw"
    assert "custom_op" in found.help
    assert "installed package" in found.help
