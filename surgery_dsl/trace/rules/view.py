"""Views that merge and take apart dimensions."""

from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy", "_reshape_copy", "unflatten", "flatten")
def view(step: Step) -> Outcome | None:
    """Products of the same entries in the same order."""
    source = step.of("self")
    if [step.axes.sizes(dim) for dim in source.dims] == step.output:
        return Outcome([source.dims], identity=True)
    dims = step.axes.reshape(source.dims, step.output)
    return None if dims is None else Outcome([dims], kind="view")


@rule("unsqueeze")
def unsqueeze(step: Step) -> Outcome:
    """A new dimension of one."""
    dims = step.of("self").dims
    at = step.dim("dim", len(dims) + 1)
    return Outcome([[*dims[:at], [], *dims[at:]]], kind="view")


@rule("squeeze")
def squeeze(step: Step) -> Outcome:
    """Dimensions of one vanish."""
    dims = step.of("self").dims
    chosen = step.dims("dim", len(dims)) if "dim" in step.records[0].arguments else range(len(dims))
    kept = []
    for position, dim in enumerate(dims):
        size = step.axes.expression(dim)
        if position not in chosen:
            kept.append(dim)
        elif size != 1:
            kept.append(dim)
            if size is not None:
                step.axes.require("at_least", size, 2, "squeeze would drop it")
    return Outcome([kept], kind="view", identity=len(kept) == len(dims))
