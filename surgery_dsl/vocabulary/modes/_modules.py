"""Removing entries of module lists: what follows moves up, and what read them reads what they read."""

from collections.abc import Iterable
from dataclasses import dataclass

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.coupling import leaves, merge, settle
from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.model import Dim, Interface, Module, Operator, Tensor
from surgery_dsl.interface.parting import recouple
from surgery_dsl.vocabulary.context import Effect, Static
from surgery_dsl.vocabulary.selection import Pool, Selection

_LISTS = ("torch.nn.ModuleList", "torch.nn.Sequential")


def drop(selection: Selection, draft: Draft, context: Static, span: Span | None) -> Effect:
    """Drop modules in a draft; report what cannot be dropped.

    Where a ranking decides which modules go, all of the pool must be built alike, so that every outcome gives the same
    network; the draft then drops the last ones.
    """
    report = _Report(context, span, selection.span or span)
    doomed: list[str] = []
    exposed: list[str] = []
    for at, (pool, taken) in enumerate(zip(selection.pools, selection.taken, strict=True)):
        if taken.most == 0:
            continue
        if taken.most >= pool.size:
            report.emptied(pool)
            continue
        if not _is_list(pool, context.interface, report):
            continue
        fixed = selection.indices[at] if selection.indices else None
        if fixed is None and (taken.least != taken.most or not _alike(pool, context.interface, report)):
            if taken.least != taken.most:
                report.open(pool)
            continue
        exposed += pool.modules if fixed is None else ()
        chosen = range(pool.size - taken.most, pool.size) if fixed is None else fixed
        candidates = [pool.modules[index] for index in chosen]
        checked = pool.modules if fixed is None else candidates
        # The first module that cannot go speaks for all.
        passes = all(_passes(path, draft, context.interface, report) for path in checked)
        doomed += candidates if passes else []
    names = {name: name for name in draft.tensors}
    if doomed:
        _leave_out(doomed, draft)
        names = _Renaming.of(doomed, draft).apply()
        settle(draft)
    writes = {name for name in context.interface.tensor_by_name if name not in names or _below(name, exposed)}
    moved = {before: after for before, after in names.items() if before != after}
    return Effect(
        function="changing",
        reason=f"{selection.asked} removed" if selection.asked else "modules are removed",
        writes=frozenset(writes | (set(moved) if exposed else set())),
        renamed=moved,
        matched=len(selection.sites),
        changed=len(doomed),
    )


@dataclass(frozen=True)
class _Report:
    context: Static
    span: Span | None
    take: Span | None

    def say(self, code: Code, text: str, path: str, fix: str, span: Span | None = None, **facts: int) -> None:
        span = span or self.span
        self.context.say(Diagnostic(code, text, file=self.context.file, span=span, path=path, facts=facts, help=fix))

    def emptied(self, pool: Pool) -> None:
        text = f"all {pool.size} matched modules of `{pool.key or '.'}` would be removed; at least one must stay"
        self.say(shapes.EMPTIED_SITE, text, pool.key, f"take at most {pool.size - 1}", self.take, modules=pool.size)

    def open(self, pool: Pool) -> None:
        text = f"how many modules of `{pool.key or '.'}` go is not known before weights are read"
        fix = "take a count, such as lowest(1), or name them: only([3])"
        self.say(shapes.OPEN_STRUCTURE, text, pool.key, fix, self.take)


# ---- what may be dropped -----------------------------------------------------------------------------------------


def _is_list(pool: Pool, interface: Interface, report: _Report) -> bool:
    """Whether the pool's parent is a list whose entries go by number."""
    parent = interface.module_by_path[pool.key]
    children = [_child(path, pool.key) for path in interface.module_by_path]
    if parent.type in _LISTS and all(name.isdigit() for name in children if name):
        return True
    kind = parent.type.removeprefix("torch.nn.")
    text = f"`{pool.key or '.'}` is a {kind}, not a list of numbered modules, so nothing can be taken out of it"
    fix = "name entries of a ModuleList or Sequential, or write mode = zero"
    report.say(shapes.NOT_A_LIST_ENTRY, text, pool.modules[0], fix)
    return False


def _child(path: str, parent: str) -> str:
    """Return the name of a direct child, nothing for any other module."""
    head, _, name = path.rpartition(".")
    return name if head == parent and path else ""


