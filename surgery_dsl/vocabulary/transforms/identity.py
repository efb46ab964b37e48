"""``identity()``: a module is taken out of the way."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.fragment import Built, activation
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import join_ends, refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import ends, own_events, replace_at, runs_of
from surgery_dsl.vocabulary.transforms._values import never_negative, writers_of
from surgery_dsl.vocabulary.word import Card


@final
class Identity(Transform):
    """`torch.nn.Identity` in the place of a module: its input goes straight on.

    Static rule:
        What the module takes and what it gives must have equal dimensions for every outcome; their axes become one. Its
        parameters are gone. Exact only where it changed nothing: a ReLU of what is never negative. A module that
        hands its input on in eval mode (dropout) is left alone. Refused: unequal dimensions (SD231), tied tensors
        without `tie` (SD230), a module that is not called or does not make one tensor of one (SD241, SD242), a shared
        one without `scope` (SD310).

    Runtime rule:
        A new `torch.nn.Identity` at the path of each site.

    Source:
        torch.nn.Identity.

    Raises:
        SD230, SD231, SD240, SD241, SD242, SD243, SD310.
    """

    card: ClassVar[Card] = Card(
        summary="Take a module out of the way",
        source="torch.nn.Identity",
        example="identity()",
        near_miss="identity(1)",
        near_miss_code="SD110",
        function="exact",
        interface=frozenset({"topology"}),
        fixture="sequential",
    )

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Let what follows each site read what the site read."""
        scene = Scene.of_static(place, context, self.span)
        targets = scene.targets()
        if targets is None:
            return refused(place)
        pairs = [
            (target, own)
            for target, own in zip(targets, runs_of(draft, targets), strict=True)
            if _does_something(draft, own)
        ]
        allowed = [scene.may_go(target) for target, _ in pairs]
        sides = [(target, *ends(draft, run)) for target, own in pairs for run in own]
        if not all(allowed) or not join_ends(scene, draft, sides, "no identity can"):
            return refused(place)
        writers = writers_of(draft)
        exact = all(_changes_nothing(draft, writers, run) for _, own in pairs for run in own)
        writes: set[str] = set()
        axes: frozenset[int] = frozenset()
        for target, own in pairs:
            writes.update(name for path in target.paths for name in scene.tensors_of(path))
            axes |= replace_at(draft, target, own, _nothing)
        recouple(draft, axes)
        settle(draft)
        writes -= draft.tensors.keys()
        return Effect(
            function="exact" if exact else "changing",
            rule="idle_module" if exact else "",
            reason="it was the identity on what it gets" if exact else "modules are taken out",
            writes=frozenset(writes),
            brings=tuple(path for target, _ in pairs for path in target.paths),
            matched=len(place.sites),
            changed=sum(len(target.sites) for target, _ in pairs),
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Put an identity at each site that did something."""
        draft = Draft(runtime.interface)
        targets = Scene.of_runtime(place, runtime, self.span).targets() or ()
        spec = ModuleSpec(type="torch.nn.Identity")
        return [
            Change(edit=SetModule(paths=target.paths, spec=spec))
            for target, own in zip(targets, runs_of(draft, targets), strict=True)
            if _does_something(draft, own)
        ]


def _nothing(draft: Draft, path: str, value: int) -> Built:
    return activation(draft, path, "identity", value)


def _does_something(draft: Draft, runs: Sequence[Run]) -> bool:
    return any(len(set(ends(draft, run))) > 1 for run in runs)


def _changes_nothing(draft: Draft, writers: Mapping[int, Operator], run: Run) -> bool:
    own = own_events(draft, run)
    only = own[0] if len(own) == 1 else None
    return isinstance(only, Operator) and only.kind == "relu" and never_negative(writers, only.inputs[0])
