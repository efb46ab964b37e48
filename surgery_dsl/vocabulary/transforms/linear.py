"""``linear(10)``: a new layer, for a new task."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.interface import frozen
from surgery_dsl.interface.coupling import leaves, settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.edits import ModuleSpec, SetModule
from surgery_dsl.interface.fragment import Built
from surgery_dsl.interface.fragment import linear as linear_layer
from surgery_dsl.interface.model import Dim, Operator
from surgery_dsl.interface.parting import recouple
from surgery_dsl.interface.sums import size_range
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.initializers.xavier import Xavier
from surgery_dsl.vocabulary.kinds import InitializerSlot, Transform
from surgery_dsl.vocabulary.transforms._insertion import keep_step, refused
from surgery_dsl.vocabulary.transforms._places import Scene, Target
from surgery_dsl.vocabulary.transforms._surgery import ends, only_operator, replace_at, runs_of
from surgery_dsl.vocabulary.transforms._values import (
    has_number,
    is_real,
    shape_text,
    size_text,
    works_on_channels,
)
from surgery_dsl.vocabulary.word import Card


@final
class Linear(Transform):
    """A new linear layer in the place of a module: a head for a new task.

    Arguments:
        out: Outputs of the new layer.
        init: What the weight holds at first; the bias is zero.
        seed: Seed of what is drawn.

    Static rule:
        The layer reads the last dimension that the module read; leading dimensions must be those that it gave. A linear
        layer keeps its having a bias or not; any other module becomes one with a bias. Where the size differs from the
        old one, nothing else may depend on it (SD231). Always `changing`; at an output of the network it needs
        `changes = outputs`, also where the size stays, because the outputs get a new meaning (SD227). Refused besides:
        tied tensors without `tie` (SD230), a module that is not called or does not make one tensor of one (SD241,
        SD242), features that are no number (SD248).

    Runtime rule:
        A new `torch.nn.Linear` of the site's dtype, on its device.

    Source:
        Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014.

    Raises:
        SD226, SD227, SD230, SD231, SD240, SD241, SD242, SD243, SD244, SD248, SD310.
    """

    positional: ClassVar[tuple[str, ...]] = ("out",)
    card: ClassVar[Card] = Card(
        summary="Put a new linear layer in the place of a module",
        source="Yosinski et al., NeurIPS 2014",
        example="linear(10, init = xavier())",
        near_miss="linear(0)",
        near_miss_code="SD112",
        function="changing",
        interface=frozenset({"values", "outputs", "widths", "topology"}),
        needs=frozenset({"seed"}),
    )

    out: Annotated[int, Field(ge=1)]
    init: InitializerSlot = Xavier()
    seed: int = 0

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Put a new layer in the place of each module, and let its outputs' size follow."""
        scene = Scene.of_static(place, context, self.span)
        targets = scene.targets()
        if targets is None:
            return refused(place)
        runs = runs_of(draft, targets)
        fits = [scene.may_go(target) for target in targets]
        fits += [
            self._fits(scene, draft, target, run, context)
            for target, own in zip(targets, runs, strict=True)
            for run in own
        ]
        for target, own in zip(targets, runs, strict=True):
            for side in zip(*(ends(draft, run) for run in own), strict=True):
                fits.append(all(fits) and keep_step(scene, draft, target, side))
        if not all(fits):
            return refused(place)
        writes: set[str] = set()
        for target, own in zip(targets, runs, strict=True):
            writes.update(name for path in target.paths for name in scene.tensors_of(path))
            bias = _keeps_bias(only_operator(draft, own[0]))
            out = ends(draft, own[0])[1]

            def body(draft: Draft, path: str, value: int, old: int = out, bias: bool = bias) -> Built:
                dims = draft.values[old].dims
                return linear_layer(draft, path, value, dims[-1], draft.values[value].dtype, bias)

            recouple(draft, replace_at(draft, target, own, body))
            if not self._resize(scene, draft, target, own[0], context):
                return refused(place)
        settle(draft)
        names = {f"{path}.{name}" for target in targets for path in target.paths for name in ("weight", "bias")}
        return Effect(
            function="changing",
            reason="a new layer starts from fresh weights",
            writes=frozenset(writes),
            brings=tuple(path for target in targets for path in target.paths),
            creates=frozenset(names & draft.tensors.keys()),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    # ---- what may stand here -----------------------------------------------------------------------------------

    def _fits(self, scene: Scene, draft: Draft, target: Target, run: Run, context: Static) -> bool:
        source, result = ends(draft, run)
        taken, given = draft.values[source].dims, draft.values[result].dims
        if not is_real(scene, draft, target, source):
            return False
        if source == result or not taken or taken[:-1] != given[:-1] or works_on_channels(draft, source):
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{target.path}` makes {shape_text(draft, result)} of {shape_text(draft, source)}; a linear layer "
                "changes the last dimension alone",
                path=target.path,
                help="name a module that changes the last dimension alone",
            )
            return False
        return has_number(scene, draft, target, taken[-1], "a linear layer") and self._contract(
            scene, draft, target, given[-1], context
        )

    def _contract(self, scene: Scene, draft: Draft, target: Target, out: Dim, context: Static) -> bool:
        touched = (
            port.value for port in draft.outputs if set(out) & {a for d in draft.values[port.value].dims for a in d}
        )
        value = next(touched, None)
        if value is None or "outputs" in context.changes:
            return True
        before, dims = shape_text(draft, value), draft.values[value].dims
        after = ", ".join(str(self.out) if dim == out else size_text(draft, dim) for dim in dims)
        scene.say(
            shapes.OUTPUT_CONTRACT,
            f"a new layer at `{target.path}` changes the network's output: {before} would become [{after}]"
            if before != f"[{after}]"
            else f"a new layer at `{target.path}` gives the network's output {before} a new meaning",
            path=target.path,
            facts={"before": before, "after": f"[{after}]"},
            help="write `changes = outputs` in this step",
            at_word=True,
        )
        return False

    def _resize(self, scene: Scene, draft: Draft, target: Target, run: Run, context: Static) -> bool:
        """Give the new layer's outputs their size; report what needs the old one."""
        value = ends(draft, run)[1]
        out = draft.values[value].dims[-1]
        if size_range(draft.axes, out) == (self.out, self.out):
            return True
        own = {f"{target.path}.weight", f"{target.path}.bias"}
        weight = draft.tensors[f"{target.path}.weight"]
        conflict = _conflict(draft, value, out, own, target)
        if conflict is None and (len(out) != 1 or draft.axes[out[0]].parts or set(out) & set(weight.dims[1])):
            conflict = "the network's forward"
        if conflict is not None:
            scene.say(
                shapes.WIDTH_MISMATCH,
                f"`{target.path}` would give {self.out} features where {conflict} needs {size_text(draft, out)}",
                path=target.path,
                facts={"new": self.out, "needed": size_text(draft, out)},
                help=f"write linear({size_text(draft, out)}), or replace what follows too",
                at_word=True,
            )
            return False
        reason = draft.axes[out[0]].frozen
        if reason and reason != frozen.OUTPUT:
            scene.say(
                shapes.FIXED_AXIS,
                f"the outputs of `{target.path}` must keep their size: {reason}",
                path=target.path,
                facts={"size": size_text(draft, out), "asked": self.out},
                help=f"write linear({size_text(draft, out)})",
                at_word=True,
            )
            return False
        draft.resize(out[0], self.out)
        return True

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Build the new layers, with their values."""
        import torch

        from surgery_dsl.trace.dtypes import BY_NAME

        draft = Draft(runtime.interface)
        targets = Scene.of_runtime(place, runtime, self.span).targets() or ()
        generator = runtime.generator(self.seed)
        changes = []
        for target, (run, *_) in zip(targets, runs_of(draft, targets), strict=True):
            value = draft.values[ends(draft, run)[0]]
            features, dtype = runtime.interface.exact(value.dims[-1]), BY_NAME[value.dtype]
            if features is None:
                raise ValueError(f"the size of {target.path} is not known")
            bias = _keeps_bias(only_operator(draft, run))
            weight = torch.empty(self.out, features, dtype=dtype)
            self.init.fill(weight, generator)
            tensors = {f"{target.path}.weight": weight}
            if bias:
                tensors[f"{target.path}.bias"] = torch.zeros(self.out, dtype=dtype)
            spec = ModuleSpec(
                type="torch.nn.Linear",
                arguments={"in_features": features, "out_features": self.out, "bias": bias},
                dtype=value.dtype,
            )
            changes.append(Change(edit=SetModule(paths=target.paths, spec=spec), tensors=tensors))
        return changes


def _keeps_bias(old: Operator | None) -> bool:
    return old is None or old.kind != "linear" or "bias" in old.tensors


def _shows(draft: Draft, value: int, axes: set[int]) -> bool:
    return any(axes & set(leaves(draft, dim)) for dim in draft.values[value].dims)


def _conflict(draft: Draft, value: int, out: Dim, own: set[str], target: Target) -> str | None:
    """Return the first operator behind a layer that brings the old size of its outputs with it, if there is one."""
    axes = set(out)
    derived = {value}
    for operator in draft.operators():
        if operator.module == target.path or derived.isdisjoint(operator.inputs):
            continue
        others = [v for v in operator.inputs if v not in derived]
        shown = [dim for v in others for dim in draft.values[v].dims]
        shown += [dim for name in operator.tensors.values() if name not in own for dim in draft.tensors[name].dims]
        if any(axes & set(leaves(draft, dim)) for dim in shown):
            return f"`{operator.path}`" + (f" ({operator.source})" if operator.source else "")
        derived.update(v for v in operator.outputs if _shows(draft, v, axes))
    return None
