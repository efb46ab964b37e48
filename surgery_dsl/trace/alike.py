"""One forward, however it is run: some libraries do something else when they see that they are traced."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def as_if_traced() -> Iterator[None]:
    """Let ``transformers`` take every tensor for one without values, as those of a lock are.

    It leaves an attention mask out where it can see that nothing is masked, and repeats key/value heads or not by that
    (``masking_utils._ignore_causal_mask_sdpa``, ``integrations.sdpa_attention.use_gqa_in_sdpa``): a network with
    values would make other calls than its skeleton did.
    """
    utilities: Any = sys.modules.get("transformers.utils.import_utils")
    before = getattr(utilities, "is_fake_tensor", None)
    if before is None:
        yield
        return
    utilities.is_fake_tensor = lambda _tensor: True
    try:
        yield
    finally:
        utilities.is_fake_tensor = before
