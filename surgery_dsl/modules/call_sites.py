"""Functional calls of a forward that go to a module instead.

``F.relu(x)`` in a forward is no module that could be exchanged. The host gets a child, and while the host's own forward
runs, a function mode hands the n-th call of that kind to the child. Calls are counted in order, those alone that the
host's own forward makes (not its children's); a forward that makes more or fewer of them than were recorded is refused
as it runs, because the numbers would then mean other calls.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from surgery_dsl.modules.dressing import Dressed, dress

_SITES = "_call_sites"

KINDS = (
    *("relu", "relu6", "hardtanh", "gelu", "silu", "mish", "leaky_relu", "elu", "celu", "selu", "sigmoid", "tanh"),
    *("softplus", "softsign", "hardswish", "hardsigmoid", "hardshrink", "softshrink"),
)
"""Kinds of calls that can be told from one another by the function that is called."""


class CallsDiffer(RuntimeError):
    """A forward makes other calls than were recorded when one of them was replaced."""


@dataclass(frozen=True)
class Sites:
    """The calls of one host that go to modules.

    Attributes:
        children: Kind and number of a call: the name of the child.
        counts: How many calls of a kind the host's own forward makes.
    """

    children: Mapping[tuple[str, int], str]
    counts: Mapping[str, int]


class _Caller(Dressed):
    """Mixed into the class of a host, right before its own class."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the host's own forward; the calls that were replaced go to its children."""
        own: Callable[..., Any] = super().forward  # type: ignore[misc]
        mode = _Calls(self)  # type: ignore[arg-type]
        with mode:
            result = own(*args, **kwargs)
        mode.check()
        return result


class _Calls(TorchFunctionMode):
    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        self.host = host
        self.sites: Sites = vars(host)[_SITES]
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call, or the child that stands for it."""
        kwargs = kwargs or {}
        kind = functions().get(func)
        if kind is None or kind not in self.sites.counts or _running() is not self.host:
            return func(*args, **kwargs)
        number = self.seen[kind]
        self.seen[kind] += 1
        name = self.sites.children.get((kind, number))
        if name is None:
            return func(*args, **kwargs)
        if func.__name__.endswith("_") or kwargs.get("inplace") is True or any(a is True for a in args[1:]):
            raise CallsDiffer(f"call {number} of {kind} in {type(self.host).__name__} writes in place")
        return self.host.get_submodule(name)(args[0] if args else kwargs["input"])

    def check(self) -> None:
        """Refuse a forward that made other calls than were recorded."""
        for kind, count in self.sites.counts.items():
            if self.seen[kind] != count:
                raise CallsDiffer(
                    f"the forward of {type(self.host).__name__} made {self.seen[kind]} calls of {kind}; "
                    f"one of them was replaced when it made {count}"
                )


def replace_call(host: nn.Module, kind: str, number: int, count: int, name: str, child: nn.Module) -> None:
    """Let a functional call in a module's own forward go to a new child.

    Args:
        host: The module whose forward makes the call.
        kind: What is called: ``relu`` for ``F.relu``, ``torch.relu`` and the tensor's method alike.
        number: Which of these calls, of those that go to no child yet.
        count: How many of these calls there are, of those that go to no child yet.
        name: Name of the child.
        child: What runs instead; it takes one tensor. It takes over the host's mode (training or not).

    Raises:
        ValueError: The kind cannot be told, the number is out of range, the name is taken, or the host's forward was
            replaced on the instance.
    """
    if kind not in KINDS or not 0 <= number < count:
        raise ValueError(f"call {number} of {count} of {kind} cannot be replaced")
    if hasattr(host, name) or not name.isidentifier():
        raise ValueError(f"{type(host).__name__} cannot get a child named {name!r}: the name is taken or no name")
    if "forward" in vars(host):
        raise ValueError(f"the forward of this {type(host).__name__} was replaced on the instance")
    old: Sites = vars(host).get(_SITES, Sites({}, {}))
    taken = {at for known, at in old.children if known == kind}
    whole = count + len(taken)
    if old.counts.get(kind, whole) != whole:
        raise ValueError(f"{type(host).__name__} makes {old.counts[kind]} calls of {kind} and not {whole}")
    free = [at for at in range(whole) if at not in taken]
    dress(host, _Caller, outermost=False)
    host.add_module(name, child)
    vars(host)[_SITES] = Sites({**old.children, (kind, free[number]): name}, {**old.counts, kind: whole})
    child.train(host.training)


@cache
def functions() -> dict[Any, str]:
    """Return the functions of torch that make a call of each kind, in-place forms too."""
    found: dict[Any, str] = {}
    for kind in KINDS:
        for holder in (nn.functional, torch, Tensor, torch._C._nn):
            for name in (kind, f"{kind}_"):
                function = getattr(holder, name, None)
                if function is not None:
                    found[function] = kind
    return found


def _running() -> nn.Module | None:
    """Return the module whose forward makes the call at hand: that of the innermost module call on the stack."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code is nn.Module._call_impl.__code__:
            module: nn.Module = frame.f_locals["self"]
            return module
        frame = frame.f_back
    return None
