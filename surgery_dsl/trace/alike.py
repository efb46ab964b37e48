"""One forward, however it is run: some libraries do something else when they see that they are traced."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _OneHot(TorchFunctionMode):
    """Computes ``one_hot`` as torch does for tensors without values: on others it first looks at each."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer calls of ``one_hot`` that say how many classes there are."""
        kwargs = kwargs or {}
        if func is torch.nn.functional.one_hot:
            given = dict(zip(("tensor", "num_classes"), args, strict=False)) | kwargs
            if given.get("num_classes", -1) > 0:
                numbers = torch.arange(given["num_classes"], device=given["tensor"].device)
                return torch.eq(given["tensor"].unsqueeze(-1), numbers).to(torch.int64)
        return func(*args, **kwargs)


@contextmanager
def as_if_traced() -> Iterator[None]:
    """Run a forward as it would run without values, as far as that is known."""
    with _OneHot(), _unmasked():
        yield


@contextmanager
def _unmasked() -> Iterator[None]:
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
