"""Running a model's forward under the recorder, on fake tensors or, where it looks at values, on its own."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.modules.integers import set_integer
from surgery_dsl.trace import dtypes
from surgery_dsl.trace.alike import as_if_traced
from surgery_dsl.trace.build import TensorFacts
from surgery_dsl.trace.caches import fresh_caches
from surgery_dsl.trace.fakes import fake_mode, in_eval_mode, memory_key, swap, tensors_of
from surgery_dsl.trace.keeping import unchanged
from surgery_dsl.trace.recorder import Enough, Recorder, Recording, run_forward
from surgery_dsl.trace.shadows import shadowed
from surgery_dsl.trace.taint import Tainting, Uses, taint
from surgery_dsl.trace.walking import modules_of
from surgery_dsl.trace.whose_code import is_library

_NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException)


class ForwardFailed(Exception):
    """A model's forward raised while it was traced.

    Attributes:
        error: What it raised.
        sizes: The free sizes it ran with.
        path: The innermost module at work.
        operator: The ATen operator that raised; empty where Python code did.
        source: ``file:line`` of the innermost line of the user's code.
        recording: What ran before.
    """

    @property
    def records(self) -> int:
        """How many calls had run before."""
        return len(self.recording.records)

    def __init__(self, error: Exception, sizes: Mapping[str, int], recorder: Recorder) -> None:
        super().__init__(str(error))
        self.error = error
        self.sizes = dict(sizes)
        self.path = recorder.path
        self.operator = recorder.last_operator if recorder.calling else ""
        self.source = _source(error) or recorder.last_source
        self.recording = recorder.recording


class ValuesNeeded(Exception):
    """A model's forward looks at values, and the model has none.

    Attributes:
        operator: The ATen operator that does.
        path: The innermost module at work.
        source: ``file:line`` of the user's code.
    """

    def __init__(self, error: BaseException, recorder: Recorder) -> None:
        super().__init__(str(error))
        self.operator = recorder.last_operator
        self.path = recorder.path
        self.source = recorder.last_source


@dataclass(frozen=True)
class Resized:
    """Other sizes to try a model with.

    Attributes:
        shapes: Shape of every parameter and buffer, by name.
        integers: New values of integer attributes, by module path and attribute (``normalized_shape.0``).
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    integers: Mapping[tuple[str, str], int] = field(default_factory=dict)


def facts_of(model: nn.Module) -> list[TensorFacts]:
    """Return the parameters, then the buffers of a model, each with the first name of the same memory."""
    owners: dict[tuple[int, ...], str] = {}
    facts = []
    for name, tensor, is_parameter, persistent in tensors_of(model):
        owner = owners.setdefault(memory_key(tensor), name)
        facts.append(TensorFacts(name, tensor, is_parameter, persistent, owner))
    return facts


def record(
    model: nn.Module,
    inputs: Sequence[InputSpec],
    chosen: Sequence[Mapping[str, int]],
    resized: Resized | None = None,
    until: int | None = None,
    tainted: bool = True,
    values: bool = True,
) -> list[Recording]:
    """Run the forward at each sample of the free sizes; the model is as it was afterwards.

    With ``until``, each run ends after the call of that position, if it comes that far. The first run follows the
    integers of the code, if it is ``tainted``. Without ``values``, one that is not small and looks at values
    fails.

    A small network on the CPU runs on its own values: that gives the same calls, and the first fake tensor mode of a
    process costs most of a second of imports. Those of transformers never do: they look whether a tensor is fake, and
    leave masks out where it is none, so that a skeleton and the network itself would not make the same calls.

    Raises:
        ForwardFailed: The forward raised.
        ValuesNeeded: The forward looks at values, and the model stands on the meta device, or may use none.
    """
    numbered = list(enumerate(chosen))
    if is_cheap(model, inputs, chosen):
        return [_run_on_values(model, inputs, sizes, resized, tainted and i == 0, until) for i, sizes in numbered]
    try:
        with in_eval_mode(model), fake_mode() as mode:
            tensors = swap(model, None if resized is None else resized.shapes, mode=mode)
            _set_integers(model, resized)
            found = []
            for i, sizes in numbered:  # the last is followed by the end of eval mode
                with unchanged(model) if i + 1 < len(numbered) else nullcontext():
                    found.append(
                        _run(model, tensors, inputs, sizes, None, tainted and i == 0 and resized is None, until)
                    )
            return found
    except ValuesNeeded:
        if not values or any(tensor.is_meta for _, tensor, _, _ in tensors_of(model)):
            raise
    return [_run_on_values(model, inputs, sizes, resized, tainted and i == 0, until) for i, sizes in numbered]


