"""Which dimensions an operator makes meet: what the tracer's rules join, read off a recorded operator.

The answers are exact for the operators that networks are built of; for all others every dimension that shows the
same axis is taken to meet, which may keep axes together that could part, and never parts any that belong together.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Dim, Operator

Slot = tuple[str, int | str, int]
Link = list[Slot]


class _Seen:
    """An operator's dimensions, named as slots."""

    def __init__(self, operator: Operator, draft: Draft) -> None:
        self.operator = operator
        self.draft = draft

    def dims(self, slot: Slot) -> Dim:
        kind, name, position = slot
        if kind == "value":
            return self.draft.values[int(name)].dims[position]
        return self.draft.tensors[str(name)].dims[position]

    def of_value(self, value: int) -> list[Slot]:
        return [("value", value, position) for position in range(len(self.draft.values[value].dims))]

    def of_tensor(self, name: str) -> list[Slot]:
        return [("tensor", name, position) for position in range(len(self.draft.tensors[name].dims))]

    def inputs(self) -> list[list[Slot]]:
        return [self.of_value(value) for value in self.operator.inputs]

    def outputs(self) -> list[list[Slot]]:
        return [self.of_value(value) for value in self.operator.outputs]

    def tensors(self) -> Iterator[list[Slot]]:
        return (self.of_tensor(name) for name in self.operator.tensors.values())

    def everything(self) -> list[Link]:
        """One link of all dimensions, and of the parts of those that are sums."""
        link = list(chain(*self.inputs(), *self.outputs(), *self.tensors()))
        return [link + self.parts(link)]

    def parts(self, slots: Iterable[Slot]) -> list[Slot]:
        waiting = list(dict.fromkeys(axis for slot in slots for axis in self.dims(slot)))
        found: dict[Slot, None] = {}
        while waiting:
            axis = waiting.pop(0)
            for position, part in enumerate(self.draft.axes[axis].parts):
                if ("sum", axis, position) not in found:
                    found["sum", axis, position] = None
                    waiting += part  # a sum of sums: a split of what was split
        return list(found)


def operator_links(operator: Operator, draft: Draft) -> list[Link]:
    """Return groups of dimensions that an operator joins wherever they show the same axis."""
    seen = _Seen(operator, draft)
    kind = operator.kind
    if kind == "linear" and "weight" in operator.tensors and len(operator.inputs) == 1:
        return _linear(seen)
    if kind.startswith("conv") and "weight" in operator.tensors and len(operator.inputs) == 1:
        return _convolution(seen)
    if kind == "matmul" and len(operator.inputs) == 2 and not operator.tensors:
        return _matmul(seen)
    if kind == "scaled_dot_product_attention" and len(operator.inputs) >= 3:
        return _attention(seen)
    if kind == "embedding" and "weight" in operator.tensors and operator.inputs:
        return _embedding(seen)
    if kind == "batch_norm":
        return _batch_norm(seen)
    if kind == "cat":
        return _cat(seen) or seen.everything()
    return _aligned(seen) or seen.everything()


def _linear(seen: _Seen) -> list[Link]:
    (source,), (result, *_) = seen.inputs(), seen.outputs()
    tensors = seen.operator.tensors
    read, written = _weight_sides(seen.operator)
    links = [list(pair) for pair in zip(source[:-1], result[:-1], strict=True)]
    outgoing = [result[-1], ("tensor", tensors["weight"], written)]
    for role, name in tensors.items():
        own = seen.of_tensor(name)
        if role != "weight" and own:
            outgoing.append(own[-1])
    return [*links, [source[-1], ("tensor", tensors["weight"], read)], outgoing]


def _weight_sides(operator: Operator) -> tuple[int, int]:
    """Return which dimension of a linear weight is read along, and which is written."""
    return (0, 1) if operator.settings.get("input_dim", 1) == 0 else (1, 0)


def _convolution(seen: _Seen) -> list[Link]:
    (source,), (result, *_) = seen.inputs(), seen.outputs()
    operator = seen.operator
    weight = seen.of_tensor(operator.tensors["weight"])
    transposed = operator.kind.startswith("conv_transpose")
    read, written = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
    incoming, outgoing = [source[1], read], [result[1], written]
    outgoing += [slot for role, name in operator.tensors.items() if role != "weight" for slot in seen.of_tensor(name)]
    links = [[a, b] for i, (a, b) in enumerate(zip(source, result, strict=True)) if i != 1]
    if operator.settings.get("groups", 1) != 1:
        # The groups, the outermost factor, are the same in what is read and what is written.
        return [*links, incoming + outgoing]
    return [*links, incoming, outgoing]


