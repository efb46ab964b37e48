"""Finding out what a config says of a network's sizes: it is built on ``meta`` with numbers of the config changed.

Every dimension d of a tensor that changes with a set F of fields is fitted by the polynomial that is affine in each
of them (2^|F| builds determine it), and a further build per field must agree; where it does not (a square, a
quotient), the size is taken to be fixed. The builds have no memory and draw no weights.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from surgery_dsl.interface.hosts import HostCount, HostFacts, HostField, HostRule
from surgery_dsl.interface.model import Interface

MOST_FIELDS = 4
"""Fields that one size may follow from; more are not fitted."""
IMPLIED = ("dim", "size", "heads", "inner", "width", "d_", "channels", "rank")
"""Parts of the names of fields that may be left out of a config because they follow from others."""

Config = dict[str, Any]
Terms = tuple[tuple[int, tuple[int, ...]], ...]
Formula = tuple[Terms, int]
"""Terms of a sum, and what it is divided by."""


@dataclass(frozen=True)
class Built:
    """What a build looks like: shapes by tensor, number of entries by list of modules, and integers by place."""

    shapes: Mapping[str, tuple[int, ...]]
    lists: Mapping[str, int]
    integers: Mapping[tuple[str, str], int]


Build = Callable[[Config], Built | None]
"""Builds the network of a config; ``None`` where that fails."""


def facts(
    build: Build,
    config: Config,
    interface: Interface,
    host: str,
    architecture: str,
    kind: str,
    extra: Sequence[str] = (),
) -> HostFacts:
    """Return what a config says of the sizes of a network.

    Args:
        build: Builds the network of a config.
        config: The config as plain data, complete.
        interface: The network as traced.
        host: Name of the host.
        architecture: The class that it builds.
        kind: The config's class.
        extra: Fields that networks may read though the config's class does not name them.

    Raises:
        ValueError: The config does not build a network with the interface's tensors.
    """
    return _Search(build, config, interface, extra).facts(host, architecture, kind)


def numbers(config: Config) -> Iterator[tuple[str, int | None]]:
    """Yield every number of a config, and every entry that is left out, with its name."""
    for key, value in config.items():
        if isinstance(value, dict):
            if all(isinstance(inner, str) for inner in value):
                yield from ((f"{key}.{name}", number) for name, number in numbers(value))
        elif isinstance(value, list | tuple):
            yield from ((f"{key}.{k}", item) for k, item in enumerate(value) if type(item) is int)
        elif type(value) is int or value is None:
            yield key, value


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a config with some entries changed, by their names."""
    from copy import deepcopy

    result = deepcopy(config)
    for name, value in values.items():
        *way, last = name.split(".")
        holder: Any = result
        for step in way:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        if isinstance(holder, list):
            holder[int(last)] = value
        else:
            holder[last] = value
    return result


