"""Layers in the order of the forward: what layer-wise rates and gradual thawing count.

A layer is a module that holds parameters of its own; it stands where the forward first reads one of them.
"""

from surgery_dsl.interface.model import Data, Interface


class Layer(Data):
    """A module's path and the parameters it holds itself, ties by their first name."""

    path: str
    parameters: tuple[str, ...]


def layers(interface: Interface) -> tuple[Layer, ...]:
    """Return the layers in the order of the forward; those that it never reads come first."""
    order: dict[str, int] = {}
    for position, operator in enumerate(interface.operators):
        for name in operator.tensors.values():
            order.setdefault(interface.tensor_by_name[name].tied_to or name, position)
    found: dict[str, list[str]] = {}
    for tensor in interface.tensors:
        if tensor.role == "parameter" and not tensor.tied_to:
            found.setdefault(holder(tensor.name), []).append(tensor.name)
    ranked = sorted(found.items(), key=lambda item: min(order.get(name, -1) for name in item[1]))
    return tuple(Layer(path=path, parameters=tuple(names)) for path, names in ranked)


def holder(tensor: str) -> str:
    """Return the path of the module that holds a tensor."""
    return tensor.rpartition(".")[0]


def is_below(path: str, top: str) -> bool:
    """Whether a module path is another or lies inside it; everything lies inside the root, ``""``."""
    return not top or path == top or path.startswith(top + ".")


def parameters_below(interface: Interface, tops: tuple[str, ...]) -> frozenset[str]:
    """Return the parameters of modules at or below some paths, by every name that they have there.

    A module object that stands at several paths is found by each; tied parameters go by their first name.
    """
    same = {module.path: module.same_as for module in interface.modules if module.same_as}
    wanted = {same.get(top, top) for top in tops} | set(tops)
    return frozenset(
        tensor.tied_to or tensor.name
        for tensor in interface.tensors
        if tensor.role == "parameter" and any(is_below(holder(tensor.name), top) for top in wanted)
    )
