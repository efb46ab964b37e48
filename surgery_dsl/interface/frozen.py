"""Why an axis keeps its size: the texts of :attr:`~surgery_dsl.interface.model.Axis.frozen`.

``INPUT`` and ``OUTPUT`` are the network's contract; a plan that says ``changes = inputs`` or ``changes = outputs``
may lift them, so they are compared as constants. All other texts are for people.
"""

INPUT = "input of the network"
OUTPUT = "output of the network"
FREE = "size of the input"
SPATIAL = "spatial size"
KERNEL = "kernel size"
BUFFER = "only buffers carry it"
UNCARRIED = "no tensor of the network carries it"
UNREAD = "the forward does not read it"
CHOSEN = "the forward reads some entries of a list and not others: by values, or never"


def opaque(operator: str, place: str) -> str:
    """Say that an operator without a rule reads or writes the axis."""
    return f"no rule follows axes through {operator} ({place}); one can be registered, see docs/operators.md"


def lookup(place: str) -> str:
    """Say that indices which the forward computes pick entries of the axis."""
    return f"entries are picked by index ({place})"


def constant(operator: str, place: str) -> str:
    """Say that the axis is tied to a tensor that the forward itself makes."""
    return f"the forward makes a constant of this size with {operator} ({place})"


def is_constant(reason: str) -> bool:
    """Say whether an axis is frozen for nothing but a tensor that the forward itself makes."""
    return reason.startswith("the forward makes a constant of this size")


_SELECTED = "single indices are picked by number"


def selected(place: str) -> str:
    """Say that the forward picks single indices of the axis by number."""
    return f"{_SELECTED} ({place})"


def is_selected(reason: str) -> bool:
    """Say whether an axis is frozen because the forward picks single indices of it by number."""
    return reason.startswith(_SELECTED)


def regrouped(operator: str, place: str) -> str:
    """Say that an operator regroups the axis in a way that products and sums of axes cannot express."""
    return f"{operator} regroups it in a way that cannot be followed ({place})"


def hard_coded(operator: str, place: str) -> str:
    """Say that the forward holds the size of the axis as a number of its own."""
    return f"the forward holds its size as a number at {operator} ({place})"


_ROWS = "as many entries as the forward chooses by values"


def rows(place: str) -> str:
    """Say that the axis counts what the forward chooses by values: all that there are, where it is traced."""
    return f"{_ROWS} ({place})"


def is_rows(reason: str) -> bool:
    """Say whether an axis may be any shorter for other inputs: it counts what a forward chooses by values."""
    return reason.startswith(_ROWS)


def counted(path: str, what: str) -> str:
    """Say that a forward which goes through a list is not what was predicted where the list is longer or shorter."""
    return f"the forward does something else where `{path}` has more or fewer entries: {what}"


FOLLOWS = "is given a number that follows from its size"
"""What an operator is, at whose place the forward computes with the size: at another size it is another function."""

_SCALED = "attention is scaled by its size"
_TIED = "its size is tied by"


def scaled(place: str) -> str:
    """Say that attention divides its scores by the root of the size."""
    return f"{_SCALED} ({place})"


def is_value(reason: str) -> bool:
    """Say whether an axis is frozen for nothing but the values that another size would give."""
    return FOLLOWS in reason or reason.startswith((_SCALED, _TIED))


def tied(integer: str) -> str:
    """Say that the size is tied to one that cannot change."""
    return f"{_TIED} {integer} to one that cannot change"


def rank(reason: str) -> int:
    """Return how firmly a reason holds: the lower, the firmer. The contract can be lifted, all else cannot."""
    return 2 if reason == OUTPUT else 1 if reason == INPUT else 0
