"""A concrete shape interpreter: an outcome put into a network, every operator's shapes and costs in plain numbers.

A counterexample is found by polynomials, tiers and a search; before it is printed, it is replayed here with arithmetic
of its own: sizes of axes and of the input become integers, each operator's rule is applied to the shapes that its
tensors then have, and what the plan limits is counted from these shapes. Nothing here reads a polynomial of the
encoder (but for quantities that are no count of shapes, whose own bounds are taken with every size put in), so that a
mistake there cannot print a false counterexample: the two must agree, or the program reports its own defect.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod

from surgery_dsl.interface import expression as symbolic
from surgery_dsl.interface.model import Dim, Extent, Interface, Operator
from surgery_dsl.language.plan import Apply, Arithmetic, Comparison, Expression, Quantified, Reading
from surgery_dsl.proof.bookkeeping import variable
from surgery_dsl.proof.readings import NotStatic, state_at
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.kinds import Quantity

Shape = tuple[int, ...]
BYTES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
ALIKE = frozenset(
    ("relu", "silu", "gelu", "leaky_relu", "neg", "softmax", "cast", "clamp_min", "sigmoid", "tanh", "dropout")
)
"""Operators whose result has the shape of what they read."""
BROADCAST = frozenset(("add", "sub", "mul", "div"))


@dataclass(frozen=True)
class Concrete:
    """An interface with every size a number. Final.

    Attributes:
        interface: The interface.
        sizes: Axes that a choice leaves open, by id.
        free: Free input sizes.
    """

    interface: Interface
    sizes: Mapping[int, int]
    free: Mapping[str, int]
    _known: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def axis(self, axis: int) -> int:
        """Return the size of an axis, a sum's parts added up."""
        found = self._known.get(axis)
        if found is None:
            found = self._known[axis] = self._axis(axis)
        return found

    def _axis(self, axis: int) -> int:
        described = self.interface.axes[axis]
        if described.parts:
            return sum(self.dim(part) for part in described.parts)
        size = described.size
        if isinstance(size, Extent):
            return self.sizes.get(axis, size.most)
        return size if isinstance(size, int) else symbolic.evaluate(size, self.free)

    def dim(self, dim: Dim) -> int:
        """Return the size of a dimension."""
        return prod(map(self.axis, dim))

    def value(self, number: int) -> Shape:
        """Return the shape of a value that flows between operators."""
        return tuple(map(self.dim, self.interface.values[number].dims))

    def tensor(self, name: str) -> Shape:
        """Return the shape of a parameter or buffer; a number of the code, which is none, has no dimension."""
        tensor = self.interface.tensor_by_name.get(name)
        return () if tensor is None else tuple(map(self.dim, tensor.dims))


def put_in(state: State, witness: Mapping[str, int], stated: Mapping[str, int], model: str = "") -> Concrete:
    """Return the network at a place of a plan with an outcome put in; sizes that it does not name stay as large.

    Args:
        state: The place.
        witness: Sizes by variable.
        stated: Free sizes that a quantity states, which go before those of the witness.
        model: Name of another model of the plan, whose variables begin with it.
    """
    interface = state.interface
    prefix = f"{model} " if model else ""
    sizes = {}
    for axis in interface.axes:
        if isinstance(axis.size, Extent):
            name = prefix + variable(axis.id, state.versions.get(axis.id, 0))
            if name in witness:
                sizes[axis.id] = witness[name]
    free = {size.name: size.least for size in interface.free}
    free |= {name: size for name, size in witness.items() if name in free} | dict(stated)
    return Concrete(interface, sizes, free)


# ---- shapes ------------------------------------------------------------------------------------------------------


def misfit(network: Concrete) -> str:
    """Say which operator's shapes do not fit one another; empty where all do that have a rule here."""
    for operator in network.interface.operators:
        reads, writes = list(map(network.value, operator.inputs)), list(map(network.value, operator.outputs))
        wrong = _wrong(operator, reads, writes, network)
        if wrong:
            return f"`{operator.path}`: {wrong}"
    return ""


