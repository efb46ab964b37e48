"""Looking at what chosen operators of a forward write, while data runs through it.

An operator goes by its path in the interface: a module's path, or ``module/kind#n`` for the n-th call of that kind in
the module's own forward. Of a module its own forward is watched, without children that surgeries inserted into it;
calls are watched at the level of ATen, where the tracer counted them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.modules.insertion import listening

Note = Callable[[str, Tensor], None]
"""Is given the path of an operator and what it wrote; may not keep the tensor, which later calls may overwrite."""


def watch(
    model: nn.Module,
    paths: Iterable[str],
    batches: Iterable[tuple[Inputs, Tensor]],
    note: Note,
    forward: Callable[[Inputs], object] | None = None,
    *,
    entering: Iterable[str] = (),
    note_entering: Note | None = None,
) -> None:
    """Run batches through a model, without gradients, and show what operators write.

    Args:
        model: The model; its mode is left as it is.
        paths: Operators: modules whose forward is one operator, or calls (``blocks.0/relu#0``).
        batches: Pairs of inputs and targets, on the model's device.
        note: Called with each watched result, once for every run of its module.
        forward: How inputs go through the model; by default as its only argument.
        entering: Modules of which the first argument is shown.
        note_entering: Called with these; ``note`` where it is not given.

    Raises:
        LookupError: A path names no module, or an operator that never ran.
    """
    wanted, doors = list(dict.fromkeys(paths)), list(dict.fromkeys(entering))
    seen: set[str] = set()
    entered: set[str] = set()

    def show(path: str, output: Tensor) -> None:
        seen.add(path)
        note(path, output)

    def show_entering(path: str, value: Tensor) -> None:
        entered.add(path)
        (note_entering or note)(path, value)

    calls = {path for path in wanted if "#" in path}
    ran = False
    with torch.no_grad(), ExitStack() as stack:
        for path in wanted:
            if path not in calls:
                stack.enter_context(listening(_module(model, path), partial(show, path)))
        if calls:
            stack.enter_context(_Calls(model, calls, show).watching())
        for path in doors:
            hook = _module(model, path).register_forward_pre_hook(
                _first(partial(show_entering, path)), with_kwargs=True
            )
            stack.callback(hook.remove)
        for inputs, _ in batches:
            (forward or model)(inputs)
            ran = True
    missing = [*(path for path in wanted if path not in seen), *(path for path in doors if path not in entered)]
    if ran and missing:
        raise LookupError(f"never ran: {', '.join(missing)}")


def _first(show: Callable[[Tensor], object]) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(found, Tensor):
            show(found)

    return hook


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise LookupError(f"no module stands at {path}") from None


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows what calls in the forwards of modules write."""

    def __init__(self, model: nn.Module, wanted: set[str], show: Note) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.wanted = wanted
        self.show = show
        self.paths: dict[nn.Module, str] = {}
        for path, module in model.named_modules():
            self.paths.setdefault(module, path)
        self.open: list[tuple[str, Counter[str]]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count calls, module run by module run."""
        handles = []
        for module in self.paths:
            handles.append(module.register_forward_pre_hook(self._enter))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, _inputs: Any) -> None:
        self.open.append((self.paths[module], Counter()))

    def _leave(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        self.open.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call; show what it wrote where it is wanted."""
        result = func(*args, **(kwargs or {}))
        if self.open and isinstance(result, Tensor):
            path, counts = self.open[-1]
            kind = _kind(func.overloadpacket.__name__.strip("_"), args)
            here = f"{path}/{kind}#{counts[kind]}"
            counts[kind] += 1
            if here in self.wanted:
                self.show(here, result)
        return result


def _kind(name: str, args: Any) -> str:
    """Return the interface's name of an ATen operator that can be watched."""
    if name == "convolution":
        rank = args[1].dim() - 2
        return f"conv_transpose{rank}d" if args[6] else f"conv{rank}d"
    return {"prelu_kernel": "prelu"}.get(name, name)
