"""``residual(gate = 0)``: a path around a module."""

from collections.abc import Sequence
from typing import ClassVar, final

from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import InsertModule, ModuleSpec
from surgery_dsl.interface.fragment import Built, residual
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.transforms._insertion import checked_hosts, created, host_has_no, join_ends, refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._surgery import insert_child, runs_of
from surgery_dsl.vocabulary.word import Card


@final
class Residual(Transform):
    """A path around a module: its result becomes `f(x) + gate · x`.

    Arguments:
        gate: Factor of the added path; at 0 nothing changes until training opens it.
        learned: Whether the gate is a parameter, one for each host; `false` makes it a constant.

    Static rule:
        What the host takes and what it gives must have equal dimensions for every outcome; they keep step from then
        on, so that their axes become one. Exact for gate 0 (`0 · x` is 0 for every finite x). Refused: unequal
        dimensions (SD231), a host that is not called or does not make one tensor of one (SD241, SD242), a taken name
        (SD247), a shared host without `scope` (SD310), a constant gate of 0 (SD306).

    Runtime rule:
        The host gets a child of the step's name, run around it. A host that writes in place gets a copy of x.

    Source:
        He et al., Deep residual learning, CVPR 2016, section 3.2; a scalar gate from 0 as in Bachlechner et al.,
        ReZero, UAI 2021, here on the added path.

    Raises:
        SD231, SD240, SD241, SD242, SD244, SD247, SD306, SD310.
    """

    places: ClassVar[frozenset[str]] = frozenset({"around"})
    positional: ClassVar[tuple[str, ...]] = ("gate",)
    card: ClassVar[Card] = Card(
        summary="Lead a gated path around a module",
        source="He et al., CVPR 2016, section 3.2; Bachlechner et al., UAI 2021",
        example="residual(gate = 0)",
        near_miss="residual(gate = 0, learned = false)",
        near_miss_code="SD306",
        function="exact",
        interface=frozenset({"topology"}),
        fixture="sequential",
    )

    gate: float = 0.0
    learned: bool = True

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Join what each host takes with what it gives, and insert the path."""
        if not self.learned and self.gate == 0:
            return Effect(function="none", reason="a constant gate of 0 adds nothing", matched=len(place.sites))
        scene = Scene.of_static(place, context, self.span)
        targets = checked_hosts(scene, draft)
        if targets is None:
            return refused(place)
        runs = runs_of(draft, targets)
        ends = [
            (target, run.inputs[0], run.outputs[0]) for target, own in zip(targets, runs, strict=True) for run in own
        ]
        if not join_ends(scene, draft, ends, "they cannot be added"):
            return refused(place)
        brings: list[str] = []
        for target, own in zip(targets, runs, strict=True):
            brings += insert_child(draft, target, own, place, self._body)
        settle(draft)
        return Effect(
            function="exact" if self.gate == 0 else "changing",
            rule="zero_branch" if self.gate == 0 else "",
            reason="the gate of the added path is 0" if self.gate == 0 else f"{self.gate:g} · x is added",
            brings=tuple(brings),
            creates=created(draft),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _body(self, draft: Draft, path: str, run: Run, value: int) -> Built:
        dtype = draft.values[value].dtype
        return residual(draft, path, value, run.inputs[0], self.gate, self.learned, dtype)

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Insert the path around each host."""
        import torch

        from surgery_dsl.trace.dtypes import BY_NAME

        draft = Draft(runtime.interface)
        targets = Scene.of_runtime(place, runtime, self.span).targets() or ()
        changes = []
        for target, (run, *_) in zip(targets, runs_of(draft, targets), strict=True):
            host_has_no(place, runtime, target)
            dtype = draft.values[run.outputs[0]].dtype
            path = f"{target.path}.{place.name}" if target.path else place.name
            spec = ModuleSpec(
                type="surgery_dsl.Residual", arguments={"gate": self.gate, "learned": self.learned}, dtype=dtype
            )
            gates = {f"{path}.gate": torch.tensor(self.gate, dtype=BY_NAME[dtype])} if self.learned else {}
            changes.append(
                Change(edit=InsertModule(host=target.path, name=place.name, where="around", spec=spec), tensors=gates)
            )
        return changes
