"""The house rules that can be read off the tree."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "surgery_dsl"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_modules_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = [
        f"{function.name}: {function.end_lineno - function.lineno + 1} lines"
        for function in functions(ast.parse(text))
        if function.end_lineno is not None and function.end_lineno - function.lineno + 1 > 60
    ]
    assert long == []


def test_every_folder_explains_itself() -> None:
    silent = [
        folder.relative_to(ROOT).as_posix()
        for folder in {path.parent for path in SOURCES}
        if not (init := folder / "__init__.py").is_file()
        or not ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_nothing_is_unfinished_or_swallowed() -> None:
    pattern = re.compile(
        r"NotImplementedError|\b(TODO|FIXME|XXX)\b|except( Exception)?:\s*(pass)?$|# type: ignore\s*$", re.M
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_library_code_never_prints_or_exits() -> None:
    found = []
    for path in SOURCES:
        if path.parts[len(PACKAGE.parts)] in ("cli", "devtools") or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in ("print", "sys.exit", "exit", "quit", "os._exit"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    # The solver and the reload check are programs of their own: a child process runs them as ``__main__``.
    allowed = {"surgery_dsl/proof/smt/child.py", "surgery_dsl/run/reload.py"}
    assert [place for place in found if place.split(":")[0] not in allowed] == []


def test_the_project_speaks_of_itself_alone() -> None:
    pattern = re.compile(r"/(work|farm|root)/|(?<!\w)\.library\b|before-stop|\bhelper-\d|\bissue \d", re.I)
    here = Path(__file__)
    found = []
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        if not path.is_file() or path == here or relative.parts[0] in (".git", ".venv", "out", "build", "dist"):
            continue
        if path.suffix in (".py", ".md", ".toml", ".lark", ".surg", ".json", ".txt", ".yml") or path.name == "run":
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if pattern.search(line):
                    found.append(f"{relative}:{number}")
    assert found == []
