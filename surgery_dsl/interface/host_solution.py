"""Which numbers of a host's config give a network's sizes, if any do. No torch.

Sizes are polynomials over axes: a size that a choice leaves open is a variable, so that what holds, holds for every
outcome. Equations with one unknown field are solved first; what they give is put into the others, and so on. Where a
product of fields stays (heads times their width, with no other word about either), the fields that moved least in
number are chosen.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from surgery_dsl.interface.hosts import HostFacts, HostRule
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.interface.paths import entry_prefix, length_of
from surgery_dsl.interface.polynomial import Polynomial

_Key = tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True, slots=True)
class Misfit:
    """What a config cannot say.

    Attributes:
        path: The tensor or module.
        message: What it has, and what the config gives.
        fields: The fields that it follows from.
        found: The size, where it is one number.
        given: What the config gives there.
    """

    path: str
    message: str
    fields: tuple[str, ...] = ()
    found: int | None = None
    given: int | None = None


@dataclass(frozen=True, slots=True)
class Solution:
    """The config of a network, or what keeps it from having one.

    Attributes:
        values: Every field, by name, those too that a config leaves out as they followed; exact numbers alone.
        lengths: Number of entries of each counted list of modules.
        untied: Whether tensors that the config ties have memory of their own.
        misfits: What the config cannot say; where there is any, the rest means nothing.
    """

    values: Mapping[str, int]
    lengths: Mapping[str, int]
    untied: bool
    misfits: tuple[Misfit, ...]


@dataclass(frozen=True, slots=True)
class _Equation:
    rule: HostRule
    size: Polynomial
    path: str
    what: str


def solve(facts: HostFacts, base: Interface, interface: Interface) -> Solution:
    """Return the config's numbers for a network.

    Args:
        facts: What the config can say.
        base: The network that the facts were taken of.
        interface: The network as it is, or is predicted.
    """
    return _Solver(facts, base, interface).solution()


class _Solver:
    def __init__(self, facts: HostFacts, base: Interface, interface: Interface) -> None:
        self.facts, self.base, self.interface = facts, base, interface
        self.misfits: list[Misfit] = []
        self.known: dict[int, Polynomial] = {}

    def solution(self) -> Solution:
        """Solve and compare."""
        lengths = {count.path: self._length(count.path) for count in self.facts.counts}
        self._names(lengths)
        untied = self._ties()
        self._modules(lengths)
        if not self.misfits:
            self._counts(lengths)
            equations = list(self._equations(lengths))
            self._solve(equations)
            self._compare(equations)
            self._multiples()
        values = {}
        for at, value in self.known.items():
            if value.value is not None:
                values[self.facts.fields[at].name] = value.value
        return Solution(values, lengths, untied, tuple(self.misfits))

    # ---- names ---------------------------------------------------------------------------------------------------

    def _length(self, path: str) -> int:
        return length_of(path, self.interface.children)

    def _at_base(self, path: str, lengths: Mapping[str, int]) -> str:
        """Return how a path is called in the base: entries beyond the base's last are like its last."""
        for listed in lengths:
            prefix = entry_prefix(listed)
            if path.startswith(prefix):
                number, dot, rest = path[len(prefix) :].partition(".")
                last = length_of(listed, self.base.children) - 1
                if number.isdecimal() and int(number) > last:
                    return f"{prefix}{last}{dot}{rest}"
        return path

    def _dropped(self, path: str, lengths: Mapping[str, int]) -> bool:
        """Whether a path of the base lies in an entry that a counted list no longer has."""
        for listed, length in lengths.items():
            found = re.match(re.escape(entry_prefix(listed)) + r"(\d+)(\.|$)", path)
            if found and int(found[1]) >= length:
                return True
        return False

    def _names(self, lengths: Mapping[str, int]) -> None:
        kind = self.facts.config
        for tensor in self.interface.tensors:
            known = self.base.tensor_by_name.get(self._at_base(tensor.name, lengths))
            if known is None or len(known.dims) != len(tensor.dims):
                what = "no tensor of this name" if known is None else f"one with {len(known.dims)} dimensions"
                self._misfit(tensor.name, f"`{tensor.name}` is in the result, and {kind} builds {what}")
        for name in self.base.tensor_by_name:
            if name not in self.interface.tensor_by_name and not self._dropped(name, lengths):
                self._misfit(name, f"`{name}` is not in the result, and {kind} always builds it")

    def _modules(self, lengths: Mapping[str, int]) -> None:
        for module in self.interface.modules:
            known = self.base.module_by_path.get(self._at_base(module.path, lengths))
            if known is None or module.inserted:
                self._misfit(
                    module.path, f"`{module.path}` ({module.type}) is new, and {self.facts.config} builds none"
                )
            elif known.type != module.type:
                self._misfit(
                    module.path, f"`{module.path}` is {module.type}, and {self.facts.config} builds {known.type}"
                )

    def _ties(self) -> bool:
        cut = [
            tensor.name
            for tensor in self.base.tensors
            if tensor.tied_to
            and (now := self.interface.tensor_by_name.get(tensor.name)) is not None
            and not now.tied_to
            and tensor.tied_to in self.interface.tensor_by_name
        ]
        left = [tensor.name for tensor in self.interface.tensors if tensor.tied_to]
        if cut and (left or not self.facts.tie):
            flag = f"`{self.facts.tie}` ties all or none" if self.facts.tie else "its config has no flag for that"
            self._misfit(cut[0], f"`{cut[0]}` has memory of its own now, and {flag}")
        return bool(cut)

    def _misfit(
        self,
        path: str,
        message: str,
        fields: tuple[str, ...] = (),
        found: int | None = None,
        given: int | None = None,
    ) -> None:
        self.misfits.append(Misfit(path, message, fields, found, given))

    # ---- sizes ---------------------------------------------------------------------------------------------------

    def _counts(self, lengths: Mapping[str, int]) -> None:
        for count in self.facts.counts:
            value = Polynomial.constant(lengths[count.path] - count.offset)
            other = self.known.setdefault(count.field, value)
            if other != value:
                name = self.facts.fields[count.field].name
                self._misfit(
                    count.path,
                    f"`{count.path}` has {lengths[count.path]} entries, and `{name}` = {self._text(other)} counts "
                    "them too",
                    (name,),
                    lengths[count.path],
                    other.value,
                )

    def _equations(self, lengths: Mapping[str, int]) -> Iterator[_Equation]:
        tensors = self.base.tensors
        rules = {(tensors[number].name, at): rule for rule in self.facts.rules for number, at in rule.sizes}
        for tensor in self.interface.tensors:
            for at, dim in enumerate(tensor.dims):
                rule = rules.get((self._at_base(tensor.name, lengths), at))
                if rule is not None:
                    yield _Equation(rule, self._size(dim), tensor.name, f"{tensor.name}[{at}]")
        integers = {place: rule for rule in self.facts.rules for place in rule.integers}
        for module in self.interface.modules:
            for attribute, dim in module.integers.items():
                held = integers.get((self._at_base(module.path, lengths), attribute))
                if held is not None:
                    yield _Equation(held, self._size(dim), module.path, f"{module.path}.{attribute}")

    def _size(self, dim: tuple[int, ...]) -> Polynomial:
        return self.interface.size(dim).substitute(self.interface.exact_size)

    def _solve(self, equations: list[_Equation]) -> None:
        unique = {(id(equation.rule), _key(equation.size)): equation for equation in equations}
        votes = Counter((id(equation.rule), _key(equation.size)) for equation in equations)
        while True:
            found: dict[int, Counter[_Key]] = {}
            for key, equation in unique.items():
                solved = self._one_unknown(equation.rule, equation.size)
                if solved is not None:
                    found.setdefault(solved[0], Counter())[_key(solved[1])] += votes[key]
            for at, values in found.items():
                # Where sizes disagree, what most of them say is taken, and the others are told.
                self.known[at] = Polynomial(dict(values.most_common(1)[0][0]))
            if not found and not self._guess(list(unique.values())):
                break
        for at, field in enumerate(self.facts.fields):
            self.known.setdefault(at, Polynomial.constant(field.value))

    def _unknown(self, rule: HostRule) -> list[int]:
        return sorted({at for _, fields in rule.terms for at in fields if at not in self.known})

    def _one_unknown(self, rule: HostRule, size: Polynomial) -> tuple[int, Polynomial] | None:
        """Return the one field of a rule that is not known, and its value."""
        unknown = self._unknown(rule)
        if len(unknown) != 1:
            return None
        slope, rest = Polynomial({}), size.scale(rule.divisor)
        for coefficient, fields in rule.terms:
            term = Polynomial.constant(coefficient)
            for at in fields:
                if at != unknown[0]:
                    term = term * self.known[at]
            if unknown[0] in fields:
                slope = slope + term
            else:
                rest = rest + term.scale(-1)
        divisor = slope.value
        if not divisor or any(coefficient % divisor for coefficient in rest.terms.values()):
            return None
        return unknown[0], Polynomial({monomial: c // divisor for monomial, c in rest.terms.items()})

    def _guess(self, equations: list[_Equation]) -> bool:
        """Let fields keep their values, as many as may, where only products of them are known."""
        for equation in equations:
            unknown = self._unknown(equation.rule)
            for count in range(len(unknown)) if unknown else ():
                for moving in itertools.combinations(unknown, count):
                    kept = {at: self._base(at) for at in unknown if at not in moving}
                    if self._allows(equation, kept):
                        self.known.update(kept)
                        return True
        return False

    def _allows(self, equation: _Equation, kept: Mapping[int, Polynomial]) -> bool:
        before = dict(self.known)
        try:
            self.known.update(kept)
            if not self._unknown(equation.rule):
                return self._given(equation.rule) == equation.size.scale(equation.rule.divisor)
            return self._one_unknown(equation.rule, equation.size) is not None
        finally:
            self.known = before

    def _base(self, at: int) -> Polynomial:
        return Polynomial.constant(self.facts.fields[at].value)

    def _given(self, rule: HostRule) -> Polynomial:
        total = Polynomial({})
        for coefficient, fields in rule.terms:
            term = Polynomial.constant(coefficient)
            for at in fields:
                term = term * self.known[at]
            total = total + term
        return total

    def _compare(self, equations: list[_Equation]) -> None:
        for equation in equations:
            rule = equation.rule
            given = self._given(rule)
            if given == equation.size.scale(rule.divisor):
                continue
            names = tuple(dict.fromkeys(self.facts.fields[at].name for _, fields in rule.terms for at in fields))
            gives = given.value // rule.divisor if given.value is not None else None
            self._misfit(equation.path, self._apart(equation, given, names), names, equation.size.value, gives)

    def _apart(self, equation: _Equation, given: Polynomial, names: tuple[str, ...]) -> str:
        """Say what a size is, and what the config gives there."""
        kind = self.facts.config
        has = f"`{equation.what}` is {self._text(equation.size)}"
        if equation.size.value is None:
            also = " and ".join(f"`{name}`" for name in names) or "no field"
            return f"{has}, as it is chosen there alone, and {also} of {kind} sets other sizes too"
        fields = ", ".join(f"`{name}` = {self._text(self.known[self._at(name)])}" for name in names)
        divisor = equation.rule.divisor
        text = str(given.value // divisor) if given.value is not None else self._text(given)
        return f"{has}, and {kind} gives {text} there" + (f" ({fields})" if fields else ", whatever its fields")

    def _at(self, name: str) -> int:
        return next(at for at, field in enumerate(self.facts.fields) if field.name == name)

    def _multiples(self) -> None:
        for first, second in self.facts.multiples:
            a, b = self.known[first].value, self.known[second].value
            if a and b and b % a:
                left, right = self.facts.fields[first].name, self.facts.fields[second].name
                self._misfit(
                    right,
                    f"`{right}` = {b} is no multiple of `{left}` = {a}, and {self.facts.config} needs that",
                    (left, right),
                    b,
                    a,
                )

    def _text(self, size: Polynomial) -> str:
        """Return a size as text: a number, or the least and the most it may be."""
        if size.value is not None:
            return str(size.value)
        bounds = (size.substitute(self._least).value, size.substitute(self._most).value)
        return f"{bounds[0]} to {bounds[1]}" if None not in bounds else "open"

    def _least(self, axis: int) -> int | None:
        size = self.interface.axes[axis].size
        return size.least if isinstance(size, Extent) else self.interface.exact_size(axis)

    def _most(self, axis: int) -> int | None:
        size = self.interface.axes[axis].size
        return size.most if isinstance(size, Extent) else self.interface.exact_size(axis)


def _key(size: Polynomial) -> _Key:
    return tuple(sorted(size.terms.items()))
