"""What an obligation claims, in one spelling: to tell whether another is the same, looser or tighter.

A comparison becomes ``sign · S <= L``: S holds what is read here, L what is read of the base and the numbers, both as
sums of products with exact coefficients. ``params <= 65% * base.params`` and ``0.65 * base.params >= params`` are the
same then. Counts and metrics are never negative, so that a limit whose every coefficient is at least as large is at
least as large, whatever the base turns out to be.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from surgery_dsl.language.differences import UNCOMPARED, Ruling, bare
from surgery_dsl.language.plan import (
    Apply,
    Arithmetic,
    Comparison,
    Expression,
    Obligation,
    Quantified,
    Reading,
    RunReading,
)
from surgery_dsl.vocabulary.values import number_text
from surgery_dsl.vocabulary.word import Word

Atom = Reading | RunReading | Apply | Arithmetic
Product = tuple[tuple[str, int], ...]
"""Keys of atoms with their powers, sorted."""
Form = Mapping[Product, Fraction]
Known = Callable[[Reading], Fraction | None]
"""What a reading of the base is known to be."""

STRENGTH = {"prove": 2, "certify": 1, "measure": 0}
ALWAYS_MORE = frozenset({"confidence", "samples", "batches"})
"""Arguments of which more is stricter, whatever the limit."""
COUNTED = frozenset({"tokens", "sequences", "window", "sizes"})
"""Arguments of which more makes the count larger."""


@dataclass(frozen=True)
class Claim:
    """An obligation in one spelling.

    Attributes:
        obligation: The obligation.
        block: Name of its block.
        place: How many steps that both plans have stand before it.
        sign: 1 where S is bounded from above, -1 from below.
        subject: S: products that read more than the base, scaled so that the first has a coefficient of 1.
        limit: L.
        relation: ``<=``, ``<`` or ``==``; empty for a property.
        atoms: What the keys stand for.
    """

    obligation: Obligation
    block: str
    place: int
    sign: int = 1
    subject: tuple[tuple[Product, Fraction], ...] = ()
    limit: tuple[tuple[Product, Fraction], ...] = ()
    relation: Literal["", "<=", "<", "=="] = ""
    atoms: Mapping[str, Atom] = field(default_factory=dict)

    @property
    def meaning(self) -> object:
        """What is claimed: equal for equal claims."""
        if not self.relation:
            return self.obligation.verb, bare(self.obligation.statement)
        return self.obligation.verb, self.relation, self.sign, self.subject, self.limit

    @property
    def about(self) -> object:
        """What the claim is about, without its limit, its verb and its side."""
        return self.subject if self.relation else bare(self.obligation.statement)

    @property
    def kind(self) -> object:
        """The quantities that are read, without their arguments; of a property its name."""
        statement = self.obligation.statement
        if not isinstance(statement, Comparison):
            return "property", statement.word.name
        return self.sign, tuple(sorted(self._plain(product) for product, _ in self.subject))

    def _plain(self, product: Product) -> tuple[tuple[str, int], ...]:
        return tuple(sorted((self.named(key), power) for key, power in product))

    def named(self, key: str) -> str:
        """Return what an atom reads, without arguments."""
        atom = self.atoms[key]
        return f"{atom.point.at} {atom.point.name} {atom.word.name}" if isinstance(atom, Reading) else key

    def words(self) -> list[Reading]:
        """Return the readings that the claim is about, in the order of their names."""
        keys = [key for product, _ in self.subject for key, _ in product]
        found = [self.atoms[key] for key in sorted(keys, key=self.named)]
        return [atom for atom in found if isinstance(atom, Reading)]

    def limit_text(self) -> str:
        """Write the limit for people."""
        terms = []
        for product, factor in self.limit:
            names = " * ".join(self._text(key) + (f"^{power}" if power != 1 else "") for key, power in product)
            number = number_text(factor)
            terms.append(names if factor == 1 and names else f"{number} * {names}" if names else number)
        return " + ".join(terms).replace("+ -", "- ") or "0"

    def _text(self, key: str) -> str:
        atom = self.atoms[key]
        if not isinstance(atom, Reading):
            return "…"
        point = {"now": "", "base": "base."}.get(atom.point.at, f"{atom.point.at}({atom.point.name}).")
        return point + atom.word.written()


def claim(obligation: Obligation, block: str, place: int) -> Claim:
    """Bring an obligation into the one spelling."""
    statement = obligation.statement
    if not isinstance(statement, Comparison):
        return Claim(obligation, block, place)
    reader = _Forms()
    left, right = reader.form(statement.left), reader.form(statement.right)
    relation = statement.relation
    if relation in (">=", ">"):
        left, right = right, left
    whole = {**left}
    for product, factor in right.items():
        whole[product] = whole.get(product, Fraction(0)) - factor
    whole = reader.whole(whole)
    here = sorted((p, f) for p, f in whole.items() if f and not reader.of_base(p))
    if not here:  # only the base is read: all of it is the subject
        here = sorted((p, f) for p, f in whole.items() if f and p)
    scale = here[0][1] if here else Fraction(1)
    sign = 1 if scale > 0 or relation == "==" else -1
    size = scale if relation == "==" else abs(scale)
    subject = tuple((p, f / scale) for p, f in here)
    limit = tuple(sorted((p, -f / size) for p, f in whole.items() if f and (p, f) not in here))
    strict: dict[str, Literal["<=", "<", "=="]] = {">=": "<=", ">": "<", "<=": "<=", "<": "<", "==": "=="}
    return Claim(obligation, block, place, sign, subject, limit, strict[relation], reader.atoms)


class _Forms:
    """Expressions as sums of products of atoms. Final."""

    def __init__(self) -> None:
        self.atoms: dict[str, Atom] = {}

    def of_base(self, product: Product) -> bool:
        """Whether a product is a number once the base is known."""
        atoms = [self.atoms[key] for key, _ in product]
        return all(isinstance(atom, Reading) and atom.point.at == "base" for atom in atoms)

    def form(self, node: Expression) -> dict[Product, Fraction]:
        """Return the sum of products that an expression is."""
        if isinstance(node, Quantified):
            return {(): node.number} if node.number else {}
        if not isinstance(node, Arithmetic):
            return self._atom(node)
        left, right = self.form(node.left), self.form(node.right)
        if node.operator in "+-":
            for product, factor in right.items():
                left[product] = left.get(product, Fraction(0)) + (factor if node.operator == "+" else -factor)
            return {product: factor for product, factor in left.items() if factor}
        if node.operator == "*":
            return _multiplied(left, right)
        if len(right) != 1:
            return self._atom(node)
        ((product, factor),) = right.items()
        return _multiplied(left, {tuple((key, -power) for key, power in product): 1 / factor})

    def whole(self, form: Form) -> dict[Product, Fraction]:
        """Multiply by counts of the base that are divided by: they are positive, or the line says nothing."""
        divisors: dict[str, int] = {}
        for product in form:
            for key, power in product:
                if power < 0 and self.of_base(((key, power),)):
                    divisors[key] = max(divisors.get(key, 0), -power)
        return _multiplied(form, {tuple(sorted(divisors.items())): Fraction(1)})

    def _atom(self, node: Atom) -> dict[Product, Fraction]:
        if isinstance(node, Apply):
            sides = sorted(repr(sorted(self.form(argument).items())) for argument in node.arguments)
            key = f"{node.function}({', '.join(sides)})"
        else:
            key = json.dumps(bare(node), default=str)
        self.atoms[key] = node
        return {((key, 1),): Fraction(1)}


def _multiplied(left: Form, right: Form) -> dict[Product, Fraction]:
    result: dict[Product, Fraction] = {}
    for one, a in left.items():
        for two, b in right.items():
            powers = dict(one)
            for key, power in two:
                powers[key] = powers.get(key, 0) + power
            product = tuple(sorted((key, power) for key, power in powers.items() if power))
            result[product] = result.get(product, Fraction(0)) + a * b
    return {product: factor for product, factor in result.items() if factor}


# ---- comparing ---------------------------------------------------------------------------------------------------


def compared(old: Claim, new: Claim, known: Known | None = None) -> tuple[Ruling, str] | None:
    """Say whether a claim that speaks of the same has become looser, and how; ``None`` where it is the same."""
    found: list[tuple[Ruling, str]] = []
    verbs = old.obligation.verb, new.obligation.verb
    if verbs[0] != verbs[1]:
        weaker = STRENGTH[verbs[1]] < STRENGTH[verbs[0]]
        found.append(("loosened" if weaker else "tightened", f"`{verbs[1]}` in place of `{verbs[0]}`"))
    if not old.relation or not new.relation:
        if bare(old.obligation.statement) != bare(new.obligation.statement):
            found.append(("loosened", f"the property has other arguments; {UNCOMPARED}"))
        return _worst(found)
    arguments = _arguments(old, new)
    if old.subject != new.subject and not arguments:
        found.append(("loosened", f"it reads something else; {UNCOMPARED}"))
    limit = _limits(old, new, known)
    return _worst([*found, *arguments, *([limit] if limit is not None else [])])


def _worst(found: list[tuple[Ruling, str]]) -> tuple[Ruling, str] | None:
    """Join what differs of one claim: it is looser where any of it is."""
    if not found:
        return None
    worst = next((ruling for ruling, _ in found if ruling == "loosened"), found[0][0])
    return worst, "; ".join(dict.fromkeys(words for _, words in found))


def _limits(old: Claim, new: Claim, known: Known | None) -> tuple[Ruling, str] | None:
    """Compare limits: the later claim is no looser where it implies the earlier one for every base."""
    words = f"the limit goes from {_bound(old)} to {_bound(new)}"
    if old.relation == "==":
        same = new.relation == "==" and old.limit == new.limit
        return None if same else ("loosened", words)
    limit = new.limit
    if old.sign != new.sign:
        if new.relation != "==":
            return "loosened", f"{words}; {UNCOMPARED}"
        limit = _negated(limit)
    atoms = {**old.atoms, **new.atoms}
    rise = _less(limit, old.limit)
    side, strict = _rise(rise, atoms, None)
    if side is None:
        side, strict = _rise(rise, atoms, known)
    if side is None:
        return "loosened", f"{words}; {UNCOMPARED}"
    if side > 0 or (old.relation == "<" and new.relation != "<" and not strict):
        return "loosened", words
    return None if side == 0 and old.relation == new.relation else ("tightened", words)


def _negated(limit: tuple[tuple[Product, Fraction], ...]) -> tuple[tuple[Product, Fraction], ...]:
    return tuple((product, -factor) for product, factor in limit)


def _bound(one: Claim) -> str:
    """Write relation and limit as they stand for what is read."""
    if one.relation == "==":
        return f"`== {one.limit_text()}`"
    if one.sign > 0:
        return f"`{one.relation} {one.limit_text()}`"
    shown = replace(one, sign=1, limit=_negated(one.limit))
    return f"`{one.relation.replace('<', '>')} {shown.limit_text()}`"


def _less(left: tuple[tuple[Product, Fraction], ...], right: tuple[tuple[Product, Fraction], ...]) -> Form:
    rest = dict(left)
    for product, factor in right:
        rest[product] = rest.get(product, Fraction(0)) - factor
    return {product: factor for product, factor in rest.items() if factor}


def _rise(form: Form, known_atoms: Mapping[str, Atom], known: Known | None) -> tuple[int | None, bool]:
    """Return the sign of a sum for every base, and whether it is never zero.

    The sign is 0 where the sum is nothing, and ``None`` where it depends on the base.
    """
    signs: set[int] = set()
    number = form.get((), Fraction(0))
    for product, factor in form.items():
        atoms = [known_atoms.get(key) for key, _ in product]
        values = [known(atom) if known is not None and isinstance(atom, Reading) else None for atom in atoms]
        if product and None not in values:
            for value, (_, power) in zip(values, product, strict=True):
                factor *= (value or Fraction(0)) ** power
            number += factor
        elif product:
            least = [atom.word.least for atom in atoms if isinstance(atom, Reading)]
            if len(least) < len(atoms) or any(low is None or low < 0 for low in least):
                return None, False
            signs.add(1 if factor > 0 else -1)
    if number:
        signs.add(1 if number > 0 else -1)
    return (None if len(signs) > 1 else next(iter(signs), 0)), number != 0


def _arguments(old: Claim, new: Claim) -> list[tuple[Ruling, str]]:
    """Say what other arguments of the same quantities mean."""
    found: list[tuple[Ruling, str]] = []
    for was, now in zip(old.words(), new.words(), strict=False):
        if was.word.name == now.word.name and bare(was) != bare(now):
            found += _fields(was.word, now.word, new.sign)
    return found


def _fields(old: Word, new: Word, sign: int) -> list[tuple[Ruling, str]]:
    found: list[tuple[Ruling, str]] = []
    for name in type(old).model_fields:
        was, now = getattr(old, name), getattr(new, name)
        if name == "span" or bare(was) == bare(now):
            continue
        if isinstance(was, Word) and isinstance(now, Word) and type(was) is type(now):
            found += _fields(was, now, sign)
            continue
        words = f"`{name}` of `{old.name}` goes from {_value(was)} to {_value(now)}"
        more = _more(was, now)
        if more is None:
            found.append(("loosened", f"{words}; {UNCOMPARED}"))
        elif name in ALWAYS_MORE or (name == "eps" and old.kind == "regions"):
            found.append(("tightened" if more else "loosened", words))
        elif name in COUNTED or name == "eps":
            found.append(("tightened" if more == (sign > 0) else "loosened", words))
        else:
            found.append(("loosened", f"{words}; {UNCOMPARED}"))
    return found


def _more(was: object, now: object) -> bool | None:
    """Whether a number, or every number of a mapping, has grown; nothing counts as less than any number."""
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        steps = {_more(was[name], now[name]) for name in was if was[name] != now[name]}
        return steps.pop() if len(steps) == 1 else None
    if was is None or now is None:
        return was is None
    numbers = (int, float, Fraction)
    return bool(now > was) if isinstance(was, numbers) and isinstance(now, numbers) else None


def _value(value: object) -> str:
    if isinstance(value, Word):
        return f"`{value.name}(…)`"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items()) or "nothing"
    return "nothing" if value is None else number_text(value) if isinstance(value, Fraction) else str(value)
