"""The calls of a module that one forward calls several times: ``layer1.0.relu#0``, ``layer1.0.relu#1``.

A ResNet's block runs its one ReLU behind both of its sums. Each of these calls can be named: by the module's path and
its number among the calls of the module in one run of the forward that makes them, from 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from surgery_dsl.interface.model import Interface

SEQUENTIAL = "torch.nn.Sequential"
"""Runs each of its entries once, in turn: which entry a call goes to is told by its place."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One of several calls of a module in a forward.

    Attributes:
        path: Path of the module.
        caller: Path of the module whose forward makes the call, the first where it stands at several.
        number: Which of the calls it is, in the order of the forward.
        count: How many there are in one run of the caller.
        positions: The call in each run of the caller: positions in ``Interface.calls``.
    """

    path: str
    caller: str
    number: int
    count: int
    positions: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the call goes by."""
        return f"{self.path}#{self.number}"


def turns(interface: Interface) -> Mapping[str, tuple[Turn, ...]]:
    """Return, for each path of a module that one forward calls several times, these calls.

    Left out are modules that hold tensors, that several forwards call by one path, or that not every run of a forward
    calls equally often, and the entries of a ``Sequential``, each of which has a path of its own.
    """
    made = Counter((call.parent, call.module) for call in interface.calls if call.parent >= 0)
    several = {module for (_, module), count in made.items() if count > 1}
    if not several:
        return {}
    runs: dict[str, dict[int, list[int]]] = {}
    for position, call in enumerate(interface.calls):
        if call.module in several and call.parent >= 0:
            runs.setdefault(call.module, {}).setdefault(call.parent, []).append(position)
    found: dict[str, tuple[Turn, ...]] = {}
    for module, by_run in runs.items():
        if next(interface.tensors_below(module), None) is not None:
            continue
        for path in interface.aliases.get(module, (module,)):
            own = _turns(path, module, by_run, interface)
            if own:
                found[path] = own
    return found


def _turns(path: str, module: str, by_run: Mapping[int, list[int]], interface: Interface) -> tuple[Turn, ...]:
    callers: dict[str, list[list[int]]] = {}
    for run, positions in by_run.items():
        caller = interface.calls[run].module
        if path in _reached(interface, caller, module):
            callers.setdefault(caller, []).append(positions)
    if len(callers) != 1:
        return ()
    ((caller, calls),) = callers.items()
    counts = {len(positions) for positions in calls}
    if len(counts) != 1 or counts == {1} or interface.module_by_path[caller].type == SEQUENTIAL:
        return ()
    every = tuple(zip(*calls, strict=True))
    return tuple(Turn(path, caller, number, len(every), positions) for number, positions in enumerate(every))


def _reached(interface: Interface, caller: str, module: str) -> list[str]:
    """Return the paths by which a forward reaches a module: those right below it where there are any."""
    holders = interface.aliases.get(caller, (caller,))
    paths = interface.aliases.get(module, (module,))
    right_below = [path for path in paths if path.rpartition(".")[0] in holders]
    return right_below or [path for path in paths if holder_of(interface, caller, path) is not None]


def holder_of(interface: Interface, caller: str, path: str) -> str | None:
    """Return the path of a module below which something lies; ``None`` where there is none."""
    paths = interface.aliases.get(caller, (caller,))
    return next((holder for holder in paths if not holder or path.startswith(holder + ".")), None)


def called(paths: Iterable[str], interface: Interface) -> tuple[str, ...]:
    """Return the calls that paths mean: those of a module, or single ones; each once, by the first of its names."""
    known = turns(interface)
    names: dict[tuple[int, ...], str] = {}
    for path in paths if known else ():
        own = known.get(path) or [turn for turn in known.get(path.rpartition("#")[0], ()) if turn.name == path]
        for turn in own:
            names.setdefault(turn.positions, turn.name)
    return tuple(names.values())
