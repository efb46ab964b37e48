"""Entries picked by indices that are data."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.rules.pointwise import broadcast
from surgery_dsl.trace.step import Step


@rule("embedding")
def embedding(step: Step) -> Outcome:
    """Rows of a table."""
    weight, indices = step.of("weight"), step.of("indices")
    step.axes.freeze(weight.dims[0], frozen.lookup(step.axes.place))
    if indices.below is not None:
        need, have = step.axes.expression(indices.below), step.axes.expression(weight.dims[0])
        if need is not None and have is not None:
            step.axes.require("at_least", have, need, "the table must hold every position")
    sizes = {"num_embeddings": weight.dims[0], "embedding_dim": weight.dims[1]}
    return Outcome([[*indices.dims, weight.dims[1]]], kind="embedding", sizes=sizes)


@rule("index_select", "gather", "topk", "take_along_dim")
def along(step: Step) -> Outcome:
    """Entries along one dimension; what comes out along it is new."""
    source = step.of("self")
    default = -1 if step.operation.name == "topk" else 0
    at = step.dim("dim", len(source.dims), default)
    step.axes.freeze(source.dims[at], frozen.lookup(step.axes.place))
    dims = list(source.dims)
    index = step.state("index")
    if index is not None and step.operation.name == "gather":
        for position, (mine, theirs) in enumerate(zip(dims, index.dims, strict=True)):
            if position != at:
                step.axes.unify(mine, theirs)
        dims[at] = index.dims[at]
    elif index is not None and index.dims:
        dims[at] = index.dims[0]
    else:
        dims[at] = step.axes.fresh(step.output[at], frozen.lookup(step.axes.place))
    return Outcome([dims] * len(step.output_sizes), settings={"dim": at})


@rule("index")
def index(step: Step) -> Outcome | None:
    """Advanced indexing with integer tensors on neighbouring dimensions."""
    dims = step.of("self").dims
    given = list(step["indices"])
    positions = [i for i, item in enumerate(given) if item is not None]
    states = [step.states[given[i]] for i in positions]
    if positions != list(range(positions[0], positions[-1] + 1)):
        return None
    rank = max(len(state.dims) for state in states)
    if len(step.output) != len(dims) - len(positions) + rank:
        return None
    for position in positions:
        step.axes.freeze(dims[position], frozen.lookup(step.axes.place))
    middle = broadcast(step, states, rank)
    return Outcome([[*dims[: positions[0]], *middle, *dims[positions[-1] + 1 :]]])
