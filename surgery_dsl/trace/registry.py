"""How rules of operators are found: every file of ``rules`` registers its functions by ATen name."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product

if TYPE_CHECKING:
    from surgery_dsl.trace.step import Step


@dataclass(slots=True)
class Outcome:
    """What a rule says of one call.

    Attributes:
        dims: Dimensions of each output. One entry stands for all outputs where only the first is ever of use.
        kind: Name of the operator for people and patterns; empty takes ATen's name.
        roles: Role of each tensor argument that is no activation, by argument name (default: the argument's name).
        settings: What the operator was called with.
        macs: Multiply-accumulates, as a sum of products.
        sizes: Dimensions that integer attributes of torch's own module for this operator hold, by attribute.
        identity: Whether the output is the input, so that nothing is recorded.
        picks: For each output whose entries are indices of a dimension (of ``topk``, ``argmax``), that dimension.
        follows_picks: Whether the rule itself joined what index tensors pick from; else it keeps its size.
    """

    dims: list[list[Product]]
    kind: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)
    macs: tuple[Product, ...] = ()
    sizes: dict[str, Product] = field(default_factory=dict)
    identity: bool = False
    picks: list[Product | None] = field(default_factory=list)
    follows_picks: bool = False


Rule = Callable[["Step"], Outcome | None]
"""Says how axes flow through one call; ``None`` where it cannot."""

_RULES: dict[str, Rule] = {}

MODULE = "module "
"""What the names of operators begin with that are whole modules."""

WHOLE_MODULES: set[str] = set()
"""Classes of modules that count as one operator, as ``module.Class``."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for ATen operators; names are those of packets, without the underscore of in-place forms."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in _RULES:
                raise ValueError(f"two rules for {name}: {_RULES[name].__module__}, {function.__module__}")
            _RULES[name] = function
        return function

    return register


@cache
def rules() -> dict[str, Rule]:
    """Return all rules by ATen name."""
    from surgery_dsl.trace import rules as folder

    for found in pkgutil.iter_modules(folder.__path__, folder.__name__ + "."):
        importlib.import_module(found.name)
    return _RULES