CHEAP_WEIGHTS = 1 << 20
"""Elements of parameters and buffers up to which a network runs on its own values."""

CHEAP_INPUTS = 1 << 18
"""Elements of the inputs up to which it does."""


def is_cheap(model: nn.Module, inputs: Sequence[InputSpec], chosen: Sequence[Mapping[str, int]]) -> bool:
    """Say whether a network is run on its own values: it and its inputs are small."""
    tensors = [tensor for _, tensor, _, _ in tensors_of(model)]
    if any(tensor.device.type != "cpu" for tensor in tensors) or sum(t.numel() for t in tensors) > CHEAP_WEIGHTS:
        return False
    if any(type(module).__module__.startswith("transformers.") for module in modules_of(model)):
        return False
    return sum(math.prod(spec.shape(sizes)) for spec in inputs for sizes in chosen) <= CHEAP_INPUTS


def runs_on_values(model: nn.Module, inputs: Sequence[InputSpec], sizes: Mapping[str, int]) -> bool:
    """Whether the forward comes to its end on its own values; nothing is written down, and no activation kept."""
    with _on_values(model) as (_, device), torch.no_grad(), as_if_traced(), fresh_caches(model):
        given = {spec.name: _input(spec, sizes, device) for spec in inputs}
        try:
            model(*given.values()) if len(given) == 1 else model(**given)
        except Exception:  # noqa: BLE001 - whatever a forward raises, it does not run
            return False
    return True


def _run_on_values(
    model: nn.Module,
    inputs: Sequence[InputSpec],
    sizes: Mapping[str, int],
    resized: Resized | None,
    first: bool,
    until: int | None,
) -> Recording:
    with _on_values(model, resized) as (tensors, device):
        return _run(model, tensors, inputs, sizes, device, first and resized is None, until)


@contextmanager
def _on_values(model: nn.Module, resized: Resized | None = None) -> Iterator[tuple[dict[str, Tensor], torch.device]]:
    """Let a model run on its own values without a trace; yield its tensors and their device."""
    device = next((tensor.device for _, tensor, _, _ in tensors_of(model)), torch.device("cpu"))
    with in_eval_mode(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a forward that draws numbers (random masking) draws the same each time
        if resized is not None:
            tensors = swap(model, resized.shapes, device=device)
            _set_integers(model, resized)
        else:
            for module in modules_of(model):  # a forward may write its buffers: let it write copies
                copies = {name: None if b is None else b.clone() for name, b in module._buffers.items()}
                module._buffers.update(copies)
            tensors = {name: tensor for name, tensor, _, _ in tensors_of(model)}
        yield tensors, device


def _set_integers(model: nn.Module, resized: Resized | None) -> None:
    for (path, attribute), size in ({} if resized is None else resized.integers).items():
        set_integer(model.get_submodule(path), attribute, size)


def _run(
    model: nn.Module,
    tensors: dict[str, Tensor],
    inputs: Sequence[InputSpec],
    sizes: Mapping[str, int],
    device: torch.device | None,
    tainted: bool,
    until: int | None,
    keeping: bool = True,
) -> Recording:
    recorder = Recorder(model, tensors, until)
    given = [(spec.name, _input(spec, sizes, device)) for spec in inputs]
    try:
        with as_if_traced(), fresh_caches(model):
            if not tainted:
                return run_forward(model, given, recorder)
            recorder.recording.uses = uses = Uses(recorder.place)
            taint(model, uses)
            with shadowed(model) if keeping else nullcontext(), Tainting(recorder, uses):
                return run_forward(model, given, recorder)
    except Enough:
        return recorder.recording
    except _NEEDS_VALUES as error:
        raise ValuesNeeded(error, recorder) from error
    except Exception as error:
        if tainted and keeping and isinstance(error, TypeError):  # `dtype = int` takes no other name
            return _run(model, tensors, inputs, sizes, device, tainted, until, keeping=False)
        raise ForwardFailed(error, sizes, recorder) from error


def _input(spec: InputSpec, sizes: Mapping[str, int], device: torch.device | None) -> Tensor:
    """Return an input of the right shape; with a device, one that holds values."""
    shape = spec.shape(sizes)
    dtype = dtypes.BY_NAME[spec.dtype]
    if device is None:
        return torch.empty(shape, dtype=dtype, device="cpu")
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, dtype=dtype, generator=generator).to(device)
    below = 2 if spec.below is None else spec.below
    return torch.randint(0, below, shape, generator=generator).to(dtype=dtype, device=device)


def _source(error: BaseException) -> str:
    """Return the innermost line of the user's code in a traceback."""
    found, traceback = "", error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if not is_library(name):
            found = f"{os.path.basename(name)}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found
