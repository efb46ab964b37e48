"""What a plan would change, before and after, and why: for people to review. No torch.

Every run of a step that rewires the network is compared with the state before it, name by name; what counts at the
end is what the whole plan makes of the network as it is loaded. What is brought in and taken out again by a later
step is no change. Reasons are those of :mod:`surgery_dsl.proof.change_reasons`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from surgery_dsl.interface.folding import fold, fold_paths
from surgery_dsl.interface.host_solution import solve
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Data, Dim, Interface, Module
from surgery_dsl.language.plan import Excise, Plan, Recover, Replace
from surgery_dsl.proof.change_reasons import Reason, range_of, reasons_of
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.contract import shape_text
from surgery_dsl.proof.course import Course, Form, Written, form_of, inside

Kind = Literal["tensor", "integer", "module", "input", "output", "field"]
Action = Literal["changed", "removed", "added", "moved"]


class Change(Data):
    """One change, or the same change of several blocks of a list, folded.

    Attributes:
        kind: What changes: a tensor, an integer attribute of a module, a module, an input or output, or a field of the
            host's config.
        action: ``changed``, ``removed``, ``added`` or ``moved``.
        path: Its name before the plan (after it, where it is added); numbers that vary stand in braces.
        before: Shape, number, class or place before; empty where it is added.
        after: The same after; sizes that a choice leaves open are ranges. Empty where it is removed.
        reasons: Why, in the order of the steps.
        count: How many there are.
    """

    kind: Kind
    action: Action
    path: str
    before: str = ""
    after: str = ""
    reasons: tuple[Reason, ...] = ()
    count: int = 1


class PlanChanges(Data):
    """Everything that a plan changes.

    Attributes:
        changes: Structure: inputs and outputs, modules, tensors, integers, fields of the config.
        written: Values alone.
        tensors: How many tensors of the network change their shape or dtype.
        modules: How many modules hold them.
        removed: How many tensors go.
        added: How many come.
        untouched: How many stay bit for bit.
        steps: How many blocks change something.
    """

    changes: tuple[Change, ...]
    written: tuple[Written, ...]
    tensors: int
    modules: int
    removed: int
    added: int
    untouched: int
    steps: int


def plan_changes(plan: Plan, report: CheckReport, lock: Lock) -> PlanChanges:
    """Return what a checked plan changes of the patient; steps that cannot be followed change nothing."""
    course = Course(report.start.base)
    state = report.start
    for run, after in zip(report.runs, report.states, strict=True):
        step, before, state = run.step, state, after
        if not isinstance(step, Excise | Replace | Recover) or step.name in after.broken:
            continue
        effect = after.effects.get(step.name)
        if effect is None or effect.function == "none":
            continue
        if before.interface is after.interface:
            course.write(step, effect)
        else:
            course.follow(step, effect, reasons_of(before, after, step, effect), before.interface, after.interface)
    end = report.end.interface
    found = [*_ports(course, end), *_modules(course, end), *_tensors(course, end), *_integers(course, end)]
    found += _fields(plan, lock, report)
    return PlanChanges(
        changes=_folded(found),
        written=tuple(course.values(end)),
        tensors=sum(change.kind == "tensor" and change.action == "changed" for change in found),
        modules=len({c.path.rpartition(".")[0] for c in found if c.kind == "tensor" and c.action == "changed"}),
        removed=sum(name not in course.tensors for name in course.base.tensor_by_name),
        added=len(course.added(end)),
        untouched=sum(not course.steps_of.get(name) and name in course.tensors for name in course.base.tensor_by_name),
        steps=len(course.changing),
    )


# ---- what changed ------------------------------------------------------------------------------------------------


def _form_text(form: Form, dtype: bool) -> str:
    sizes = " × ".join(_range_text(size) for size in form[1]) or "scalar"
    return f"{form[0]} {sizes}" if dtype else sizes


def _range_text(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}..{size[1]}"


def _ports(course: Course, end: Interface) -> Iterator[Change]:
    kinds: tuple[tuple[Kind, str], ...] = (("input", "inputs"), ("output", "outputs"))
    for kind, side in kinds:
        for old, new in zip(getattr(course.base, side), getattr(end, side), strict=False):
            was, now = shape_text(course.base, old), shape_text(end, new)
            if was != now:
                reasons = tuple(course.port_reasons.get(old.name, ()))
                yield Change(kind=kind, action="changed", path=old.name, before=was, after=now, reasons=reasons)


def _modules(course: Course, end: Interface) -> Iterator[Change]:
    base = course.base
    gone = [path for path in base.module_by_path if path not in course.modules]
    for path in _topmost(gone):
        reasons = tuple(course.module_reasons.get(path, ()))
        yield Change(kind="module", action="removed", path=path, before=_described(base, path), reasons=reasons)
    for path, now in course.modules.items():
        old, new = base.module_by_path[path], end.module_by_path[now]
        reasons = tuple(course.module_reasons.get(path, ()))
        if old.type != new.type:
            yield Change(kind="module", action="changed", path=path, before=old.type, after=new.type, reasons=reasons)
    for path, now in course.modules.items():
        parent = path.rpartition(".")[0]
        if now != path and now != f"{course.modules.get(parent, parent)}.{path.rpartition('.')[2]}":
            reasons = tuple(course.module_reasons.get(path, ()))
            yield Change(kind="module", action="moved", path=path, before=path, after=now, reasons=reasons)
    known = set(course.modules.values())
    for path in _topmost([path for path in end.module_by_path if path not in known]):
        reasons = (course.origins["module", path],)
        yield Change(kind="module", action="added", path=path, after=_described(end, path), reasons=reasons)


def _topmost(paths: Iterable[str]) -> list[str]:
    found = set(paths)
    return [path for path in paths if path.rpartition(".")[0] not in found or not path]


def _described(interface: Interface, path: str) -> str:
    """Say what a module is, and how much it holds."""
    kind = interface.module_by_path[path].type
    names = list(interface.tensors_below(path))
    if not names:
        return kind
    sizes = [[range_of(interface, d) for d in interface.tensor_by_name[name].dims] for name in names]
    held = " + ".join(" × ".join(_range_text(size) for size in one) or "1" for one in sizes) if len(names) < 3 else ""
    return f"{kind} ({held or f'{len(names)} tensors'})"


def _tensors(course: Course, end: Interface) -> Iterator[Change]:
    base = course.base
    gone = {path for path in base.module_by_path if path not in course.modules}
    for name, old in base.tensor_by_name.items():
        reasons = tuple(course.reasons.get(name, ()))
        now = course.tensors.get(name)
        was = form_of(base, old)
        if now is None:
            if name.rpartition(".")[0] not in gone:
                text = _form_text(was, True)
                yield Change(kind="tensor", action="removed", path=name, before=text, reasons=reasons)
            continue
        form = form_of(end, end.tensor_by_name[now])
        if form != was:
            texts = [_form_text(one, was[0] != form[0]) for one in (was, form)]
            yield Change(kind="tensor", action="changed", path=name, before=texts[0], after=texts[1], reasons=reasons)
    known = set(course.modules.values())
    for name in course.added(end):
        if name.rpartition(".")[0] in known:
            text = _form_text(form_of(end, end.tensor_by_name[name]), True)
            reasons = (course.origins["tensor", name],)
            yield Change(kind="tensor", action="added", path=name, after=text, reasons=reasons)


def _integers(course: Course, end: Interface) -> Iterator[Change]:
    base = course.base
    lengths: dict[str, tuple[int, int]] = {}
    for path, now in course.modules.items():
        old, new = base.module_by_path[path], end.module_by_path[now]
        if old.same_as:
            continue
        for attribute, was, size, reasons in _numbers(course, old, new, end, lengths):
            if was != size:
                name = f"{path}.{attribute}" if path else attribute
                before, after = _range_text(was), _range_text(size)
                yield Change(kind="integer", action="changed", path=name, before=before, after=after, reasons=reasons)


def _numbers(
    course: Course, old: Module, new: Module, end: Interface, lengths: dict[str, tuple[int, int]]
) -> Iterator[tuple[str, tuple[int, int], tuple[int, int], tuple[Reason, ...]]]:
    """Yield integer attributes before and after: those that follow axes, and those that count entries of a list."""
    base = course.base
    if old.type == new.type:
        for attribute, dim in old.integers.items():
            if attribute in new.integers:
                was, size = range_of(base, dim), range_of(end, new.integers[attribute])
                yield attribute, was, size, _dim_reasons(course, old.path, dim) if was != size else ()
    for attribute, listed in old.counts.items():
        if listed not in lengths:
            lengths[listed] = _entries(base, listed), _entries(end, listed)
        before, after = lengths[listed]
        entries = (found for path, found in course.module_reasons.items() if inside(path, listed))
        yield attribute, (before, before), (after, after), tuple(next(entries, ()))


def _entries(interface: Interface, path: str) -> int:
    return sum(child.rpartition(".")[2].isdecimal() for child in interface.children.get(path, ()))


def _dim_reasons(course: Course, path: str, dim: Dim) -> tuple[Reason, ...]:
    """An integer follows the dimensions of the same axes of the tensors of its module, or of those below it."""
    base = course.base
    axes = set(base.leaves(dim))
    for names in (base.held.get(path, ()), base.tensors_below(path)):
        found: dict[Reason, None] = {}
        for name in names:
            dims = [
                at for at, one in enumerate(base.tensor_by_name[name].dims) if not axes.isdisjoint(base.leaves(one))
            ]
            for reason in course.reasons.get(name, ()):
                if dims and (not reason.dims or not set(reason.dims).isdisjoint(dims)):
                    found.setdefault(reason.replaced(dims=()))
        if found:
            return tuple(found)
    return ()


def _fields(plan: Plan, lock: Lock, report: CheckReport) -> list[Change]:
    """Return which numbers of the host's config change, where the plan has a target that can say the result."""
    facts = lock.model(plan.patient.name).host if plan.patient.target != "none" else None
    if facts is None or report.end.broken:
        return []
    solution = solve(facts, report.start.base, report.end.interface)
    if solution.misfits:
        return []
    values: Mapping[str, int] = solution.values
    patient = plan.patient
    place = patient.spans.get("target", patient.span)
    source = "the host builds every size from its config"
    line = place.line if place else None
    reason = Reason(why="follows", step=patient.name, block="model", line=line, source=source)
    return [
        Change(
            kind="field",
            action="changed",
            path=f"{facts.config}.{known.name}",
            before=str(known.value),
            after=str(values[known.name]),
            reasons=(reason,),
        )
        for known in facts.fields
        if known.name in values and values[known.name] != known.value
    ]


