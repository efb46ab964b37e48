"""Entries picked by indices that are data.

Where the forward found the indices itself by comparing the entries along a dimension (the experts that ``topk``
chooses), what they pick is that dimension, and its indices may go. All other indices hold what they pick.
"""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import Expression
from surgery_dsl.interface.loops import ENTRY
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, Sizes, flat
from surgery_dsl.trace.greatest import hold_every_entry
from surgery_dsl.trace.recorder import Ref
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.rules.pointwise import broadcast, pointwise
from surgery_dsl.trace.step import State, Step


def pick(step: Step, dim: Product, indices: State | None) -> None:
    """Join a dimension with what indices were found among; any others freeze it. Each index must have its entry."""
    hold_every_entry(step, dim, indices)
    if indices is not None and indices.picks is not None:
        step.axes.unify(dim, indices.picks)
    else:
        step.axes.freeze(dim, frozen.lookup(step.axes.place))


@rule("embedding")
def embedding(step: Step) -> Outcome:
    """Rows of a table."""
    weight, indices = step.of("weight"), step.of("indices")
    pick(step, weight.dims[0], indices)
    sizes = {"num_embeddings": weight.dims[0], "embedding_dim": weight.dims[1]}
    return Outcome([[*indices.dims, weight.dims[1]]], kind="embedding", sizes=sizes, follows_picks=True)


@rule("_embedding_bag", "_embedding_bag_forward_only", "embedding_bag")
def embedding_bag(step: Step) -> Outcome:
    """Sums or means of rows of a table."""
    weight, indices = step.of("weight"), step.of("indices")
    pick(step, weight.dims[0], indices)
    for name in ("indices", "offsets"):
        for dim in step.of(name).dims:
            step.axes.freeze(dim, frozen.lookup(step.axes.place))
    bags = step.axes.fresh(step.output[0], frozen.lookup(step.axes.place))
    rest = [[step.axes.fresh(size, "a side result") for size in sizes] for sizes in step.output_sizes[1:]]
    return Outcome([[bags, weight.dims[1]], *rest], kind="embedding_bag", follows_picks=True)


@rule("topk")
def topk(step: Step) -> Outcome:
    """The largest along one dimension and their indices, whatever the order of the entries is."""
    dims = list(step.of("self").dims)
    at = step.dim("dim", len(dims), -1)
    source = dims[at]
    dims[at] = step.axes.fresh(step.output[at], "as many as the forward asks for are picked")
    whole, picked = step.axes.expression(source), step.axes.expression(dims[at])
    if whole is not None and not isinstance(whole, int) and picked is not None and picked != whole:
        step.axes.require("at_least", whole, picked, "topk picks this many entries")
    settings: dict[str, Setting] = {"dim": at, "k": int(step["k"])}
    return Outcome([dims] * 2, settings=settings, picks=[None, source], follows_picks=True)


@rule("index_select", "gather", "take_along_dim")
def along(step: Step) -> Outcome:
    """Entries along one dimension; what comes out along it is what the index has there."""
    source, index = step.of("self"), step.of("index" if step["index"] is not None else "indices")
    at = step.dim("dim", len(source.dims))
    pick(step, source.dims[at], index)
    dims = list(source.dims)
    if step.operation.name == "index_select":
        dims[at] = index.dims[0] if index.dims else []
    else:
        for position, (mine, theirs) in enumerate(zip(source.dims, index.dims, strict=True)):
            if position != at:
                dims[position] = _shorter(step, mine, theirs)
        dims[at] = index.dims[at]
    return Outcome([dims], settings={"dim": at}, picks=[source.picks], follows_picks=True)


def _shorter(step: Step, whole: Product, part: Product) -> Product:
    """Return the dimension of an index, which may be shorter than what it picks from."""
    if step.axes.sizes(whole) == step.axes.sizes(part):
        step.axes.unify(whole, part)
    else:
        step.axes.freeze(whole, frozen.lookup(step.axes.place))
    return part


