"""Names of blocks as values: which kinds may be named, and that they stand above."""

from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.expectation import block_kinds
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, did_you_mean
from surgery_dsl.vocabulary import catalogue

_POINTS = ("base", "now")
"""Names of models that no block bears."""


def block_name(
    value: tree.Reference, blocks: tuple[str, ...], scope: Scope, what: str, kinds: tuple[str, ...] = ()
) -> Any:
    """Return the name of a block of one of some kinds that stands above, or ``MISSING`` after saying why not.

    ``kinds`` are kinds of words that could stand in the same place, for the suggestion.
    """
    name = value.name
    kind, span = scope.blocks.get(name, ("", value.span))
    if kind in blocks and name in scope.passed:
        return name
    if name in _POINTS and "model" in blocks:
        return name
    if scope.full:
        return MISSING
    known = [known for known in scope.names_of(blocks) if known in scope.passed and known != name]
    if "model" in blocks:
        known.append("base")
    wanted = block_kinds(blocks)
    facts = {"name": name, "kind": kind}
    if kind in blocks:
        message = f"`{name}` comes later, at line {span.line}"
        help_text = "move its block above this one; a plan runs from top to bottom"
    elif kind:
        message = f"`{what}` takes {wanted}; `{name}` is {'an' if kind[:1] in 'aeiou' else 'a'} `{kind}` block"
        help_text = did_you_mean(name, known)
    else:
        message = f"`{what}` takes {wanted}; there is no `{name}`"
        help_text = did_you_mean(name, [*known, *(word for k in kinds for word in catalogue.names(k))])
    fallback = f"add {'an' if blocks[0][:1] in 'aeiou' else 'a'} `{blocks[0]}` block above"
    scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text=help_text or fallback, facts=dict(facts))
    return MISSING
