"""Calls in forwards, for the words that exchange them: each goes to a child of the module that makes it.

Functional calls (``F.relu(x)``), and single ones of several calls of a module (``self.relu`` twice in one forward).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.calling import Turn, holder_of, turns
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetCall, SetModuleCall
from surgery_dsl.interface.flow import ACTIVATIONS
from surgery_dsl.interface.fragment import Built
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.interface.turns import count_again
from surgery_dsl.vocabulary.context import Place
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import mirror_below
from surgery_dsl.vocabulary.transforms._values import RESERVED

# Kinds that differ by the function that is called; see modules/call_sites.py, which needs torch.
TOLD_APART = ACTIVATIONS - {"clamp", "clamp_min", "threshold", "prelu", "rrelu", "log_sigmoid_forward"}


@dataclass(frozen=True)
class Call:
    """A call that goes to a child.

    Attributes:
        site: The site.
        host: Path of the module whose forward makes it, the first where it stands at several.
        paths: All paths of that module.
        name: Name of the child.
        called: The kind of a functional call; the path below the host of a module that is called.
        number: Which of the calls of that kind or module it is.
        count: How many of them the forward makes.
        events: The call in each run of the host.
    """

    site: Site
    host: str
    paths: tuple[str, ...]
    name: str
    called: str
    number: int
    count: int
    events: tuple[Operator | Run, ...]

    @property
    def child(self) -> str:
        """Path of the child."""
        return f"{self.host}.{self.name}" if self.host else self.name

    @property
    def of_module(self) -> bool:
        """Whether a module is called, and no function."""
        return isinstance(self.events[0], Run)


def split(place: Place, interface: Interface) -> tuple[Place, tuple[Site, ...]]:
    """Return a place with its modules alone, and the sites that are single calls in a forward.

    Where all calls of a module are named, or ``scope = all`` says that all are meant, the site is the module.
    """
    sites = [site for site in place.sites if not _is_call(site)]
    calls = [site for site in place.sites if _is_call(site) and not site.is_call_of_module]
    named: dict[str, list[Site]] = {}
    for site in place.sites:
        if site.is_call_of_module:
            named.setdefault(site.module, []).append(site)
    known = turns(interface) if named else {}
    for path, own in named.items():
        if place.scope == "all" or len(own) == len(known.get(path, ())):
            operators = tuple(sorted(at for site in own for at in site.operators))
            sites.append(own[0].replaced(path=path, operators=operators))
        else:
            calls += own
    kept = Place(place.where, tuple(sites), place.selection, place.name, place.span, place.scope, place.tie)
    return kept, tuple(calls)


def _is_call(site: Site) -> bool:
    return site.path != site.module and site.word != "param"


def calls_of(sites: Sequence[Site], scene: Scene, draft: Draft) -> tuple[Call, ...] | None:
    """Return the calls that sites mean, the last of a forward first; ``None`` after reporting."""
    known = {turn.name: turn for own in turns(scene.interface).values() for turn in own} if sites else {}
    every = list(draft.root.runs())
    by_host: dict[str, dict[int, tuple[Site, Turn | None]]] = {}
    fits = True
    for site in sites:
        turn = known[site.path] if site.is_call_of_module else None
        module = scene.interface.module_by_path[site.module]
        host = turn.caller if turn is not None else module.same_as or module.path
        first = next(run for run in every if run.module == host)
        # one call of an object that the host holds at two paths goes by two names
        by_host.setdefault(host, {}).setdefault(_order(first, every, site, turn), (site, turn))
    found: list[Call] = []
    for host, own in by_host.items():
        for at, (_, (site, turn)) in enumerate(sorted(own.items())):
            name = scene.place.name + (f"_{at}" if len(own) > 1 else "")
            runs = [run for run in every if run.module == host]
            if turn is None:
                call = _call(scene, runs, host, site, name)
            else:
                call = _module_call(scene, every, turn, site, name, sites)
            fits = call is not None and _is_free(scene, draft, call) and fits
            found += [] if call is None else [call]
    return tuple(sorted(found, key=lambda call: -call.number)) if fits else None


def _order(run: Run, every: list[Run], site: Site, turn: Turn | None) -> int:
    """Return the place of a call in a forward."""
    if turn is not None:
        return run.events.index(every[turn.positions[0]])
    order = [_suffix(event.path) if isinstance(event, Operator) else "" for event in run.events]
    return order.index(_suffix(site.path)) if _suffix(site.path) in order else -1


def _suffix(path: str) -> str:
    return path.rpartition("/")[2]


def _is_free(scene: Scene, draft: Draft, call: Call) -> bool:
    """Report a host that already has something of the child's name."""
    if call.name in RESERVED or call.child in draft.modules or call.child in draft.tensors:
        text = f"`{call.host or 'the network'}` already has something called `{call.name}`"
        scene.say(shapes.NAME_TAKEN, text, path=call.child, help="give the step another name")
        return False
    return True


