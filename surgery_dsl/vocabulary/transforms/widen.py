"""``widen(64 -> 96)``: more units, and the same function."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.diagnostics.codes import names, shapes
from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface import frozen
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import IntegerChange, Resize, Slice
from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform, Unit
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._units import Uses, entries, exact, showing, uses
from surgery_dsl.vocabulary.transforms._values import size_text
from surgery_dsl.vocabulary.units._axes import site_dims
from surgery_dsl.vocabulary.units.channels import common_axis
from surgery_dsl.vocabulary.values import NumberArrow, number_text
from surgery_dsl.vocabulary.word import Card, Slot

if TYPE_CHECKING:
    import torch


@final
class Widen(Transform):
    """More units in a layer, each new one a copy, without changing the function.

    Arguments:
        width: `64 -> 96`: the width that the author expects, and the new one.
        noise: Standard deviation of the noise on the copies' incoming weights, relative to that of the weights; with
            any, the copies can part in training, and the function changes a little.
        seed: Seed of the choice of copies, and of the noise.
        unit: What `width` counts where that is not the site's channels: `heads`, `kv_groups`, `experts`, `groups`.

    Static rule:
        Everything that carries the site's output axis grows with it: coupled layers, norms per channel, biases,
        readers behind a flattening or a concatenation. Exact without noise, because each reader divides its weights
        by the number of copies. Refused: a left side that is not true (SD220), an axis that must keep its size, such
        as the network's outputs (SD226), groups that do not divide the new width (SD224), an operator that would
        notice the copies: a norm, mean or softmax over the units (SD246), a site without output units (SD244). Heads
        and key/value groups are copied with all their projections, and the output projection shares out among them.

    Runtime rule:
        The first units stay; each further one copies a unit drawn at random. What writes the units is copied bit for
        bit, what reads them is copied and divided.

    Source:
        Chen, Goodfellow and Shlens, Net2Net, ICLR 2016, section 2.2 (Net2WiderNet).

    Raises:
        SD112, SD220, SD224, SD226, SD244, SD246.
    """

    positional: ClassVar[tuple[str, ...]] = ("width",)
    card: ClassVar[Card] = Card(
        summary="Duplicate units so that the function stays the same",
        source="Chen, Goodfellow and Shlens, ICLR 2016, section 2.2",
        example="widen(16 -> 24, noise = 0, seed = 3)",
        near_miss="widen(15 -> 24)",
        near_miss_code="SD220",
        function="exact",
        interface=frozenset({"widths"}),
        needs=frozenset({"seed"}),
        fixture="sequential",
    )

    width: NumberArrow
    noise: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 0
    unit: Annotated[Unit | None, Slot("units")] = None

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Give each axis its new size."""
        scene = Scene.of_static(place, context, self.span)
        units = _units(scene, place.sites, self.unit)
        if units is None or not self._grows(scene):
            return refused(place)
        if self.width.left == self.width.right:
            return Effect(function="none", reason="the widths are equal", matched=len(place.sites))
        targets: dict[int, int] = {}
        shown = showing(draft.before)
        for site, dim, axis in units:
            picked = self._axis(scene, draft, site, dim, axis)
            if picked is None or not _unnoticed(scene, site, uses(draft.before, picked[0], shown.get(picked[0], ()))):
                return refused(place)
            targets[picked[0]] = picked[1]
        for axis, size in targets.items():
            draft.resize(axis, size)
        _follow(draft, targets)
        return Effect(
            function="changing" if self.noise else "exact",
            rule="" if self.noise else "copied_units",
            reason="noise on the copies" if self.noise else "every reader shares out its weights among the copies",
            writes=frozenset(name for axis in targets for name, _ in draft.before.carriers.get(axis, ())),
            matched=len(place.sites),
            changed=len(place.sites),
        )

    def _grows(self, scene: Scene) -> bool:
        left, right = self.width.left, self.width.right
        if left.denominator == right.denominator == 1 and 1 <= left <= right:
            return True
        scene.say(
            names.ARGUMENT_OUT_OF_RANGE,
            f"widen cannot make {number_text(right)} units of {number_text(left)}",
            facts={"from": float(left), "to": float(right)},
            help="write a greater whole number on the right; `excise` makes layers narrower",
            at_word=True,
        )
        return False

    def _axis(self, scene: Scene, draft: Draft, site: Site, dim: Dim, axis: int | None) -> tuple[int, int] | None:
        """Return the axis that grows and its new size; ``None`` after reporting."""
        now, left, right = size_text(draft, dim), int(self.width.left), int(self.width.right)
        if now != str(left):
            scene.say(
                shapes.UNTRUE_ARROW,
                f"`{site.path}` has {now} units, not {left}",
                path=site.path,
                facts={"written": left, "found": now},
                help=_true_widening(now, right),
                at_word=True,
            )
            return None
        picked = axis if axis is not None else _free(dim, draft.before)
        listed = next((one.path for one in draft.before.indexed if one.dim == (picked,)), "")
        if picked is None or draft.axes[picked].frozen or listed:
            axis = dim[-1] if picked is None else picked
            reason = draft.axes[axis].frozen or "its units are several parts behind one another"
            reason = f"each goes with an entry of `{listed}`" if listed else reason
            scene.say(
                shapes.FIXED_AXIS,
                f"`{site.path}` must keep its {now} units: {reason}",
                path=site.path,
                facts={"units": now},
                help="name a layer whose units are the network's own"
                if reason in (frozen.OUTPUT, frozen.INPUT)
                else f'leave it out: except = ["{site.path}"]',
            )
            return None
        axis = picked
        size = exact(draft.before, (axis,))
        groups = left // size
        new, rest = divmod(right, groups)
        if rest:
            scene.say(
                shapes.GROUP_INDIVISIBLE,
                f"`{site.path}` has {groups} groups of {size} units, and {right} is no multiple of {groups}",
                path=site.path,
                facts={"groups": groups, "asked": right},
                help=f"write widen({left} -> {-(-right // groups) * groups})",
                at_word=True,
            )
            return None
        return axis, new

    # ---- runtime -----------------------------------------------------------------------------------------------

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Duplicate the units in everything that carries them."""
        interface = runtime.interface
        scene = Scene.of_runtime(place, runtime, self.span)
        generator = runtime.generator(self.seed)
        sources = self._sources(scene, place, interface, generator)
        indices: dict[str, tuple[int, ...]] = {}
        keys: dict[Dim, str] = {}
        slices: list[Slice] = []
        for tensor in interface.tensors:
            for position, dim in enumerate(tensor.dims):
                if tensor.tied_to or sources.keys().isdisjoint(interface.leaves(dim)):
                    continue
                if dim not in keys:
                    keys[dim] = f"{tensor.name}[{position}]"
                    indices[keys[dim]] = tuple(entries(interface, dim, sources)[0])
                slices.append(Slice(tensor=tensor.name, dim=position, indices=keys[dim]))
        integers = tuple(
            IntegerChange(module=module.path, attribute=name, value=len(entries(interface, dim, sources)[0]))
            for module in interface.modules
            for name, dim in module.integers.items()
            if not sources.keys().isdisjoint(interface.leaves(dim))
        )
        edit = Resize(indices=indices, slices=tuple(slices), integers=integers)
        shown = showing(interface)
        roles = {p: role for axis in sources for p, role in uses(interface, axis, shown.get(axis, ())).roles.items()}
        values = {
            name: self._values(runtime, name, sources, roles, generator)
            for name in dict.fromkeys(s.tensor for s in slices)
            if any(roles.get((name, d)) == "divide" for d in range(len(interface.tensor_by_name[name].dims)))
            or (self.noise and _is_written(interface, name))
        }
        return [Change(edit=edit, tensors=values)]

    def _sources(
        self, scene: Scene, place: Place, interface: Interface, generator: "torch.Generator"
    ) -> dict[int, list[int]]:
        from surgery_dsl.kernels.widening import duplication

        draft = Draft(interface)
        sources: dict[int, list[int]] = {}
        for site, dim, axis in _units(scene, place.sites, self.unit) or ():
            picked = self._axis(scene, draft, site, dim, axis)
            if picked is not None and picked[0] not in sources:
                width = exact(interface, (picked[0],))
                sources[picked[0]] = duplication(width, picked[1], generator).tolist()
        return sources

    def _values(
        self,
        runtime: Runtime,
        name: str,
        sources: Mapping[int, list[int]],
        roles: Mapping[tuple[str, int], str],
        generator: "torch.Generator",
    ) -> "torch.Tensor":
        """Return a tensor with its units duplicated: shared out where they are read, with noise where written."""
        import torch

        from surgery_dsl.kernels.gather import take_block

        interface = runtime.interface
        tensor = interface.tensor_by_name[name]
        spread = {
            position: entries(interface, dim, sources)
            for position, dim in enumerate(tensor.dims)
            if not sources.keys().isdisjoint(interface.leaves(dim))
        }
        wide = take_block(runtime.tensor(name), {position: flat for position, (flat, _) in spread.items()})
        for position, (_, units) in spread.items():
            shape = [1] * wide.dim()
            shape[position] = -1
            if roles.get((name, position)) == "divide":
                counts = [_copies(sources, unit) for unit in units]
                wide /= torch.tensor(counts, dtype=wide.dtype).to(wide.device).view(shape)
            elif self.noise:
                width = {axis: max(source) + 1 for axis, source in sources.items()}
                fresh = torch.tensor([axis >= 0 and new >= width[axis] for axis, new in units]).view(shape)
                deviation = float(runtime.tensor(name).detach().double().std(correction=0)) * self.noise
                dtype = torch.float64 if wide.dtype is torch.float64 else torch.float32
                noise = torch.randn(wide.shape, generator=generator, dtype=dtype) * deviation
                wide += (noise * fresh).to(wide.device, wide.dtype)
        return wide


def _true_widening(now: str, right: int) -> str:
    """Return the fix of an untrue left side: the same right side where that is still wider."""
    if not now.isdigit():
        return "widen before units are removed"
    if int(now) < right:
        return f"write widen({now} -> {right})"
    return f"name a narrower layer, or a width above {now} on the right"


def _free(dim: Dim, interface: Interface) -> int | None:
    """Return the axis of a dimension that can grow: its innermost free one, or what all parts of a sum share."""
    free = [axis for axis in dim if not interface.axes[axis].frozen and not interface.axes[axis].parts]
    return free[-1] if free else common_axis(dim, interface)


def _units(scene: Scene, sites: Sequence[Site], unit: Unit | None) -> list[tuple[Site, Dim, int | None]] | None:
    """Return the dimensions that the units of the sites lie along; ``None`` after reporting a site without any.

    With them goes the axis that a unit of its own picks in each.
    """
    if unit is not None and unit.name != "channels":
        return _units_of(unit, scene, sites)
    flow = Flow(scene.interface)
    found = [(site, site_dims(site, flow)) for site in sites]
    for site, dims in found:
        if not dims:
            scene.say(
                shapes.SITE_DOES_NOT_FIT,
                f"`{site.path}` has no output units to duplicate",
                path=site.path,
                help='name a layer with weights, such as linear("hidden.0")',
            )
    return [(site, dim, None) for site, dims in found for dim in dims] if all(dims for _, dims in found) else None


def _units_of(unit: Unit, scene: Scene, sites: Sequence[Site]) -> list[tuple[Site, Dim, int | None]] | None:
    sink = Sink(scene.file)
    context = Static(
        interface=scene.interface,
        base=scene.interface,
        data={},
        weights=None,
        selections={},
        effects={},
        step=scene.place.name,
        file=scene.file,
        sink=sink,
    )
    pools = unit.pools(tuple(sites), context)
    scene.sink.extend([finding if finding.span else replace(finding, span=scene.place.span) for finding in sink.found])
    if sink.failed:
        return None
    misfit = next((pool for pool in pools if pool.axis is None), None)
    if misfit is not None:
        scene.say(
            shapes.SITE_DOES_NOT_FIT,
            f"`{unit.name}` are no indices of an axis, so they cannot be duplicated",
            help="write unit = heads, kv_groups, experts or groups, or leave it out",
            at_word=True,
        )
        return None
    return [(pool.sites[0], pool.dim or (pool.axis or 0,), pool.axis) for pool in pools]


def _unnoticed(scene: Scene, site: Site, found: Uses) -> bool:
    """Report the first operator that would notice that units were duplicated."""
    if not found.mixed:
        return True
    operator, why = found.mixed[0]
    scene.say(
        shapes.UNITS_ARE_MIXED,
        f"copies of units of `{site.path}` would be noticed: `{operator.path}` ({operator.kind}) {why}",
        path=operator.path,
        facts={"operators": len(found.mixed)},
        help="widen a layer whose units only weights read",
    )
    return False


def _follow(draft: Draft, targets: Mapping[int, int]) -> None:
    """Let the number of groups of a grouped convolution follow the axis that counts them."""
    for run in draft.root.runs():
        for index, event in enumerate(run.events):
            if not isinstance(event, Operator) or event.settings.get("groups", 1) == 1:
                continue
            dim = unit_dim(draft.before, event)
            if dim and dim[0] in targets and exact(draft.before, dim[:1]) == event.settings["groups"]:
                run.events[index] = event.replaced(settings=event.settings | {"groups": targets[dim[0]]})


def _copies(sources: Mapping[int, list[int]], unit: tuple[int, int]) -> int:
    axis, new = unit
    return 1 if axis < 0 else sources[axis].count(sources[axis][new])


def _is_written(interface: Interface, name: str) -> bool:
    """Whether a tensor is the weight of a layer, whose new units may get noise."""
    return any(
        operator.kind in WEIGHTED
        and operator.tensors.get("weight") == name
        and interface.tensor_by_name[name].dtype != "i8"
        for operator in interface.operators
    )
