"""Makes the LALR tables of ``table.json`` from the grammar, with Lark.

Lark needs about 0.16 s of CPU to be imported and to build the parser, which is more than everything else that
``check`` does; reading the finished tables takes about a millisecond. The tables are plain JSON: unlike a
pickled parser they can be reviewed and hold nothing that runs.
"""

import json
from typing import Any

from surgery_dsl.language.table import digest


def build_table(grammar: str) -> dict[str, Any]:
    """Return the tables for a grammar, ready for JSON.

    Keys: ``grammar`` (digest), ``terminals`` (names and patterns in the order in which they are tried),
    ``ignore`` (terminals that never reach the parser), ``keywords`` (names that are a terminal of their own),
    ``rules`` (what is derived, name of the node, number of symbols, which of them are kept, how a node is made),
    ``states`` (terminal or rule to the next state when it is not negative, otherwise to the rule ``-1 - n`` to reduce),
    ``start`` and ``end``.

    Raises:
        lark.exceptions.GrammarError: The grammar is wrong or has a conflict.
    """
    from lark import Lark
    from lark.lexer import PatternStr
    from lark.parsers.lalr_analysis import Shift

    lark = Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=False)
    terminals = sorted(lark.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    keywords = {
        t.pattern.value: t.name for t in terminals if isinstance(t.pattern, PatternStr) and t.pattern.value.isalpha()
    }
    table = lark.parser.parser._parse_table
    rules = sorted(set(lark.rules), key=_order)
    number = {rule: index for index, rule in enumerate(rules)}
    start = table.start_states["start"]
    # Lark numbers states in the order of a set, which differs from run to run: walk them from the start instead.
    place: dict[int, int] = {start: 0}
    states: list[dict[str, int]] = []
    for state in (queue := [start]):
        row: dict[str, int] = {}
        for symbol, (action, argument) in sorted(table.states[state].items(), key=lambda item: str(item[0])):
            if action is Shift and argument not in place:
                place[argument] = len(place)
                queue.append(argument)
            row[str(symbol)] = place[argument] if action is Shift else -1 - number[argument]
        states.append(row)
    return {
        "grammar": digest(grammar),
        "terminals": [[t.name, t.pattern.to_regexp()] for t in terminals if t.name not in keywords.values()],
        "ignore": sorted(lark.ignore_tokens),
        "keywords": keywords,
        "rules": [_rule(rule) for rule in rules],
        "states": states,
        "start": 0,
        "end": place[table.end_states["start"]],
    }


def _order(rule: Any) -> tuple[str, list[str]]:
    """Sort rules by name and symbols."""
    return str(rule.origin.name), [str(symbol.name) for symbol in rule.expansion]


def _rule(rule: Any) -> list[Any]:
    """Describe one rule: origin, name, length, kept positions, and ``node``, ``inline`` or ``single``."""
    origin = str(rule.origin.name)
    name = rule.alias or origin
    kept = [
        index
        for index, symbol in enumerate(rule.expansion)
        if rule.options.keep_all_tokens or not (symbol.is_term and symbol.filter_out)
    ]
    if rule.alias is None and name.startswith("_"):
        making = "inline"
    elif rule.alias is None and rule.options.expand1:
        making = "single"
    else:
        making = "node"
    return [origin, name, len(rule.expansion), kept, making]


def to_json(table: dict[str, Any]) -> str:
    """Return the text of ``table.json``: one rule and one state a line, so that a change reads as a change."""
    lines = ["{"]
    for key in ("grammar", "start", "end", "ignore", "keywords"):
        lines.append(f"  {json.dumps(key)}: {json.dumps(table[key])},")
    for key, end in (("terminals", ","), ("rules", ","), ("states", "")):
        rows = ",\n".join("    " + json.dumps(row, separators=(",", ":")) for row in table[key])
        lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]{end}")
    lines.append("}")
    return "\n".join(lines) + "\n"
