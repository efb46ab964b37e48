"""Attentions, found by what the forward does: queries meet keys, a softmax, and values under its weights.

An attention is one fused operator (``scaled_dot_product_attention``) or a product, a softmax and a second product. Its
*head axes* are the axes of the scores' leading dimensions that projections write; those that keys carry before they
are repeated are *key/value* axes. So a block with grouped queries has two head axes (key/value heads, and queries of
each), one with a key/value head for every query head has one that is both, and one with a single key/value head has a
query axis alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim
from surgery_dsl.interface.model import Dim, Interface

FUSED: Final = "scaled_dot_product_attention"
_SOFTMAX = frozenset({"softmax", "_safe_softmax", "log_softmax"})
_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "mm"})
_BETWEEN = frozenset(
    {
        *("add", "sub", "mul", "div", "neg", "where", "masked_fill", "cast", "dropout", "view", "permute", "expand"),
        *("tanh", "clamp", "clamp_min", "maximum", "minimum", "slice", "cat", "contiguous", "relu", "square", "pow"),
    }
)
"""What may stand between a product and the softmax: scales, masks, biases, soft caps, casts."""


@dataclass(frozen=True)
class Attention:
    """One attention of a network.

    Attributes:
        at: Position of the fused operator or of the softmax.
        module: Path of the innermost module that runs it.
        holder: Path of the smallest module that holds it with its projections, the output's too.
        heads: The axes that count query heads, outermost first.
        shared: Those of them that keys and values carry too.
        layers: Positions of the operators that project queries, keys and values.
        output: Position of the operator that projects the result; ``None`` where none does.
        sides: Ids of the values that meet: queries, keys (transposed, where a product is written out), values.
    """

    at: int
    module: str
    holder: str
    heads: Dim
    shared: Dim
    layers: tuple[int, ...]
    output: int | None
    sides: tuple[int, int, int]

    @property
    def own(self) -> Dim:
        """The head axes that queries alone carry."""
        return tuple(axis for axis in self.heads if axis not in self.shared)


def attentions(flow: Flow) -> tuple[Attention, ...]:
    """Return the attentions of a network in the order of the forward."""
    return tuple(_found(flow))


def _found(flow: Flow) -> Iterator[Attention]:
    interface = flow.interface
    for at, operator in enumerate(interface.operators):
        if operator.kind == FUSED and len(operator.inputs) >= 3:
            query, key, value = operator.inputs[:3]
            yield _attention(at, (query, key, value), operator.outputs[0], flow)
        elif operator.kind in _SOFTMAX and operator.inputs:
            sides = _before(operator.inputs[0], flow)
            after = _after(operator.outputs[0], flow) if sides else None
            if sides and after is not None:
                other = [value for value in interface.operators[after].inputs if value != operator.outputs[0]]
                yield _attention(at, (*sides, other[-1]), interface.operators[after].outputs[0], flow)


def _before(scores: int, flow: Flow) -> tuple[int, int] | None:
    """Return the two sides of the product that scores come from."""
    waiting, seen = [scores], {scores}
    while waiting:
        at = flow.writer.get(waiting.pop(0))
        if at is None:
            continue
        operator = flow.interface.operators[at]
        if operator.kind in _PRODUCTS and len(operator.inputs) >= 2 and "weight" not in operator.tensors:
            return operator.inputs[-2], operator.inputs[-1]
        if operator.kind in _BETWEEN:
            fresh = [value for value in operator.inputs if value not in seen]
            seen.update(fresh)
            waiting += fresh
    return None


def _after(weights: int, flow: Flow) -> int | None:
    """Return the product that reads attention weights."""
    waiting, seen = [weights], {weights}
    while waiting:
        for at in flow.readers.get(waiting.pop(0), ()):
            operator = flow.interface.operators[at]
            if operator.kind in _PRODUCTS and len(operator.inputs) >= 2 and "weight" not in operator.tensors:
                return at
            if operator.kind in _BETWEEN and operator.outputs[0] not in seen:
                seen.add(operator.outputs[0])
                waiting.append(operator.outputs[0])
    return None


def _attention(at: int, sides: tuple[int, int, int], result: int, flow: Flow) -> Attention:
    interface = flow.interface
    operator = interface.operators[at]
    query, key, _ = sides
    layers = list(dict.fromkeys(layer for side in sides for layer in flow.layers_behind(side)))
    made = {axis for layer in layers for axis in interface.leaves(unit_dim(interface, interface.operators[layer]))}
    lead = [axis for dim in interface.values[query].dims[:-2] for axis in interface.leaves(dim)]
    heads = tuple(axis for axis in dict.fromkeys(lead) if axis in made)
    shared = set(heads) & _carried(key, heads, flow)
    output = _projection(result, flow)
    modules = [interface.operators[layer].module for layer in layers]
    own = {axis for axis in heads for layer in layers if axis in _outermost(layer, interface)}
    if own:  # projections that make the heads; what else was read (rotary tables, masks) may stand anywhere
        modules = [interface.operators[layer].module for layer in layers if own & _outermost(layer, interface)]
    if output is not None:
        modules.append(interface.operators[output].module)
    return Attention(
        at=at,
        module=operator.module,
        holder=_smallest([operator.module, *modules], interface),
        heads=heads,
        shared=tuple(axis for axis in heads if axis in shared),
        layers=tuple(layers),
        output=output,
        sides=sides,
    )


def _outermost(layer: int, interface: Interface) -> set[int]:
    return set(interface.leaves(unit_dim(interface, interface.operators[layer])))


def _carried(value: int, heads: Dim, flow: Flow) -> set[int]:
    """Return the head axes that a side carries all the way from its projection.

    Repeated keys carry the queries' own axis only from the repetition on. What no projection is behind (the tables of a
    rotation) says nothing.
    """
    carried = set(heads)
    seen = {value}
    waiting = [value]
    while waiting:
        current = waiting.pop(0)
        if next(flow.layers_behind(current), None) is not None:
            carried &= {axis for dim in flow.interface.values[current].dims for axis in flow.interface.leaves(dim)}
        at = flow.writer.get(current)
        operator = flow.interface.operators[at] if at is not None else None
        if operator is None or operator.kind in WEIGHTED:
            continue
        fresh = [one for one in operator.inputs if one not in seen]
        seen.update(fresh)
        waiting += fresh
    return carried


def _projection(result: int, flow: Flow) -> int | None:
    """Return the first layer that reads a result, through whatever moves its entries about."""
    waiting, seen = [result], {result}
    while waiting:
        for at in flow.readers.get(waiting.pop(0), ()):
            operator = flow.interface.operators[at]
            if operator.kind in WEIGHTED:
                return at
            for value in operator.outputs:
                if value not in seen:
                    seen.add(value)
                    waiting.append(value)
    return None


def _smallest(paths: list[str], interface: Interface) -> str:
    """Return the path of the smallest module that holds all of some modules."""
    parts = [path.split(".") if path else [] for path in paths]
    shared: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    path = ".".join(shared)
    while path and path not in interface.module_by_path:
        path = path.rpartition(".")[0]
    # A list is no module that runs: what holds several of its entries is its parent.
    while path and not any(call.module == (interface.module_by_path[path].same_as or path) for call in interface.calls):
        path = path.rpartition(".")[0]
    return path
