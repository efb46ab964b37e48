"""Reductions over dimensions."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.rules.pointwise import pointwise
from surgery_dsl.trace.step import Step


@rule(
    "mean",
    "sum",
    "var",
    "std",
    "var_mean",
    "std_mean",
    "amax",
    "amin",
    "any",
    "all",
    "argmax",
    "argmin",
    "logsumexp",
    "linalg_vector_norm",
    "max",
    "min",
    "prod",
    "norm",
    "nansum",
    "aminmax",
    "count_nonzero",
    "kthvalue",
    "median",
    "nanmedian",
    "mode",
)
def reduce(step: Step) -> Outcome | None:
    """The reduced dimensions vanish, or become one."""
    if step.operation.overload == "other":
        return pointwise(step)
    dims = step.of("self").dims
    over = step.dims("dim", len(dims))
    if "dim" not in step.records[0].arguments:
        over = list(range(len(dims)))
    kept: list[Product] = []
    keep = len(step.output) == len(dims)
    for position, dim in enumerate(dims):
        if position not in over:
            kept.append(dim)
        elif keep:
            kept.append([])
    settings = {k: v for k, v in step.scalars().items() if k not in ("dim", "keepdim")}
    settings |= {"dim": tuple(sorted(over)), "keepdim": keep}
    picked = _indices(step, dims, over)
    if step.operation.name in _BY_RANK:
        for at in over:
            step.axes.freeze(dims[at], f"{step.operation.name} counts its entries ({step.axes.place})")
    return Outcome([kept] * len(step.output_sizes), settings=settings, picks=picked, follows_picks=bool(picked))


_BY_RANK = {"kthvalue", "median", "nanmedian", "mode"}


def _indices(step: Step, dims: list[Product], over: list[int]) -> list[Product | None]:
    """Return what the outputs that are indices pick from; those into all entries freeze them."""
    name = step.operation.name
    places = {"argmax": 0, "argmin": 0, "max": 1, "min": 1, "kthvalue": 1, "median": 1, "nanmedian": 1, "mode": 1}
    at = places.get(name)
    if at is None or at >= len(step.output_sizes):
        return []
    if len(over) != 1:
        for dim in dims:
            step.axes.freeze(dim, frozen.lookup(step.axes.place))
        return []
    picks: list[Product | None] = [None] * len(step.output_sizes)
    picks[at] = dims[over[0]]
    return picks


@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "flip", "roll", "sort", "argsort", "tril", "triu")
def along(step: Step) -> Outcome:
    """The dimensions stay, but the order of entries matters along some."""
    dims = step.of("self").dims
    name = step.operation.name.strip("_")
    if name in ("tril", "triu"):
        touched = [len(dims) - 2, len(dims) - 1]
    else:
        argument = "dims" if "dims" in step.records[0].arguments else "dim"
        touched = step.dims(argument, len(dims))
    for position in touched:
        step.axes.freeze(dims[position], f"{name} depends on the order along it ({step.axes.place})")
    return Outcome([dims] * len(step.output_sizes), settings=step.scalars())
