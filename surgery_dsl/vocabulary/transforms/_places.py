"""Which modules a step changes: sites as module objects, shared ones once, with all that may not be touched unasked."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import budgets, shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.calling import SEQUENTIAL, called
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.vocabulary.context import Place, Runtime, Static
from surgery_dsl.vocabulary.selection import Site

SHOWN = 6
"""How many paths a finding names."""


@dataclass(frozen=True)
class Target:
    """One module object that a step changes.

    Attributes:
        path: The path by which the interface names it.
        paths: Every path at which it is changed; those at which it stays are not among them.
        calls: Positions of its runs in ``Interface.calls``.
        sites: The sites that mean it.
        stays: Other paths of the object, at which it stays as it is (``scope = site``).
    """

    path: str
    paths: tuple[str, ...]
    calls: tuple[int, ...]
    sites: tuple[Site, ...]
    stays: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """What finding the modules needs, in static and runtime rules alike.

    Attributes:
        place: Where the step acts.
        interface: The network before the step.
        file: The plan's file.
        sink: Where findings go.
        scope: The step's ``scope``.
        tie: The step's ``tie``.
        span: Where the plan uses the transform.
    """

    place: Place
    interface: Interface
    file: str
    sink: Sink = field(repr=False)
    scope: str = ""
    tie: str = ""
    span: Span | None = None

    @classmethod
    def of_static(cls, place: Place, context: Static, span: Span | None) -> "Scene":
        """Return the scene of a static rule."""
        return cls(place, context.interface, context.file, context.sink, context.scope, context.tie, span)

    @classmethod
    def of_runtime(cls, place: Place, runtime: Runtime, span: Span | None) -> "Scene":
        """Return the scene of a runtime rule. What a static rule has allowed is not refused here."""
        return cls(place, runtime.interface, runtime.file, runtime.sink, place.scope, place.tie, span)

    def say(
        self,
        code: Code,
        message: str,
        *,
        path: str = "",
        facts: dict[str, Fact] | None = None,
        notes: Iterable[str] = (),
        help: str = "",
        at_word: bool = False,
    ) -> None:
        """Report a finding at the sites, or at the transform."""
        self.sink.say(
            Diagnostic(
                code,
                message,
                file=self.file,
                span=self.span if at_word else self.place.span or self.span,
                path=path,
                facts=facts or {},
                notes=tuple(notes),
                help=help,
            )
        )

    # ---- modules -----------------------------------------------------------------------------------------------

    def paths_of(self, owner: str) -> tuple[str, ...]:
        """Return every path of a module object, by its first."""
        return self.interface.aliases.get(owner, (owner,))

    @cached_property
    def calls(self) -> dict[str, list[int]]:
        """Positions of the runs of each module object, by its first path."""
        found: dict[str, list[int]] = {}
        for position, call in enumerate(self.interface.calls):
            found.setdefault(call.module, []).append(position)
        return found

    @cached_property
    def outer(self) -> frozenset[int]:
        """Positions of the runs inside which other modules run."""
        return frozenset(call.parent for call in self.interface.calls)

    @cached_property
    def readers(self) -> dict[str, list[Operator]]:
        """Operators that read each tensor, by its first name."""
        found: dict[str, list[Operator]] = {}
        for operator in self.interface.operators:
            for name in operator.tensors.values():
                found.setdefault(self.interface.tensor_by_name[name].tied_to or name, []).append(operator)
        return found

    def targets(self) -> tuple[Target, ...] | None:
        """Return the modules that the sites mean, in the order of the sites; ``None`` after reporting."""
        failed = False
        by_owner: dict[str, list[Site]] = {}
        for site in self.place.sites:
            if site.is_call_of_module and self.scope == "all":
                site = site.replaced(path=site.module)
            if self._is_module(site):
                module = self.interface.module_by_path[site.module]
                by_owner.setdefault(module.same_as or module.path, []).append(site)
            else:
                failed = True
        found: list[Target] = []
        for owner, sites in by_owner.items():
            target = self._target(owner, sites)
            if target is None or not self.runs(target):
                failed = True
            else:
                found.append(target)
        return None if failed or self._nested(found) else tuple(found)

    def _nested(self, targets: list[Target]) -> bool:
        """Report sites of which one lies inside another, where both would be exchanged."""
        if self.place.where != "at":
            return False
        paths = {path for target in targets for path in target.paths}
        for path in paths:
            outer = path.rpartition(".")[0]
            while outer and outer not in paths:
                outer = outer.rpartition(".")[0]
            if outer:
                self.say(
                    budgets.PLACE_DOES_NOT_FIT,
                    f"`{path}` lies inside `{outer}`, and both would be replaced",
                    path=path,
                    help="narrow the pattern, so that it matches one of them",
                )
                return True
        return False

    def _is_module(self, site: Site) -> bool:
        if site.word == "param":
            self.say(
                budgets.PLACE_DOES_NOT_FIT,
                f"`{site.path}` is a tensor; modules are replaced, and the tensors with them",
                path=site.path,
                help=f'name the module that holds it: module("{site.module}")',
            )
            return False
        if site.is_call_of_module:
            self.say(
                shapes.FUNCTIONAL_SITE,
                f"`{site.path}` is one call of `{site.module}`, and only an activation can stand at single calls",
                path=site.path,
                help=f"write `scope = all`, and `{site.module}` changes for all its calls",
            )
            return False
        if site.path != site.module and not self._is_all_of_it(site):
            self.say(
                shapes.FUNCTIONAL_SITE,
                f"`{site.path}` is a call in the forward of `{site.module or 'the network'}`, not a module of its own",
                path=site.path,
                notes=("what a forward calls by itself can be seen and named, but only modules can be exchanged",),
                help="leave the site out with `except`, or write it as a module in the network's code",
            )
            return False
        if not site.path and self.place.where == "at":
            self.say(
                budgets.PLACE_DOES_NOT_FIT,
                "the whole network cannot be replaced; a step acts on modules below it",
                help='name a module, such as module("*")',
            )
            return False
        return True

    def _is_all_of_it(self, site: Site) -> bool:
        """Whether a call is all that the forward of its module does, as in Hugging Face's Conv1D."""
        module = self.interface.module_by_path.get(site.module)
        if module is None or not site.module:
            return False
        runs = [self.interface.calls[at] for at in self.calls.get(module.same_as or module.path, ())]
        own = [self.interface.operators[run.first : run.last] for run in runs]
        alone = all(len(found) == 1 and found[0].path == site.path for found in own)
        return bool(runs) and alone and self.outer.isdisjoint(self.calls[module.same_as or module.path])

    def _target(self, owner: str, sites: list[Site]) -> Target | None:
        paths, calls = self.paths_of(owner), self.calls.get(owner, [])
        if self.scope != "site" or (len(paths) == 1 and len(calls) == 1):
            return Target(owner, paths, tuple(calls), tuple(sites))
        wanted = tuple(path for path in paths if any(site.path == path for site in sites))
        if not self.is_bare(owner):
            return None
        if self.place.where != "at":
            self.refuse_scope(owner, "what is put into a module runs wherever the module runs")
            return None
        own: list[int] = []
        for call in calls:
            homes = self._homes(call, paths)
            if len(homes) != 1:
                self.refuse_scope(owner, "its runs cannot be told apart by the path that calls it")
                return None
            if homes[0] in wanted:
                own.append(call)
        if not own:
            self.refuse_scope(owner, f"none of its runs goes by `{wanted[0]}`")
            return None
        stays = tuple(path for path in paths if path not in wanted)
        first = owner if owner in wanted else wanted[0]
        return Target(first, wanted, tuple(own), tuple(sites), stays)

    def is_bare(self, owner: str) -> bool:
        """Report a module of which only some runs shall change, though a step inserted children into it."""
        if any(module.inserted and module.path.startswith(owner + ".") for module in self.interface.modules):
            self.refuse_scope(owner, "a step inserted children into it")
            return False
        return True

    def _homes(self, position: int, paths: tuple[str, ...]) -> list[str]:
        """Return the paths of a module object by which a run may have called it."""
        call = self.interface.calls[position]
        parent = self.interface.calls[call.parent].module if call.parent >= 0 else ""
        holders = self.paths_of(parent)
        below = [path for path in paths if any(not holder or path.startswith(holder + ".") for holder in holders)]
        kind = self.interface.module_by_path[parent].type
        if kind == SEQUENTIAL and len(below) > 1 and len(holders) == 1 and call.parent >= 0:
            children = [self.interface.module_by_path[path] for path in self.interface.children[parent]]
            entries = [module.path for module in children if not module.inserted]
            ran = [at for at, other in enumerate(self.interface.calls) if other.parent == call.parent]
            if len(ran) == len(entries):
                return [path for path in below if path == entries[ran.index(position)]]
        return below

    def refuse_scope(self, owner: str, why: str) -> None:
        """Report a module of which only some runs shall change."""
        runs = len(self.calls.get(owner, ()))
        stands = self.paths_of(owner)
        single = called(stands, self.interface)
        notes = ["it stands at " + ", ".join(f"`{path}`" for path in stands[:SHOWN])]
        help = "write `scope = all`"
        if single and self.place.where == "at":
            notes.append("its calls are " + ", ".join(f"`{name}`" for name in single[:SHOWN]))
            help += ", or name the calls that are meant"
        text = f"`{owner}` runs {runs} times, and only all of them can be changed: {why}"
        self.say(budgets.SHARED_MODULE, text, path=owner, facts={"runs": runs}, notes=notes, help=help)

    def runs(self, target: Target) -> bool:
        """Report a module that never runs, or that does not make one tensor of one."""
        if not target.calls:
            self.say(
                shapes.NEVER_RUNS,
                f"the forward never runs `{target.path}`",
                path=target.path,
                help="name a module that the forward calls; a ModuleList is only a container",
            )
            return False
        for position in target.calls:
            call = self.interface.calls[position]
            most = 1 if self.place.where == "at" else len(call.inputs)
            if len(call.outputs) != 1 or not 1 <= len(call.inputs) <= most:
                self.say(
                    shapes.NOT_ONE_TENSOR,
                    f"`{target.path or 'the network'}` takes {len(call.inputs)} and gives {len(call.outputs)} tensors",
                    path=target.path,
                    facts={"inputs": len(call.inputs), "outputs": len(call.outputs)},
                    help="name a module that makes one tensor of one",
                )
                return False
        return True

    # ---- tensors -----------------------------------------------------------------------------------------------

    def tensors_of(self, path: str) -> tuple[str, ...]:
        """Return the names of the tensors at or below a module."""
        return tuple(self.interface.tensors_below(path))

    def ties(self, names: Iterable[str], paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return, for tensors that share memory with others outside of ``paths``, the names of those others."""
        inside = tuple(path + "." for path in paths)
        found = {}
        for name in names:
            group = self.interface.ties.get(self.interface.tensor_by_name[name].tied_to or name, ())
            others = tuple(other for other in group if other != name and not other.startswith(inside))
            if others:
                found[name] = others
        return found

    def may_go(self, target: Target) -> bool:
        """Report tensors of a module that others share or read: the module cannot be exchanged unasked."""
        names = self.tensors_of(target.path)
        for name, others in self.ties(names, (*target.paths, *target.stays)).items():
            if self.tie != "untie":
                self.refuse_tie(name, others, keep="the new module has no such tensor to share")
                return False
        for name in names:
            tensor = self.interface.tensor_by_name[name]
            readers = [op for op in self.readers.get(tensor.tied_to or name, ()) if not self._inside(op, target)]
            if readers and not tensor.tied_to and not self.ties([name], target.paths):
                self.say(
                    shapes.READ_ELSEWHERE,
                    f"`{name}` is also read by `{readers[0].path}`, which is not part of `{target.path}`",
                    path=name,
                    facts={"readers": len(readers)},
                    help=f"leave `{target.path}` out with `except`",
                )
                return False
        return True

    def _inside(self, operator: Operator, target: Target) -> bool:
        home = operator.module + "."
        return any(home.startswith(path + ".") for path in (target.path, *target.paths, *target.stays))

    def refuse_tie(self, name: str, others: tuple[str, ...], keep: str) -> None:
        """Report a tied tensor; ``keep`` says why ``tie = keep`` is no way out, where it is none."""
        asked = f"`tie = keep` cannot be: {keep}; " if self.tie == "keep" else ""
        self.say(
            shapes.TIED_TENSOR,
            f"`{name}` is the same tensor as {', '.join(f'`{other}`' for other in others[:4])}",
            path=name,
            facts={"tied": len(others) + 1},
            help=asked
            + "write `tie = untie`: the others keep their values"
            + ("" if keep else ", or `tie = keep`: all of them change"),
        )