# ---- folding -----------------------------------------------------------------------------------------------------


def _folded(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Fold changes of repeated blocks; kinds and names keep the order in which they come."""
    found: list[tuple[int, Change]] = []
    alike: dict[object, list[tuple[int, Change]]] = {}
    for at, change in enumerate(changes):
        key = (change.kind, change.action, tuple(r.replaced(source="") for r in change.reasons), _offset(change))
        alike.setdefault(key, []).append((at, change))
    for members in alike.values():
        first = members[0][1]
        if first.action == "moved":
            found.append((members[0][0], _moved_together([change for _, change in members])))
            continue
        for one in fold((c.path, (c.before, c.after, *(r.source for r in c.reasons))) for _, c in members):
            sources = zip(first.reasons, one.texts[2:], strict=True)
            together = first.replaced(
                path=one.path,
                before=one.texts[0],
                after=one.texts[1],
                reasons=tuple(reason.replaced(source=source) for reason, source in sources),
                count=one.count,
            )
            found.append((members[one.first][0], together))
    return tuple(change for _, change in sorted(found, key=lambda pair: pair[0]))


def _offset(change: Change) -> object:
    """Entries of one list that move by the same number of places move together."""
    if change.action != "moved":
        return None
    (old_list, _, old), (new_list, _, new) = change.before.rpartition("."), change.after.rpartition(".")
    if old.isdecimal() and new.isdecimal():
        return old_list, new_list, int(new) - int(old)
    return change.path


def _moved_together(members: list[Change]) -> Change:
    before, after = (fold_paths(getattr(change, side) for change in members) for side in ("before", "after"))
    return members[0].replaced(path=before[0], before=before[0], after=after[0], count=len(members))