def _call(scene: Scene, runs: list[Run], host: str, site: Site, name: str) -> Call | None:
    suffix = _suffix(site.path)
    own = [event for event in runs[0].events if isinstance(event, Operator)]
    operator = next((event for event in own if _suffix(event.path) == suffix), None)
    if operator is None or operator.kind not in TOLD_APART or len(operator.inputs) != 1 or len(operator.outputs) != 1:
        what = operator.kind if operator is not None else suffix
        scene.say(
            shapes.FUNCTIONAL_SITE,
            f"`{site.path}` is a call in the forward of `{host or 'the network'}`, and calls of `{what}` cannot be "
            "told apart as they run",
            path=site.path,
            help="leave the site out with `except`, or write it as a module in the network's code",
        )
        return None
    alike = [event for event in own if event.kind == operator.kind]
    number = next(i for i, event in enumerate(alike) if event is operator)
    events = [e for run in runs for e in run.events if isinstance(e, Operator) and _suffix(e.path) == suffix]
    return Call(site, host, scene.paths_of(host), name, operator.kind, number, len(alike), tuple(events))


def _module_call(
    scene: Scene, every: list[Run], turn: Turn, site: Site, name: str, sites: Sequence[Site]
) -> Call | None:
    """Return a call of a module; the host's forward is one for all its paths, so the call must be named at each."""
    module = scene.interface.module_by_path[turn.path]
    owner = module.same_as or module.path
    hosts = scene.paths_of(turn.caller)
    number = f"#{turn.number}"
    named = [one.module for one in sites if one.is_call_of_module and one.path.endswith(number)]
    missing = [path for path in hosts if not any(not path or other.startswith(path + ".") for other in named)]
    if missing:
        scene.refuse_scope(owner, f"`{turn.caller}`, which calls it, is the module at `{missing[0]}` too")
        return None
    if not scene.is_bare(owner) or not scene.runs(Target(site.path, (), turn.positions, (site,))):
        return None
    below = turn.path.removeprefix((holder_of(scene.interface, turn.caller, turn.path) or "") + ".")
    events = tuple(every[position] for position in turn.positions)
    return Call(site, turn.caller, hosts, name, below, turn.number, turn.count, events)


def exchange(draft: Draft, call: Call, body: Callable[[Draft, str, int], Built]) -> tuple[str, ...]:
    """Let a child compute what a call did, in every run of its host; return the child's paths."""
    for run in [run for run in draft.root.runs() if run.module == call.host]:
        for index, event in enumerate(run.events):
            if _is_this(event, call):
                built, result = body(draft, call.child, event.inputs[0])
                (outer,) = event.outputs
                run.events[index] = built
                if result == event.inputs[0]:
                    draft.stand_for(outer, result)
                else:
                    draft.values[outer] = draft.values[result]
                    built.rename(result, outer)
                    built.outputs = (outer,)
                break
        count_again(run)
    others = [f"{path}.{call.name}" for path in call.paths if path != call.host]
    for other in others:
        draft.modules[other] = draft.modules[call.child].replaced(path=other, same_as=call.child, integers={})
        mirror_below(draft, call.child, other)
    return (call.child, *others)


def _is_this(event: Operator | Run, call: Call) -> bool:
    if isinstance(event, Run):
        return any(event is one for one in call.events)
    first = call.events[0]
    return isinstance(first, Operator) and _suffix(event.path) == _suffix(first.path)


def edits_of(calls: Iterable[Call], spec: ModuleSpec) -> list[SetCall | SetModuleCall]:
    """Return the edits that let calls go to children, in the order of the calls."""
    done: Counter[tuple[str, bool, str]] = Counter()
    found: list[SetCall | SetModuleCall] = []
    for call in calls:
        key = call.host, call.of_module, call.called
        left = call.count - done[key]
        done[key] += 1
        host, number, name = call.host, call.number, call.name
        if call.of_module:
            edit = SetModuleCall(host=host, called=call.called, number=number, count=left, name=name, spec=spec)
            found.append(edit)
        else:
            found.append(SetCall(host=host, kind=call.called, number=number, count=left, name=name, spec=spec))
    return found
