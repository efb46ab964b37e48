"""Calls of a forward that go to a new child instead: functional ones, and single calls of a module.

``F.relu(x)`` in a forward is no module that could be exchanged, and a module that a forward calls several times
(``self.relu`` in a residual block) is one module for all of its calls. The host gets a child. While the host's own
forward runs, a function mode hands the n-th call of that function to the child; a module of which single calls are
replaced asks at each call who makes it. Calls are counted in order, from 0 in every forward of the host, those alone
that the host's own forward makes (not its children's); a forward that makes more or fewer of them than were recorded is
refused as it runs, because the numbers would then mean other calls.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
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


Children = Mapping[tuple[str, int], str]
"""What is called and the number of the call: the name of the child that runs instead."""


@dataclass(frozen=True)
class Sites:
    """The calls of one host that go to modules.

    Attributes:
        children: Functional calls by kind.
        counts: How many calls of a kind the host's own forward makes.
        modules: Calls of modules, by their path below the host.
        module_counts: How often the host's own forward calls these modules.
    """

    children: Children = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    modules: Children = field(default_factory=dict)
    module_counts: Mapping[str, int] = field(default_factory=dict)


class _Caller(Dressed):
    """Mixed into the class of a host, right before its own class."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the host's own forward; the calls that were replaced go to its children."""
        own: Callable[..., Any] = super().forward  # type: ignore[misc]
        calls = _Calls(self)  # type: ignore[arg-type]
        with calls if calls.sites.counts else nullcontext():
            result = own(*args, **kwargs)
        calls.check()
        return result


class _Called(Dressed):
    """Mixed into the class of a module of which single calls go to other modules."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module, or the child of the caller that stands for it at this call."""
        calls = _calls_of_caller()
        child = None if calls is None else calls.child_for(self)  # type: ignore[arg-type]
        if child is None:
            return super().__call__(*args, **kwargs)  # type: ignore[misc]
        return child(args[0] if args else next(iter(kwargs.values())))


class _Calls(TorchFunctionMode):
    """The calls that one run of a host makes."""

    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        self.host = host
        self.sites: Sites = vars(host)[_SITES]
        self.seen: Counter[str] = Counter()
        self.modules_seen: Counter[str] = Counter()

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

    def child_for(self, module: nn.Module) -> nn.Module | None:
        """Count a call of a module; return the child that runs instead, ``None`` where the module itself does."""
        for path in self.sites.module_counts:
            # torch.export calls stand-ins that share what a module holds, and are no such module themselves
            if vars(self.host.get_submodule(path)) is vars(module):
                number = self.modules_seen[path]
                self.modules_seen[path] += 1
                name = self.sites.modules.get((path, number))
                return None if name is None else self.host.get_submodule(name)
        return None

    def check(self) -> None:
        """Refuse a forward that made other calls than were recorded."""
        for seen, counts in ((self.seen, self.sites.counts), (self.modules_seen, self.sites.module_counts)):
            for called, count in counts.items():
                if seen[called] != count:
                    raise CallsDiffer(
                        f"the forward of {type(self.host).__name__} made {seen[called]} calls of {called}; "
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
    if kind not in KINDS:
        raise ValueError(f"calls of {kind} cannot be replaced")
    sites = _sites(host)
    children, whole = _with(sites.children, sites.counts, kind, number, count, name)
    _take(host, name, child, replace(sites, children=children, counts={**sites.counts, kind: whole}))


def replace_module_call(host: nn.Module, path: str, number: int, count: int, name: str, child: nn.Module) -> None:
    """Let one of the calls of a module, of those that another module's own forward makes, go to a new child.

    Args:
        host: The module whose forward makes the call.
        path: Path of the module that is called, below the host.
        number: Which of its calls, of those that go to no child yet.
        count: How many of its calls there are in one forward of the host, of those that go to no child yet.
        name: Name of the child.
        child: What runs instead; it takes one tensor. It takes over the host's mode (training or not).

    Raises:
        ValueError: There is no such module, the number is out of range, the name is taken, the host's forward was
            replaced on the instance, or the host is a ``Sequential``, which would run the child as an entry.
    """
    try:
        module = host.get_submodule(path)
    except AttributeError:
        raise ValueError(f"{type(host).__name__} has no module {path}") from None
    if not path or isinstance(host, nn.Sequential):
        raise ValueError(f"calls of {path or 'itself'} in a {type(host).__name__} cannot be replaced")
    sites = _sites(host)
    children, whole = _with(sites.modules, sites.module_counts, path, number, count, name)
    counts = {**sites.module_counts, path: whole}
    _take(host, name, child, replace(sites, modules=children, module_counts=counts))
    dress(module, _Called, outermost=True)


def hand_on_calls(olds: Iterable[nn.Module], new: nn.Module) -> None:
    """Let callers count the calls of a module that takes the place of others as they counted theirs."""
    if any(isinstance(old, _Called) for old in olds):
        dress(new, _Called, outermost=True)


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


def _sites(host: nn.Module) -> Sites:
    found: Sites = vars(host).get(_SITES, Sites())
    return found


def _with(
    children: Children, counts: Mapping[str, int], called: str, number: int, count: int, name: str
) -> tuple[Children, int]:
    """Return the children with one more, and how many calls there are in all."""
    if not 0 <= number < count:
        raise ValueError(f"call {number} of {count} of {called} cannot be replaced")
    taken = {at for known, at in children if known == called}
    whole = count + len(taken)
    if counts.get(called, whole) != whole:
        raise ValueError(f"the forward makes {counts[called]} calls of {called} and not {whole}")
    free = [at for at in range(whole) if at not in taken]
    return {**children, (called, free[number]): name}, whole


def _take(host: nn.Module, name: str, child: nn.Module, sites: Sites) -> None:
    if hasattr(host, name) or not name.isidentifier():
        raise ValueError(f"{type(host).__name__} cannot get a child named {name!r}: the name is taken or no name")
    if "forward" in vars(host):
        raise ValueError(f"the forward of this {type(host).__name__} was replaced on the instance")
    dress(host, _Caller, outermost=False)
    host.add_module(name, child)
    vars(host)[_SITES] = sites
    child.train(host.training)


def _calls_of_caller() -> _Calls | None:
    """Return the calls of the run that makes the call at hand, where some of them go to children."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not nn.Module._call_impl.__code__:
        if frame.f_code is _Caller.forward.__code__:
            calls: _Calls | None = frame.f_locals.get("calls")
            return calls
        frame = frame.f_back
    return None


def _running() -> nn.Module | None:
    """Return the module whose forward makes the call at hand: that of the innermost module call on the stack."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code is nn.Module._call_impl.__code__:
            module: nn.Module = frame.f_locals["self"]
            return module
        frame = frame.f_back
    return None
