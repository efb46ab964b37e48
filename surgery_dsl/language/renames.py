"""Blocks that a later plan calls by another name, and that are else the same.

A name is changed in the earlier plan's text, wherever it stands for the block, and the text is read again: what then
reads as the later plan does was only renamed.
"""

from collections.abc import Iterator, Mapping

from surgery_dsl.diagnostics.fix import Replacement, applied
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.differences import bare
from surgery_dsl.language.plan import Block, Control, Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.language.rewriting import Rewriter, statements, tops, values

MOST_TRIED = 32
"""Pairs of names that are looked at."""

Key = tuple[str, str]


def blocks_of(plan: Plan) -> dict[Key, Block]:
    """Return all blocks but control, by kind and name, steps in their order."""
    every = (*plan.params, *plan.models, *plan.data, *plan.environments, *plan.steps)
    return {(block.block, block.name): block for block in every if not isinstance(block, Control)}


def renamed(before: Plan, after: Plan, text: str) -> tuple[Plan, Mapping[str, str]]:
    """Return the earlier plan with the names of the later one, and which names these are, by the earlier name.

    Args:
        before: The earlier plan.
        after: The later plan.
        text: The earlier plan's text; lines stay where they are.
    """
    found: dict[str, str] = {}
    tried = 0
    for name, kinds in _names(before, after):
        for other, others in _names(after, before):
            if kinds != others or other in found.values() or tried == MOST_TRIED:
                continue
            tried += 1
            changed = applied(text, _called(text, name, other))
            plan, _ = read_plan(changed, before.file)
            if plan is not None and _same(plan, after, other):
                before, text, found = plan, changed, {**found, name: other}
                break
    return before, found


def _names(plan: Plan, other: Plan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the names that another plan does not have, with the kinds of the blocks that have them."""
    there = {name for _, name in blocks_of(other)}
    kinds: dict[str, tuple[str, ...]] = {}
    for kind, name in blocks_of(plan):
        if name not in there:
            kinds[name] = (*kinds.get(name, ()), kind)
    yield from kinds.items()


def _called(text: str, name: str, other: str) -> list[Replacement]:
    """Return what gives the blocks of a name another one, and what refers to them with them."""
    rewriter = Rewriter(text)
    spans = [block.name.span for block in rewriter.blocks(name)]
    for block in rewriter.file.blocks:
        found = (value for one in statements(block) for top in tops(one) for value in values(top))
        spans += [value.span for value in found if isinstance(value, tree.Reference) and value.name == name]
    return [Replacement(span, other) for span in spans]


def _same(one: Plan, other: Plan, name: str) -> bool:
    left, right = (
        {key: bare(block) for key, block in blocks_of(plan).items() if key[1] == name} for plan in (one, other)
    )
    return left == right