def _indexed(step: Step) -> tuple[list[Product], list[int]] | None:
    """Return the dimensions of ``x[indices]``, and which dimensions of ``x`` the indices pick from."""
    dims = step.of("self").dims
    given = list(step["indices"])
    positions = [i for i, item in enumerate(given) if item is not None]
    states = [step.states[given[i]] for i in positions]
    for position, state in zip(positions, states, strict=True):
        pick(step, dims[position], state)
    middle = broadcast(step, states, max(len(state.dims) for state in states))
    rest = [dim for i, dim in enumerate(dims) if i not in positions]
    together = positions == list(range(positions[0], positions[-1] + 1))
    lead = positions[0] if together else 0
    return [*rest[:lead], *middle, *rest[lead:]], positions


@rule("index", "_unsafe_index")
def index(step: Step) -> Outcome | None:
    """Advanced indexing with integer tensors, or with one mask. Source: NumPy's rules, as torch.Tensor has them."""
    masked = _masked(step)
    if masked is not None:
        return masked
    found = _indexed(step)
    if found is None:
        return None
    return Outcome([found[0]], picks=[step.of("self").picks], follows_picks=True)


def _masked(step: Step) -> Outcome | None:
    """Return what a mask over one or more neighbouring dimensions leaves: one entry for each truth, then the rest."""
    given = list(step["indices"])
    positions = [i for i, item in enumerate(given) if item is not None]
    if len(positions) != 1 or not step.is_mask(given[positions[0]]):
        return None
    at, dims, mask = positions[0], step.of("self").dims, step.states[given[positions[0]]].dims
    for mine, theirs in zip(dims[at : at + len(mask)], mask, strict=True):
        step.axes.unify(mine, theirs)
        step.axes.freeze(mine, frozen.lookup(step.axes.place))
    whole = [atom for dim in mask for atom in flat(dim)]
    counted = step.axes.expression(whole) if step.output[at] == step.axes.sizes(whole) else None
    count = _rows(step, step.output[at], counted)
    return Outcome([[*dims[:at], count, *dims[at + len(mask) :]]])


@rule("index_put", "_index_put_impl", "_unsafe_index_put")
def index_put(step: Step) -> Outcome | None:
    """Values written where indices say: ``x[indices] = values``."""
    if any(isinstance(item, Ref) and step.is_mask(item) for item in step["indices"]):
        return _put_by_mask(step)
    found = _indexed(step)
    if found is None:
        return None
    target, values = found[0], step.of("values").dims
    for dim, own in zip(reversed(target), reversed(values), strict=False):
        if flat(own):
            step.axes.unify(dim, own)
    return Outcome([step.of("self").dims], follows_picks=True)


def _put_by_mask(step: Step) -> Outcome | None:
    """``x[mask] = values``: one value goes anywhere; several are counted along what the mask covers."""
    given = list(step["indices"])
    positions = [i for i, item in enumerate(given) if item is not None]
    if len(positions) != 1:
        return None
    at, dims, mask = positions[0], step.of("self").dims, step.states[given[positions[0]]].dims
    one = not any(flat(dim) for dim in step.of("values").dims)
    for mine, theirs in zip(dims[at : at + len(mask)], mask, strict=True):
        step.axes.unify(mine, theirs)
        if not one:
            step.axes.freeze(mine, frozen.lookup(step.axes.place))
    rest = dims[at + len(mask) :]
    for dim, own in zip(reversed(rest), reversed(step.of("values").dims), strict=False):
        if flat(own):
            step.axes.unify(dim, own)
    return Outcome([dims], follows_picks=True)


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(step: Step) -> Outcome:
    """Values written along one dimension where an index says; along the others the index is as long or shorter."""
    dims, index = step.of("self").dims, step.of("index")
    at = step.dim("dim", len(dims))
    pick(step, dims[at], index)
    source = step.state("src")
    for position, (mine, theirs) in enumerate(zip(dims, index.dims, strict=False)):
        if position != at:
            _shorter(step, mine, theirs)
        if source is not None:
            _shorter(step, source.dims[position], theirs)
    return Outcome([dims], settings={"dim": at}, follows_picks=True)


