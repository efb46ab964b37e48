"""Judging every prunable axis of a network: is removal what it should be?

For one axis, some of its indices are drawn. The **reference** runs the original network at full size on living entries
(:mod:`benchmarks.zoo.living`); the **removal** is what the product does: ``gather`` and ``apply_edit`` on a copy, whose
forward then runs unaided. The **control** removes as many indices, but others in every tensor: only where it is
clearly worse can the comparison tell anything. The **permutation** puts all indices into another order in every
carrier, which must change nothing.

What is not independent of the code under test: which entries of parameters and buffers a removal takes away
(``gather`` says so to both sides; a wrong set shows in the reference, where the arithmetic connects other entries),
and which axes are frozen.
"""

import copy
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.zoo.living import Living, Masks, NoRule
from benchmarks.zoo.networks import Network
from surgery_dsl.interface.branches import crossed
from surgery_dsl.interface.edits import Edit, Resize
from surgery_dsl.interface.gathering import entries, gather
from surgery_dsl.interface.indexed import list_edit
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.ties import SizeTies
from surgery_dsl.run.changes import replay

EXACT = 1e-9
EXACT_F32 = 1e-5
ROUNDING = 1e-8
CLEARLY_WORSE = 1e3
NOTICEABLE = 1e-6
REMOVED = 0.3


