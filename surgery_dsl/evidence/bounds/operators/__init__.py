"""Rules from recorded operators to nodes: one module a family.

A rule is given a :class:`~surgery_dsl.evidence.bounds.graph.Call` and returns a node; a :class:`Several` for an
operator with several results; or the source itself where nothing changes. It raises ``call.refuse(…)`` for what it
cannot bound. Coefficients become float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, final

from surgery_dsl.evidence.bounds.graph import Call


@final
@dataclass(frozen=True)
class Several:
    """Several results of one operator: nodes, sources, or ``None`` for what no bound is needed of."""

    parts: tuple[Any, ...]


Rule = Callable[[Call], Any]
_rules: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators by name."""

    def register(function: Rule) -> Rule:
        _rules.update(dict.fromkeys(names, function))
        return function

    return register


def rule_of(name: str) -> Rule | None:
    """Return the rule of an operator, its in-place form included; ``None`` where there is none."""
    if not _rules:
        for module in iter_modules(__path__):
            import_module(f"{__name__}.{module.name}")
    return _rules.get(name) or _rules.get(name.removesuffix("_"))
