"""What a plan says of a network's inputs."""

from surgery_dsl.interface.model import Data, FreeSize


class InputSpec(Data):
    """One input: ``x("f32", [N, 3, 224, 224])``.

    Attributes:
        name: Its name; the forward's keyword where the plan lists several inputs.
        dtype: ``f16 bf16 f32 f64 i8 i16 i32 i64 bool``.
        dims: Fixed sizes as integers, free sizes by name.
        below: For integer inputs: values lie in ``0 … below − 1``; ``None`` takes the range of the embedding that
            reads them.
        free: Ranges of the free sizes, where the plan gives them.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    below: int | None = None
    free: tuple[FreeSize, ...] = ()
