"""Writing down what a forward does: every ATen call, the tensors it reads and writes, and the module that runs it."""

import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from surgery_dsl.trace.entries import MASKS, Lists, Masks, lists_in
from surgery_dsl.trace.operation import Operation
from surgery_dsl.trace.registry import MODULE, WHOLE_MODULES
from surgery_dsl.trace.walking import named_modules
from surgery_dsl.trace.whose_code import is_library

if TYPE_CHECKING:
    from surgery_dsl.trace.taint import Uses


class Ref(int):
    """The number of a tensor at one moment; a tensor that is written in place gets a new one."""

    __slots__ = ()


@dataclass(slots=True)
class Record:
    """One ATen call.

    Attributes:
        operation: The operator.
        arguments: By argument name, defaults included; tensors as :class:`Ref`.
        reads: The tensors read, in order.
        outputs: The tensors written.
        aliases: Pairs (new, old) of other names of memory that the call wrote.
        run: Position of the module run that made the call.
        source: ``file:line`` of the innermost line of the user's code.
    """

    operation: Operation
    arguments: dict[str, Any]
    reads: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    aliases: tuple[tuple[Ref, Ref], ...]
    run: int
    source: str


@dataclass(slots=True)
class ModuleRun:
    """One run of a module: its records are ``first`` to ``last``; ``parent`` is the run it stands in, −1 for none."""

    path: str
    parent: int
    first: int
    last: int = -1
    inputs: tuple[Ref, ...] = ()
    outputs: tuple[Ref, ...] = ()


@dataclass(slots=True)
class Recording:
    """One forward, written down.

    Attributes:
        records: The calls in order.
        runs: The module runs in order of entry.
        shapes: Shape of each tensor, by :class:`Ref`.
        dtypes: Dtype of each tensor.
        tensors: Parameters and buffers: name to :class:`Ref`, ties included.
        inputs: The network's inputs, in order.
        outputs: Names and tensors of the network's result, in order.
        constants: Tensors that were neither given nor made while recording.
        uses: The calls that were given integers of the Python code, where those were traced.
        lists: The module lists of the network.
    """

    records: list[Record] = field(default_factory=list)
    runs: list[ModuleRun] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    dtypes: list[torch.dtype] = field(default_factory=list)
    tensors: dict[str, Ref] = field(default_factory=dict)
    inputs: tuple[Ref, ...] = ()
    outputs: tuple[tuple[str, Ref], ...] = ()
    constants: set[Ref] = field(default_factory=set)
    uses: "Uses | None" = None
    lists: Lists = field(default_factory=lambda: Lists({}, {}, {}))


