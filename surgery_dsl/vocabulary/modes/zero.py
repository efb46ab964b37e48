"""Write zeros, and keep the shape."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.interface.sums import size_range
from surgery_dsl.vocabulary.context import Change, Effect, Runtime, Static
from surgery_dsl.vocabulary.kinds import Mode
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection
from surgery_dsl.vocabulary.units._axes import Carrier, carriers_at
from surgery_dsl.vocabulary.units._listed import modules_of_experts
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

Zeros = dict[str, tuple[int, int]]


@final
class Zero(Mode):
    """Write zeros into what is selected, and keep every shape.

    Static rule:
        Weights: the selected entries. Channels: their rows of the site's own weight, and their entries of its bias; a
        norm behind the site keeps its scale and shift. Modules: all their parameters. What is written stays zero
        through every later `recover`. A tensor that is tied to another changes both, so the step must say `tie = keep`.
        Of weights and channels, at least one must stay. The function changes: units that were dead on data are not
        proved dead on other inputs.

    Runtime rule:
        Entries are set to +0.0; no other bit is touched.

    Source:
        Han et al., NeurIPS 2015, section 3 (weights); Li et al., ICLR 2017 (channels).
    """

    card: ClassVar[Card] = Card(
        summary="Write zeros, and keep the shape",
        source="Han et al., NeurIPS 2015, section 3",
        example="zero",
        near_miss="zeros",
        near_miss_code="SD105",
        function="changing",
        interface=frozenset({"values"}),
    )

    # ---- static --------------------------------------------------------------------------------------------------

    def transfer(self, selection: Selection, draft: Draft, context: Static) -> Effect:
        """Count the zeros that each tensor gets, at least and at most; the draft stays as it is."""
        interface, flow = context.interface, Flow(context.interface)
        zeros: Zeros = {}
        apart: dict[str, bool] = {}
        changed = 0
        for at, (pool, taken) in enumerate(zip(selection.pools, selection.taken, strict=True)):
            if taken.most == 0:
                continue
            if taken.least >= pool.size and not pool.modules:
                self._emptied(pool, selection, context)
            changed += len(pool.sites)
            fixed = selection.indices[at] if selection.indices else None
            for name, (least, most, part) in _counts(pool, taken, fixed, flow).items():
                known = zeros.get(name, (0, 0))
                disjoint = part and apart.get(name, True)
                zeros[name] = (known[0] + least if disjoint else max(known[0], least), known[1] + most)
                apart[name] = disjoint
        self._check_ties(zeros, context)
        return Effect(
            function="changing",
            reason=f"{selection.asked} set to zero" if selection.asked else "entries are set to zero",
            writes=frozenset(_with_ties(zeros, interface)),
            zeros=zeros,
            zeros_total=_total(selection, zeros, flow),
            matched=len(selection.sites),
            changed=changed,
        )

    def _emptied(self, pool: Pool, selection: Selection, context: Static) -> None:
        path = pool.tensor or pool.sites[0].path
        count = pool.size * pool.width
        noun = "weights" if pool.tensor else f"{pool.noun or 'channel'}s"
        context.say(
            Diagnostic(
                shapes.EMPTIED_SITE,
                f"all {count} {noun} of `{path}` would become zero; at least {pool.width} must stay",
                file=context.file,
                span=selection.span or self.span,
                path=path,
                facts={"zeroed": count, noun: count},
                help=f"take at most {count - pool.width}",
            )
        )

    def _check_ties(self, names: Iterable[str], context: Static) -> None:
        if context.tie == "keep":
            return
        members = _names_by_owner(context.interface)
        for name in names:
            tied = members[context.interface.tensor_by_name[name].tied_to or name]
            if len(tied) > 1:
                others = ", ".join(f"`{other}`" for other in tied if other != name)
                context.say(
                    Diagnostic(
                        shapes.TIED_TENSOR,
                        f"`{name}` is the same tensor as {others}, so zeros in it are zeros there too",
                        file=context.file,
                        span=self.span,
                        path=name,
                        facts={"names": len(tied)},
                        notes=("excise keeps ties; a replace step can untie",) if context.tie else (),
                        help="write tie = keep if that is meant, or except the site",
                    )
                )

    # ---- runtime -------------------------------------------------------------------------------------------------

    def execute(self, picked: Picked, runtime: Runtime) -> Sequence[Change]:
        """Return one change with a mask for each tensor."""
        masks = dict(picked.masks) if picked.selection.unit == "weights" else _masks(picked, runtime)
        found = {name: mask for name, mask in masks.items() if bool(mask.any())}
        return [Change(zero=found, hold=True)] if found else []


def _masks(picked: Picked, runtime: Runtime) -> "Mapping[str, torch.Tensor]":
    import torch

    flow = Flow(runtime.interface)
    masks: dict[str, torch.Tensor] = {}

    def mask(name: str) -> "torch.Tensor":
        tensor = runtime.tensor(name)
        return masks.setdefault(name, torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device))

    for pool, taken in zip(picked.selection.pools, picked.indices, strict=True):
        for index in taken if pool.modules else ():
            for name in _parameters(pool.modules[index], runtime.interface):
                mask(name).fill_(True)
        experts = modules_of_experts(pool, runtime.interface)
        for name in (name for index in taken if experts for name in experts[index]):
            mask(name).fill_(True)
        if not pool.modules and taken:
            axis = axis_of(pool, runtime.interface)
            chosen = torch.tensor(taken, dtype=torch.int64)
            for carrier in carriers_at(pool, axis, flow):
                one = mask(carrier.tensor)
                shape = (*one.shape[: carrier.dim], *carrier.sizes, *one.shape[carrier.dim + 1 :])
                where = _entries_along(carrier, chosen).to(one.device)
                one.view(shape).index_fill_(carrier.dim + carrier.position, where, True)
    return masks


def _entries_along(carrier: Carrier, chosen: "torch.Tensor") -> "torch.Tensor":
    """Return the entries of a carrier's axis, or of its whole dimension, that belong to the chosen indices."""
    import torch

    if not carrier.owners:
        return chosen
    taken = set(chosen.tolist())
    return torch.tensor([entry for entry, owner in enumerate(carrier.owners) if owner in taken], dtype=torch.int64)


