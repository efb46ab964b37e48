"""What the words for activations share: the sites they fit, how far two functions differ, the exchange itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import JsonValue

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.flow import ACTIVATIONS
from surgery_dsl.interface.fragment import Built, pointwise
from surgery_dsl.interface.model import Operator, Setting
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._calls import Call, calls_of, edits_of, exchange, split
from surgery_dsl.vocabulary.transforms._insertion import has_no
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import only_operator, own_events, replace_at, runs_of
from surgery_dsl.vocabulary.word import FunctionEffect

Function = tuple[str, tuple[tuple[str, Setting], ...]]
"""Kind and settings of a pointwise operator."""

# The greatest distance from ReLU over all real x, rounded up: of x·Φ(x), of its tanh form, and of x·σ(x). Where the
# derivative of the difference vanishes: |x| = 0.7518, 0.7523 and 1.2785.
_FROM_RELU: dict[Function, float] = {
    ("relu", ()): 0.0,
    ("gelu", (("approximate", "none"),)): 0.16998,
    ("gelu", (("approximate", "tanh"),)): 0.17005,
    ("silu", ()): 0.27847,
}


# What activations are written of where torch has no operator for them, as GELU's tanh form in many a network.
_ENTRYWISE = ACTIVATIONS | {
    *("add", "sub", "rsub", "mul", "div", "neg", "pow", "exp", "erf", "sqrt", "square", "abs", "log"),
}


class Activation(Transform, ABC):
    """An activation in the place of another. Abstract.

    Attributes:
        torch_class: Name of torch's class.
        operator_kind: Kind of the operator that it runs.
    """

    torch_class: ClassVar[str]
    operator_kind: ClassVar[str]

    @abstractmethod
    def settings(self) -> dict[str, Setting]:
        """Return the settings of the operator as the tracer records them."""

    def arguments(self) -> dict[str, JsonValue]:
        """Return the keyword arguments of torch's class."""
        return {name: value for name, value in self.settings().items() if not isinstance(value, tuple)}

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Exchange the operator of each site."""
        matched = len(place.sites)
        place, single = split(place, context.interface)
        scene = Scene.of_static(place, context, self.span)
        targets = scene.targets()
        calls = calls_of(single, scene, draft)
        if targets is None or calls is None:
            return Effect(function="changing", matched=matched)
        runs = runs_of(draft, targets)
        olds = [_computed(draft, own[0]) for own in runs]
        called = [_function(draft, call) for call in calls]
        fitting = [self._fits(scene, target, old) for target, old in zip(targets, olds, strict=True)]
        fitting += [self._fits_call(scene, call, old) for call, old in zip(calls, called, strict=True)]
        if not all(fitting):
            return Effect(function="changing", matched=matched)
        mine = (self.operator_kind, tuple(sorted(self.settings().items())))
        writes: set[str] = set()
        brings: list[str] = []
        gaps: list[tuple[FunctionEffect, str]] = []
        changed = 0
        for target, own, old in zip(targets, runs, olds, strict=True):
            if old is None or old == mine:
                continue
            changed += len(target.sites)
            brings += target.paths
            writes.update(name for path in target.paths for name in draft.before.held.get(path, ()))
            gaps.append(gap(old, mine))
            replace_at(draft, target, own, self._body)
        for call, old in zip(calls, called, strict=True):
            if old is not None and old != mine:
                changed += 1
                gaps.append(gap(old, mine))
                brings += exchange(draft, call, self._body)
        function, reason = _weakest(gaps) if gaps else ("none", f"every site already is {self.name}")
        return Effect(
            function=function,
            reason=reason,
            rule="same_function" if function == "exact" else "",
            writes=frozenset(writes),
            brings=tuple(brings),
            matched=matched,
            changed=changed,
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Put a new module of torch's class at each site that is not one already."""
        draft = Draft(runtime.interface)
        place, single = split(place, runtime.interface)
        scene = Scene.of_runtime(place, runtime, self.span)
        targets = scene.targets() or ()
        mine = (self.operator_kind, tuple(sorted(self.settings().items())))
        spec = ModuleSpec(type=f"torch.nn.{self.torch_class}", arguments=self.arguments())
        changes: list[Change] = []
        for target, own in zip(targets, runs_of(draft, targets), strict=True):
            if _computed(draft, own[0]) not in (None, mine):
                changes.append(Change(edit=SetModule(paths=target.paths, spec=spec)))
        calls = [one for one in calls_of(single, scene, draft) or () if _function(draft, one) != mine]
        for call in calls:
            has_no(runtime, place, call.host, call.name)
        return [*changes, *(Change(edit=edit) for edit in edits_of(calls, spec))]

    def _body(self, draft: Draft, path: str, value: int) -> Built:
        return pointwise(draft, path, f"torch.nn.{self.torch_class}", self.operator_kind, self.settings(), value)

    def _fits(self, scene: Scene, target: Target, old: Function | None) -> bool:
        if old is not None:
            return scene.may_go(target)
        self._misfit(scene, target.path, target.path)
        return False

    def _fits_call(self, scene: Scene, call: Call, old: Function | None) -> bool:
        if old is None:
            self._misfit(scene, call.site.path, call.site.module)
        return old is not None

    def _misfit(self, scene: Scene, path: str, module: str) -> None:
        kind = scene.interface.module_by_path[module].type.removeprefix("torch.nn.")
        text = f"`{path}` is a {kind}, and {self.name} takes the place of an activation"
        scene.say(shapes.SITE_DOES_NOT_FIT, text, path=path, help='name activations, such as relu("**")')


