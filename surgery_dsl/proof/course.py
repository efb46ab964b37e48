"""The way of names and reasons through a plan: what became of each tensor and module of the base, and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from surgery_dsl.interface.folding import fold_paths
from surgery_dsl.interface.model import Data, Interface, Tensor
from surgery_dsl.language.plan import Excise, Recover, Replace
from surgery_dsl.proof.bookkeeping import module_moves, moved
from surgery_dsl.proof.change_reasons import Reason, Reasons, range_of, resized, step_reason
from surgery_dsl.proof.contract import shape_text
from surgery_dsl.vocabulary.context import Effect

Form = tuple[str, tuple[tuple[int, int], ...]]
"""A tensor's dtype and sizes, each from least to greatest."""

CONSTANTS = "constants of what goes move into them"
"""What an excision writes where it does not cut: see ADR 20."""
ANY_ENTRY = "which entries go is open, so any may come to hold what another held"
"""Why entries of a list change their values where a ranking decides which of them go."""


class Written(Data):
    """Tensors whose values a step writes: a surgery where their shapes stay, training all that it may train.

    Attributes:
        step: Name of the block.
        block: Its kind.
        line: Its line.
        tensors: Their names before the plan (after it, of those that a step brought), folded.
        count: How many there are.
        reason: What the step does to them, in words.
    """

    step: str
    block: str
    line: int | None
    tensors: tuple[str, ...]
    count: int
    reason: str = ""


