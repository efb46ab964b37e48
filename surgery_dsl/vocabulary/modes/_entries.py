"""Entries of lists that go with the indices of an axis: which stay, and what becomes of names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.arranging import Arrangement
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.experts import FEWEST_LISTED
from surgery_dsl.interface.indexed import arrange_lists, entries_of, lists_along
from surgery_dsl.interface.model import Extent
from surgery_dsl.interface.paths import list_holder
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.modes._modules import form
from surgery_dsl.vocabulary.selection import Pool


@dataclass(frozen=True)
class Moved:
    """What becomes of tensors when entries of lists leave.

    Attributes:
        writes: Tensors, by their names before, that go or may hold other values.
        renamed: New names of those that stay.
        lists: The modules that hold what goes along, in words.
    """

    writes: frozenset[str]
    renamed: Mapping[str, str]
    lists: str


def staying(
    pool: Pool, axis: int, taken: Extent, fixed: Sequence[int] | None, context: Static, span: Span | None
) -> tuple[int, ...] | None:
    """Return the indices that stay, the first ones where weights decide which; ``None`` after reporting an obstacle.

    Entries that a ranking picks must be built alike, so that every outcome gives the same network.
    """
    interface, paths = context.interface, lists_along(context.interface, axis)
    site, noun = pool.sites[0].path if pool.sites else pool.key, pool.noun or "channel"
    if taken.least != taken.most:
        text = f"how many {noun}s of `{site}` go, and with them entries of `{paths[0]}`, only the weights decide"
        _say(context, shapes.OPEN_STRUCTURE, text, site, span, "take a count or a share, such as lowest(25%)")
        return None
    left = pool.size - taken.most
    if left < FEWEST_LISTED:
        text = f"{left} {noun} of `{site}` would stay, and a loop is followed through {FEWEST_LISTED} entries or more"
        fix = f"keep at least {FEWEST_LISTED}, for example with floor = {FEWEST_LISTED}"
        _say(context, shapes.COUNT_FORBIDDEN, text, site, span, fix, kept=left)
        return None
    if fixed is not None:
        gone = set(fixed)
        return tuple(index for index in range(pool.size) if index not in gone)
    for path in paths:
        entries = entries_of(interface, path)
        forms = [form(entry, interface) for entry in entries]
        odd = next((at for at, one in enumerate(forms) if one != forms[0]), None)
        if odd is not None:
            text = f"which entries go decides the structure: `{entries[0]}` and `{entries[odd]}` are built differently"
            _say(context, shapes.OPEN_STRUCTURE, text, entries[odd], span, "name them by number: only([2, 3])")
            return None
    return tuple(range(left))


def arranged(draft: Draft, kept: Mapping[int, Sequence[int]], ranked: Iterable[int], context: Static) -> Moved:
    """Arrange the lists that go with axes in a draft.

    Args:
        draft: The draft; sizes of axes are the caller's.
        kept: The indices that stay, by axis.
        ranked: Axes of which weights decide what stays, so that every entry may come to hold another's values.
        context: Of the step.
    """
    open_lists = [path for axis in ranked for path in lists_along(context.interface, axis)]
    arrangements = arrange_lists(draft, kept)
    settle(draft)
    exposed = [one for one in arrangements if one.lists[0] in open_lists]
    writes: set[str] = set()
    renamed: dict[str, str] = {}
    for name in context.interface.tensor_by_name:
        names = _names(name, arrangements)
        if not names or any(one.split(name) is not None for one in exposed):
            writes.add(name)
        if names and names[0] != name:
            renamed[name] = names[0]
    holders = dict.fromkeys(list_holder(path)[0] or "." for one in arrangements for path in one.lists)
    shown = ", ".join(f"`{holder}`" for holder in list(holders)[:3]) + (" and others" if len(holders) > 3 else "")
    return Moved(frozenset(writes), renamed, shown)


def _names(name: str, arrangements: Iterable[Arrangement]) -> tuple[str, ...]:
    for one in arrangements:
        if one.split(name) is not None:
            return one.names(name)
    return (name,)


def _say(context: Static, code: Code, text: str, path: str, span: Span | None, fix: str, **facts: int) -> None:
    context.say(Diagnostic(code, text, file=context.file, span=span, path=path, facts=facts, help=fix))
