"""Classes made for single instances: a module of any class whose forward does something more.

The class is changed as torch's parametrizations do it. ``isinstance`` holds and ``copy.deepcopy`` works; pickling
whole objects does not.
"""

from torch import nn


class Dressed:
    """What is mixed into the class of an instance, before its own class. Abstract."""


def own_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module as it was before anything was mixed in."""
    if isinstance(module, Dressed):
        kind: type[nn.Module] = type(module).__bases__[-1]
        return kind
    return type(module)


def dress(module: nn.Module, mixin: type[Dressed], outermost: bool) -> None:
    """Mix something into the class of one module; its forward runs outermost, or right around the module's own."""
    if isinstance(module, mixin):
        return
    worn = [kind for kind in type(module).__bases__[:-1] if isinstance(module, Dressed)]
    _wear(module, [mixin, *worn] if outermost else [*worn, mixin])


def undress(module: nn.Module, mixin: type[Dressed]) -> None:
    """Take something that was mixed in out again."""
    if isinstance(module, mixin):
        _wear(module, [kind for kind in type(module).__bases__[:-1] if not issubclass(kind, mixin)])


def _wear(module: nn.Module, mixins: list[type]) -> None:
    own = own_class(module)
    body = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    module.__class__ = type(own.__name__, (*mixins, own), body) if mixins else own
