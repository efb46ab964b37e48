"""Running the code that a plan names: ``python("module:function")``.

The module is looked for in the plan's folder, then in the working directory, and nowhere else, so that a plan says by
itself which file runs. While it is imported and called, its folder stands first on ``sys.path`` and it is known to
``sys.modules`` under a name of our own (a user's ``json.py`` must not become everybody's ``json``); afterwards both
are as they were. Errors of that code become diagnostics with the innermost frame that lies in the user's files.
"""

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.vocabulary import user_operators

_OURS = Path(__file__).resolve().parents[1]
PRIVATE = "surgery_plan"
"""Package name that imported user modules go by; the same everywhere, so that class names are the same everywhere."""

_REGISTERED_TWICE = (
    "a plan's files run several times in one process: register the operator with `torch.library.custom_op`, "
    "or from an installed package, which is imported once"
)


def split_target(target: str) -> tuple[str, str] | None:
    """Return module and function of ``module:function``, ``None`` where the text is not of that form."""
    module, colon, function = target.partition(":")
    names = [*module.split("."), function]
    return (module, function) if colon and all(name.isidentifier() for name in names) else None


def roots(folder: Path) -> tuple[Path, ...]:
    """Return where modules are looked for: the plan's folder, then the working directory."""
    return tuple(dict.fromkeys((folder.resolve(), Path.cwd())))


def find(module: str, folder: Path) -> tuple[Path, Path] | None:
    """Return the root and the file of a module, ``None`` where no root has it."""
    for root in roots(folder):
        place = root.joinpath(*module.split("."))
        for file in (place.with_name(place.name + ".py"), place / "__init__.py"):
            if file.is_file():
                return root, file
    return None


def sources(target: str, folder: Path) -> tuple[Path, ...]:
    """Return the files that a target's module consists of: itself and, followed through its imports, its siblings.

    Imports are read from the syntax, nothing runs. What stands outside the module's root is not followed.
    """
    parts = split_target(target)
    found = find(parts[0], folder) if parts else None
    if parts is None or found is None:
        return ()
    return _closure(*found, parts[0])


def _closure(root: Path, first: Path, module: str) -> tuple[Path, ...]:
    """Return a module's file and the files below its root that it imports, over as many steps as it takes."""
    files: dict[Path, None] = {}
    queue = [(first, module)]
    while queue:
        file, name = queue.pop(0)
        if file in files:
            continue
        files[file] = None
        for imported in _imports(file, name):
            for prefix in _prefixes(imported):
                place = root.joinpath(*prefix.split("."))
                queue += [
                    (f, prefix) for f in (place.with_name(place.name + ".py"), place / "__init__.py") if f.is_file()
                ]
    return tuple(files)


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))] if module else []


def _imports(file: Path, module: str) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" if name else alias.name for alias in node.names)


def call(target: str, folder: Path, arguments: Mapping[str, Any], span: Span | None = None) -> Any:
    """Import the module of ``module:function``, call the function and return what it returns.

    Raises:
        Refused: The target is malformed or missing, or its code raised; the diagnostic names the user's frame.
    """
    parts = split_target(target)
    if parts is None:
        raise Refused(
            Diagnostic(
                trust.MODULE_NOT_FOUND,
                f"`{target}` is not of the form `module:function`",
                span=span,
                help='write it as `python("digits:build_cnn")`',
            )
        )
    name, function_name = parts
    found = find(name, folder)
    if found is None:
        raise Refused(_no_module(name, folder, span))
    root, file = found
    with _visible(root), user_operators.kept(lambda path: _digest(path, root)):
        module = _guarded(target, root, span, lambda: _import(name, root, file))
        function = getattr(module, function_name, None)
        if not callable(function):
            raise Refused(_no_function(name, function_name, module, file, span))
        return _guarded(target, root, span, lambda: function(**arguments))


def _import(name: str, root: Path, file: Path) -> ModuleType:
    """Import a file; its parent packages are imported first, so that relative imports work."""
    *parents, last = name.split(".")
    full, place = PRIVATE, root
    for parent in parents:
        full, place = f"{full}.{parent}", place / parent
        if (place / "__init__.py").is_file():
            _load(full, place / "__init__.py")
        else:
            sys.modules[full] = ModuleType(full)
            sys.modules[full].__path__ = [str(place)]
    return _load(f"{full}.{last}", file)


