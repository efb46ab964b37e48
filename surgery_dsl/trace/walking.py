"""The modules of a model, in torch's order and without its nested generators, which cost more the deeper a model is."""

from collections.abc import Iterator

from torch import nn


def named_modules(model: nn.Module, duplicates: bool = False) -> Iterator[tuple[str, nn.Module]]:
    """Yield what ``nn.Module.named_modules`` does; with ``duplicates``, a module at each of its paths."""
    seen: set[int] = set()
    left: list[tuple[str, nn.Module]] = [("", model)]
    while left:
        path, module = left.pop()
        if not duplicates:
            if id(module) in seen:
                continue
            seen.add(id(module))
        yield path, module
        if module._modules:
            prefix = path and path + "."
            below = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
            left += below[::-1]


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return what ``nn.Module.modules`` yields."""
    return [module for _, module in named_modules(model)]
