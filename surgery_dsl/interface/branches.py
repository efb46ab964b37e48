"""Sizes at which a forward would go another way than the one that was traced."""

from collections.abc import Sequence

from surgery_dsl.interface.model import Axis, Dim, Extent, Interface, SizeBranch

_ASKS = "the forward asks `"


def question(asked: str, held: bool, source: str) -> str:
    """Return the reason of a relation of sizes that keeps the answer to a question of the forward."""
    place = f" ({source})" if source else ""
    return f"{_ASKS}{asked}`{place}, and was followed where that {'holds' if held else 'does not hold'}"


def is_question(reason: str) -> bool:
    """Say whether a relation of sizes keeps the forward on its way, rather than from failing."""
    return reason.startswith(_ASKS)


def crossed(interface: Interface, axes: Sequence[Axis]) -> tuple[SizeBranch, tuple[int, int]] | None:
    """Return a question of the forward that some outcome answers otherwise, and the range of the size it asks of.

    Args:
        interface: What was traced.
        axes: Its axes with their new sizes; more may follow.
    """
    changed = {axis.id for axis, new in zip(interface.axes, axes, strict=False) if axis.size != new.size}
    for branch in interface.size_branches:
        if changed.isdisjoint(interface.leaves(branch.dim)):
            continue
        before = interface.exact(branch.dim)
        least, most = _end(interface, branch.dim, axes, low=True), _end(interface, branch.dim, axes, low=False)
        if before is None or least is None or most is None:
            continue
        answer = branch.answer(before)
        inside = branch.relation == "==" and least <= branch.number <= most
        if branch.answer(least) != answer or branch.answer(most) != answer or (inside and not answer):
            return branch, (least, most)
    return None


def _end(interface: Interface, dim: Dim, axes: Sequence[Axis], low: bool) -> int | None:
    """Return the least or the greatest size of a dimension: sizes are sums of products, so the ends of axes give it."""

    def end(axis: int) -> int | None:
        size = axes[axis].size
        if isinstance(size, Extent):
            return size.least if low else size.most
        return size if isinstance(size, int) else None

    return interface.size(dim).substitute(end).value
