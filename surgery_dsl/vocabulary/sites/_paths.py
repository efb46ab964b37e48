"""Sites that a path pattern finds: matching, exceptions, and what to say where nothing matches."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import ConfigDict, Field

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.flow import ACTIVATIONS
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.vocabulary.catalogue import find
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.patterns import BadPattern, Pattern, segments
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites._calls import calls_of, without

_SUGGESTED = 3


class PathSites(SiteWord, ABC):
    """Sites that are found by path. Abstract.

    Attributes:
        pattern: The path pattern.
        except_: Patterns of paths to leave out; written ``except`` in a plan.
    """

    model_config = ConfigDict(populate_by_name=True)
    positional = ("pattern",)

    pattern: str
    except_: tuple[str, ...] = Field((), alias="except")

    @abstractmethod
    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return every site that the word could match, in module order."""

    def resolve(self, interface: Interface, context: Static) -> tuple[Site, ...]:
        """Return the sites that the pattern matches and no exception does."""
        every = self.candidates(interface)
        paths = [site.path for site in every]
        also = self.aliases(every, interface)
        calls = self.calls(every, interface)
        known = [*also.values(), *(call.path for own in calls.values() for call in own)]
        wanted = self._pattern(self.pattern, paths, interface, context, "", known)
        excepted = [self._pattern(text, paths, interface, context, "except: ", known) for text in self.except_]
        if wanted is None or None in excepted:
            return ()
        out = [pattern for pattern in excepted if pattern is not None]

        def matched(pattern: Pattern, site: Site) -> bool:
            return pattern.matches(site.path) or (site.path in also and pattern.matches(also[site.path]))

        found: list[Site] = []
        for site in every:
            own = calls.get(site.path, ())
            found += [site] if matched(wanted, site) else [call for call in own if wanted.matches(call.path)]
        left = (site for site in found if not any(matched(pattern, site) for pattern in out))
        kept = tuple(one for site in left for one in without(site, calls.get(site.path, ()), out))
        if not kept:
            context.say(self._all_excepted(len(found), context))
        return kept

    def aliases(self, sites: Sequence[Site], interface: Interface) -> Mapping[str, str]:
        """Return the second path that a site goes by, by its first; none here."""
        return {}

    def calls(self, sites: Sequence[Site], interface: Interface) -> Mapping[str, Sequence[Site]]:
        """Return the single calls that a site's path stands for, where they are sites of their own; none here."""
        return {}

    def _all_excepted(self, count: int, context: Static) -> Diagnostic:
        return Diagnostic(
            names.SELECTOR_UNMATCHED,
            f"`{self.pattern}` matches {_sites(count, self.name)}, and `except` leaves none of them",
            file=context.file,
            span=self.span,
            facts={"pattern": self.pattern, "matched": count, "sites": 0},
            help="except less, or leave the step out",
        )

    def _pattern(
        self,
        text: str,
        paths: Sequence[str],
        interface: Interface,
        context: Static,
        role: str,
        also: Iterable[str] = (),
    ) -> Pattern | None:
        """Read a pattern, each of whose alternatives must match one of the paths, or of those that sites go by too."""
        try:
            pattern = Pattern.of(text)
        except BadPattern as problem:
            context.say(
                Diagnostic(
                    names.MALFORMED_PATTERN,
                    f"`{text}` is no path pattern: {problem}",
                    file=context.file,
                    span=self.span,
                    help='write a path such as "blocks.*.fc1", where `*` is one segment and `**` any number',
                )
            )
            return None
        known = [*paths, *also]
        idle = [glob.text for glob in pattern.globs if not any(glob.matches(path) for path in known)]
        for glob in idle:
            context.say(self._unmatched(glob, role, text, paths, interface, context, known if "#" in glob else paths))
        return None if idle else pattern

    def _unmatched(
        self,
        glob: str,
        role: str,
        text: str,
        paths: Sequence[str],
        interface: Interface,
        context: Static,
        near: Sequence[str],
    ) -> Diagnostic:
        of = f", an alternative of `{text}`," if glob != text else ""
        others = _of_other_kinds(glob, interface)
        notes = [f"`{path or '.'}` is there, but is {kind}" for path, kind in others[:_SUGGESTED]]
        close = closest(glob, near)
        if close:
            shown = ", ".join(f"`{pattern}` ({_sites(count, self.name)})" for pattern, count in close)
            notes.append(f"closest: {shown}")
        else:
            notes.append(f"the network has no {self.name} at all")
        return Diagnostic(
            names.SELECTOR_UNMATCHED,
            f"{role}`{glob}`{of} matches none of {_sites(len(paths), self.name)}",
            file=context.file,
            span=self.span,
            facts={"pattern": glob, "matched": 0, "sites": len(paths)},
            notes=tuple(notes),
            help=f'{"leave it out, or " if role else ""}write "{close[0][0]}"'
            if close
            else "name another kind of site",
        )


