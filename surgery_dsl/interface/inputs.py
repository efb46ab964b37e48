"""What a plan says of a network's inputs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator

from surgery_dsl.interface.expression import Expression, evaluate, from_json, linear, ordered_symbols
from surgery_dsl.interface.model import Data, FreeSize


class InputSpec(Data):
    """One input: ``x("f32", [N, 3, 224, 224])``, ``x("f32", [N, 3, 16 * H, 16 * W])``.

    Attributes:
        name: Its name; the forward's keyword where the plan lists several inputs.
        dtype: ``f16 bf16 f32 f64 i8 i16 i32 i64 bool``.
        dims: Fixed sizes as integers, free sizes by name, and linear expressions of one free size (``2 * T + 1``).
        below: For integer inputs: values lie in ``0 … below − 1``; ``None`` takes the range of the embedding that
            reads them.
        free: Ranges of the free sizes, where the plan gives them.
    """

    name: str
    dtype: str
    dims: tuple[Annotated[Expression, BeforeValidator(from_json)], ...]
    below: int | None = None
    free: tuple[FreeSize, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The free sizes, in the order in which they occur."""
        return tuple(dict.fromkeys(name for dim in self.dims for name in ordered_symbols(dim)))

    def shape(self, sizes: Mapping[str, int]) -> list[int]:
        """Return the shape where every free size is given; raise ``KeyError`` for one that is not."""
        return [evaluate(dim, sizes) for dim in self.dims]

    def takes(self, shape: Sequence[int]) -> bool:
        """Say whether some free sizes, whatever their ranges, give a shape."""
        if len(shape) != len(self.dims):
            return False
        found: dict[str, int] = {}
        for dim, size in zip(self.dims, shape, strict=True):
            name, step, rest = linear(dim)
            count = (size - rest) // step if step else 0
            if step * count + rest != size or (name and (count < 1 or found.setdefault(name, count) != count)):
                return False
        return True


def free_names(inputs: Iterable[InputSpec]) -> tuple[str, ...]:
    """Return the free sizes of some inputs, in the order in which they occur."""
    return tuple(dict.fromkeys(name for spec in inputs for name in spec.names))