def _alike(pool: Pool, interface: Interface, report: _Report) -> bool:
    """Whether all modules of a pool are built alike."""
    forms = [_form(path, interface) for path in pool.modules]
    odd = next((at for at, form in enumerate(forms) if form != forms[0]), None)
    if odd is None:
        return True
    text = (
        f"which modules go decides the structure: `{pool.modules[0]}` and `{pool.modules[odd]}` are built differently"
    )
    report.say(shapes.OPEN_STRUCTURE, text, pool.modules[odd], "name the modules: only([3, 4])")
    return False


def _form(path: str, interface: Interface) -> tuple[object, ...]:
    """Return what modules built alike have in common."""
    below = path + "."
    modules = [(m.path.removeprefix(path), m.type) for m in interface.modules if (m.path + ".").startswith(below)]
    tensors = [
        (t.name.removeprefix(path), t.dtype, tuple(_size(dim, interface) for dim in t.dims))
        for t in interface.tensors
        if t.name.startswith(below)
    ]
    operators = [
        (op.kind, tuple(sorted(op.settings.items())))
        for call in interface.calls_of(path)
        for op in interface.operators[call.first : call.last]
    ]
    return (*modules, *tensors, *operators)


def _size(dim: Dim, interface: Interface) -> str:
    return str(sorted(interface.size(dim).substitute(interface.exact_size).terms.items()))


def _passes(path: str, draft: Draft, interface: Interface, report: _Report) -> bool:
    """Whether every run of a module gives what it takes, and nothing but the next module handles its result."""
    module = interface.module_by_path[path]
    if module.same_as or any(other.same_as == path for other in interface.modules):
        text = f"`{path}` is the same object as another module, so dropping it is not a matter of one place"
        report.say(shapes.NOT_A_LIST_ENTRY, text, path, "name modules of their own")
        return False
    for run in draft.runs_of(path):
        if not run.inputs or len(run.outputs) != 1:
            text = f"`{path}` takes {len(run.inputs)} and gives {len(run.outputs)} tensors, so it cannot be left out"
            report.say(
                shapes.WIDTH_MISMATCH, text, path, "write mode = zero", takes=len(run.inputs), gives=len(run.outputs)
            )
            return False
        given, taken = (draft.values[value].dims for value in (run.outputs[0], run.inputs[0]))
        if len(taken) != len(given) or not merge(Draft(interface), taken, given):
            was, now = _shape(taken, interface), _shape(given, interface)
            text = f"`{path}` takes {was} and gives {now}, so what follows cannot read its input"
            report.say(shapes.WIDTH_MISMATCH, text, path, "name modules that keep the width")
            return False
        if not _handed_on(run, path, draft, report):
            return False
    return True


def _shape(dims: Iterable[Dim], interface: Interface) -> str:
    shown = []
    for dim in dims:
        exact = interface.exact(dim)
        names = [str(interface.axes[axis].size) for axis in dim]
        shown.append(str(exact) if exact is not None else " * ".join(names))
    return f"[{', '.join(shown)}]"


def _handed_on(run: Run, path: str, draft: Draft, report: _Report) -> bool:
    """Whether the forward that holds the list only hands the result of an entry to the next.

    A forward that does more around each entry (``x = x + block(x)``) does it once less when an entry is gone, which the
    operators that are left do not show.
    """
    holder = next(parent for parent in draft.root.runs() if run in parent.events)
    prefix = path.rpartition(".")[0] + "."
    later = holder.events[holder.events.index(run) + 1 :]
    upto = next((at for at, e in enumerate(later) if isinstance(e, Run) and e.module.startswith(prefix)), None)
    if upto is None or holder.module + "." == prefix:
        return True
    for event in later[:upto]:
        if isinstance(event, Operator) and run.outputs[0] in event.inputs:
            text = (
                f"the forward of `{holder.module or '.'}` does more around `{path}` than run it "
                f"(`{event.kind}`, {event.source or event.path})"
            )
            report.say(shapes.NOT_A_LIST_ENTRY, text, path, "write mode = zero")
            return False
    return True


# ---- dropping ----------------------------------------------------------------------------------------------------