def _wrong(operator: Operator, reads: list[Shape], writes: list[Shape], network: Concrete) -> str:
    """Apply one operator's rule; operators without one are not judged."""
    if len(writes) != 1 or not reads:
        return ""
    one, result = reads[0], writes[0]
    weight = network.tensor(operator.tensors["weight"]) if "weight" in operator.tensors else ()
    expected: Shape | None = None
    if operator.kind == "linear" and len(weight) == 2 and len(reads) == 1:
        if one[-1] not in weight:
            return f"a weight of {_text(weight)} reads {_text(one)}"
        into = 1 if weight[1] == one[-1] else 0
        expected = (*one[:-1], weight[1 - into])
    elif operator.kind in ("conv1d", "conv2d", "conv3d") and len(weight) == len(one):
        expected = _convolved(operator, one, weight)
    elif operator.kind in ALIKE and len(reads) == 1:
        expected = one
    elif operator.kind in BROADCAST and len(reads) == 2:
        expected = _together(one, reads[1])
    elif operator.kind == "matmul" and len(reads) == 2 and min(map(len, reads)) >= 2:
        if one[-1] != reads[1][-2]:
            return f"{_text(one)} times {_text(reads[1])}"
        batch = _together(one[:-2], reads[1][:-2])
        expected = None if batch is None else (*batch, one[-2], reads[1][-1])
    elif operator.kind in ("view", "permute") and len(reads) == 1:
        alike = prod(one) == prod(result) if operator.kind == "view" else sorted(one) == sorted(result)
        expected = result if alike else one
    return "" if expected is None or expected == result else f"gives {_text(expected)}, predicted is {_text(result)}"


def _convolved(operator: Operator, one: Shape, weight: Shape) -> Shape | None:
    """Return ⌊(n + 2p − d(k − 1) − 1) / s⌋ + 1 (Dumoulin and Visin, A guide to convolution arithmetic, 2016)."""
    settings = [operator.settings.get(name) for name in ("stride", "padding", "dilation")]
    rank = len(weight) - 2
    lists = [setting for setting in settings if isinstance(setting, tuple) and len(setting) == rank]
    if len(lists) != 3:
        return None
    edges = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(one[2:], weight[2:], *lists, strict=True))
    return (one[0], weight[0], *edges)


def _together(one: Shape, other: Shape) -> Shape | None:
    """Return the broadcast shape; ``None`` where two sizes differ and neither is one."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    padded = (1,) * (len(longer) - len(shorter)) + shorter
    if any(a != b and 1 not in (a, b) for a, b in zip(longer, padded, strict=True)):
        return None
    return tuple(b if a == 1 else a for a, b in zip(longer, padded, strict=True))


def _text(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


# ---- counts ------------------------------------------------------------------------------------------------------


def parts(word: Quantity, network: Concrete) -> Iterator[tuple[str, str, int]]:
    """Yield what a quantity adds up: path, shape in words, amount; nothing where it is no count of shapes."""
    interface = network.interface
    if word.name in ("params", "weight_bytes"):
        for tensor in interface.tensors:
            kept = tensor.role == "parameter" or (word.name == "weight_bytes" and tensor.persistent)
            if kept and not tensor.tied_to:
                shape = tuple(map(network.dim, tensor.dims))
                yield tensor.name, _text(shape), prod(shape) * (1 if word.name == "params" else BYTES[tensor.dtype])
    elif word.name == "macs":
        for operator in interface.operators:
            if operator.macs:
                reads = _text(network.value(operator.inputs[0])) if operator.inputs else "[]"
                yield operator.path, f"{reads} to {_text(network.value(operator.outputs[0]))}", _macs(operator, network)


def _macs(operator: Operator, network: Concrete) -> int:
    """Count by the shapes: a result times what each of its entries sums up."""
    result = prod(network.value(operator.outputs[0]))
    weight = network.tensor(operator.tensors["weight"]) if "weight" in operator.tensors else ()
    if operator.kind == "linear" and len(weight) == 2 and len(operator.inputs) == 1:
        return result * network.value(operator.inputs[0])[-1]
    if operator.kind in ("conv1d", "conv2d", "conv3d") and len(weight) > 2:
        return result * prod(weight[1:])
    if operator.kind == "matmul" and len(operator.inputs) == 2:
        return result * network.value(operator.inputs[0])[-1]
    return sum(map(network.dim, operator.macs))


Range = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What an outcome gives in numbers: both sides of a comparison, each between two numbers where it is not one."""

    left: Range
    right: Range
    misfit: str = ""

    def breaks(self, relation: str) -> bool:
        """Whether the comparison can fail at this outcome."""
        if relation == "==":
            return not (self.left[0] == self.left[1] == self.right[0] == self.right[1])
        low, high = self.left, self.right
        if relation in (">=", ">"):
            low, high = high, low
        return low[1] > high[0] if relation in ("<=", ">=") else low[1] >= high[0]


