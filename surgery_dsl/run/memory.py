"""Where a network's tensors lie in memory."""

from torch import nn

from surgery_dsl.run.digests import named_tensors


def in_own_memory(model: nn.Module) -> nn.Module:
    """Move each tensor that lies in a mapped file, or in another's storage, to memory of its own, one at a time.

    A mapped tensor begins where its file's header happens to end, and kernels that find memory unaligned may sum in
    another order: the same weights would give other outputs when they are loaded again. Ties stay ties.

    Returns:
        The network itself.
    """
    moved: set[int] = set()
    for _, tensor in named_tensors(model):
        if id(tensor) not in moved and not tensor.is_meta:
            moved.add(id(tensor))
            tensor.data = tensor.data.clone()
    return model
