"""What a run runs on, for the record: versions and numbers, nothing that names a person or a machine."""

import platform

import torch

from surgery_dsl.certificate.model import Environment
from surgery_dsl.run.release import tool_version


def environment(device: torch.device, dtype: str, seed: int, deterministic: bool) -> Environment:
    """Return the environment as the certificate holds it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return Environment(
        tool=f"surgery-dsl {tool_version()}",
        python=platform.python_version(),
        torch=torch.__version__,
        device=f"{device} ({name})" if name else str(device),
        dtype=dtype,
        seed=seed,
        threads=torch.get_num_threads(),
        deterministic=deterministic,
    )
