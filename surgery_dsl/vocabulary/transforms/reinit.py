"""``reinit(kaiming())``: layers, or single units, start afresh."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, final

from surgery_dsl.diagnostics.codes import budgets, shapes
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import Untie
from surgery_dsl.interface.flow import NORMS, WEIGHTED, Flow, weight_position
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.vocabulary.context import Change, Effect, Place, Runtime, Static
from surgery_dsl.vocabulary.initializers.kaiming import Kaiming
from surgery_dsl.vocabulary.kinds import InitializerSlot, Transform
from surgery_dsl.vocabulary.selection import Pool, Site
from surgery_dsl.vocabulary.transforms._insertion import refused
from surgery_dsl.vocabulary.transforms._places import Scene
from surgery_dsl.vocabulary.transforms._ties import places, untie
from surgery_dsl.vocabulary.transforms._units import entries, exact, uses
from surgery_dsl.vocabulary.units._axes import layers_of
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

_NEUTRAL = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}


@final
class Reinit(Transform):
    """Fresh weights for layers, or for the units that a step has selected.

    Arguments:
        init: What the weights hold; biases become zero.
        out: `zero` sets what reads the selected units to zero, so that fresh units cannot disturb what the network
        does.
        seed: Seed of what is drawn.

    Static rule:
        Values change, shapes do not. At sites: the weights and biases of the layers there; in a module also the norms,
        which become neutral. At selected channels: their rows of weights, their biases, and the batch norms behind
        them; at selected weights those entries; at selected modules all that is in them. Always `changing`. Refused:
        a site without weights (SD244), a tied tensor without `tie` (SD230), `out` without a selection of channels
        (SD309).

    Runtime rule:
        Weights are drawn for the whole tensor and taken over where they are fresh. Entries that an excision holds at
        zero stay zero.

    Source:
        He et al., ICCV 2015, section 2.2; for dead units Lu et al., Dying ReLU and initialization, Communications in
        Computational Physics 28, 2020; outgoing zeros as in Evci et al., GradMax, ICLR 2022.

    Raises:
        SD230, SD243, SD244, SD309, SD310.
    """

    accepts_selection: ClassVar[bool] = True
    positional: ClassVar[tuple[str, ...]] = ("init",)
    card: ClassVar[Card] = Card(
        summary="Start layers or selected units afresh",
        source="He et al., ICCV 2015, section 2.2",
        example="reinit(kaiming())",
        near_miss='reinit(kaiming(), out = "zero")',
        near_miss_code="SD309",
        function="changing",
        interface=frozenset({"values", "buffers"}),
        needs=frozenset({"seed"}),
    )

    init: InitializerSlot = Kaiming()
    out: Literal["keep", "zero"] = "keep"
    seed: int = 0

    def transfer(self, place: Place, draft: Draft, context: Static) -> Effect:
        """Say which tensors get fresh values; only untying changes the draft."""
        scene = Scene.of_static(place, context, self.span)
        selection = context.selections[place.selection] if place.selection else None
        if self.out == "zero" and (selection is None or selection.unit != "channels"):
            scene.say(
                budgets.PLACE_DOES_NOT_FIT,
                'out = "zero" speaks of the units that a step selected, and the place names none',
                help="name an `identify` step with unit = channels, or leave `out` away",
                at_word=True,
            )
            return refused(place)
        pools = selection.pools if selection is not None else ()
        taken = selection.taken if selection is not None else ()
        work = _Work(context.interface, scene.tie == "untie")
        changed = len(place.sites)
        if selection is None:
            found = [work.layers(site, scene) for site in place.sites]
            if not all(found) or not _whole(scene):
                return refused(place)
        else:
            chosen = [pool for pool, count in zip(pools, taken, strict=True) if count.most > 0]
            changed = sum(len(pool.sites) for pool in chosen)
            for pool in chosen:
                work.pool(pool, range(pool.size), self.out == "zero")
        if not _may_write(scene, work.tensors):
            return refused(place)
        if scene.tie == "untie" and not untie(scene, draft, _tied(draft.before, work.tensors)):
            return refused(place)
        return Effect(
            function="changing",
            reason="fresh values",
            writes=_shared(scene, work.tensors),
            matched=len(place.sites),
            changed=changed,
        )

    def execute(self, place: Place, runtime: Runtime) -> Sequence[Change]:
        """Return the fresh values."""
        interface = runtime.interface
        work = _Work(interface, place.tie == "untie")
        masks: Mapping[str, torch.Tensor] = {}
        if place.selection:
            picked = runtime.picked(place.selection)
            masks = picked.masks
            for number, pool in enumerate(picked.selection.pools):
                units = picked.indices[number] if picked.indices else range(pool.size)
                if units and (not masks or pool.tensor in masks):
                    work.pool(pool, units, self.out == "zero")
        else:
            scene = Scene.of_runtime(place, runtime, self.span)
            for site in place.sites:
                work.layers(site, scene)
        generator = runtime.generator(self.seed)
        untied = _tied(interface, work.tensors) if place.tie == "untie" else ()
        changes = [Change(edit=Untie(tensor=name)) for name in untied]
        values = {
            name: self._fresh(runtime, name, use, masks.get(name), generator) for name, use in work.tensors.items()
        }
        return [*changes, Change(tensors=values)] if values else changes

    def _fresh(
        self, runtime: Runtime, name: str, use: "_Use", mask: "torch.Tensor | None", generator: "torch.Generator"
    ) -> "torch.Tensor":
        """Return a tensor with fresh values where they are wanted, and zeros where training holds them."""
        import torch

        old = runtime.tensor(name).detach()
        new = torch.empty_like(old, memory_format=torch.contiguous_format)
        if use.value is not None:
            new.fill_(use.value)
        elif use.flipped:
            turned = new.transpose(0, 1).contiguous()
            self.init.fill(turned, generator)
            new.copy_(turned.transpose(0, 1))
        else:
            self.init.fill(new, generator)
        if mask is not None:
            new = torch.where(mask.to(old.device), new, old)
        elif use.rows is not None:
            kept = old.clone()
            rows = torch.tensor(sorted(use.rows), dtype=torch.int64, device=old.device)
            kept.index_copy_(use.dim, rows, new.index_select(use.dim, rows))
            new = kept
        for dim, gone in use.zeros.items():
            new.index_fill_(dim, torch.tensor(sorted(gone), dtype=torch.int64, device=new.device), 0)
        held = runtime.zeros.get(name)
        return new if held is None else new.masked_fill_(held.to(new.device), 0)


@dataclass
class _Use:
    """What becomes of one tensor.

    Attributes:
        value: The number that it holds then; ``None`` for what the initializer draws.
        flipped: Whether the weight is stored as (in, out).
        dim: The dimension that ``rows`` counts.
        rows: Which entries of that dimension start afresh; ``None`` for all.
        zeros: Which entries of other dimensions become zero.
    """

    value: float | None = None
    flipped: bool = False
    dim: int = 0
    rows: set[int] | None = None
    zeros: dict[int, set[int]] = field(default_factory=dict)


class _Work:
    """The tensors that get fresh values, in the order found.

    They go by their first names; where a tie is cut, by the name in the module that reads them.
    """

    def __init__(self, interface: Interface, unties: bool) -> None:
        self.interface = interface
        self.unties = unties
        self.flow = Flow(interface)
        self.tensors: dict[str, _Use] = {}

    def layers(self, site: Site, scene: Scene) -> bool:
        """Note the layers of a site; report one without weights."""
        if site.operators:
            found = [self.interface.operators[at] for at in site.operators]
        else:
            module = self.interface.module_by_path.get(site.module)
            home = ((module.same_as or module.path) if module is not None else site.module) + "."
            found = [op for op in self.interface.operators if home == "." or (op.module + ".").startswith(home)]
        layers = [op for op in found if op.kind in WEIGHTED and self._is_float(op)]
        for operator in layers:
            self._layer(operator)
        for operator in found:
            if operator.kind in NORMS:
                self._neutral(operator, None)
        if layers or any(operator.kind in NORMS for operator in found):
            return True
        scene.say(
            shapes.SITE_DOES_NOT_FIT,
            f"`{site.path}` has no floating-point weights that could start afresh",
            path=site.path,
            help='name layers with weights, such as linear("hidden.*")',
        )
        return False

    def _is_float(self, operator: Operator) -> bool:
        weight = operator.tensors.get("weight")
        return weight is not None and self.interface.tensor_by_name[weight].dtype != "i8"

    def _name(self, name: str, module: str) -> str:
        owner = self.interface.tensor_by_name[name].tied_to or name
        if self.unties:
            group = self.interface.ties.get(owner, ())
            held = [other for other in group if other.rpartition(".")[0] == module]
            return held[0] if len(held) == 1 else owner
        return owner

    def _layer(self, operator: Operator) -> None:
        weight = self._name(operator.tensors["weight"], operator.module)
        self.tensors.setdefault(weight, _Use(flipped=weight_position(operator) == 1 and operator.kind != "embedding"))
        if "bias" in operator.tensors:
            self.tensors.setdefault(self._name(operator.tensors["bias"], operator.module), _Use(value=0.0))

    def _neutral(self, operator: Operator, rows: set[int] | None) -> None:
        for role, name in operator.tensors.items():
            if role in _NEUTRAL:
                use = self.tensors.setdefault(self._name(name, operator.module), _Use(value=_NEUTRAL[role], rows=rows))
                if use.rows is not None and rows is not None:
                    use.rows |= rows

    def pool(self, pool: Pool, units: Iterable[int], zero_readers: bool) -> None:
        """Note what the chosen units of a pool hold."""
        if pool.tensor:
            self.tensors.setdefault(self._name(pool.tensor, ""), _Use())
        elif pool.modules:
            chosen = [pool.modules[index] + "." for index in units]
            for operator in self.interface.operators:
                if (operator.module + ".").startswith(tuple(chosen)):
                    if operator.kind in WEIGHTED and self._is_float(operator):
                        self._layer(operator)
                    elif operator.kind in NORMS:
                        self._neutral(operator, None)
        elif pool.axis is not None:
            self._channels(pool, pool.axis, list(units), zero_readers)

    def _channels(self, pool: Pool, axis: int, units: list[int], zero_readers: bool) -> None:
        for at in dict.fromkeys(at for site in pool.sites for at in layers_of(site, axis, self.flow)):
            operator = self.interface.operators[at]
            for role, name in operator.tensors.items():
                if role not in ("weight", "bias") or not self._is_float(operator):
                    continue
                tensor = self.interface.tensor_by_name[name]
                dim = weight_position(operator) if len(tensor.dims) > 1 else 0
                flipped = role == "weight" and dim == 1 and operator.kind != "embedding"
                use = _Use(value=0.0 if role == "bias" else None, flipped=flipped, dim=dim, rows=set())
                self._rows(self.tensors.setdefault(self._name(name, operator.module), use), name, dim, axis, units)
            norm = self.flow.norm_after(at)
            if norm is not None and self.interface.operators[norm].kind == "batch_norm":
                names = [n for r, n in self.interface.operators[norm].tensors.items() if r in _NEUTRAL]
                for name in names:
                    self._neutral(self.interface.operators[norm], set(self._spots(name, 0, axis, units)))
        if zero_readers:
            for (name, dim), role in uses(self.interface, axis).roles.items():
                if role == "divide":
                    use = self.tensors.setdefault(name, _Use(rows=set()))
                    use.zeros.setdefault(dim, set()).update(self._spots(name, dim, axis, units))

    def _rows(self, use: _Use, name: str, dim: int, axis: int, units: list[int]) -> None:
        if use.rows is not None:
            use.rows.update(self._spots(name, dim, axis, units))

    def _spots(self, name: str, dim: int, axis: int, units: list[int]) -> list[int]:
        """Return the entries of a tensor's dimension that belong to units of an axis."""
        product = self.interface.tensor_by_name[name].dims[dim]
        if self.interface.exact((axis,)) is None or self.interface.exact(product) is None:
            return []  # before weights are read: which entries they are is not asked then
        every = {axis: list(range(exact(self.interface, (axis,))))}
        wanted = set(units)
        flat, marks = entries(self.interface, product, every)
        return [entry for entry, (at, index) in zip(flat, marks, strict=True) if at == axis and index in wanted]