def _leave_out(doomed: Iterable[str], draft: Draft) -> None:
    """Take the runs of modules out; what lay before them and what lay behind then keeps step."""
    touched: set[int] = set()
    for path in doomed:
        for run in draft.runs_of(path):
            taken, given = run.inputs[0], run.outputs[0]
            merge(draft, draft.values[taken].dims, draft.values[given].dims)
            touched.update(axis for dim in draft.values[taken].dims for axis in leaves(draft, dim))
            holder = next(parent for parent in draft.root.runs() if run in parent.events)
            holder.events.remove(run)
            draft.root.rename(given, taken)
            draft.root.outputs = tuple(taken if value == given else value for value in draft.root.outputs)
            draft.outputs = tuple(port.replaced(value=taken) if port.value == given else port for port in draft.outputs)
    recouple(draft, touched)


def _below(name: str, paths: Iterable[str]) -> bool:
    return any(name.startswith(path + ".") for path in paths)


@dataclass(frozen=True)
class _Renaming:
    """New names of modules and tensors after entries of lists are gone.

    Attributes:
        draft: What is renamed.
        doomed: Paths of the entries that go.
        heirs: For a shared module or tied tensor whose owner goes: the path or name that owns it then (old spelling).
    """

    draft: Draft
    doomed: tuple[str, ...]
    heirs: dict[str, str]

    @staticmethod
    def of(doomed: Iterable[str], draft: Draft) -> "_Renaming":
        gone = tuple(doomed)
        heirs: dict[str, str] = {}
        owned: list[tuple[str, str]] = [(m.path, m.same_as) for m in draft.modules.values()]
        owned += [(tensor.name, tensor.tied_to) for tensor in draft.tensors.values()]
        for name, owner in owned:
            if owner and _is_gone(owner, gone) and not _is_gone(name, gone):
                heirs.setdefault(owner, name)
        return _Renaming(draft, gone, heirs)

    def apply(self) -> dict[str, str]:
        """Rename everything; return the new name of each tensor that stays."""
        draft = self.draft
        names = {name: self.new(name) for name in draft.tensors if not _is_gone(name, self.doomed)}
        before = draft.modules
        draft.modules = {
            self.new(path): self._module(module, before)
            for path, module in before.items()
            if not _is_gone(path, self.doomed)
        }
        draft.tensors = {
            names[name]: self._tensor(tensor, names[name]) for name, tensor in draft.tensors.items() if name in names
        }
        for run in draft.root.runs():
            run.module = self.owner(run.module)
            run.events = [event if isinstance(event, Run) else self._operator(event) for event in run.events]
        draft.axes = [axis.replaced(label=self._label(axis.label)) for axis in draft.axes]
        return names

    def owner(self, name: str) -> str:
        """Return the new name of a module or tensor that may have passed to an heir."""
        return self.new(self.heirs.get(name, name))

    def new(self, name: str) -> str:
        """Return the name that a surviving path or tensor has afterwards."""
        for parent in dict.fromkeys(path.rpartition(".")[0] for path in self.doomed):
            prefix = parent + "." if parent else ""
            number, dot, rest = name.removeprefix(prefix).partition(".")
            if name.startswith(prefix) and number.isdigit():
                gone = sum(
                    path.rpartition(".")[0] == parent and int(path.removeprefix(prefix)) < int(number)
                    for path in self.doomed
                )
                name = f"{prefix}{int(number) - gone}{dot}{rest}"
        return name

    def _module(self, module: Module, before: dict[str, Module]) -> Module:
        owner = self.heirs.get(module.same_as, module.same_as)
        if owner == module.path:
            integers = before[module.same_as].integers
            return module.replaced(path=self.new(module.path), same_as="", integers=integers)
        return module.replaced(path=self.new(module.path), same_as=self.new(owner) if owner else "")

    def _tensor(self, tensor: Tensor, name: str) -> Tensor:
        owner = self.heirs.get(tensor.tied_to, tensor.tied_to)
        return tensor.replaced(name=name, tied_to="" if owner in ("", tensor.name) else self.new(owner))

    def _operator(self, operator: Operator) -> Operator:
        home = self.owner(operator.module)
        path = home + operator.path.removeprefix(operator.module)
        tensors = {role: self.owner(name) for role, name in operator.tensors.items()}
        return operator.replaced(path=path, module=home, tensors=tensors)

    def _label(self, label: str) -> str:
        name, bracket, rest = label.partition("[")
        return f"{self.new(name)}{bracket}{rest}"


def _is_gone(name: str, doomed: Iterable[str]) -> bool:
    return any(name == path or name.startswith(path + ".") for path in doomed)