def _load(full: str, file: Path) -> ModuleType:
    search = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(full, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _visible(root: Path) -> Iterator[None]:
    """Put a root first on ``sys.path``; afterwards forget it and the modules that came from it."""
    path, modules, no_bytecode = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
    importlib.invalidate_caches()
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True  # an input folder is read, never written to
    sys.modules[PRIVATE] = ModuleType(PRIVATE)
    sys.modules[PRIVATE].__path__ = []
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, no_bytecode
        for name in list(sys.modules):  # names alone: pairs are made one by one, and a collection may import
            module = sys.modules.get(name)
            if name not in modules and (name.split(".")[0] == PRIVATE or _lies_in(module, root)):
                del sys.modules[name]


def _digest(path: str, root: Path) -> str | None:
    """Return the digest of a user's file and of what it imports, ``None`` for other files and what is no file."""
    file = Path(path)
    if not _is_users(path, root) or not file.is_file():
        return None
    place = file.relative_to(root)
    module = ".".join((place.parent if place.name == "__init__.py" else place.with_suffix("")).parts)
    digest = hashlib.sha256()
    for one in _closure(root, file, module):
        content = one.read_bytes()
        digest.update(f"{one.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _lies_in(module: Any, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and _is_users(file, root)


def _is_users(file: str, root: Path) -> bool:
    """Whether a file below a root is the user's own: not an installed package's, and not ours."""
    path = Path(file)
    return path.is_relative_to(root) and "site-packages" not in path.parts and not path.is_relative_to(_OURS)


def _guarded(target: str, root: Path, span: Span | None, work: Any) -> Any:
    try:
        return work()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything; it is reported, not hidden
        raise Refused(failure(target, root, error, span)) from None


def failure(target: str, root: Path, error: BaseException, span: Span | None = None) -> Diagnostic:
    """Describe an error of user code by its innermost frame below ``root``, without a traceback."""
    if isinstance(error, Refused):
        return error.diagnostics[0]
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    where = ""
    if isinstance(error, SyntaxError) and error.filename:
        where = f"at {_short(error.filename, root)}:{error.lineno}"
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename, root)]
        if frames:
            line = f": `{frames[-1].line}`" if frames[-1].line else ""
            where = f"at {_short(frames[-1].filename, root)}:{frames[-1].lineno} in {frames[-1].name}{line}"
    return Diagnostic(
        trust.USER_CODE_FAILED,
        f"`{target}` raised {what}",
        span=span,
        notes=(where,) if where else (),
        help=_REGISTERED_TWICE if _registers_twice(str(error)) else "mend the code, or call it with other arguments",
    )


def _registers_twice(message: str) -> bool:
    """Whether torch complains that a library or an operator of the name is there already."""
    return "TORCH_LIBRARY" in message or "same name and overload name multiple times" in message


def _short(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _no_module(name: str, folder: Path, span: Span | None) -> Diagnostic:
    from difflib import get_close_matches

    around = sorted({file.stem for root in roots(folder) for file in root.glob("*.py")})
    close = get_close_matches(name, around, 1)
    return Diagnostic(
        trust.MODULE_NOT_FOUND,
        f"there is no module `{name}` beside the plan or in the working directory",
        span=span,
        notes=tuple(f"looked in `{root}`" for root in roots(folder)),
        help=f"did you mean `{close[0]}`?" if close else f"put `{name.replace('.', '/')}.py` beside the plan",
    )


def _no_function(name: str, function: str, module: ModuleType, file: Path, span: Span | None) -> Diagnostic:
    from difflib import get_close_matches

    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    close = get_close_matches(function, names, 1)
    return Diagnostic(
        trust.FUNCTION_NOT_FOUND,
        f"the module `{name}` ({file.name}) has no function `{function}`",
        span=span,
        help=f"did you mean `{close[0]}`?" if close else f"define `{function}` in {file.name}",
    )
