"""Pure tensor functions: the arithmetic of surgery, one idea a file.

A kernel knows tensors and numbers, and nothing of plans, models or diagnostics. It runs on CPU and
CUDA, in float16, bfloat16, float32 and float64, and gives equal results for equal inputs. Wrong
arguments are mistakes of the caller and raise ``ValueError``; what a user may get wrong has been
refused before by the layers above. Large tensors are worked through in blocks (``blocks``), so extra
memory stays small beside the tensors themselves.

Dimension legend for tensor suffixes: ``O`` output units, ``I`` inputs of a unit, ``R`` rank,
``U`` units (channels, heads, …), ``N`` entries of a flattened tensor.
"""
