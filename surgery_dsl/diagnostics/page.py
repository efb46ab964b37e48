r"""The pages that explain codes: ``pages/SD001.md`` for ``SD001``.

A page has this form, and a test runs its plans::

    # SD001 missing-value

    needs: mlp

    What it means, in a few sentences.

    ```surg
    surg 1
    (a plan that gives this code before any other)
    ```

    ## How to fix

    How to mend it.

    ```surg
    surg 1
    (the same plan, mended: it gives no finding)
    ```

A code that no plan gives on demand (a full disk, a defect of this program) has no examples; there a line
``not shown: why`` stands under the title. The line ``needs:`` stands where the plans are about a network: it names
the conformance network with which they are checked. The fence may carry ``escaped`` (``\xNN`` stands for a byte)
and ``repeat=N`` (the last line stands there N times), for files that cannot be printed here.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from surgery_dsl.diagnostics import codes as families
from surgery_dsl.diagnostics.code import Code

FOLDER = Path(__file__).parent / "pages"
_FENCE = re.compile(r"^```surg(?P<flags>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A plan of a page: its bytes, as they would stand in a file."""

    data: bytes

    @property
    def text(self) -> str:
        """The plan as text.

        Raises:
            UnicodeDecodeError: It shows a file that is not UTF-8.
        """
        return self.data.decode("utf-8")


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        code: What it explains.
        needs: Name of the conformance network that the plans are checked with, or empty.
        unshown: Why no plan can show it; empty where one does.
        wrong: A plan that gives the code, ``None`` where none can show it.
        fixed: The plan, mended.
        text: The whole page, as people read it.
    """

    code: Code
    needs: str
    unshown: str
    wrong: Example | None
    fixed: Example | None
    text: str


def all_codes() -> tuple[Code, ...]:
    """Return every code of every family, by id."""
    return tuple(sorted(_codes(), key=lambda code: code.id))


def _codes() -> Iterator[Code]:
    for module in pkgutil.iter_modules(families.__path__):
        family = importlib.import_module(f"{families.__name__}.{module.name}")
        yield from (value for value in vars(family).values() if isinstance(value, Code))


def find_page(wanted: str) -> Page | None:
    """Return the page of a code, given by id or by name in any case; ``None`` where there is no such code."""
    key = wanted.strip().casefold()
    for code in all_codes():
        if key in (code.id.casefold(), code.name):
            return load_page(code)
    return None


@cache
def load_page(code: Code) -> Page:
    """Read the page of a code.

    Raises:
        FileNotFoundError: It has none: our defect.
        ValueError: It is not of the form that a page has: our defect.
    """
    text = (FOLDER / f"{code.id}.md").read_text(encoding="utf-8")
    if not text.startswith(f"# {code.id} {code.name}\n"):
        raise ValueError(f"the page of {code.id} must start with `# {code.id} {code.name}`")
    examples = [_example(found.group("body"), found.group("flags").split()) for found in _FENCE.finditer(text)]
    unshown, needs = _front("not shown", text), _front("needs", text)
    if "\n## How to fix\n" not in text or len(examples) != (0 if unshown else 2):
        raise ValueError(f"the page of {code.id} needs a wrong plan, then `## How to fix` and the plan mended")
    wrong, fixed = (None, None) if unshown else examples
    return Page(code, needs, unshown, wrong, fixed, text)


def _front(name: str, text: str) -> str:
    found = re.search(rf"^{name}: (.+)$", text.partition("```")[0], re.MULTILINE)
    return found.group(1) if found else ""


def _example(body: str, flags: list[str]) -> Example:
    for flag in flags:
        if flag.startswith("repeat="):
            head, _, last = body.rstrip("\n").rpartition("\n")
            body = f"{head}\n" + f"{last}\n" * int(flag.removeprefix("repeat="))
        elif flag != "escaped":
            raise ValueError(f"a fence cannot carry {flag!r}")
    if "escaped" in flags:
        return Example(re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), body.encode()))
    return Example(body.encode())