def _counts(pool: Pool, taken: Extent, fixed: tuple[int, ...] | None, flow: Flow) -> dict[str, tuple[int, int, bool]]:
    """Return how many zeros each tensor gets, at least and at most, and whether no other pool can write the same ones.

    Parts of one dimension lie side by side; rows and columns cross.
    """
    interface = flow.interface
    if pool.tensor:
        return {pool.tensor: (taken.least, taken.most, False)}
    if pool.modules:
        return _whole([_parameters(path, interface) for path in pool.modules], taken, fixed, interface)
    found = _whole(modules_of_experts(pool, interface), taken, fixed, interface)
    axis = axis_of(pool, interface)
    for carrier in carriers_at(pool, axis, flow):
        least, most = _entries_of_one(carrier, axis, interface)
        known = found.get(carrier.tensor, (0, 0, True))
        zeros = taken.least * least, taken.most * most
        found[carrier.tensor] = max(known[0], zeros[0]), known[1] + zeros[1], known[2] and bool(carrier.owners)
    return found


def _whole(
    names: Sequence[Sequence[str]], taken: Extent, fixed: tuple[int, ...] | None, interface: Interface
) -> dict[str, tuple[int, int, bool]]:
    """Return the zeros of tensors that become zero as a whole, given the tensors of each unit."""
    certain = set(range(len(names)) if taken.least == len(names) else fixed or ())
    possible = certain if fixed is not None else set(range(len(names)))
    return {
        name: (least if index in certain else 0, most, False)
        for index in sorted(possible, key=lambda index: index in certain)
        for name in (names[index] if index < len(names) else ())
        for least, most in (_entries(name, interface),)
    }


def _entries(name: str, interface: Interface) -> tuple[int, int]:
    """Return how many entries a tensor has, at least and at most."""
    return _numel(interface.tensor_by_name[name].dims, interface)