def _tied(interface: Interface, names: Iterable[str]) -> tuple[str, ...]:
    """Return those tensors of some that share their memory with other modules."""
    return tuple(name for name in names if len(places(interface, name)) > 1)


def _shared(scene: Scene, names: Iterable[str]) -> frozenset[str]:
    """Return all names of tensors, which change wherever they stand; a tie that is cut leaves the others alone."""
    found: set[str] = set()
    for name in names:
        held = places(scene.interface, name)
        found.update(held[name] if scene.tie == "untie" and name in held else (n for g in held.values() for n in g))
    return frozenset(found)


def _whole(scene: Scene) -> bool:
    """Report a shared module of which only one place shall change: its values are the same everywhere."""
    for site in scene.place.sites:
        module = scene.interface.module_by_path.get(site.module)
        owner = (module.same_as or module.path) if module is not None else ""
        if scene.scope == "site" and len(scene.paths_of(owner)) > 1:
            scene.say(
                budgets.SHARED_MODULE,
                f"`{site.path}` is one module at {len(scene.paths_of(owner))} paths, with the same values everywhere",
                path=site.path,
                facts={"paths": len(scene.paths_of(owner))},
                help="write `scope = all`",
            )
            return False
    return True


def _may_write(scene: Scene, names: Iterable[str]) -> bool:
    """Report a tied tensor where the step does not say what becomes of the tie."""
    if scene.tie:
        return True
    for name in _tied(scene.interface, names):
        held = places(scene.interface, name)
        others = tuple(other for home, group in held.items() if name not in group for other in group if home)
        scene.refuse_tie(name, others, keep="")
        return False
    return True