def replay(state: State, statement: Comparison, witness: Mapping[str, int], *, shapes: bool = True) -> Replayed:
    """Put an outcome in and work a comparison out; raise :class:`NotStatic` where a side is not one of numbers.

    Args:
        state: The place of the comparison.
        statement: The comparison.
        witness: Sizes by variable.
        shapes: Whether operators are judged too, in every network that the outcome says something of.
    """
    seen: list[Concrete] = []
    left, right = (_evaluated(side, state, witness, seen) for side in (statement.left, statement.right))
    return Replayed(left, right, next(filter(None, map(misfit, seen)), "") if shapes else "")


def network_of(state: State, reading: Reading, witness: Mapping[str, int]) -> Concrete:
    """Return the network that a quantity speaks of with an outcome put in; raise :class:`NotStatic` for a run's."""
    model = reading.point.name if reading.point.at == "model" else ""
    return put_in(state_at(state, reading.point), witness, reading.word.nominal(), model)


def _evaluated(side: Expression, state: State, witness: Mapping[str, int], seen: list[Concrete]) -> Range:
    if isinstance(side, Quantified):
        return (side.number,) * 2
    if isinstance(side, Reading):
        return _counted(side, state, witness, seen)
    if isinstance(side, Arithmetic):
        left, right = (_evaluated(part, state, witness, seen) for part in (side.left, side.right))
        return _combined(side.operator, left, right)
    if isinstance(side, Apply):
        found = [_evaluated(part, state, witness, seen) for part in side.arguments]
        if side.function == "mean":
            return sum((low for low, _ in found), Fraction(0)) / len(found), sum(
                (high for _, high in found), Fraction(0)
            ) / len(found)
        picks: dict[str, Callable[[list[Fraction]], Fraction]] = {"max": max, "min": min, "abs": lambda v: abs(v[0])}
        if side.function in picks:
            pick = picks[side.function]
            return pick([low for low, _ in found]), pick([high for _, high in found])
    raise NotStatic("it is known only from a run")


def _combined(operator: str, left: Range, right: Range) -> Range:
    if operator == "+":
        return left[0] + right[0], left[1] + right[1]
    if operator == "-":
        return left[0] - right[1], left[1] - right[0]
    if operator == "/" and 0 in right:
        raise NotStatic("a division by zero")
    ends = [a * b if operator == "*" else a / b for a in left for b in right]
    return min(ends), max(ends)


def _counted(reading: Reading, state: State, witness: Mapping[str, int], seen: list[Concrete]) -> Range:
    word = reading.word
    there = state_at(state, reading.point)
    network = network_of(state, reading, witness)
    if network.sizes and network not in seen:  # of the others every size was traced
        seen.append(network)
    amounts = [amount for _, _, amount in parts(word, network)]
    if amounts:
        exact = Fraction(sum(amounts), word.denominator)
        return exact, exact
    ends = word.bounds(there.interface, there.static())
    low, high = (end.substitute(network.axis).value for end in ends)
    if low is None or high is None:
        raise NotStatic(f"`{word.name}` has no count at this outcome")
    return Fraction(low, word.denominator), Fraction(high, word.denominator)


# ---- what an outcome may be --------------------------------------------------------------------------------------


def forbidden(state: State, witness: Mapping[str, int]) -> str:
    """Say which selection cannot leave an outcome; empty where all can, as far as the outcome names its sizes."""
    for name, selection in state.selections.items():
        if name not in state.effects or selection.gone is not None:
            continue
        before, after = state.before[name], state.after[name]
        gone = []
        for pool, taken in zip(selection.pools, selection.taken, strict=True):
            whole = None if pool.axis is None else before.interface.exact_size(pool.axis)
            if pool.axis is None or whole is None:
                break
            size = after.interface.axes[pool.axis].size
            if size == whole and taken.least:  # the step writes zeros, and nothing goes
                break
            left = witness.get(variable(pool.axis, after.versions.get(pool.axis, 0)))
            if isinstance(size, int):
                left = size
            if left is None:
                break
            gone.append(pool.size - left)
            if not taken.least <= gone[-1] <= taken.most:
                return f"`{name}` takes {gone[-1]} of `{pool.key}`, which may lose {taken.least} to {taken.most}"
        else:
            total = selection.total
            if total is not None and not total.least <= sum(gone) <= total.most:
                fixed = str(total.least) if total.least == total.most else f"{total.least} to {total.most}"
                return f"`{name}` takes {sum(gone)} in all, and {fixed} go"
    return ""
