"""What an identity says, and how one is found by its name."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import final

ALWAYS = ("eval mode", "real arithmetic")
"""What every rule assumes."""


@final
@dataclass(frozen=True)
class Identity:
    """A rule by which a step keeps the function.

    Attributes:
        title: What people call it.
        statement: The equation.
        proof: Why it holds, in a few sentences.
        source: Paper and section.
        assumes: What it needs besides :data:`ALWAYS`.
    """

    title: str
    statement: str
    proof: str
    source: str
    assumes: tuple[str, ...] = ()

    def said(self) -> str:
        """Return the rule in one line: title, equation, what it assumes."""
        needs = ", ".join((*ALWAYS, *self.assumes))
        return f"exact by `{self.title}`: {self.statement} ({needs})"

    def page(self) -> str:
        """Return the rule in full."""
        needs = "; ".join((*ALWAYS, *self.assumes))
        head = f"# {self.title} (identity)\n\n    {self.statement}\n\n{self.proof}\n\n"
        return f"{head}Assumes: {needs}.\n\nSource: {self.source}\n"


def find(name: str) -> Identity:
    """Return a rule by the name of its file.

    Raises:
        LookupError: There is none of that name.
    """
    if name not in names():
        raise LookupError(f"no identity is called {name}")
    found: Identity = import_module(f"{__package__}.{name}").IDENTITY
    return found


def names() -> tuple[str, ...]:
    """Return the names of all rules, in order."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))
