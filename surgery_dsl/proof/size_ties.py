"""Sizes that one integer of the forward serves: they must stay equal, though their indices are free."""

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Dim, Extent, Interface, SizeTie


def compare(before: Interface, after: Interface, step: str, span: Span | None, sink: Sink) -> None:
    """Report ties that a step breaks, for at least one outcome.

    Args:
        before: The interface before the step.
        after: The interface after it; where a tie's axes are gone, nothing holds it any more.
        step: Name of the step.
        span: Where the plan names the step.
        sink: Where findings go.
    """
    for tie in after.size_ties:
        factors = tie.factors or (1,) * len(tie.dims)
        sizes = [
            after.size(dim).substitute(after.exact_size).scale(factor)
            for dim, factor in zip(tie.dims, factors, strict=True)
        ]
        if any(size != sizes[0] for size in sizes[1:]) and not _same_axes(tie, before, after):
            sink.say(_broken(tie, before, after, step, span, sink.file))


def _same_axes(tie: SizeTie, before: Interface, after: Interface) -> bool:
    """Whether sizes that are not one number differ by what the step did not touch."""
    axes = {axis for dim in tie.dims for axis in after.leaves(dim)}
    known = range(min(len(before.axes), len(after.axes)))
    return all(axis in known and before.axes[axis].size == after.axes[axis].size for axis in axes)


def _broken(tie: SizeTie, before: Interface, after: Interface, step: str, span: Span | None, file: str) -> Diagnostic:
    changed = [dim for dim in tie.dims if _text(dim, before) != _text(dim, after)]
    kept = [dim for dim in tie.dims if dim not in changed]
    shown = ", ".join(f"`{_label(dim, after)}` ({_text(dim, before)} -> {_text(dim, after)})" for dim in tie.dims)
    fix = "take one count of all of them, so that they stay equal"
    if kept and changed:
        others = ", ".join(f"`{_label(dim, after)}`" for dim in kept)
        fix = f"select as many of {others} in the same identify"
    return Diagnostic(
        shapes.SIZE_TIE,
        f"`{tie.reason}` serves {len(tie.dims)} sizes, and `{step}` would leave them different: {shown}",
        file=file,
        span=span,
        path=_label(tie.dims[0], after).partition("[")[0],
        facts={"integer": tie.reason, "before": _text(tie.dims[0], before), "after": _text(tie.dims[0], after)},
        notes=("their indices are free, their sizes are not: one number of the forward stands for each of them",),
        help=fix,
    )


def _label(dim: Dim, interface: Interface) -> str:
    return "·".join(interface.axes[axis].label or f"axis {axis}" for axis in dim)


def _text(dim: Dim, interface: Interface) -> str:
    size = interface.exact(dim)
    if size is not None:
        return str(size)
    least = most = 1
    for axis in dim:
        own = interface.axes[axis].size
        exact = interface.exact((axis,)) or 1
        least *= own.least if isinstance(own, Extent) else exact
        most *= own.most if isinstance(own, Extent) else exact
    return f"{least} to {most}"