@dataclass
class _Search:
    build: Build
    config: Config
    interface: Interface
    extra: Sequence[str]
    base: Built = field(init=False)
    builds: dict[tuple[tuple[str, int], ...], Built | None] = field(default_factory=dict)

    def facts(self, host: str, architecture: str, kind: str) -> HostFacts:
        base = self.at({})
        saved = {tensor.name for tensor in self.interface.tensors if tensor.persistent}
        if base is None or base.shapes.keys() != saved:
            raise ValueError("the config does not build this network")
        self.base = base
        self._spell_out()
        effects, counted, multiples = {}, [], []
        for name, value in list(numbers(self.config)):
            if value is None or value < 1:
                continue
            effect = self._effect(name, value)
            if effect is None:
                continue
            step, built = effect
            if built.shapes.keys() != self.base.shapes.keys():
                counted += self._counted(name, value, step, built)
                if self._resizes(built):  # experts: a list of them, and a row of the router for each
                    effects[name] = value, step
            elif self._differs(built):
                effects[name] = value, step
            multiples += [(name, other) for other in self._multiples(name, value)]
        paired = (name for pair in multiples for name in pair)
        names = list(dict.fromkeys([*effects, *(name for name, _, _ in counted), *paired]))
        position = {name: number for number, name in enumerate(names)}
        values = dict(numbers(self.config))
        return HostFacts(
            host=host,
            architecture=architecture,
            config=kind,
            fields=tuple(HostField(name=name, value=values[name] or 0) for name in names),
            rules=self._rules(effects, position),
            counts=tuple(HostCount(field=position[name], path=path, offset=offset) for name, path, offset in counted),
            per_layer=self._per_layer(counted),
            multiples=tuple((position[a], position[b]) for a, b in multiples),
            tie="tie_word_embeddings" if isinstance(self.config.get("tie_word_embeddings"), bool) else "",
        )

    def at(self, values: Mapping[str, int]) -> Built | None:
        """Build with some numbers changed; every build is made once."""
        key = tuple(sorted(values.items()))
        if key not in self.builds:
            self.builds[key] = self.build(replaced(self.config, values))
        return self.builds[key]

    def _spell_out(self) -> None:
        """Write into the config what it leaves out and what follows from other numbers, so that it can be set alone."""
        candidates = [name for name, value in numbers(self.config) if value is None]
        candidates = [name for name in candidates if any(part in name.rpartition(".")[2] for part in IMPLIED)]
        for name in (*candidates, *(name for name in self.extra if name not in self.config)):
            first, second = self.at({name: 8}), self.at({name: 12})
            if first is None or second is None or first.shapes.keys() != self.base.shapes.keys():
                continue
            value = self._implied(first, second)
            if value is not None and self._same(self.at({name: value})):
                self.config = replaced(self.config, {name: value})
                self.builds.clear()
                self.builds[()] = self.base

    def _implied(self, first: Built, second: Built) -> int | None:
        for tensor, shape in self.base.shapes.items():
            for at, size in enumerate(shape):
                low, high = first.shapes[tensor][at], second.shapes.get(tensor, shape)[at]
                slope, rest = divmod(high - low, 4)
                if slope and not rest and (size - low) % slope == 0:
                    return 8 + (size - low) // slope
        return None

    def _same(self, built: Built | None) -> bool:
        return built is not None and built.shapes == self.base.shapes and built.integers == self.base.integers

    def _differs(self, built: Built) -> bool:
        return built.shapes != self.base.shapes or built.integers != self.base.integers

    def _resizes(self, built: Built) -> bool:
        """Whether tensors that stay have other shapes."""
        shapes = self.base.shapes
        return shapes.keys() <= built.shapes.keys() and any(built.shapes[name] != shapes[name] for name in shapes)

    def _effect(self, name: str, value: int) -> tuple[int, Built] | None:
        """Return another value of a field and what it builds; ``None`` where no other value builds anything."""
        others = [other for other in (2 * value, 3 * value, value + 1, value - 1) if other > 0]
        for other in others:
            built = self.at({name: other})
            if built is not None:
                return other, built
        for other in others:
            lists = self._lists_as_long(name, value, other)
            built = self.build(replaced(self.config, {name: other, **lists})) if lists else None
            if built is not None:
                return other, built
        return None

    def _lists_as_long(self, name: str, value: int, other: int) -> dict[str, list[Any]]:
        """Return the lists beside a field that are as long as it says, at another length."""
        parent, holder = self._beside(name)
        return {
            f"{parent}.{key}" if parent else key: (entries + entries[-1:] * other)[:other]
            for key, entries in holder.items()
            if isinstance(entries, list) and len(entries) == value and key != "architectures"
        }

    def _beside(self, name: str) -> tuple[str, Config]:
        """Return the name of the config that holds a field, and that config."""
        parent = name.rpartition(".")[0]
        holder: Any = self.config
        for step in parent.split(".") if parent else ():
            holder = holder[step] if isinstance(holder, dict) else {}
        return parent, holder if isinstance(holder, dict) else {}

    def _counted(self, name: str, value: int, other: int, built: Built) -> list[tuple[str, str, int]]:
        """Return the lists of modules that a field counts."""
        found = []
        for path, length in self.base.lists.items():
            if built.lists.get(path) == length + other - value and self.base.lists[path] != built.lists[path]:
                found.append((name, path, length - value))
        return [entry for entry in found if not any(entry[1].startswith(f"{outer}.") for _, outer, _ in found)]

    def _multiples(self, name: str, value: int) -> Iterator[str]:
        """Yield the fields that must be multiples of one, where another value of it alone builds nothing."""
        if self.at({name: value + 1}) is not None:
            return
        for other, size in numbers(self.config):
            if other != name and size and size > value and size % value == 0:
                together = self.at({name: value + 1, other: size // value * (value + 1)})
                if together is not None:
                    yield other

    def _per_layer(self, counted: Sequence[tuple[str, str, int]]) -> dict[str, str]:
        """Return the config's lists that are as long as a counted list of modules, beside the field that counts it."""
        values = dict(numbers(self.config))
        found = {}
        for name, path, _ in counted:
            value = values[name] or 0
            found.update(dict.fromkeys(self._lists_as_long(name, value, value), path))
        return found

    # ---- rules ---------------------------------------------------------------------------------------------------

    def _rules(self, effects: Mapping[str, tuple[int, int]], position: Mapping[str, int]) -> tuple[HostRule, ...]:
        index = {tensor.name: number for number, tensor in enumerate(self.interface.tensors)}
        sizes: dict[Formula, list[tuple[int, int]]] = {}
        integers: dict[Formula, list[tuple[str, str]]] = {}
        for tensor, shape in self.base.shapes.items():
            for at, size in enumerate(shape):
                formula = self._fit(_Size(tensor, at), size, effects, position)
                sizes.setdefault(formula or (((size, ()),), 1), []).append((index[tensor], at))
        for place, value in self.base.integers.items():
            formula = self._fit(_Integer(place), value, effects, position)
            if formula is not None and any(fields for _, fields in formula[0]):
                integers.setdefault(formula, []).append(place)
        return tuple(
            HostRule(
                terms=formula[0],
                divisor=formula[1],
                sizes=tuple(sizes.get(formula, ())),
                integers=tuple(integers.get(formula, ())),
            )
            for formula in dict.fromkeys((*sizes, *integers))
        )

    def _fit(
        self,
        read: Callable[[Built], int | None],
        size: int,
        effects: Mapping[str, tuple[int, int]],
        position: Mapping[str, int],
    ) -> Formula | None:
        """Return what gives a size at every build; ``None`` where nothing of this form does."""
        fields = []
        for name, (_, other) in effects.items():
            built = self.at({name: other})
            if built is not None and read(built) != size:
                fields.append(name)
        if len(fields) > MOST_FIELDS:
            return None
        # Newton's form: the divided difference over each subset of fields is the coefficient of Π (f − f₀).
        values: dict[tuple[str, ...], int] = {(): size}
        for count in range(1, len(fields) + 1):
            for subset in itertools.combinations(fields, count):
                built = self.at({name: effects[name][1] for name in subset})
                value = read(built) if built is not None else None
                if value is None:
                    return None
                values[subset] = value
        terms: dict[tuple[str, ...], Fraction] = {}
        for subset in values:
            parts = [part for n in range(len(subset) + 1) for part in itertools.combinations(subset, n)]
            signed = sum((-1) ** (len(subset) - len(part)) * values[part] for part in parts)
            slope = Fraction(signed, math.prod(effects[name][1] - effects[name][0] for name in subset))
            for part in parts:
                rest = math.prod(-effects[name][0] for name in set(subset) - set(part))
                terms[part] = terms.get(part, Fraction(0)) + slope * rest
        if not self._affine(read, fields, effects, terms):
            return None
        divisor = math.lcm(*(term.denominator for term in terms.values()))
        found = ((int(c * divisor), tuple(sorted(position[name] for name in part))) for part, c in terms.items() if c)
        return tuple(sorted(found, key=lambda term: (len(term[1]), term[1]))), divisor

    def _affine(
        self,
        read: Callable[[Built], int | None],
        fields: Sequence[str],
        effects: Mapping[str, tuple[int, int]],
        terms: Mapping[tuple[str, ...], Fraction],
    ) -> bool:
        """Whether one more build for each field agrees with the terms, wherever there is one."""
        for name in fields:
            value, other = effects[name]
            for further in (4 * value, 5 * value, other + 1, value + 2):
                built = self.at({name: further}) if further != other else None
                if built is None:
                    continue
                at = {one: effects[one][0] for one in fields} | {name: further}
                if read(built) != sum(term * math.prod(at[one] for one in part) for part, term in terms.items()):
                    return False
                break
        return True


@dataclass(frozen=True)
class _Size:
    """Reads one dimension of a tensor."""

    tensor: str
    at: int

    def __call__(self, built: Built) -> int | None:
        shape = built.shapes.get(self.tensor, ())
        return shape[self.at] if self.at < len(shape) else None


@dataclass(frozen=True)
class _Integer:
    """Reads one integer of a module."""

    place: tuple[str, str]

    def __call__(self, built: Built) -> int | None:
        return built.integers.get(self.place)