class OperatorSites(PathSites, ABC):
    """Sites that are operators of some kinds. Abstract.

    A call in a forward goes by the path of the module that holds its weight too, where it alone reads it: a class that
    computes with its own weight (``FalconLinear``, ``BartScaledWordEmbedding``) is found as ``torch.nn.Linear`` is. A
    layer whose inputs are constants of the forward (a table of positions) has no operator and is a site all the same.

    Attributes:
        kinds: Names of the operators, as the interface has them.
        types: Classes of modules that are such layers, where no operator shows it.
    """

    kinds: ClassVar[frozenset[str]]
    types: ClassVar[frozenset[str]] = frozenset()

    def candidates(self, interface: Interface) -> Sequence[Site]:
        """Return one site for each path at which such an operator runs, and for each such layer of a constant."""
        operators = interface.operators
        found = sites_of(self.name, (at for at, op in enumerate(operators) if op.kind in self.kinds), interface)
        constant = self._of_constants(interface, {site.module for site in found})
        if not constant:
            return found
        order = {module.path: at for at, module in enumerate(interface.modules)}
        return tuple(sorted((*found, *constant), key=lambda site: order[site.module]))

    def _of_constants(self, interface: Interface, known: set[str]) -> list[Site]:
        if not self.types:
            return []
        working = {path for op in interface.operators if op.kind in self.kinds for path in _weight_owner(op)}
        return [
            Site(word=self.name, path=module.path, module=module.path)
            for module in interface.modules
            if self._is_such(module.type)
            and not known.intersection((module.path, module.same_as))
            and not working.intersection((module.path, module.same_as))
            and interface.calls_of(module.path)
            and (weight := interface.tensor_by_name.get(f"{module.path}.weight")) is not None
            and len(weight.dims) > 1
        ]

    def _is_such(self, type: str) -> bool:
        """Whether a class is such a layer, or by its name one made of it (``OPTLearnedPositionalEmbedding``)."""
        return type in self.types or any(type.endswith(known.rpartition(".")[2]) for known in self.types)

    def aliases(self, sites: Sequence[Site], interface: Interface) -> Mapping[str, str]:
        """Return the modules that hold the weights of calls in forwards, or that make no other such call."""
        taken = Counter(site.path for site in sites)
        found: dict[str, str] = {}
        for site in sites:
            if site.path != site.module and site.operators:
                owner = next(_weight_owner(interface.operators[site.operators[0]]), site.module)
                if f"{site.module}.weight" in interface.tensor_by_name:  # its own, though it may be tied to another's
                    owner = site.module
                if owner:
                    found[site.path] = owner
        taken.update(found.values())
        return {path: owner for path, owner in found.items() if taken[owner] == 1}

    def calls(self, sites: Sequence[Site], interface: Interface) -> Mapping[str, Sequence[Site]]:
        """Return the single calls of activations that a forward calls several times."""
        return calls_of(sites, interface) if self.kinds <= ACTIVATIONS else {}


def count_of(words: Iterable[str], interface: Interface) -> int:
    """Return how many sites of some words a network has in all."""
    kinds = (find("sites", word) for word in set(words))
    return sum(len(kind(pattern="**").candidates(interface)) for kind in kinds if issubclass(kind, PathSites))


def sites_of(word: str, positions: Iterable[int], interface: Interface) -> tuple[Site, ...]:
    """Return operators as sites, in module order; an operator of a module that stands at several paths is at each."""
    order = {module.path: at for at, module in enumerate(interface.modules)}
    aliases: dict[str, list[str]] = {}
    for module in interface.modules:
        aliases.setdefault(module.same_as or module.path, []).append(module.path)
    found: dict[str, tuple[str, list[int]]] = {}
    for at in positions:
        for path, home in _places(interface.operators[at], aliases):
            found.setdefault(path, (home, []))[1].append(at)
    ranked = sorted(found.items(), key=lambda item: (order[item[1][0]], item[1][1][0]))
    return tuple(Site(word=word, path=path, module=home, operators=tuple(at)) for path, (home, at) in ranked)


def _weight_owner(operator: Operator) -> Iterator[str]:
    """Yield the path of the module that holds an operator's weight; a parametrised one's is that of its host."""
    weight = operator.tensors.get("weight") or operator.tensors.get("computed_weight")
    if weight is not None:
        yield weight.partition(".parametrizations.")[0] if ".parametrizations." in weight else weight.rpartition(".")[0]


def _places(operator: Operator, aliases: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    rest = operator.path.removeprefix(operator.module)
    for home in aliases.get(operator.module, [operator.module]):
        yield home + rest, home


def _sites(count: int, word: str) -> str:
    return f"{count} {word} {'site' if count == 1 else 'sites'}"


def _of_other_kinds(glob: str, interface: Interface) -> list[tuple[str, str]]:
    """Return modules that a pattern does match, and what they are."""
    pattern = Pattern.of(glob)
    found = [(module.path, module.type) for module in interface.modules if pattern.matches(module.path)]
    leaves = [(path, kind) for path, kind in found if not _has_children(path, interface)]
    return [(path, f"a {kind.removeprefix('torch.nn.')}") for path, kind in leaves]


def _has_children(path: str, interface: Interface) -> bool:
    return any(module.path.startswith(path + ".") for module in interface.modules) or not path


def closest(glob: str, paths: Sequence[str], count: int = _SUGGESTED) -> list[tuple[str, int]]:
    """Return the patterns nearest to one that matches nothing, each with how many of ``paths`` it matches.

    Proposed are the paths themselves, and the same with numbers or everything below a prefix left open.
    """
    from difflib import SequenceMatcher  # only a finding needs it

    proposals: dict[str, None] = {}
    depth = 0 if "*" not in glob else 1
    for path in paths:
        proposals[path or "."] = None
        parts = segments(path)
        if depth:
            open_numbers = ["*" if part.isdigit() else part for part in parts]
            proposals[".".join(open_numbers).replace("./", "/")] = None
            for end in range(1, len(parts)):
                proposals[".".join([*parts[:end], "**"])] = None
                proposals[".".join([*open_numbers[:end], "**"])] = None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(glob)
    scored: list[tuple[float, int, str]] = []
    for at, proposal in enumerate(proposals):
        matcher.set_seq1(proposal)
        scored.append((-matcher.ratio(), at, proposal))
    best = [proposal for _, _, proposal in sorted(scored)[:count]]
    return [(text, sum(map(Pattern.of(text).matches, paths))) for text in best]
