"""What the suite runs over: every word that has a file, and the plans in which its example and near miss stand.

Nothing here lists words. A kind has a template, ``templates/<kind>.surg``; ``<kind>.<word>.surg`` and
``<kind>.<fixture>.surg`` stand before it where they exist, and ``near/<kind>.<word>.surg`` where a word is only wrong
in another place than its example. A placeholder is a name in braces: ``{word}`` is the example or near miss,
``{network}``, ``{input}`` and ``{sites}`` follow from the card's fixture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.word import Card, Word
from tests.conformance import networks

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"

SITES = {
    "cnn": 'conv2d("features.*")',
    "grouped": 'conv2d("features.2")',
    "cnn1d": 'conv1d("features.*")',
    "cnn3d": 'conv3d("features.*")',
    "sequential": 'linear("hidden.*")',
    "residual": 'linear("blocks.*.fc1")',
}
"""What a template's ``{sites}`` are on each network; elsewhere the hidden layers."""

LIMITS = {"count": "1M", "bytes": "1GiB", "share": "100%", "number": "1M"}


@dataclass(frozen=True)
class Entry:
    """A word of the vocabulary, by its file."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def word(self) -> type[Word]:
        found: type[Word] = catalogue.find(self.kind, self.name)
        return found

    @property
    def card(self) -> Card:
        return self.word.card

    @property
    def example(self) -> str:
        """The plan with the example."""
        return render(self._template(), self.word, self.card.example)

    @property
    def near_miss(self) -> str:
        """The plan with the near miss."""
        near = TEMPLATES / "near" / f"{self.kind}.{self.name}.surg"
        return render(near if near.is_file() else self._template(), self.word, self.card.near_miss)

    def _template(self) -> Path:
        use = "amount" if self.kind == "schedules" and "%" in self.card.example else self.card.fixture
        for stem in (f"{self.kind}.{self.name}", f"{self.kind}.{use}", self.kind):
            path = TEMPLATES / f"{stem}.surg"
            if path.is_file():
                return path
        raise FileNotFoundError(f"no template takes a word of {self.kind}: add templates/{self.kind}.surg")


def render(template: Path, word: type[Word], written: str) -> str:
    """Put a word as it is written, and what its card says, into a template."""
    network = word.card.fixture
    values: dict[str, Any] = {
        "word": written,
        "network": network,
        "input": networks.INPUTS.get(network, f"no network of the suite is called {network}"),
        "sites": SITES.get(network, 'linear("hidden.*")'),
        "verb": "prove" if getattr(word, "static", False) else "measure",
        "limit": LIMITS.get(getattr(word, "unit", ""), ""),
    }
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def entries(*kinds: str) -> list[Entry]:
    """Every word of some kinds, of all kinds where none is given."""
    return [Entry(kind, name) for kind in kinds or catalogue.kinds() for name in catalogue.names(kind)]


def each(found: Iterable[Entry]) -> pytest.MarkDecorator:
    """Run a test once for each word."""
    return pytest.mark.parametrize("entry", list(found), ids=str)