@dataclass
class Verdict:
    """What was found for one axis.

    Attributes:
        axis: Its label.
        size: How many indices it has.
        kind: ``exact``, ``undecidable``, ``refused`` or ``wrong``.
        reason: The argument, the diagnostic, or what went wrong.
        error: Of the removal, relative to the largest number of the reference.
        control: Of the mis-coupled removal.
        permutation: Of the permutation.
        error_f32: Of the removal in float32, unaided in every respect.
    """

    axis: str
    size: int
    kind: str
    reason: str = ""
    error: float | None = None
    control: float | None = None
    permutation: float | None = None
    error_f32: float | None = None

    def data(self) -> dict[str, Any]:
        """Return what is worth a line."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


@dataclass
class Judge:
    """Judges the axes of one network.

    Args:
        network: The network, with lively weights.
        interface: Its axis graph.
        seed: Of all choices.
        float32: Whether to run removals in float32 too.
    """

    network: Network
    interface: Interface
    seed: int = 0
    float32: bool = False
    double: nn.Module = field(init=False)
    single: nn.Module | None = field(init=False, default=None)
    plain: dict[str, Tensor] = field(init=False)
    rounding: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.float32:
            self.single = copy.deepcopy(self.network.model)
        self.double = copy.deepcopy(self.network.model).double()
        self.plain = self._run(copy.deepcopy(self.double))
        again = self._run(copy.deepcopy(self.double))
        if difference(again, self.plain) != 0.0:
            raise ValueError("two forwards of the same network differ")
        if not any(bool(torch.isfinite(t).any()) for t in self.plain.values()):
            raise ValueError("the network's own result is not finite")

    def prunable(self) -> list[int]:
        """Return the leaf axes that parameters carry and that may lose indices."""
        return [
            axis
            for axis in carried(self.interface)
            if not self.interface.axes[axis].frozen and (self.interface.exact_size(axis) or 0) > 1
        ]

    def axis(self, axis: int) -> Verdict:
        """Judge the removal of some indices of one axis."""
        rng = random.Random(f"{self.seed} {self.interface.axes[axis].label}")
        verdict = Verdict(self.interface.axes[axis].label, self._size(axis), "wrong")
        kept, broken = choose([axis], self.interface, rng)
        if not kept:
            verdict.kind, verdict.reason = "refused", broken
            return verdict
        self._judge(verdict, kept, rng)
        if verdict.kind in ("exact", "undecidable"):
            self._permute(verdict, axis, rng)
        return verdict

    def joint(self, axes: Sequence[int] | None = None) -> Verdict:
        """Judge the removal of some indices of all axes at once."""
        rng = random.Random(self.seed)
        chosen = self.prunable() if axes is None else list(axes)
        kept, _ = choose(chosen, self.interface, rng)
        verdict = Verdict("all axes", len(kept), "wrong")
        if kept:
            self._judge(verdict, kept, rng)
        else:
            verdict.kind, verdict.reason = "undecidable", "no axis is free"
        return verdict

    def tolerance(self, error: float) -> float:
        """Return what an error may be: more than ``EXACT`` only where rounding alone is shown to do as much.

        A deep network may blow rounding up. Then the last bit of its parameters, drawn anew, changes the outputs as
        much as another order of summation does. Nothing above ``ROUNDING`` is ever taken for rounding.
        """
        if error <= EXACT or not error <= ROUNDING:
            return EXACT
        if self.rounding is None:
            model = copy.deepcopy(self.double)
            generator = torch.Generator().manual_seed(self.seed)
            for parameter in model.parameters():
                if parameter.is_floating_point():
                    signs = torch.randint(-1, 2, parameter.shape, generator=generator).double()
                    parameter.data.mul_(1 + signs * torch.finfo(torch.float64).eps)
            self.rounding = difference(self._run(model), self.plain)
        return max(EXACT, 10 * self.rounding)

    # ---- parts -------------------------------------------------------------------------------------------------

    def _size(self, axis: int) -> int:
        size = self.interface.exact_size(axis)
        if size is None:
            raise ValueError(f"axis {axis} has no exact size")
        return size

    def _run(
        self, model: nn.Module, masks: Masks | None = None, dtype: torch.dtype = torch.float64
    ) -> dict[str, Tensor]:
        """Run a model in float64; with masks, on living entries alone."""
        backends = list(SDPBackend.__members__.values())[1:] if masks is None else [SDPBackend.MATH]
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with sdpa_kernel(backends), Living(masks, widen=dtype is torch.float64):
                found = self.network.run(model, dtype)
        finally:
            torch.set_default_dtype(default)
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def _judge(self, verdict: Verdict, kept: dict[int, list[int]], rng: random.Random) -> None:
        edit = gather(kept, self.interface)
        assert edit is not None
        try:
            reference = self.reference(edit)
        except NoRule as error:
            verdict.kind, verdict.reason = "undecidable", f"the reference has no rule for {error}"
            return
        try:
            removed = self.removed(edit, kept)
        except Exception as error:  # noqa: BLE001 - whatever a forward raises is the finding
            verdict.reason = f"crash: {type(error).__name__}: {first_line(error)}"
            return
        verdict.error = difference(removed, reference)
        control = self._control(kept, edit, rng)
        verdict.control = difference(self.removed(control, kept), reference) if control is not None else 0.0
        self._decide(verdict, reference, control is not None)
        if verdict.kind == "exact" and self.single is not None:
            model = copy.deepcopy(self.single)
            replay(model, self._edits(edit, kept))
            verdict.error_f32 = difference(self.network.run(model, torch.float32), reference)

    def _decide(self, verdict: Verdict, reference: dict[str, Tensor], controlled: bool) -> None:
        error, control = verdict.error, verdict.control
        assert error is not None
        assert control is not None
        if math.isnan(error) and any(bool(torch.isnan(t).any()) for t in reference.values()):
            verdict.kind, verdict.reason = "undecidable", "the reference is not a number"
        elif not error <= self.tolerance(error):
            verdict.kind, verdict.reason = "wrong", f"differs by {error:.1e}"
        elif not controlled:
            verdict.kind, verdict.reason = "undecidable", "no other choice of indices exists"
        elif control > NOTICEABLE and control >= CLEARLY_WORSE * error:
            verdict.kind = "exact"
        elif all(bool((t == self.plain[n]).all()) for n, t in reference.items() if t.shape == self.plain[n].shape):
            verdict.kind, verdict.reason = "undecidable", "no output depends on these entries"
        else:
            verdict.kind, verdict.reason = "undecidable", "other indices give the same outputs"

    def reference(self, edit: Resize) -> dict[str, Tensor]:
        """Run the original network on the entries that stay."""
        model = copy.deepcopy(self.double)
        masks = Masks()
        tensors = {
            **dict(model.named_parameters(remove_duplicate=False)),
            **dict(model.named_buffers(remove_duplicate=False)),
        }
        for entry in edit.slices:
            tensor = tensors[entry.tensor]
            stays = torch.zeros(tensor.shape[entry.dim], dtype=torch.bool)
            stays[list(edit.indices[entry.indices])] = True
            wide = stays.reshape([-1 if i == entry.dim else 1 for i in range(tensor.dim())])
            masks.put(tensor, masks.alive(tensor) & wide)
        found = self._run(model, masks)
        return found

    def removed(self, edit: Resize, kept: Mapping[int, Sequence[int]]) -> dict[str, Tensor]:
        """Run a copy of the network that the edit was carried out on; entries of lists go with their indices."""
        model = copy.deepcopy(self.double)
        replay(model, self._edits(edit, kept))
        return self._run(model)

    def _edits(self, edit: Resize, kept: Mapping[int, Sequence[int]]) -> list[Edit]:
        arranged = list_edit(kept, self.interface)
        return [edit] if arranged is None else [edit, arranged]

    def _control(self, kept: Mapping[int, list[int]], edit: Resize, rng: random.Random) -> Resize | None:
        """Return an edit of the same sizes that takes other indices in every tensor; ``None`` if there is none."""
        if all(len(indices) in (0, self._size(axis)) for axis, indices in kept.items()):
            return None
        dims = {tensor.name: tensor.dims for tensor in self.interface.tensors}
        indices: dict[str, tuple[int, ...]] = {}
        slices = []
        for number, entry in enumerate(edit.slices):
            dim = dims[entry.tensor][entry.dim]
            own = edit.indices[entry.indices]
            other = own
            for _ in range(8):
                drawn = {axis: sorted(rng.sample(range(self._size(axis)), len(k))) for axis, k in kept.items()}
                other = tuple(entries(dim, drawn, self.interface))
                if other != own:
                    break
            indices[str(number)] = other
            slices.append(entry.replaced(indices=str(number)))
        return Resize(indices=indices, slices=tuple(slices), integers=edit.integers)

    def _permute(self, verdict: Verdict, axis: int, rng: random.Random) -> None:
        order = list(range(self._size(axis)))
        while order == sorted(order):
            rng.shuffle(order)
        edit = gather({axis: order}, self.interface)
        assert edit is not None
        edit = edit.replaced(integers=())
        verdict.permutation = difference(self.removed(edit, {axis: order}), self.plain)
        if not verdict.permutation <= self.tolerance(verdict.permutation):
            verdict.kind, verdict.reason = "wrong", f"a permutation changes the outputs by {verdict.permutation:.1e}"


def carried(interface: Interface) -> Iterator[int]:
    """Yield the leaf axes that parameters carry."""
    parameters = {tensor.name for tensor in interface.tensors if tensor.role == "parameter"}
    for axis, places in interface.carriers.items():
        if any(name in parameters for name, _ in places):
            yield axis


def choose(axes: Sequence[int], interface: Interface, rng: random.Random) -> tuple[dict[int, list[int]], str]:
    """Draw the indices that stay of each axis, and of those that size ties make follow.

    About three in ten go, or the nearest number that all ties can keep to and at which the forward asks nothing that it
    would answer otherwise. An axis for which there is none stays whole; the second result says why, for the last one.
    """
    ties = SizeTies(interface)
    chosen: dict[int, int] = {}
    forced: dict[int, int] = {}
    broken = "size tie: what is tied would have to grow"
    for axis in axes:
        size = interface.exact_size(axis) or 1
        if axis in forced:
            continue
        wanted = size - max(round(size * REMOVED), 1)
        for count in sorted(range(1, size), key=lambda n: (abs(n - wanted), n)):
            following = ties.following({**chosen, axis: count})
            if not isinstance(following, dict):
                broken = f"size tie: {following.reason}"
                continue
            if any(not 0 < n <= (interface.exact_size(a) or 0) for a, n in following.items()):
                continue
            sizes = {**following, **chosen, axis: count}
            changed = [a.replaced(size=sizes[a.id]) if a.id in sizes else a for a in interface.axes]
            branch = crossed(interface, changed)
            if branch is None:
                chosen[axis], forced = count, following
                break
            broken = f"another way: {branch[0].reason}"
    sizes = {**forced, **chosen}
    kept = {axis: sorted(rng.sample(range(interface.exact_size(axis) or 1), count)) for axis, count in sizes.items()}
    return kept, broken


def difference(found: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Return the largest difference of any output, relative to the largest number of that output of the reference."""
    worst = 0.0
    for name, wanted in reference.items():
        if name not in found or found[name].shape != wanted.shape:
            return math.inf
        if not wanted.numel():
            continue
        one, two = found[name].double(), wanted.double()
        if not bool(((one == two) | torch.isfinite(two)).all()):
            return math.nan
        gap = torch.where(one == two, 0.0, (one - two).abs()).max().item()
        scale = two[torch.isfinite(two)].abs().max().item() if bool(torch.isfinite(two).any()) else 0.0
        error = 0.0 if gap == 0 else gap / scale if scale > 0 else math.inf
        if math.isnan(error):
            return math.nan
        worst = max(worst, error)
    return worst


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return next(iter(str(error).splitlines()), "")[:200]