@rule("index_add", "index_copy", "index_fill", "index_reduce")
def index_add(step: Step) -> Outcome:
    """Whole slices written along one dimension where an index says."""
    dims, index = step.of("self").dims, step.of("index")
    at = step.dim("dim", len(dims))
    pick(step, dims[at], index)
    source = step.state("source")
    for position, own in enumerate(source.dims if source is not None else ()):
        step.axes.unify(own, index.dims[0] if position == at else dims[position])
    return Outcome([dims], settings={"dim": at}, follows_picks=True)


@rule("eq", "ne")
def equal(step: Step) -> Outcome | None:
    """Entry by entry; indices held against 0, 1, 2 … are one-hot along what they were found among.

    Source: torch.nn.functional.one_hot, which is computed in this way where values are not known.
    """
    states = [step.states[ref] for ref in step.records[0].reads]
    if len(states) != 2:
        return _equal_to_entry(step, states) or pointwise(step)
    found = next((state for state in states if state.picks is not None), None)
    numbers = next((state for state in states if state.below is not None and state is not found), None)
    if found is None or numbers is None or found.picks is None or len(_longer(numbers)) != 1:
        return pointwise(step)
    if step.axes.sizes(found.picks) != step.axes.sizes(_longer(numbers)[0]):
        return pointwise(step)
    other = State([found.picks if flat(dim) else dim for dim in numbers.dims])
    return Outcome([broadcast(step, [found, other], len(step.output))], follows_picks=True)


def _equal_to_entry(step: Step, states: list[State]) -> Outcome | None:
    """Return where indices are the number of the entry of a list whose turn it is."""
    number = step["other"]
    if len(states) != 1 or states[0].picks is None or type(number) is not int or step.operation.name != "eq":
        return None
    if not step.by_entry(states[0].picks, number):
        return None
    return Outcome([states[0].dims], settings={ENTRY: number}, follows_picks=True)


def _longer(state: State) -> list[Product]:
    """Return the dimensions of a tensor that are not one."""
    return [dim for dim in state.dims if flat(dim)]


@rule("histc", "bincount")
def count(step: Step) -> Outcome:
    """Numbers of equal entries."""
    for ref in step.records[0].reads:
        for dim in step.states[ref].dims:
            step.axes.freeze(dim, frozen.lookup(step.axes.place))
    return Outcome([[step.axes.fresh(step.output[0], frozen.lookup(step.axes.place))]])


@rule("bucketize", "searchsorted")
def bucketize(step: Step) -> Outcome:
    """For each entry its place among boundaries in order."""
    table = step.of("boundaries" if step.operation.name == "bucketize" else "sorted_sequence").dims
    for dim in table:
        step.axes.freeze(dim, f"{step.operation.name} depends on the order along it ({step.axes.place})")
    return Outcome([step.of("self").dims])


@rule("isin")
def isin(step: Step) -> Outcome | None:
    """Whether each entry is among others, in whatever order."""
    elements = step.state("elements")
    return None if elements is None else Outcome([elements.dims])


def _rows(step: Step, sizes: Sizes, counted: Expression | None) -> Product:
    """Return the axis that counts what a mask chooses; ``counted`` is everything, where everything was chosen."""
    place = step.axes.place
    return step.axes.fresh(
        sizes, frozen.rows(place) if counted is not None else frozen.lookup(place), expression=counted
    )


@rule("masked_select", "nonzero", "argwhere")
def masked_select(step: Step) -> Outcome:
    """As many entries as are true.

    Of a mask that says which entries of a list run, all are taken to be, so that its rows are their indices.
    """
    mask = step.states[step.records[0].reads[0]].dims
    whole = [atom for dim in mask for atom in flat(dim)]
    counted = step.axes.expression(whole) if step.output[0] == step.axes.sizes(whole) else None
    if len(mask) == 1 and step.operation.name == "nonzero" and counted is not None and step.goes_through(counted):
        return Outcome([[mask[0], []]], picks=[mask[0]], follows_picks=True)
    for ref in step.records[0].reads:
        for dim in step.states[ref].dims:
            step.axes.freeze(dim, frozen.lookup(step.axes.place))
    rows = _rows(step, step.output[0], counted)
    return Outcome([[rows, *(step.axes.fresh(size, frozen.lookup(step.axes.place)) for size in step.output[1:])]])
