"""Lists whose entries a forward runs in turn, and what it picks by their numbers.

A mixture that holds its experts as modules goes through them in a loop of Python: ``for i, expert in enumerate(…)``. An
index of the router's axis is picked by the number of the entry whose turn it is (``weights[:, i]``, ``chosen == i``),
and the tokens that go there by values (``torch.where``). So that every entry runs in a trace, and nothing hangs on
values, masks that choose tokens for an entry are taken to be true throughout: as if all of them went everywhere.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from surgery_dsl.interface.paths import entry_prefix, list_holder, list_path
from surgery_dsl.trace.atoms import Atom, Product, flat
from surgery_dsl.trace.walking import named_modules

if TYPE_CHECKING:
    from surgery_dsl.trace.recorder import Recorder, Recording

_NUMBERED = re.compile(r"(.*?)(0|[1-9]\d*)")
_KNOWN = 1 << 10
"""Entries up to which the numbers of the entries of a mask are kept on fake tensors."""


@dataclass(frozen=True, slots=True)
class Lists:
    """The module lists of a network.

    Attributes:
        lengths: Number of entries of each list, by its path (``experts``, or ``experts.expert_*``).
        homes: For the path of each entry, its list and number.
        near: For each module, the lists whose entries are its children or those of a child.
    """

    lengths: Mapping[str, int]
    homes: Mapping[str, tuple[str, int]]
    near: Mapping[str, tuple[str, ...]]


def lists_in(model: nn.Module) -> Lists:
    """Return the lists of two modules or more that go by numbers from 0."""
    lengths: dict[str, int] = {}
    for path, module in named_modules(model):
        stems: dict[str, list[int]] = {}
        for name in module._modules if len(module._modules) > 1 else ():
            found = _NUMBERED.fullmatch(name) if name[-1:].isdecimal() else None
            if found is not None:
                stems.setdefault(found[1], []).append(int(found[2]))
        for stem, numbers in stems.items():
            listed = bool(stem) or isinstance(module, nn.ModuleList)
            if listed and len(numbers) > 1 and numbers == list(range(len(numbers))):
                lengths[list_path(f"{path}.{stem}" if path else stem) if stem else path] = len(numbers)
    homes = {
        f"{entry_prefix(path)}{number}": (path, number) for path, length in lengths.items() for number in range(length)
    }
    near: dict[str, list[str]] = {}
    for path in lengths:
        holder, _ = list_holder(path)
        for one in dict.fromkeys((holder, holder.rpartition(".")[0])):
            near.setdefault(one, []).append(path)
    return Lists(lengths, homes, {path: tuple(lists) for path, lists in near.items()})


# ---- while a forward is recorded -----------------------------------------------------------------------------------


MASKS = frozenset({"nonzero", "eq", "select"})
"""Calls that may choose tokens for an entry."""


class Masks:
    """Answers calls that choose tokens for entries of lists as if all were chosen. One for each recording."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self._next: dict[int, dict[str, int]] = {}

    def entered(self, run: int, path: str) -> None:
        """Hear that a module runs inside the run of another."""
        home = self.lists.homes.get(path)
        if home is not None:
            self._next.setdefault(run, {})[home[0]] = home[1] + 1

    def answer(self, name: str, arguments: Sequence[Any], at: "Recorder") -> Tensor | None:
        """Return what a call gives where every entry of its mask is true; nothing for calls that choose for none."""
        if name == "nonzero" and at.path in self.lists.near:
            return _every_place(arguments[0])
        return None

    def settle(self, name: str, arguments: Sequence[Any], result: Any, at: "Recorder") -> None:
        """Make a mask for the entry whose turn is next true throughout, where tensors hold values."""
        near = self.lists.near.get(at.path)
        if near is None or name == "nonzero" or not isinstance(result, Tensor):
            return
        if isinstance(result, FakeTensor) or not result.dim() or result.is_floating_point() or result.is_complex():
            return
        number = arguments[1] if name == "eq" else arguments[2]
        before = self._next.get(at.open[-1], {}) if at.open else {}
        if type(number) is not int or not any(before.get(one, 0) == number for one in near):
            return
        if name == "eq" or bool(((result == 0) | (result == 1)).all()):
            result.fill_(1)


def _every_place(mask: Tensor) -> Tensor:
    """Return the places of all entries of a tensor."""
    if not isinstance(mask, FakeTensor):
        return torch.ones(mask.shape, dtype=torch.bool, device=mask.device).nonzero()
    if mask.dim() == 1 and mask.shape[0] <= _KNOWN:  # which entries of a list run: Python asks for their numbers
        with torch._C._DisableTorchDispatch():
            places = torch.arange(mask.shape[0]).unsqueeze(1)
        mode: Any = mask.fake_mode
        known: Tensor = mode.fake_tensor_converter.from_real_tensor(mode, places, make_constant=True)
        return known
    return torch.empty((mask.numel(), mask.dim()), dtype=torch.int64)


# ---- while axes are followed ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picked:
    """A call that picked indices of an axis by the numbers of the entries of a list.

    Attributes:
        record: Position of the call.
        atom: The axis.
        lists: Lists of as many entries, one of which it may be.
        reason: Why the axis keeps its size if it is none.
    """

    record: int
    atom: Atom
    lists: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Turns:
    """Whose turn it is at each call of a recording.

    Attributes:
        lists: The lists.
        runs: For each run of a module, the lists that it goes through: the first call and the number of each entry.
        denied: Positions of calls that are known to pick nothing by the numbers of entries.
        picked: What calls picked by the numbers of entries, so far.
    """

    lists: Lists = field(default_factory=lambda: Lists({}, {}, {}))
    runs: Mapping[int, Mapping[str, Sequence[tuple[int, int]]]] = field(default_factory=dict)
    denied: frozenset[int] = frozenset()
    picked: list[Picked] = field(default_factory=list)

    @staticmethod
    def of(recording: "Recording", denied: frozenset[int] = frozenset()) -> "Turns":
        """Read when the entries of lists ran."""
        found: dict[int, dict[str, list[tuple[int, int]]]] = {}
        lists = recording.lists
        for run in recording.runs if lists.lengths else ():
            home = lists.homes.get(run.path)
            if home is not None and run.parent >= 0:
                found.setdefault(run.parent, {}).setdefault(home[0], []).append((run.first, home[1]))
        several = {parent: {p: at for p, at in lists_.items() if len(at) > 1} for parent, lists_ in found.items()}
        return Turns(lists, {parent: lists_ for parent, lists_ in several.items() if lists_}, denied)

    def candidates(self, run: int, record: int, size: object, number: int | None = None) -> Iterator[str]:
        """Yield the lists of ``size`` entries that a run goes through, with the numbered one next or just behind."""
        for path, entries in self.runs.get(run, {}).items():
            if self.lists.lengths[path] != size:
                continue
            if number is None:
                yield path
                continue
            ahead = bisect_left(entries, (record + 1,))
            if any(entry == number for _, entry in entries[max(ahead - 1, 0) : ahead + 1]):
                yield path

    def pick(self, dim: Product, run: int, record: int, number: int | None, reason: str) -> bool:
        """Note a call that picks by number, or for all entries; say whether there is a list that it may mean."""
        atoms = flat(dim)
        if len(atoms) != 1 or record in self.denied:
            return False
        if atoms[0].parts is not None or not isinstance(atoms[0].expression, int):
            return False
        lists = tuple(self.candidates(run, record, atoms[0].expression, number))
        if lists:
            self.picked.append(Picked(record, atoms[0], lists, reason))
        return bool(lists)
