"""Resolved changes of a network's structure, as data: what ``surgery.json`` records and a reload replays.

An edit names modules and tensors as they are called at its place in the sequence. Values of tensors are not
part of an edit: they stand in ``model.safetensors``.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from surgery_dsl.interface.model import Data


class ModuleSpec(Data):
    """How to build a module: a class of ``torch.nn`` or of :mod:`surgery_dsl.modules`, and its keyword arguments.

    ``dtype`` is that of its floating-point tensors (``f32`` …), empty where it has none.
    """

    type: str
    arguments: dict[str, JsonValue] = {}
    dtype: str = ""


class Slice(Data):
    """Which indices of one tensor dimension stay, in order; a repeated index duplicates. ``indices`` names a list."""

    tensor: str
    dim: int
    indices: str


class IntegerChange(Data):
    """A new value of an integer attribute; ``attribute`` may name an entry of a tuple (``normalized_shape.0``)."""

    module: str
    attribute: str
    value: int


class Resize(Data):
    """Gather indices of tensor dimensions, and set the integer attributes that follow."""

    edit: Literal["resize"] = "resize"
    indices: dict[str, tuple[int, ...]]
    slices: tuple[Slice, ...]
    integers: tuple[IntegerChange, ...]


class SetModule(Data):
    """Put a new module at every one of ``paths`` (one shared object where there are several)."""

    edit: Literal["set_module"] = "set_module"
    paths: tuple[str, ...]
    spec: ModuleSpec


class InsertModule(Data):
    """Let a new child ``name`` of the module at ``host`` run after, before or around the host's own forward."""

    edit: Literal["insert_module"] = "insert_module"
    host: str
    name: str
    where: Literal["after", "before", "around"]
    spec: ModuleSpec


class DetachModule(Data):
    """Take away a child that an earlier edit inserted; a host without any is of its own class again."""

    edit: Literal["detach_module"] = "detach_module"
    host: str
    name: str


class DropModules(Data):
    """Remove entries of a ``ModuleList`` or ``Sequential``; those that follow move up."""

    edit: Literal["drop_modules"] = "drop_modules"
    paths: tuple[str, ...]


class NumberChange(Data):
    """New numbers of what counts the entries of a list.

    Attributes:
        module: The module that holds the attribute, as it is called after the edit.
        attribute: Dotted path from the module: a position, a count, or a list with one item for each entry.
        list: Path of the list.
        means: ``position`` (moves with the entry that the module belongs to), ``count`` (becomes the length), or
            ``each`` (its items are arranged as the entries are).
        apart: Modules below that hold another object under the same name, with numbers of its own.
    """

    module: str
    attribute: str
    list: str
    means: Literal["position", "count", "each"]
    apart: tuple[str, ...] = ()


class ArrangeModules(Data):
    """Arrange the entries of lists anew: drop, keep, repeat, reorder.

    Attributes:
        lists: For each list, the old number of each new entry. What is not named goes; the first of equal numbers is
            the old module, each further one a copy with equal values.
        tie: Whether the parameters of copies share memory with those that they were copied from.
        numbers: What counts the entries, set to agree.
    """

    edit: Literal["arrange_modules"] = "arrange_modules"
    lists: dict[str, tuple[int, ...]]
    tie: bool = False
    numbers: tuple[NumberChange, ...] = ()


class SetCall(Data):
    """Let a functional call in the own forward of the module at ``host`` go to a new child ``name``.

    ``number`` of ``count`` counts the calls of that kind which go to no child yet, in the order of the forward.
    """

    edit: Literal["set_call"] = "set_call"
    host: str
    kind: str
    number: int
    count: int
    name: str
    spec: ModuleSpec


class SetModuleCall(Data):
    """Let one of several calls of a module go to a new child ``name`` of the module at ``host``, which makes them.

    ``called`` is the path of the module that is called, below the host. ``number`` of ``count`` counts its calls in the
    host's own forward which go to no child yet, in order.
    """

    edit: Literal["set_module_call"] = "set_module_call"
    host: str
    called: str
    number: int
    count: int
    name: str
    spec: ModuleSpec


class Untie(Data):
    """Give a tied tensor memory of its own."""

    edit: Literal["untie"] = "untie"
    tensor: str


Edit = Annotated[
    Resize | SetModule | InsertModule | DetachModule | DropModules | ArrangeModules | SetCall | SetModuleCall | Untie,
    Field(discriminator="edit"),
]


class Record(Data):
    """``surgery.json``: how to rebuild the result without pickle.

    Attributes:
        model: Name of the model in the plan.
        load: The loader, as the plan writes it (``python("digits:build_cnn")``), and as the word's JSON.
        sources: Files of the structure at the time, with digests.
        edits: The edits in order.
        ties: Tensors of the result that share memory: name to first name.
        buffers: Non-persistent buffers whose values stand in the tensor file.
        dtype: Floating dtype of the result.
        training: Always false: the result loads in eval mode.
    """

    format: Literal["1"] = "1"
    model: str
    load: str
    loader: dict[str, JsonValue]
    sources: dict[str, str]
    edits: tuple[Edit, ...]
    ties: dict[str, str]
    buffers: tuple[str, ...] = ()
    dtype: str
    training: Literal[False] = False
