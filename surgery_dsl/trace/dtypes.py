"""Names of dtypes as plans write them."""

import torch

BY_NAME: dict[str, torch.dtype] = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u8": torch.uint8,
    "bool": torch.bool,
    "c64": torch.complex64,
    "c128": torch.complex128,
}

_NAMES = {dtype: name for name, dtype in BY_NAME.items()}


def name_of(dtype: torch.dtype) -> str:
    """Return the plan's name of a dtype, torch's own name for one that plans have no word for."""
    return _NAMES.get(dtype) or str(dtype).removeprefix("torch.")
