"""The parser's tables, as read from ``table.json``."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from surgery_dsl.resources import read_resource


def digest(grammar: str) -> str:
    """Return what ties a table to the grammar that it was made from."""
    return hashlib.sha256(grammar.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rule:
    """One production.

    Attributes:
        origin: What the rule derives.
        name: What the node is called.
        length: Number of symbols on the right.
        kept: Positions of the symbols that reach the node; punctuation does not.
        making: ``node``; ``inline`` (its children join the parent's); ``single`` (a lone child stands for it).
    """

    origin: str
    name: str
    length: int
    kept: tuple[int, ...]
    making: str


@dataclass(frozen=True, slots=True)
class Table:
    """LALR(1) tables and the terminals, in the order in which the scanner tries them."""

    terminals: tuple[tuple[str, str], ...]
    ignore: frozenset[str]
    keywords: dict[str, str]
    rules: tuple[Rule, ...]
    states: tuple[dict[str, int], ...]
    start: int
    end: int


@cache
def load_table() -> Table:
    """Return the tables of the grammar.

    A table that was made from another text of the grammar is not used: then Lark makes it afresh, so an edited
    grammar takes effect at once.
    """
    grammar = read_resource("grammar/surgery.lark")
    raw = json.loads((Path(__file__).parent / "table.json").read_text(encoding="utf-8"))
    if raw["grammar"] != digest(grammar):
        from surgery_dsl.language.table_build import build_table

        raw = build_table(grammar)
    return Table(
        terminals=tuple((name, pattern) for name, pattern in raw["terminals"]),
        ignore=frozenset(raw["ignore"]),
        keywords=raw["keywords"],
        rules=tuple(
            Rule(origin, name, length, tuple(kept), making) for origin, name, length, kept, making in raw["rules"]
        ),
        states=tuple(raw["states"]),
        start=raw["start"],
        end=raw["end"],
    )
