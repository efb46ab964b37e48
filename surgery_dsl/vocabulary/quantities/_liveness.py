"""How many bytes of activations are held at once: each from the operator that writes it to the last that needs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from surgery_dsl.interface.model import FLOATS, Dim, Interface, Operator
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.quantities._stated import axis_size

SHOWN = frozenset(
    {
        *("view", "slice", "select", "unbind", "split", "chunk", "narrow", "squeeze", "unsqueeze", "detach", "alias"),
        *("diagonal", "unfold", "cast", "dropout", "identity", "flatten", "unflatten", "permute", "expand"),
    }
)
"""Operators whose result lies in the memory of what they read, if its entries can stay where they are."""
MOVED = frozenset({"permute", "expand"})
"""Those that leave entries in another order, or show them twice: a later ``view`` writes them anew."""


@dataclass(frozen=True, slots=True)
class Held:
    """A piece of memory: the value that fills it, and the operators between which it is held (both inclusive)."""

    value: int
    first: int
    last: int


def held(interface: Interface) -> tuple[Held, ...]:
    """Return every activation with its life, inputs and outputs of the network included.

    A value lives from the operator that writes it to the last that reads it, or to the end of the module that it was
    handed to. Inputs are the caller's and live throughout, outputs to the end. Views lie in the memory of what they
    show; weights that are looked up for a product stay where they are.
    """
    end = len(interface.operators)
    owner: dict[int, int] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    moved: set[int] = set()
    stacked: set[int] = set()

    def note(value: int, root: int, at: int) -> None:
        if value in stacked:
            return
        owner[value] = root
        first.setdefault(root, at)
        last[root] = max(last.get(root, at), at)

    for port in interface.inputs:
        note(port.value, port.value, -1)
        last[port.value] = end
    for at, operator in enumerate(interface.operators):
        for value in operator.inputs:
            note(value, owner.get(value, value), at)
        source = _shown_by(operator, interface, moved)
        if operator.kind == "index" and _is_stack(operator, interface):
            stacked.update(operator.outputs)
        for value in operator.outputs:
            note(value, value if source is None else owner.get(source, value), at)
        if source is not None and (operator.kind in MOVED or source in moved):
            moved.update(operator.outputs)
    for call in interface.calls:
        for value in call.inputs:
            if owner.get(value) in last:
                last[owner[value]] = max(last[owner[value]], call.last - 1)
    for port in interface.outputs:
        if owner.get(port.value) in last:
            last[owner[port.value]] = end
    return tuple(Held(value, first[value], last[value]) for value in first)


def _is_stack(operator: Operator, interface: Interface) -> bool:
    """Whether an operator chooses among stacked matrices, such as the weights of experts."""
    return any(len(interface.tensor_by_name[name].dims) > 2 for name in operator.tensors.values())


def _shown_by(operator: Operator, interface: Interface, moved: set[int]) -> int | None:
    """Return the value in whose memory an operator's results lie; ``None`` where it writes anew."""
    if operator.kind not in SHOWN or not operator.inputs:
        return None
    source = operator.inputs[0]
    if operator.kind == "view" and source in moved:
        return None
    same = all(interface.values[value].dtype == interface.values[source].dtype for value in operator.outputs)
    return source if same else None


def peaks(interface: Interface, sizes: Mapping[str, int], bytes_of: Callable[[str], int]) -> tuple[int, int]:
    """Return the greatest sum of bytes held at one operator, with open axes at their least and at their greatest.

    ``bytes_of`` gives the bytes of one element by dtype. Counts grow with every axis, so that what any outcome holds
    lies between the two.
    """
    size = _Sizes(interface, sizes)
    end = len(interface.operators)
    low, high = [0] * (end + 3), [0] * (end + 3)
    for one in held(interface):
        value = interface.values[one.value]
        least, most = bytes_of(value.dtype), bytes_of(value.dtype)
        for dim in value.dims:
            small, large = size.of(dim)
            least, most = least * small, most * large
        for change, amount in ((low, least), (high, most)):
            change[one.first + 1] += amount
            change[one.last + 2] -= amount
    return _greatest(low), _greatest(high)


def _greatest(changes: list[int]) -> int:
    here = most = 0
    for change in changes:
        here += change
        most = max(most, here)
    return most


class _Sizes:
    """Least and greatest sizes of dimensions, each axis looked at once."""

    def __init__(self, interface: Interface, sizes: Mapping[str, int]) -> None:
        self.interface, self.sizes = interface, sizes
        self.known: dict[int, tuple[int, int]] = {}

    def of(self, dim: Dim) -> tuple[int, int]:
        """Return the range of a product of axes."""
        least = most = 1
        for axis in dim:
            if axis not in self.known:
                self.known[axis] = self._axis(axis)
            small, large = self.known[axis]
            least, most = least * small, most * large
        return least, most

    def _axis(self, axis: int) -> tuple[int, int]:
        parts = self.interface.axes[axis].parts
        if not parts:
            return axis_size(self.interface, axis, self.sizes)
        ranges = [self.of(part) for part in parts]
        return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def element_bytes(dtype: str, real: str = "") -> int:
    """Return the bytes of one element; real ones count as ``real`` where that is given."""
    return _counting.element_bytes(real if real and dtype in FLOATS else dtype)