class Enough(BaseException):
    """Ends a forward of which nothing more is wanted; no ``Exception``, which forwards may catch."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The dispatch mode that writes calls down. It keeps every tensor alive until it is dropped.

    ``until`` is the position of the last call that is wanted: :class:`Enough` is raised after it.
    """

    def __init__(self, model: nn.Module, tensors: dict[str, Tensor], until: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = sys.maxsize if until is None else until
        self.recording = Recording(lists=lists_in(model))
        self._masks = Masks(self.recording.lists)
        self.open: list[int] = []
        self.last_source = ""
        self.last_operator = ""
        self.calling = False
        self.paused = False
        self._paths = {id(module): path for path, module in named_modules(model)}
        self._refs: dict[int, Ref] = {}
        self._keep: list[Tensor] = []
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._operations: dict[Any, Operation] = {}
        self._base: dict[Ref, Ref] = {}
        self._views: dict[Ref, list[Tensor]] = {}
        self._is_library: dict[Any, bool] = {}
        for name, tensor in tensors.items():
            self.recording.tensors[name] = self._ref(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would wrap every call in a guard against torch.compile, and import it for that.
        return False

    # ---- tensors -----------------------------------------------------------------------------------------------

    def _new(self, tensor: Tensor) -> Ref:
        recording = self.recording
        ref = Ref(len(recording.shapes))
        shape = tuple(tensor.shape)
        recording.shapes.append(self._shapes.setdefault(shape, shape))  # a network has few
        recording.dtypes.append(tensor.dtype)
        self._refs[id(tensor)] = ref
        self._keep.append(tensor)
        return ref

    def _ref(self, tensor: Tensor) -> Ref:
        ref = self._refs.get(id(tensor))
        return self._new(tensor) if ref is None else ref

    def _seen(self, tensor: Tensor) -> Ref:
        ref = self._refs.get(id(tensor))
        if ref is None:
            ref = self._new(tensor)
            self.recording.constants.add(ref)
        return ref

    def number(self, tensor: Tensor) -> Ref | None:
        """Return the number of a tensor that the recording has met."""
        return self._refs.get(id(tensor))

    def flatten(self, value: Any) -> Iterator[Ref]:
        """Yield the tensors of nested containers."""
        if isinstance(value, Tensor):
            yield self._seen(value)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from self.flatten(item)
        elif isinstance(value, dict):
            for item in value.values():
                yield from self.flatten(item)

    # ---- calls -------------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an ATen call and write it down."""
        kwargs = kwargs or {}
        if self.paused or func.namespace == "prim":
            return func(*args, **kwargs)
        operation = self._operations.get(func)
        if operation is None:
            operation = self._operations[func] = Operation.of(func)
        self.last_operator = operation.name.strip("_")
        self.last_source = source = self._source()
        reads: list[Ref] = []
        arguments: dict[str, Any] = {}
        for position, (name, default) in enumerate(operation.arguments):
            value = args[position] if position < len(args) else kwargs.get(name, default)
            arguments[name] = self._strip(value, reads)
        if operation.name.startswith("as_strided"):
            arguments["memory"] = (*args[0].stride(), args[0].storage_offset())
        if operation.name.startswith("lift_fresh"):
            arguments["numbers"] = _numbers(args[0])
        written = [args[p] for p in operation.writes if p < len(args)]
        self.calling = True
        run = self.open[-1] if self.open else -1
        result = self._masks.answer(operation.name, args, self) if operation.name in MASKS else None
        if result is None:
            result = func(*args, **kwargs)
            if operation.name in MASKS:
                self._masks.settle(operation.name, args, result, self)
        self.calling = False
        outputs, aliases = self._results(operation, result, written, reads, args)
        self._append(Record(operation, arguments, tuple(reads), tuple(outputs), tuple(aliases), run, source))
        return result

    def _append(self, record: Record) -> None:
        records = self.recording.records
        records.append(record)
        if len(records) > self.until:
            raise Enough

    def _strip(self, value: Any, reads: list[Ref]) -> Any:
        if isinstance(value, Tensor):
            ref = self._seen(value)
            reads.append(ref)
            return ref
        if isinstance(value, list | tuple):
            return tuple(self._strip(item, reads) for item in value)
        return value

    def _results(
        self, operation: Operation, result: Any, written: list[Any], reads: list[Ref], args: Any
    ) -> tuple[list[Ref], list[tuple[Ref, Ref]]]:
        results = [result] if isinstance(result, Tensor) else list(result) if isinstance(result, list | tuple) else []
        outputs: list[Ref] = []
        aliases: list[tuple[Ref, Ref]] = []
        changed = [tensor for tensor in written if isinstance(tensor, Tensor)]
        for tensor in changed:
            aliases += self._rewrite(tensor)
        for tensor in results:
            if isinstance(tensor, Tensor):
                outputs.append(self._refs[id(tensor)] if any(tensor is t for t in changed) else self._new(tensor))
                if operation.is_view and reads:
                    self._share(args[0], tensor)
        for tensor in changed:
            if not any(tensor is t for t in results):
                outputs.append(self._refs[id(tensor)])
        return outputs, aliases

    def _share(self, source: Any, view: Tensor) -> None:
        if isinstance(source, Tensor):
            base = self._base.get(Ref(id(source)), Ref(id(source)))
            self._base[Ref(id(view))] = base
            self._views.setdefault(base, [source]).append(view)

    def _rewrite(self, tensor: Tensor) -> list[tuple[Ref, Ref]]:
        """Give a written tensor a new number, and every other name of its memory too."""
        self._new(tensor)
        base = self._base.get(Ref(id(tensor)), Ref(id(tensor)))
        renamed = []
        for other in self._views.get(base, ()):
            if other is not tensor:
                old = self._refs[id(other)]
                renamed.append((self._new(other), old))
        return renamed

    def place(self) -> tuple[int, str]:
        """Return where the forward is: the position of the next call, and the innermost line of the user's code."""
        return len(self.recording.records), self._source()

    def _source(self) -> str:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            library = self._is_library.get(code)
            if library is None:
                library = self._is_library[code] = is_library(code.co_filename)
            if not library:
                return f"{os.path.basename(code.co_filename)}:{frame.f_lineno}"
            if code is run_forward.__code__:
                return ""
            frame = frame.f_back
        return ""

    def _run_whole(self, run: Any, name: str, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Run a module that counts as one operator, and write down one call that reads its arguments and tensors."""
        self.last_operator, self.last_source = name, self._source()
        self.paused = True
        try:
            result = run(module, *args, **kwargs)
        finally:
            self.paused = False
        given: dict[str, Any] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for argument, value in inspect.signature(module.forward).bind(*args, **kwargs).arguments.items():
            given |= value if isinstance(value, dict) else {argument: value}
        reads: list[Ref] = []
        arguments = {argument: self._strip(value, reads) for argument, value in given.items()}
        outputs = tuple(self._new(tensor) for _, tensor in named_tensors(result))
        operation = Operation(name, "", tuple((argument, None) for argument in given), (), False, False)
        record = Record(operation, arguments, tuple(reads), outputs, (), self.open[-1], self.last_source)
        self._append(record)
        return result

    # ---- modules -----------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the innermost module at work."""
        return self.recording.runs[self.open[-1]].path if self.open else ""

    @contextmanager
    def watching_modules(self) -> Iterator[None]:
        """Note every run of a module of the model while inside.

        ``nn.Module.__call__`` is patched for the duration, as torch.fx does: hooks cannot see keyword arguments.
        """
        original = nn.Module.__call__
        recorder = self

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            path = recorder._paths.get(id(module))
            if path is None or recorder.paused:
                return original(module, *args, **kwargs)
            if recorder.open:
                recorder._masks.entered(recorder.open[-1], path)
            run = ModuleRun(path, recorder.open[-1] if recorder.open else -1, len(recorder.recording.records))
            run.inputs = tuple(recorder.flatten((args, kwargs)))
            recorder.open.append(len(recorder.recording.runs))
            recorder.recording.runs.append(run)
            whole = f"{type(module).__module__}.{type(module).__qualname__}"
            if whole in WHOLE_MODULES:
                result = recorder._run_whole(original, MODULE + whole, module, args, kwargs)
            else:
                result = original(module, *args, **kwargs)
            recorder.open.pop()
            run.last = len(recorder.recording.records)
            run.outputs = tuple(recorder.flatten(result))
            return result

        nn.Module.__call__ = call  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.__call__ = original  # type: ignore[method-assign]


_FEW = 16
"""Entries up to which the values of a tensor made of Python numbers are kept."""


def _numbers(tensor: Tensor) -> tuple[float, ...]:
    """Return the entries of a small tensor that the forward made of Python numbers (``torch.tensor(width)``)."""
    if isinstance(tensor, FakeTensor) or tensor.device.type != "cpu" or tensor.numel() > _FEW or tensor.is_complex():
        return ()
    with unset_fake_temporarily():
        return tuple(float(value) for value in tensor.flatten().tolist())


def run_forward(model: nn.Module, inputs: Sequence[tuple[str, Tensor]], recorder: Recorder) -> Recording:
    """Run a model's forward once and return what happened.

    One input is given by position, several by keyword. The caller sets the fake tensor mode and eval mode. What the
    forward raises passes through; ``recorder.path`` then tells where.
    """
    recording = recorder.recording
    recording.inputs = tuple(recorder._ref(tensor) for _, tensor in inputs)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), recorder.watching_modules(), recorder:
            result = model(inputs[0][1]) if len(inputs) == 1 else model(**dict(inputs))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    recording.outputs = tuple((name, recorder._seen(tensor)) for name, tensor in named_tensors(result))
    return recording


def named_tensors(result: Any, name: str = "") -> Iterable[tuple[str, Tensor]]:
    """Yield the tensors of a forward's result with names: keys and positions joined by dots, else ``output``."""
    if isinstance(result, Tensor):
        yield name or "output", result
    elif isinstance(result, dict) or hasattr(result, "items"):
        for key, value in result.items():
            yield from named_tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(result, list | tuple):
        for position, value in enumerate(result):
            yield from named_tensors(value, f"{name or 'output'}.{position}")