def _matmul(seen: _Seen) -> list[Link]:
    (left, right), (result, *_) = seen.inputs(), seen.outputs()
    if len(left) < 2 or len(left) != len(right) or len(result) != len(left):
        return seen.everything()
    lead = [list(slots) for slots in zip(left[:-2], right[:-2], result[:-2], strict=True)]
    return [*lead, [left[-2], result[-2]], [left[-1], right[-2]], [right[-1], result[-1]]]


def _attention(seen: _Seen) -> list[Link]:
    (query, key, value, *masks), (result, *_) = seen.inputs(), seen.outputs()
    links = [[query[i], key[i], value[i], result[i]] for i in (0, 1)]
    links += [[query[2], result[2]], [query[3], key[3]], [key[2], value[2]], [value[3], result[3]]]
    scores = [links[0], links[1], links[2], links[4]]
    for mask in masks:
        for link, slot in zip(reversed(scores), reversed(mask), strict=False):
            link.append(slot)
    return links


def _embedding(seen: _Seen) -> list[Link]:
    indices, (result, *_) = seen.inputs()[0], seen.outputs()
    table = seen.of_tensor(seen.operator.tensors["weight"])
    return [*([a, b] for a, b in zip(indices, result, strict=False)), [table[1], result[-1]]]


def _batch_norm(seen: _Seen) -> list[Link]:
    source, (result, *_) = seen.inputs()[0], seen.outputs()
    links = [[a, b] for a, b in zip(source, result, strict=True)]
    links[1] += [slot for slots in seen.tensors() for slot in slots]
    return links


def _cat(seen: _Seen) -> list[Link]:
    """Join what is concatenated with the parts of the sum, and the other dimensions with each other."""
    sources, (result, *_) = seen.inputs(), seen.outputs()
    at = seen.operator.settings.get("dim")
    if not isinstance(at, int) or seen.operator.tensors or any(len(s) != len(result) for s in sources):
        return []
    dim = seen.dims(result[at])
    if len(dim) != 1 or len(seen.draft.axes[dim[0]].parts) != len(sources):
        return []
    links = [[result[i], *(source[i] for source in sources)] for i in range(len(result)) if i != at]
    return links + [[source[at], ("sum", dim[0], part)] for part, source in enumerate(sources)]


def _aligned(seen: _Seen) -> list[Link]:
    """Join dimensions counted from the right, where all of them are the result's or one; else nothing."""
    outputs = seen.outputs()
    if not outputs:
        return []
    result = outputs[0]
    links = [[slot] for slot in result]
    for slots in chain(seen.inputs(), outputs[1:], seen.tensors()):
        if len(slots) > len(result):
            return []
        for link, slot in zip(reversed(links), reversed(slots), strict=False):
            if seen.dims(slot) not in ((), seen.dims(link[0])):
                return []
            link.append(slot)
    return links


def sides(operator: Operator, draft: Draft) -> dict[str, Slot]:
    """Return the dimension that each integer attribute of torch's module for an operator holds the size of."""
    seen = _Seen(operator, draft)
    if operator.kind == "linear" and len(operator.inputs) == 1:
        source, result = seen.inputs()[0][-1], seen.outputs()[0][-1]
        return {"in_features": source, "out_features": result, "nx": source, "nf": result}
    if operator.kind.startswith("conv") and len(operator.inputs) == 1:
        return {"in_channels": seen.inputs()[0][1], "out_channels": seen.outputs()[0][1]}
    return {}


def macs_of(
    operator: Operator, draft: Draft, dim: Callable[[Slot], Dim], otherwise: Callable[[Dim], Dim]
) -> tuple[Dim, ...]:
    """Return the multiply-accumulates of an operator.

    ``dim`` says what a dimension is. For operators whose cost does not follow from their dimensions here,
    ``otherwise`` renames the products that stand there.
    """
    seen = _Seen(operator, draft)
    weight = operator.tensors.get("weight")
    if operator.kind == "linear" and len(operator.inputs) == 1:
        return (tuple(chain(*map(dim, seen.inputs()[0]), dim(seen.outputs()[0][-1]))),)
    if operator.kind.startswith("conv") and weight is not None and len(operator.inputs) == 1:
        source, result, kernel = seen.inputs()[0], seen.outputs()[0], seen.of_tensor(weight)
        transposed = operator.kind.startswith("conv_transpose")
        read = dim(kernel[0 if transposed else 1])
        if transposed and operator.settings.get("groups", 1) != 1:
            read = read[1:]
        space = (source if transposed else result)[2:]
        return (tuple(chain(dim(source[0]), dim(result[1]), read, *map(dim, kernel[2:]), *map(dim, space))),)
    if operator.kind == "matmul" and len(operator.inputs) == 2 and not operator.tensors:
        return (tuple(chain(*map(dim, seen.inputs()[0]), dim(seen.outputs()[0][-1]))),)
    return tuple(otherwise(product) for product in operator.macs)
