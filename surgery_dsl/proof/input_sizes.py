"""Which sizes a dimension of an input may have, and which it may not."""

from dataclasses import dataclass

from surgery_dsl.interface.expression import bounds, linear, linear_text
from surgery_dsl.interface.model import Dim, Extent, Interface


@dataclass(frozen=True, slots=True)
class InputSize:
    """The sizes ``least``, ``least + step`` … up to ``most``, without end where that is ``None``.

    Attributes:
        written: The size as a plan writes it, where it is a multiple of a free size or moved against one.
    """

    least: int
    most: int | None
    step: int = 1
    written: str = ""

    def takes(self, size: int) -> bool:
        """Say whether a size is one of them."""
        return self.least <= size and (self.most is None or size <= self.most) and (size - self.least) % self.step == 0

    @property
    def text(self) -> str:
        """The sizes, as messages write them."""
        if self.written:
            return self.written
        return str(self.least) if self.least == self.most else f"{self.least}..{'' if self.most is None else self.most}"

    def why_not(self, size: int) -> str:
        """Return which sizes lie nearest to one that is none of them."""
        below = max(self.least, size - (size - self.least) % self.step)
        near = [one for one in (below, below + self.step) if self.takes(one)]
        near = near or [self.least if self.most is None or size < self.least else self.most]
        return f"`{self.written}` is {' or '.join(str(one) for one in near)}, never {size}"


def input_size(interface: Interface, dim: Dim) -> InputSize:
    """Return the sizes that a dimension of an input may have, choices before it included."""
    ranges = {free.name: (free.least, free.most) for free in interface.free}
    size = interface.expression(dim)
    try:
        name, factor, rest = ("", 0, 0) if size is None else linear(size)
    except ValueError:  # of several free sizes, by a step
        size = None
    if size is not None and factor > 0:
        least, most = ranges[name]
        written = linear_text(size) if factor > 1 or rest else ""
        return InputSize(factor * least + rest, None if most is None else factor * most + rest, factor, written)
    least, most = 1, 1
    for axis in interface.leaves(dim):
        one = interface.axes[axis].size
        low, high = (one.least, one.most) if isinstance(one, Extent) else bounds(one, ranges)
        least *= low or 0
        most = None if high is None or most is None else most * high
    return InputSize(least, most)