def _numel(dims: Iterable[Dim], interface: Interface) -> tuple[int, int]:
    """Return the product of dimensions of a tensor, at least and at most."""
    found = size_range(interface.axes, tuple(axis for dim in dims for axis in dim))
    assert found is not None, "a size of a parameter is no free one"
    return found


def _entries_of_one(carrier: Carrier, axis: int, interface: Interface) -> tuple[int, int]:
    """Return how many entries of a tensor one index of an axis has, at least and at most."""
    dims = list(interface.tensor_by_name[carrier.tensor].dims)
    own = list(dims[carrier.dim])
    each = 1
    if axis in own:
        own.remove(axis)
        dims[carrier.dim] = tuple(own)
    else:  # within a sum
        each = carrier.owners.count(0) if carrier.owners else 0
        dims[carrier.dim] = ()
    least, most = _numel(dims, interface)
    return each * least, each * most


def _total(selection: Selection, zeros: Zeros, flow: Flow) -> tuple[int, int]:
    """Return how many zeros are written in all, where that is known better than tensor by tensor."""
    interface = flow.interface
    apart = sum(least for least, _ in zeros.values()), sum(most for _, most in zeros.values())
    if selection.unit == "weights" and selection.total is not None:
        return selection.total.least, selection.total.most
    if selection.unit == "modules" and not any(selection.indices):
        names = [[_parameters(path, interface) for path in pool.modules] for pool in selection.pools]
        every = [name for pool in names for module in pool for name in module]
        if len(every) == len(set(every)):
            least = most = 0
            for pool, taken in zip(names, selection.taken, strict=True):
                sizes = [[_entries(name, interface) for name in module] for module in pool]
                small = sorted(sum(size for size, _ in module) for module in sizes)
                large = sorted(sum(size for _, size in module) for module in sizes)
                least, most = least + sum(small[: taken.least]), most + sum(large[len(large) - taken.most :])
            return least, most
    if selection.total is not None and all(pool.axis is not None for pool in selection.pools):
        return _shared_out(selection, selection.total, flow) or apart
    return apart


def _shared_out(selection: Selection, total: Extent, flow: Flow) -> tuple[int, int] | None:
    """Return the fewest and most entries of so many units of one ranking; ``None`` where pools share a tensor.

    Units of one pool have equally many entries, so the cheapest (or dearest) units first is exact: a knapsack whose
    items have one weight.
    """
    items: list[tuple[int, int, Extent]] = []
    seen: set[str] = set()
    for pool, taken in zip(selection.pools, selection.taken, strict=True):
        one = _counts(pool, Extent(least=1, most=1), None, flow)
        if not seen.isdisjoint(one):
            return None
        seen |= one.keys()
        items.append((sum(low for low, _, _ in one.values()), sum(high for _, high, _ in one.values()), taken))
    certain = sum(taken.least for _, _, taken in items)
    least = sum(low * taken.least for low, _, taken in items)
    most = sum(high * taken.least for _, high, taken in items)
    rest = max(0, total.least - certain)
    for low, _, taken in sorted(items, key=lambda item: item[0]):
        here = min(rest, taken.most - taken.least)
        least, rest = least + low * here, rest - here
    rest = max(0, total.most - certain)
    for _, high, taken in sorted(items, key=lambda item: -item[1]):
        here = min(rest, taken.most - taken.least)
        most, rest = most + high * here, rest - here
    return least, most


def _parameters(module: str, interface: Interface) -> list[str]:
    """Return the parameters below a module; of tied ones, the owner's name."""
    below = module + "."
    found = [t for t in interface.tensors if t.role == "parameter" and t.name.startswith(below)]
    return list(dict.fromkeys(tensor.tied_to or tensor.name for tensor in found))


def _with_ties(names: Iterable[str], interface: Interface) -> set[str]:
    members = _names_by_owner(interface)
    return {other for name in names for other in members[interface.tensor_by_name[name].tied_to or name]}


def _names_by_owner(interface: Interface) -> dict[str, list[str]]:
    """Return all names of each tensor, by the one that owns it."""
    found: dict[str, list[str]] = {}
    for tensor in interface.tensors:
        found.setdefault(tensor.tied_to or tensor.name, []).append(tensor.name)
    return found
