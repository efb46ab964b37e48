"""From a module to a :class:`Graph`: the forward recorded on one example, operator by operator."""

import operator as python_operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
from torch.utils._pytree import tree_leaves

from surgery_dsl.evidence.bounds.assembly import Assembly
from surgery_dsl.evidence.bounds.bags import BAGS
from surgery_dsl.evidence.bounds.graph import Call, Graph, Source, Unbounded
from surgery_dsl.evidence.bounds.operators import Rule, Several, rule_of

_STORAGE = frozenset({"dtype", "device", "layout", "memory_format", "pin_memory", "non_blocking"})
"""Options about where values lie, which real arithmetic does not know."""


def record(
    model: nn.Module, example: Sequence[Tensor], output: int = 0, forward: Callable[..., Any] | None = None
) -> Graph:
    """Read a network's forward as a graph.

    Args:
        model: In eval mode, on any device; nothing of it is changed.
        example: One example for each input, batch dimension of 1 included, in the network's own dtype.
        output: Which of several outputs is meant, from 0.
        forward: How inputs go through the model; by default as its arguments, in order.

    Returns:
        The graph, with float64 coefficients on the network's device.

    Raises:
        Unbounded: An operator has no rule, or the forward goes by the values of its input.
        ValueError: The network is in training mode.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("bounds are of a network in eval mode")
    recorded, calls = _recorded(model, example, forward or model)
    reader = _Reader(calls, example)
    with torch.no_grad():
        for node in recorded.graph.nodes:
            reader.read(node, recorded)
    found = reader.results[output] if reader.results else None
    if not isinstance(found, Source):
        raise Unbounded("the output depends on no input")
    return reader.graph.graph(found.node, reader.unit)


def _recorded(
    model: nn.Module, example: Sequence[Tensor], run: Callable[..., Any]
) -> tuple[torch.fx.GraphModule, list[str]]:
    """Return the recorded forward and, for each of its nodes, the module that ran it."""
    places: list[str] = []

    def forward(*inputs: Tensor) -> Any:
        with _watched(model, places):
            found = run(*inputs)
            _note(places, "")
            return found

    try:
        with torch.no_grad():
            graph = make_fx(torch.func.functionalize(forward), BAGS, tracing_mode="real")(*example)
    except RuntimeError as error:
        if "data-dependent" in str(error) or "Cannot" in str(error) or "concrete" in str(error):
            first = str(error).strip().splitlines()[0]
            raise Unbounded(f"the forward goes by the values of its input ({first[:160]})") from error
        raise
    return graph, places


def _note(places: list[str], module: str) -> None:
    """Say that what was recorded since the last note ran in ``module``."""
    mode = get_proxy_mode()
    assert mode is not None
    places.extend([module] * (len(mode.tracer.graph.nodes) - len(places)))


@contextmanager
def _watched(model: nn.Module, places: list[str]) -> Iterator[None]:
    """Note which module runs while the forward is recorded."""
    stack = [""]
    handles = []
    for path, module in model.named_modules():

        def enter(_: nn.Module, __: Any, path: str = path) -> None:
            _note(places, stack[-1])
            stack.append(path)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            _note(places, stack.pop())

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Reader:
    """Turns recorded calls into calls of the graph; what depends on no input is computed at once."""

    def __init__(self, places: list[str], example: Sequence[Tensor]) -> None:
        self.graph = Assembly([tuple(value.shape) for value in example])
        self.results: tuple[Any, ...] = ()
        self.unit = 0.0
        self._places = places
        self._inputs = iter(enumerate(example))
        self._values: dict[str, Any] = {}
        self._examples: dict[str, Any] = {}
        self._position = 0

    def read(self, node: torch.fx.Node, module: torch.fx.GraphModule) -> None:
        """Read one recorded node."""
        place = self._places[self._position] if self._position < len(self._places) else ""
        self._position += 1
        if node.op == "placeholder":
            number, value = next(self._inputs)
            self._keep(node, Source(number, tuple(value.shape)), value)
        elif node.op == "get_attr":
            value = getattr(module, str(node.target))
            self._keep(node, value, value)
        elif node.op == "output":
            found = torch.fx.node.map_arg(node.args[0], lambda n: self._values[n.name])
            self.results = tuple(tree_leaves(found))
        else:
            self._call(node, place)

    def _call(self, node: torch.fx.Node, place: str) -> None:
        def looked_up(found: dict[str, Any], args: Any) -> Any:
            return torch.fx.node.map_arg(args, lambda n: found[n.name])

        target: Any = node.target
        arguments, keywords = looked_up(self._values, node.args), dict(looked_up(self._values, node.kwargs))
        felt = _feels(arguments) or _feels(tuple(keywords.values()))
        if isinstance(target, torch._ops.OpOverload):
            _refuse_effects(target, place, felt=felt)
        value = target(*looked_up(self._examples, node.args), **looked_up(self._examples, node.kwargs))
        if not felt:
            self._keep(node, value, value)
        elif target is python_operator.getitem:
            several, index = arguments
            self._keep(node, several.parts[index], value)
        else:
            name = target.overloadpacket.__name__
            shape = tuple(value.shape) if isinstance(value, Tensor) else ()
            options = {name: option for name, option in keywords.items() if name not in _STORAGE}
            call = Call(tuple(arguments), options, shape, name, place)
            _refuse_other_types(call, value, looked_up(self._examples, node.args))
            self._keep(node, self.graph.add(call), value)

    def _keep(self, node: torch.fx.Node, value: Any, example: Any) -> None:
        self._values[node.name] = value
        self._examples[node.name] = example
        if isinstance(value, Source) and example.is_floating_point():
            self.unit = max(self.unit, torch.finfo(example.dtype).eps / 2)


def _refuse_effects(target: torch._ops.OpOverload, place: str, *, felt: bool) -> None:
    """Refuse what is another number each time, or changes what later calls read."""
    call = Call((), {}, (), target.overloadpacket.__name__, place)
    if not felt and torch.Tag.nondeterministic_seeded in target.tags:
        raise call.refuse("it is random")
    if target._schema.is_mutable:
        raise call.refuse("it changes a tensor in place, so that the network is another one after each run")


def _refuse_other_types(call: Call, value: Any, examples: Any) -> None:
    """Refuse real numbers that become integers or booleans, or bits that are read as another type."""
    if not isinstance(value, Tensor):
        return
    first = next((one for one in tree_leaves(examples) if isinstance(one, Tensor)), value)
    if call.operator in ("view", "_unsafe_view") and value.dtype != first.dtype:
        raise call.refuse("it reads the bits of a number as another type")
    tokens = not first.is_floating_point() and not first.is_complex()
    if not value.is_floating_point() and not (tokens and rule_of(call.operator) in _moves()):
        raise call.refuse(f"its result is of type {value.dtype}, not a real number")


def _moves() -> tuple[Rule | None, ...]:
    """Return the rules of operators that pass tokens on as they are."""
    return tuple(rule_of(name) for name in ("clone", "view", "select", "cat", "split"))


def _feels(values: Any) -> bool:
    """Whether the input is felt anywhere in nested arguments."""
    if isinstance(values, tuple | list):
        return any(_feels(value) for value in values)
    return isinstance(values, Source | Several)
