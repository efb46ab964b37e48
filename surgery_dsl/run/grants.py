"""Which user code may run: grants come from outside the plan, never from the plan itself."""

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data

SECTION = "surgery-dsl"
KEY = "allow-code"


class Grants(Data):
    """Globs over ``module:function``; an empty set grants nothing."""

    patterns: tuple[str, ...] = ()

    def covers(self, target: str) -> bool:
        """Whether some pattern matches the target."""
        return any(fnmatchcase(target, pattern) for pattern in self.patterns)

    def require(self, target: str, file: str = "", span: Span | None = None) -> None:
        """Raise :class:`Refused` unless the target is granted; an empty target needs no grant."""
        if not target or self.covers(target):
            return
        raise Refused(
            Diagnostic(
                trust.CODE_NOT_GRANTED,
                f"the plan asks to run `{target}`, which is not granted",
                file=file,
                span=span,
                notes=("a plan cannot grant itself: look at the code first",),
                help=f'pass `--allow-code "{target}"`, or put `{KEY} = ["{target}"]` under `[tool.{SECTION}]` '
                "in pyproject.toml",
            )
        )


def collect(allow_code: Iterable[str] = (), start: Path | None = None) -> Grants:
    """Return the grants given by hand and those of the nearest ``pyproject.toml`` upward from ``start``.

    Args:
        allow_code: Globs such as ``digits:*``.
        start: Where to begin; the working directory where ``None``.

    Raises:
        Refused: The file's grants are not a list of texts, or the file is not TOML.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            return Grants(patterns=(*allow_code, *_of_file(path)))
    return Grants(patterns=tuple(allow_code))


def _of_file(path: Path) -> tuple[str, ...]:
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get(SECTION, {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refused(_unreadable(str(error))) from None
    patterns = section.get(KEY, []) if isinstance(section, dict) else None
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise Refused(_unreadable(f"`{KEY}` is not a list of texts"))
    return tuple(patterns)


def _unreadable(why: str) -> Diagnostic:
    return Diagnostic(
        trust.GRANTS_UNREADABLE,
        f"the grants in pyproject.toml cannot be read: {why}",
        help=f'write `{KEY} = ["module:function"]` under `[tool.{SECTION}]`',
    )
