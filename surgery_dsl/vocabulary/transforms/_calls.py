"""Functional calls in forwards, for the words that exchange them: each goes to a child of the module that makes it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetCall
from surgery_dsl.interface.flow import ACTIVATIONS
from surgery_dsl.interface.fragment import Built
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.turns import count_again
from surgery_dsl.vocabulary.context import Place
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import mirror_below
from surgery_dsl.vocabulary.transforms._values import RESERVED

# Kinds that differ by the function that is called; see modules/call_sites.py, which needs torch.
TOLD_APART = ACTIVATIONS - {"clamp", "clamp_min", "threshold", "prelu", "rrelu", "log_sigmoid_forward"}


@dataclass(frozen=True)
class Call:
    """A functional call that goes to a child.

    Attributes:
        site: The site.
        host: Path of the module whose forward makes it, the first where it stands at several.
        paths: All paths of that module.
        name: Name of the child.
        number: Which of the calls of its kind it is.
        count: How many calls of its kind the forward makes.
        operator: The call, as the host's first run has it.
    """

    site: Site
    host: str
    paths: tuple[str, ...]
    name: str
    number: int
    count: int
    operator: Operator

    @property
    def child(self) -> str:
        """Path of the child."""
        return f"{self.host}.{self.name}" if self.host else self.name


def split(place: Place) -> tuple[Place, tuple[Site, ...]]:
    """Return a place with its modules alone, and the sites that are calls in a forward."""
    calls = tuple(site for site in place.sites if site.path != site.module and site.word != "param")
    if not calls:
        return place, ()
    sites = tuple(site for site in place.sites if site not in calls)
    kept = Place(place.where, sites, place.selection, place.name, place.span, place.scope, place.tie)
    return kept, calls


def calls_of(sites: Iterable[Site], scene: Scene, draft: Draft) -> tuple[Call, ...] | None:
    """Return the calls that sites mean, the last of a forward first; ``None`` after reporting."""
    by_host: dict[str, list[Site]] = {}
    for site in sites:
        module = scene.interface.module_by_path[site.module]
        by_host.setdefault(module.same_as or module.path, []).append(site)
    found: list[Call] = []
    fits = True
    for host, own in by_host.items():
        run = next(run for run in draft.root.runs() if run.module == host)
        order = [_suffix(event.path) for event in run.events if isinstance(event, Operator)]
        own.sort(key=lambda site: order.index(_suffix(site.path)) if _suffix(site.path) in order else -1)
        for at, site in enumerate(own):
            name = scene.place.name + (f"_{at}" if len(own) > 1 else "")
            call = _call(scene, run, host, site, name)
            fits = call is not None and _is_free(scene, draft, call) and fits
            found += [] if call is None else [call]
    return tuple(sorted(found, key=lambda call: -call.number)) if fits else None


def _suffix(path: str) -> str:
    return path.rpartition("/")[2]


def _is_free(scene: Scene, draft: Draft, call: Call) -> bool:
    """Report a host that already has something of the child's name."""
    if call.name in RESERVED or call.child in draft.modules or call.child in draft.tensors:
        text = f"`{call.host or 'the network'}` already has something called `{call.name}`"
        scene.say(shapes.NAME_TAKEN, text, path=call.child, help="give the step another name")
        return False
    return True


def _call(scene: Scene, run: Run, host: str, site: Site, name: str) -> Call | None:
    suffix = _suffix(site.path)
    own = [event for event in run.events if isinstance(event, Operator)]
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
    return Call(site, host, scene.paths_of(host), name, number, len(alike), operator)


def exchange(draft: Draft, call: Call, body: Callable[[Draft, str, int], Built]) -> tuple[str, ...]:
    """Let a child compute what a call did, in every run of its host; return the child's paths."""
    suffix = _suffix(call.operator.path)
    for run in [run for run in draft.root.runs() if run.module == call.host]:
        for index, event in enumerate(run.events):
            if isinstance(event, Operator) and _suffix(event.path) == suffix:
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


def edits_of(calls: Iterable[Call], spec: ModuleSpec) -> list[SetCall]:
    """Return the edits that let calls go to children, in the order of the calls."""
    done: Counter[tuple[str, str]] = Counter()
    found = []
    for call in calls:
        kind = call.operator.kind
        left = call.count - done[call.host, kind]
        done[call.host, kind] += 1
        found.append(SetCall(host=call.host, kind=kind, number=call.number, count=left, name=call.name, spec=spec))
    return found