def _function(draft: Draft, call: Call) -> Function | None:
    """Return what a call computes, where that is one function of each entry."""
    first = call.events[0]
    return function_of(first) if isinstance(first, Operator) else _computed(draft, first)


def _computed(draft: Draft, run: Run) -> Function | None:
    """Return what a module computes, where that is one function of each entry; ``None`` where it is not."""
    only = only_operator(draft, run)
    if only is not None:
        return function_of(only) if only.kind in ACTIVATIONS else None
    own = own_events(draft, run)
    dims = draft.values[run.inputs[0]].dims
    for event in own:
        if not isinstance(event, Operator) or event.kind not in _ENTRYWISE or event.tensors:
            return None
        if any(draft.values[value].dims != dims for value in (*event.inputs, *event.outputs)):
            return None
    return (own[0].module.rpartition(".")[2], ()) if own and isinstance(own[0], Operator) else None


def function_of(operator: Operator) -> Function:
    """Return what an activation computes."""
    return operator.kind, tuple(sorted(operator.settings.items()))


def gap(old: Function, new: Function) -> tuple[FunctionEffect, str]:
    """Say how far two pointwise functions differ, over all real numbers."""
    if old == new:
        return "exact", "both are the same function"
    one, two = _FROM_RELU.get(old), _FROM_RELU.get(new)
    if one is not None and two is not None:
        return "bounded", f"{new[0]} for {old[0]}: each value moves by at most {one + two:.4f}"
    slopes = _slope(old), _slope(new)
    if slopes[0] is not None and slopes[1] is not None:
        if slopes[0] == slopes[1]:
            return "exact", "both are the same function"
        change = abs(slopes[0] - slopes[1])
        return "bounded", f"{new[0]} for {old[0]}: a value x below zero moves by {change:.6g}·|x|, others stay"
    return "changing", f"{new[0]} for {old[0]}"


def _slope(function: Function) -> float | None:
    """Return the slope on the negative side of a function that keeps positive values."""
    kind, settings = function
    if kind == "relu":
        return 0.0
    value = dict(settings).get("negative_slope")
    return float(value) if kind == "leaky_relu" and isinstance(value, int | float) else None


def _weakest(gaps: Sequence[tuple[FunctionEffect, str]]) -> tuple[FunctionEffect, str]:
    order: tuple[FunctionEffect, ...] = ("exact", "bounded", "changing")
    return max(gaps, key=lambda entry: order.index(entry[0]))
