"""Carrying out changes on a live or meta network: one function for each kind of edit.

``apply`` runs these functions on the network at hand, a reload runs the very same on a meta skeleton. An edit puts
new objects where old ones were (parameters, buffers, modules, classes of hosts) and writes into none; the values that
a :class:`~surgery_dsl.vocabulary.context.Change` carries are written in place. A journal is told of both.

Edits may come from a result directory, which nobody vouches for: they can only build modules that
:mod:`surgery_dsl.modules.build` allows, set integers that are integers already, and gather within range.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import (
    ArrangeModules,
    DetachModule,
    DropModules,
    Edit,
    InsertModule,
    IntegerChange,
    ModuleSpec,
    Resize,
    SetCall,
    SetModule,
    SetModuleCall,
    Untie,
)
from surgery_dsl.interface.paths import entry_number, list_holder
from surgery_dsl.kernels.gather import take_block
from surgery_dsl.modules.arranging import rearrange, set_numbers
from surgery_dsl.modules.build import build
from surgery_dsl.modules.call_sites import hand_on_calls, replace_call, replace_module_call
from surgery_dsl.modules.insertion import detach, hand_on, insert, inserted
from surgery_dsl.modules.integers import NoSuchInteger, set_integer
from surgery_dsl.run.recycling import Recycler
from surgery_dsl.vocabulary.context import Change

_DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}


class EditMisfit(ValueError):
    """An edit that does not fit the network it is carried out on."""


class Journal(Protocol):
    """What is told before and after tensors change; a :class:`~surgery_dsl.run.transaction.Transaction` is one."""

    def before_write(self, tensors: Iterable[Tensor]) -> None:
        """Hear that tensors are about to be written in place."""

    def replaced(self, tensors: Iterable[Tensor]) -> None:
        """Hear that the network no longer holds these tensors."""


class _NoJournal:
    def before_write(self, tensors: Iterable[Tensor]) -> None:
        """Keep nothing."""

    def replaced(self, tensors: Iterable[Tensor]) -> None:
        """Keep nothing."""


def carry_out(model: nn.Module, change: Change, journal: Journal | None = None) -> None:
    """Carry out one change: its edit, then its values, then its zeros.

    Args:
        model: The network; it stays the same object.
        change: What to do.
        journal: What is told of every tensor that is written or replaced.

    Raises:
        EditMisfit: The network has no such module or tensor, a value has another shape or dtype, or an index or name
            does not fit. What was done before the misfit is not undone: that is the transaction's work.
    """
    noted = journal or _NoJournal()
    if change.edit is not None:
        apply_edit(model, change.edit, noted)
    for name, values in change.tensors.items():
        target = find_tensor(model, name)
        if target.shape != values.shape or target.dtype != values.dtype:
            raise EditMisfit(
                f"{name} is {tuple(target.shape)} of {target.dtype}, its new values are {tuple(values.shape)} of "
                f"{values.dtype}"
            )
        noted.before_write([target])
        with torch.no_grad():
            target.copy_(values)
    for name, mask in change.zero.items():
        target = find_tensor(model, name)
        if target.shape != mask.shape or mask.dtype is not torch.bool:
            raise EditMisfit(f"the mask of {name} is {tuple(mask.shape)} of {mask.dtype}, not {tuple(target.shape)}")
        noted.before_write([target])
        with torch.no_grad():
            target.masked_fill_(mask.to(target.device), 0)


def replay(model: nn.Module, edits: Iterable[Edit]) -> None:
    """Carry out recorded edits on the skeleton of the original network; values of tensors come later.

    Raises:
        EditMisfit: As :func:`carry_out`.
    """
    for edit in edits:
        apply_edit(model, edit, _NoJournal())


def apply_edit(model: nn.Module, edit: Edit, journal: Journal) -> None:
    """Carry out one edit; see :func:`carry_out`."""
    match edit:
        case Resize():
            _resize(model, edit, journal)
        case SetModule():
            _set_module(model, edit, journal)
        case InsertModule():
            _insert_module(model, edit)
        case DetachModule():
            _detach_module(model, edit, journal)
        case DropModules():
            _drop_modules(model, edit, journal)
        case ArrangeModules():
            _arrange_modules(model, edit, journal)
        case SetCall():
            _set_call(model, edit)
        case SetModuleCall():
            _set_module_call(model, edit)
        case Untie():
            _untie(model, edit)


def find_tensor(model: nn.Module, name: str) -> Tensor:
    """Return the parameter or buffer of that name.

    Raises:
        EditMisfit: There is none.
    """
    path, _, attribute = name.rpartition(".")
    module = _module(model, path)
    tensor: Tensor | None = module._parameters.get(attribute)
    if tensor is None:
        tensor = module._buffers.get(attribute)
    if tensor is None:
        raise EditMisfit(f"the network has no tensor {name}")
    return tensor


# ---- one function an edit ----------------------------------------------------------------------------------------


def _resize(model: nn.Module, edit: Resize, journal: Journal) -> None:
    lists = {name: torch.tensor(indices, dtype=torch.int64) for name, indices in edit.indices.items()}
    keep: dict[int, dict[int, Tensor]] = {}
    tensors: dict[int, Tensor] = {}
    for entry in edit.slices:
        tensor = find_tensor(model, entry.tensor)
        tensors[id(tensor)] = tensor
        if entry.indices not in lists:
            raise EditMisfit(f"the edit has no list of indices {entry.indices}")
        # Slices of two names of one tied tensor say the same.
        kept = keep.setdefault(id(tensor), {}).setdefault(entry.dim, lists[entry.indices])
        if not torch.equal(kept, lists[entry.indices]):
            raise EditMisfit(f"{entry.tensor} is cut twice along dimension {entry.dim}")
    holders: dict[int, list[tuple[nn.Module, str]]] = {}
    for holder, attribute, tensor in _held(model):
        holders.setdefault(id(tensor), []).append((holder, attribute))
    shapes = {
        key: [len(dims.get(dim, range(size))) for dim, size in enumerate(tensors[key].shape)]
        for key, dims in keep.items()
    }
    recycler = Recycler([prod(shape) * tensors[key].element_size() for key, shape in shapes.items()])
    for key, dims in keep.items():
        old = tensors.pop(key)
        try:
            values = take_block(old, dims, recycler.empty(shapes[key], old))
        except ValueError as error:
            raise EditMisfit(str(error)) from error
        new: Tensor = nn.Parameter(values, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else values
        for holder, attribute in holders[key]:
            _put(holder, attribute, new)
        memory = old.detach()
        journal.replaced([old])
        if memory.numel() and not old.numel():  # the journal can do without it
            recycler.give(memory)
        del memory
    for change in edit.integers:
        _set_integer(_module(model, change.module), change)


def _set_module(model: nn.Module, edit: SetModule, journal: Journal) -> None:
    if not edit.paths or "" in edit.paths:
        raise EditMisfit("a module is set at a path below the root")
    olds = [_module(model, path) for path in edit.paths]
    new = _build(model, olds[0], edit.spec)
    new.train(olds[0].training)
    try:
        hand_on(olds[0], new)
        hand_on_calls(olds, new)
    except ValueError as error:
        raise EditMisfit(str(error)) from error
    for path in edit.paths:
        parent, _, name = path.rpartition(".")
        _module(model, parent)._modules[name] = new
    held = {id(tensor) for _, _, tensor in _held(model)}
    journal.replaced(tensor for old in olds for _, _, tensor in _held(old) if id(tensor) not in held)


def _insert_module(model: nn.Module, edit: InsertModule) -> None:
    host = _module(model, edit.host)
    try:
        insert(host, edit.name, edit.where, _build(model, host, edit.spec))
    except ValueError as error:
        raise EditMisfit(str(error)) from error


def _detach_module(model: nn.Module, edit: DetachModule, journal: Journal) -> None:
    try:
        child = detach(_module(model, edit.host), edit.name)
    except ValueError as error:
        raise EditMisfit(str(error)) from error
    held = {id(tensor) for _, _, tensor in _held(model)}
    journal.replaced(tensor for _, _, tensor in _held(child) if id(tensor) not in held)


def _drop_modules(model: nn.Module, edit: DropModules, journal: Journal) -> None:
    dropped: dict[str, set[str]] = {}
    for path in edit.paths:
        _module(model, path)
        parent, _, name = path.rpartition(".")
        dropped.setdefault(parent, set()).add(name)
    gone: list[Tensor] = []
    for path, names in dropped.items():
        parent_module = _module(model, path)
        if not isinstance(parent_module, nn.ModuleList | nn.Sequential):
            raise EditMisfit(f"{path or 'the root'} is no list of modules")
        gone += [tensor for name in names for _, _, tensor in _held(parent_module.get_submodule(name))]
        children = [(n, child) for n, child in parent_module._modules.items() if n not in names and child is not None]
        parent_module._modules.clear()
        position = 0
        for name, child in children:
            counted = name.isdecimal() and name not in inserted(parent_module)
            parent_module.add_module(str(position) if counted else name, child)
            position += counted
    held = {id(tensor) for _, _, tensor in _held(model)}
    journal.replaced(tensor for tensor in gone if id(tensor) not in held)


def _arrange_modules(model: nn.Module, edit: ArrangeModules, journal: Journal) -> None:
    gone: list[Tensor] = []
    try:
        for path, order in edit.lists.items():
            holder, stem = list_holder(path)
            gone += rearrange(_module(model, holder), order, edit.tie, model, stem)
        for number in edit.numbers:
            order = edit.lists[number.list]
            slot = entry_number(number.list, number.module) if number.means == "position" else 0
            set_numbers(model, number.module, number.attribute, number.means, order, slot, number.apart)
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise EditMisfit(f"entries cannot be arranged: {error}") from error
    held = {id(tensor) for _, _, tensor in _held(model)}
    journal.replaced(tensor for tensor in gone if id(tensor) not in held)


def _set_call(model: nn.Module, edit: SetCall) -> None:
    host = _module(model, edit.host)
    try:
        replace_call(host, edit.kind, edit.number, edit.count, edit.name, _build(model, host, edit.spec))
    except ValueError as error:
        raise EditMisfit(str(error)) from error


def _set_module_call(model: nn.Module, edit: SetModuleCall) -> None:
    host = _module(model, edit.host)
    child = _build(model, host, edit.spec)
    try:
        replace_module_call(host, edit.called, edit.number, edit.count, edit.name, child)
    except ValueError as error:
        raise EditMisfit(str(error)) from error


def _untie(model: nn.Module, edit: Untie) -> None:
    path, _, attribute = edit.tensor.rpartition(".")
    old = find_tensor(model, edit.tensor)
    values = old.detach().clone()
    new: Tensor = nn.Parameter(values, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else values
    _put(_module(model, path), attribute, new)


# ---- parts -------------------------------------------------------------------------------------------------------


def _module(model: nn.Module, path: str) -> nn.Module:
    module: nn.Module | None = model
    for name in path.split(".") if path else ():
        module = None if module is None else module._modules.get(name)
    if module is None:
        raise EditMisfit(f"the network has no module {path}")
    return module


def _held(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield every place of every parameter and buffer: the module, the attribute, the tensor."""
    for holder in module.modules():
        boxes: tuple[Mapping[str, Any], ...] = (holder._parameters, holder._buffers)
        for box in boxes:
            for attribute, tensor in box.items():
                if tensor is not None:
                    yield holder, attribute, tensor


def _put(holder: nn.Module, attribute: str, tensor: Tensor) -> None:
    """Put a parameter or buffer where one was; modules that keep lists of their own (RNNs) hear of it."""
    setattr(holder, attribute, tensor)


def _build(model: nn.Module, old: nn.Module, spec: ModuleSpec) -> nn.Module:
    near = next((t for _, _, t in _held(old)), None)
    if near is None:
        near = next((t for _, _, t in _held(model)), torch.empty(0))
    if spec.dtype and spec.dtype not in _DTYPES:
        raise EditMisfit(f"{spec.dtype} is no dtype of a module")
    try:
        return build(spec, near.device, _DTYPES.get(spec.dtype))
    except ValueError as error:
        raise EditMisfit(str(error)) from error


def _set_integer(module: nn.Module, change: IntegerChange) -> None:
    try:
        set_integer(module, change.attribute, change.value)
    except NoSuchInteger as error:
        raise EditMisfit(f"{change.module}: {error}") from error