@dataclass
class Course:
    """The way of names and reasons through a plan.

    Attributes:
        base: The network as loaded.
        tensors: Tensors of the base that are still there: first to present name.
        modules: The same of modules.
        reasons: Why a tensor of the base changed or went.
        module_reasons: Why a module of the base changed, went or moved.
        port_reasons: Why an input or output changed, by name.
        origins: What brought a present tensor or module that the base does not have, by ``tensor`` or ``module`` name.
        steps_of: Which steps write a tensor of the base.
        written: Which tensors each step writes: those of the base by their first names.
        changing: Blocks that change something, with their lines.
    """

    base: Interface
    tensors: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, list[Reason]] = field(default_factory=dict)
    module_reasons: dict[str, list[Reason]] = field(default_factory=dict)
    port_reasons: dict[str, list[Reason]] = field(default_factory=dict)
    origins: dict[tuple[str, str], Reason] = field(default_factory=dict)
    steps_of: dict[str, set[str]] = field(default_factory=dict)
    written: dict[tuple[str, str], tuple[Reason, set[str], str]] = field(default_factory=dict)
    changing: dict[tuple[str, str], None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {name: name for name in self.base.tensor_by_name}
        self.modules = {path: path for path in self.base.module_by_path}

    def write(self, step: Excise | Replace | Recover, effect: Effect, why: str = "") -> None:
        """Note which values a step writes, and why where that is not what it does."""
        key = step.block, step.name
        if effect.writes:
            self.changing[key] = None
        names = self.written[key][1] if key in self.written else set()
        self.written[key] = step_reason(step), names, why or effect.reason
        for first, now in self.tensors.items():
            if now in effect.writes:
                names.add(first)
                self.steps_of.setdefault(first, set()).add(step.name)
        names |= {now for kind, now in self.origins if kind == "tensor" and now in effect.writes}

    def follow(
        self,
        step: Excise | Replace | Recover,
        effect: Effect,
        reasons: Reasons,
        before: Interface,
        after: Interface,
    ) -> None:
        """Follow names and sizes over one run of a step."""
        unit = reasons.selection.unit if isinstance(step, Excise) and reasons.selection is not None else ""
        cut = bool(unit) and not effect.zeros  # zeros that are written are what the step says it does
        self.write(step, effect, (ANY_ENTRY if unit == "modules" else CONSTANTS) if cut else "")
        self.changing[step.block, step.name] = None
        self._tensors(effect, reasons, before, after)
        self._modules(effect, reasons, before, after)
        for old, new in zip((*before.inputs, *before.outputs), (*after.inputs, *after.outputs), strict=False):
            if shape_text(before, old) != shape_text(after, new):
                self._note(self.port_reasons, old.name, reasons.step)

    def _tensors(self, effect: Effect, reasons: Reasons, before: Interface, after: Interface) -> None:
        taken = set(effect.renamed.values())
        sizes = resized(before, after)
        present: dict[str, str] = {}
        for first, now in self.tensors.items():
            to = effect.renamed.get(now, now)
            old, new = before.tensor_by_name[now], after.tensor_by_name.get(to)
            if new is None or (to == now and now in taken):
                self._note(self.reasons, first, reasons.gone(now))
                continue
            present[first] = to
            same = old.dims == new.dims and old.dtype == new.dtype
            if not same or not sizes.isdisjoint(axis for dim in old.dims for axis in before.leaves(dim)):
                for reason in reasons.tensor(old, new):
                    self._note(self.reasons, first, reason)
        origins = {}
        for (kind, now), reason in self.origins.items():
            to = effect.renamed.get(now, now) if kind == "tensor" else now
            if kind == "module" or (to in after.tensor_by_name and not (to == now and now in taken)):
                origins[kind, to] = reason
        self.tensors, self.origins = present, origins
        known = set(present.values())
        for name in after.tensor_by_name:
            if name not in known:
                self.origins.setdefault(("tensor", name), reasons.step)

    def _modules(self, effect: Effect, reasons: Reasons, before: Interface, after: Interface) -> None:
        moves = _entry_moves(effect, before, after)
        taken = set(moves.values())
        present: dict[str, str] = {}
        for first, now in self.modules.items():
            to = moved(now, moves)
            if to not in after.module_by_path or (to == now and _below_any(now, taken)):
                self._note(self.module_reasons, first, reasons.gone_module(now))
                continue
            present[first] = to
            if to != now or before.module_by_path[now].type != after.module_by_path[to].type:
                self._note(self.module_reasons, first, reasons.step)
        origins = {}
        for (kind, now), reason in self.origins.items():
            to = moved(now, moves) if kind == "module" else now
            if kind == "tensor" or to in after.module_by_path:
                origins[kind, to] = reason
        self.modules, self.origins = present, origins
        known = set(present.values())
        for path in after.module_by_path:
            if path not in known:
                self.origins.setdefault(("module", path), reasons.step)

    @staticmethod
    def _note(where: dict[str, list[Reason]], name: str, reason: Reason) -> None:
        found = where.setdefault(name, [])
        if reason not in found:
            found.append(reason)

    def added(self, end: Interface) -> list[str]:
        """Return the tensors of the end that the base does not have."""
        known = set(self.tensors.values())
        return [name for name in end.tensor_by_name if name not in known]

    def values(self, end: Interface) -> Iterator[Written]:
        """Yield what steps write without changing shapes."""
        for (block, step), (reason, names, text) in self.written.items():
            meant = [name for name in self.base.tensor_by_name if name in names and name in self.tensors]
            kept = [name for name in meant if block == "recover" or self._keeps_shape(name, end)]
            kept += [name for name in self.added(end) if name in names]
            if kept:
                yield Written(
                    step=step,
                    block=block,
                    line=reason.line,
                    tensors=fold_paths(kept),
                    count=len(kept),
                    reason=text,
                )

    def _keeps_shape(self, name: str, end: Interface) -> bool:
        now = end.tensor_by_name[self.tensors[name]]
        return form_of(self.base, self.base.tensor_by_name[name]) == form_of(end, now)


def _entry_moves(effect: Effect, before: Interface, after: Interface) -> dict[str, str]:
    """Return which entries of lists have another number after a step."""
    return {
        old: new
        for old, new in module_moves(effect).items()
        if old in before.module_by_path
        and new in after.module_by_path
        and not (inside(new, old) or inside(old, new))
        and before.module_by_path[old].type == after.module_by_path[new].type
    }


def _below_any(path: str, tops: Iterable[str]) -> bool:
    return any(inside(path, top) for top in tops)


def inside(path: str, top: str) -> bool:
    """Whether a path is another or lies below it."""
    return path == top or path.startswith(f"{top}.")


def form_of(interface: Interface, tensor: Tensor) -> Form:
    """Return dtype and sizes, each from least to greatest."""
    return tensor.dtype, tuple(range_of(interface, dim) for dim in tensor.dims)
