"""What the suite runs over: every word that has a file, and the plans in which its example and near miss stand.

Nothing here lists words. A word of a kind stands in ``templates/<kind>.surg`` or in a variant of it,
``<kind>.<variant>.surg``: the first one in which ``check`` finds nothing wrong with the example. A variant that is
called as a word of the kind is for that word alone. ``near/<kind>.<word>.surg`` is where a word is wrong in another
place than its example. Placeholders are names in braces: ``{word}`` is the example or near miss; the others follow from
the network.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.word import Card, Word
from tests.conformance import networks

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"

LAYERS = {
    "cnn": 'conv2d("features.{}")',
    "grouped": 'conv2d("features.{}")',
    "cnn1d": 'conv1d("features.{}")',
    "cnn3d": 'conv3d("features.{}")',
    "residual": 'linear("blocks.{}.fc1")',
    "attention": 'linear("blocks.{}.attn.q")',
    "mixture": 'experts("blocks.{}")',
}
"""The layers of a network, by number; elsewhere they stand in ``hidden``."""

MODULES = {
    "cnn": "features",
    "grouped": "features",
    "cnn1d": "features",
    "cnn3d": "features",
    "residual": "blocks",
    "attention": "blocks",
    "mixture": "blocks",
}
"""The list that a network's modules stand in; elsewhere ``hidden``."""

LIMITS = {"count": "1M", "bytes": "1GiB", "share": "99%", "number": "1M", "seconds": "60s"}
"""What a measured quantity is compared with; what is proved is compared with the base's."""


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

    def templates(self) -> list[Path]:
        """Where the example may stand, the plainest first."""
        own = TEMPLATES / f"{self.kind}.{self.name}.surg"
        if own.is_file():
            return [own]
        words = catalogue.names(self.kind)
        variants = (path for path in TEMPLATES.glob(f"{self.kind}.*.surg") if path.name.split(".")[1] not in words)
        found = [path for path in (TEMPLATES / f"{self.kind}.surg", *sorted(variants)) if path.is_file()]
        if not found:
            raise FileNotFoundError(f"no template takes a word of {self.kind}: add templates/{self.kind}.surg")
        return found

    def example(self, template: Path, network: str = "") -> str:
        """The plan with the example, on the card's network where no other is named."""
        return render(template, self.word, self.card.example, network or self.card.fixture)

    def near_miss(self, template: Path) -> str:
        """The plan with the near miss; it stands where the example does, unless it has a template of its own."""
        near = TEMPLATES / "near" / f"{self.kind}.{self.name}.surg"
        return render(near if near.is_file() else template, self.word, self.card.near_miss, self.card.fixture)


def render(template: Path, word: type[Word], written: str, network: str) -> str:
    """Put a word as it is written, and what the network asks for, into a template."""
    layers = LAYERS.get(network, 'linear("hidden.{}")')
    activation = network if network in ("gelu", "leaky_relu", "silu") else "relu"
    single = {"functional": "/relu#0", "residual": "act"}.get(network, "act.0")
    values = {
        "word": written,
        "network": network,
        "input": networks.INPUTS.get(network, f"no network of the suite is called {network}"),
        "sites": layers.format("*"),
        "site": layers.format("0"),
        "module": f'module("{MODULES.get(network, "hidden")}.0")',
        "modules": f'module("{MODULES.get(network, "hidden")}.*")',
        "activations": f'{activation}("**")',
        "activation": f'{activation}("{"features.2" if MODULES.get(network) == "features" else single}")',
        "loss": "next_token" if network == "characters" else "cross_entropy",
        "verb": "prove" if getattr(word, "static", False) else "measure",
        "limit": _limit(word, written),
    }
    text = template.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _limit(word: type[Word], written: str) -> str:
    unit = getattr(word, "unit", "")
    counted = getattr(word, "static", False) and unit in ("count", "bytes")
    if unit == "number" and getattr(word, "most", None) is not None:
        return "0.99"
    return f"2 * base.{written}" if counted else LIMITS.get(unit, "")


def entries(*kinds: str) -> list[Entry]:
    """Every word of some kinds, of all kinds where none is given."""
    return [Entry(kind, name) for kind in kinds or catalogue.kinds() for name in catalogue.names(kind)]


def each(found: Iterable[Entry]) -> pytest.MarkDecorator:
    """Run a test once for each word."""
    return pytest.mark.parametrize("entry", list(found), ids=str)
