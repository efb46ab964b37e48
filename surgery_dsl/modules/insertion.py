"""Children that run after, before or around their host's own forward.

No tensor that was there before changes its name: the new module is a child of the host, and the host instance gets a
class made for it, whose ``forward`` calls that of its own class and the children. torch's parametrizations change
the class of an instance in the same way. ``isinstance`` holds, ``copy.deepcopy`` works; pickling whole objects
does not.

Several insertions nest in the order they were made: the last is the outermost.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor, nn

from surgery_dsl.modules.dressing import Dressed, dress, own_class, undress

__all__ = ["detach", "hand_on", "insert", "inserted", "listening", "own_class"]

Where = Literal["after", "before", "around"]

_NAMES = "_inserted_children"
_LISTENER = "_own_result_listener"


class _Host(Dressed):
    """Mixed into the class of a host, before its own class."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the host's own forward and the inserted children."""
        own: Callable[..., Any] = super().forward  # type: ignore[misc]
        return _run(self, own, list(inserted(self).items()), args, kwargs)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """Name the inserted children beside what the host shows."""
        own: str = super().extra_repr()  # type: ignore[misc]
        names = ", ".join(f"{name} {where}" for name, where in inserted(self).items())  # type: ignore[arg-type]
        return f"{own}{', ' if own else ''}inserted: {names}"


class _SequentialHost(_Host):
    """A ``Sequential`` runs all its children in turn: the inserted ones are none of them."""

    def __iter__(self) -> Iterator[nn.Module]:
        names = inserted(self)  # type: ignore[arg-type]
        return iter([child for name, child in self._modules.items() if name not in names])  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self._modules) - len(inserted(self))  # type: ignore[attr-defined, arg-type]


def insert(host: nn.Module, name: str, where: Where, child: nn.Module) -> None:
    """Let ``child`` run with ``host`` as its child ``name``.

    ``after``: ``child(host(x))``. ``before``: ``host(child(x))``. ``around``: ``child(host(x), x)``; where the host
    writes in place, it gets a copy of ``x``. ``x`` is the first argument, by position or by keyword; others are
    handed to the host. The child takes over the host's mode (training or not).

    Raises:
        ValueError: The host already has something of that name, or its forward was replaced on the instance.
    """
    if hasattr(host, name) or not name.isidentifier():
        raise ValueError(f"{type(host).__name__} cannot get a child named {name!r}: the name is taken or no name")
    if "forward" in vars(host):
        raise ValueError(f"the forward of this {type(host).__name__} was replaced on the instance")
    made = dict(inserted(host))
    dress(host, _SequentialHost if isinstance(host, nn.Sequential) else _Host, outermost=True)
    host.add_module(name, child)
    made[name] = where
    vars(host)[_NAMES] = made
    child.train(host.training)


def detach(host: nn.Module, name: str) -> nn.Module:
    """Take away a child that was inserted, and return it; a host without any other is of its own class again.

    Raises:
        ValueError: No child of that name was inserted.
    """
    made = dict(inserted(host))
    if name not in made:
        raise ValueError(f"no child named {name!r} was inserted into this {type(host).__name__}")
    child = host.get_submodule(name)
    del made[name], host._modules[name]
    if made:
        vars(host)[_NAMES] = made
    else:
        del vars(host)[_NAMES]
        undress(host, _Host)
    return child


def inserted(module: nn.Module) -> Mapping[str, Where]:
    """Return where each inserted child of a module runs, by name, in the order of insertion."""
    found: Mapping[str, Where] = vars(module).get(_NAMES, MappingProxyType({}))
    return found


@contextmanager
def listening(module: nn.Module, hear: Callable[[Any], object]) -> Iterator[None]:
    """Let ``hear`` have each result of a module's own forward, before children that were inserted behind it run."""
    if not isinstance(module, _Host):
        handle = module.register_forward_hook(lambda _module, _inputs, output: _heard(hear, output))
        try:
            yield
        finally:
            handle.remove()
        return
    vars(module)[_LISTENER] = hear
    try:
        yield
    finally:
        del vars(module)[_LISTENER]


def _heard(hear: Callable[[Any], object], output: Any) -> None:
    hear(output)  # what a hook returns would take the place of the result


def hand_on(old: nn.Module, new: nn.Module) -> None:
    """Insert the children that were inserted into ``old`` into ``new``, which takes its place."""
    for name, where in inserted(old).items():
        insert(new, name, where, old.get_submodule(name))


def _run(
    host: nn.Module,
    own: Callable[..., Any],
    chain: list[tuple[str, Where]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    if not chain:
        result = own(*args, **kwargs)
        hear = vars(host).get(_LISTENER)
        if hear is not None:
            hear(result)
        return result
    name, where = chain[-1]
    child = host.get_submodule(name)
    if where == "after":
        return child(_run(host, own, chain[:-1], args, kwargs))
    first = args[0] if args else next(iter(kwargs.values()))
    if where == "before":
        return _run(host, own, chain[:-1], *_with_first(child(first), args, kwargs))
    inner = first.clone() if isinstance(first, Tensor) and _writes_in_place(host) else first
    result = _run(host, own, chain[:-1], *_with_first(inner, args, kwargs))
    return child(result, first)


def _with_first(first: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (first, *args[1:]), kwargs
    return args, {**kwargs, next(iter(kwargs)): first}


def _writes_in_place(host: nn.Module) -> bool:
    return any(getattr(module, "inplace", False) for module in host.modules())
