"""Which integer of the Python code holds the size of which axes.

Every use of a traced integer that decides a size gives an equation: what the code computed (``3 * head_size``) equals
the size of a dimension, as polynomials over axes. An attribute that is used as it is equals that dimension; one that
only occurs in expressions is found among the products of axes near its uses. Equations that are then not true of the
axes alone, because one number serves axes whose indices are free of each other, become size ties; those that products
of axes cannot say freeze their axes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from surgery_dsl.interface import frozen
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.trace.atoms import Atom, Product, distinct_leaves, flat, subproducts, without_common
from surgery_dsl.trace.equations import Equation, equations, literals
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Recording, Ref
from surgery_dsl.trace.taint import Uses
from surgery_dsl.trace.traced_numbers import ARITHMETIC, Origin

Attribute = tuple[str, str]
"""Path of a module and name of its integer, dotted."""

_EQUAL_SPLITS = {"split", "unsafe_split", "split_copy"}


@dataclass(frozen=True, slots=True)
class Tie:
    """Two dimensions of equal size; ``factors`` multiply them, empty where both are one."""

    sides: tuple[Product, Product]
    reason: str
    factors: tuple[int, ...] = ()


@dataclass(slots=True)
class Solution:
    """What the integers of a forward stand for.

    Attributes:
        integers: The product of axes that each attribute equals.
        ties: Dimensions of equal size, with the integer or operator that serves both.
        branches: What the code asked of sizes: the product, ``==`` or ``<``, the number, and the integer's name.
    """

    integers: dict[Attribute, Product] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)
    branches: list[tuple[Product, str, int, str]] = field(default_factory=list)


def solve(recording: Recording, uses: Uses, flow: Flow) -> Solution:
    """Return what the integers that a recorded forward used stand for; freeze what cannot be said."""
    for product, use in literals(uses, flow):
        path = recording.runs[use.run].path if use.run >= 0 else ""
        flow.axes.freeze(product, frozen.hard_coded(use.function, place(path, use.source)))
    solver = _Solver(flow, uses, equations(recording, uses, flow))
    for pieces, reason in _equal_pieces(recording, flow):
        for piece in pieces[1:]:
            solver.tie(pieces[0], piece, reason)
    return solver.run()


def _equal_pieces(recording: Recording, flow: Flow) -> Iterator[tuple[list[Product], str]]:
    """Yield what splits into equal pieces must keep equal: ``chunk(3)`` of three projections in one."""
    for record in recording.records:
        if record.operation.name in _EQUAL_SPLITS and record.operation.overload == "Tensor":
            rank = len(recording.shapes[record.outputs[0]])
            at = int(record.arguments.get("dim") or 0) % rank
            pieces = [flow.states[ref].dims[at] for ref in record.outputs]
            whole = [piece for piece in pieces if flow.axes.sizes(piece) == flow.axes.sizes(pieces[0])]
            path = recording.runs[record.run].path if record.run >= 0 else ""
            yield whole, f"a split into equal pieces ({place(path, record.source)})"


class _Solver:
    def __init__(self, flow: Flow, uses: Uses, found: Iterable[Equation]) -> None:
        self.flow = flow
        self.uses = uses
        self.equations = list(found)
        self.solution = Solution()
        self.numerals: dict[int, bool] = {}
        self.tied: dict[int, Polynomial] = {}
        self.searched = False
        self.unsaid: list[Equation] = []

    def run(self) -> Solution:
        direct: list[Equation] = []
        composed: list[Equation] = []
        for equation in self.equations:
            if equation.origin[0] == "attribute" and len(set(self.flow.axes.sizes(equation.product))) > 1:
                continue  # equal by chance, at one sample: an attribute is one number
            (direct if equation.origin[0] == "attribute" else composed).append(equation)
        for equation in direct:
            self.solution.integers.setdefault(_key(equation.origin), equation.product)
        for equation in direct:
            self._settle(equation)
        self.equations = composed
        self._compared()
        self._search()
        self.searched = True
        for equation in composed:
            self._settle(equation)
        for equation in self.unsaid:  # all ties are known now
            if self._parts(equation):
                self._freeze(equation)
        fixed = [key for key, product in self.solution.integers.items() if self._is_fixed(product)]
        for key in fixed:
            del self.solution.integers[key]
        self._branches()
        return self.solution

    def _is_fixed(self, product: Product) -> bool:
        """Say whether an attribute follows no axis: what it equals is a number, or changes with the inputs."""
        return self.terms(product).value is not None or not isinstance(self.flow.axes.expression(product), int)

    def _branches(self) -> None:
        for origin, relation, number in self.uses.compared:
            product = self._product(origin)
            if product is not None and product[0] == 1 and self.terms(product[1]).value is None:
                name = " and ".join(dict.fromkeys(".".join(filter(None, one)) for one in _attributes(origin)))
                self.solution.branches.append((product[1], relation, number, name or "a size that the forward reads"))

    def _compared(self) -> None:
        """Take an attribute that the code found equal to a size for that size: ``assert width == self.width``."""
        for pair in self.uses.equal:
            for one, other in (pair, pair[::-1]):
                if one[0] == "attribute" and other[0] == "size":
                    product = self._size(other)
                    known = self.solution.integers.setdefault(_key(one), product)
                    if known is not product:
                        self.tie(known, product, ".".join(filter(None, _key(one))))

    # ---- attributes that only occur in expressions -------------------------------------------------------------

    def _search(self) -> None:
        """Find attributes that no use shows as they are, each by the equations in which it alone is unknown."""
        progress = True
        while progress:
            progress = False
            open_: dict[Attribute, list[Equation]] = {}
            for equation in self.equations:
                unknown = {one for one in _attributes(equation.origin) if one not in self.solution.integers}
                if len(unknown) == 1:
                    open_.setdefault(unknown.pop(), []).append(equation)
            for attribute, about in open_.items():
                best = self._best(attribute, about)
                if best is not None:
                    self.solution.integers[attribute] = best
                    progress = True

    def _best(self, attribute: Attribute, about: list[Equation]) -> Product | None:
        value = self.uses.values.get(attribute)
        best, most = None, 0
        tried: set[tuple[int, ...]] = set()
        for candidate in self._near(about):
            key = tuple(id(atom) for atom in candidate)
            if key in tried or any(n != value for n in self.flow.axes.sizes(candidate)):
                continue
            tried.add(key)
            self.solution.integers[attribute] = candidate
            true = sum(self._is_true(equation) for equation in about)
            del self.solution.integers[attribute]
            if true > most:
                best, most = candidate, true
            if true == len(about):
                break
        return best

    def _near(self, about: list[Equation]) -> Iterator[Product]:
        """Yield products of axes that occur around some equations: of what is written, then of what is read."""
        for equation in about:
            for dim in (equation.product, *equation.near):
                yield from subproducts(dim)

    # ---- are the equations true? -------------------------------------------------------------------------------

    def _is_true(self, equation: Equation) -> bool:
        said = self.evaluate(equation.origin)
        return said is not None and said == self.terms(equation.product)

    def _settle(self, equation: Equation) -> None:
        """Tie or freeze what an equation joins beyond the axes' own coupling."""
        said, is_ = self.evaluate(equation.origin), self.terms(equation.product)
        if said == is_:
            return
        product, divided = self._product(equation.origin), self._divided(equation)
        if product is not None:
            self.tie(product[1], equation.product, _name(equation), product[0])
        elif divided is not None:
            self.tie(*divided, _name(equation))
        elif said is not None or any(True for _ in _attributes(equation.origin)):
            self._freeze(equation)
        else:
            self.unsaid.append(equation)

    def _parts(self, equation: Equation) -> bool:
        """Whether what no polynomial says (``width // 2``) is another size once axes change: some sizes are put in.

        Axes whose sizes change with the inputs stay out of it.
        """
        dims = [equation.product, *self._known(equation.origin)]
        sizes = {id(leaf): leaf.expression for leaf in distinct_leaves(dims)}
        axes = dict.fromkeys(axis for dim in dims for monomial in self.terms(dim).terms for axis in monomial)
        first = {axis: size for axis in axes if isinstance(size := sizes.get(axis), int)}
        if len(first) < len(axes):
            return False
        product = self.terms(equation.product)
        for at, axis in enumerate(axes):
            for more in (1, 2, 5 + 2 * at):
                changed = {**first, axis: first[axis] + more}
                said = self._number(equation.origin, changed)
                if said is not None and said != product.substitute(changed.get).value:
                    return True
        return False

    def _number(self, origin: Origin, sizes: Mapping[int, int]) -> int | None:
        """Return the number that an origin is at other sizes; ``None`` where that is not followed here."""
        if origin[0] == "number":
            return int(origin[1])
        if origin[0] == "size":
            return self.terms(self._size(origin)).substitute(sizes.get).value
        if origin[0] not in ARITHMETIC:
            return None
        left, right = (self._number(one, sizes) for one in origin[1:])
        if left is None or right is None or (right == 0 and origin[0] in ("//", "%")):
            return None
        return int(ARITHMETIC[origin[0]](left, right))

    def _divided(self, equation: Equation) -> tuple[Product, Product] | None:
        """Return both sides of ``width = heads · size`` for a size that is ``width // heads``."""
        if equation.origin[0] != "//":
            return None
        whole, by = self._product(equation.origin[1]), self._product(equation.origin[2])
        if whole is None or by is None or whole[0] != 1 or by[0] != 1:
            return None
        return whole[1], [*by[1], *equation.product]

    def tie(self, one: Product, two: Product, reason: str, factor: int = 1) -> None:
        """Note that a product, times a factor, must stay as large as another; what they share does not matter."""
        left, right = without_common(flat(one), flat(two))
        mine, theirs = self.terms(left).scale(factor), self.terms(right)
        if mine == theirs:
            return
        self.solution.ties.append(Tie((left, right), reason, () if factor == 1 else (factor, 1)))
        for single, other in ((right, mine), (left, theirs if factor == 1 else None)):
            if other is not None and len(single) == 1 and single[0].parts is None and not self._is_numeral(single[0]):
                key = id(single[0])
                if key not in self.tied and key not in other.axes:
                    self.tied[key] = other
                    return

    def _freeze(self, equation: Equation) -> None:
        reason = frozen.hard_coded(equation.function, place(equation.path, equation.source))
        for dim in (equation.product, *self._known(equation.origin)):
            self.flow.axes.freeze(dim, reason)

    def _known(self, origin: Origin) -> Iterator[Product]:
        if origin[0] == "attribute":
            product = self.solution.integers.get((origin[1], origin[2]))
            if product is not None:
                yield product
        elif origin[0] == "size":
            yield self._size(origin)
        elif origin[0] != "number":
            yield from chain.from_iterable(self._known(operand) for operand in origin[1:])

    # ---- polynomials -------------------------------------------------------------------------------------------

    def _size(self, origin: Origin) -> Product:
        return self.flow.states[Ref(origin[1])].dims[origin[2]]

    def _product(self, origin: Origin) -> tuple[int, Product] | None:
        """Return an origin as a number times a product of axes, where it is one."""
        kind = origin[0]
        if kind == "attribute":
            known = self.solution.integers.get(_key(origin))
            return (self.uses.values[_key(origin)], []) if known is None else (1, known)
        if kind == "size":
            return 1, self._size(origin)
        if kind == "number":
            return (origin[1], []) if origin[1] > 0 else None
        if kind != "*":
            return None
        left, right = self._product(origin[1]), self._product(origin[2])
        return None if left is None or right is None else (left[0] * right[0], [*left[1], *right[1]])

    def evaluate(self, origin: Origin) -> Polynomial | None:
        """Return an origin as a polynomial; ``None`` where it is none or holds an unknown."""
        kind = origin[0]
        if kind == "number":
            return Polynomial.constant(origin[1])
        if kind == "attribute":
            known = self.solution.integers.get(_key(origin))
            if known is None and self.searched:  # what no axis is stays a number
                return Polynomial.constant(self.uses.values[_key(origin)])
            return None if known is None else self.terms(known)
        if kind == "size":
            return self.terms(self._size(origin))
        if kind not in ("+", "-", "*", "//", "%"):
            return None
        left, right = self.evaluate(origin[1]), self.evaluate(origin[2])
        if left is None or right is None:
            return None
        match kind:
            case "+":
                return left + right
            case "-":
                return left + right.scale(-1)
            case "*":
                return left * right
            case "//":
                return _quotient(left, right)
        return None if _quotient(left, right) is None else Polynomial.constant(0)

    def terms(self, product: Product) -> Polynomial:
        """Return the size of a product; axes that can never change are numbers."""
        total = Polynomial.constant(1)
        for atom in flat(product):
            if atom.parts is not None:
                total = total * Polynomial.sum_of([self.terms(part) for part in atom.parts])
            elif self._is_numeral(atom):
                total = total.scale(atom.sizes[0])
            elif id(atom) in self.tied:
                total = total * self._resolved(self.tied[id(atom)])
            else:
                total = total * Polynomial.axis(id(atom))
        return total

    def _resolved(self, terms: Polynomial) -> Polynomial:
        """Put in what ties say of the axes of a polynomial."""
        if not any(axis in self.tied for axis in terms.axes):
            return terms
        found = []
        for monomial, coefficient in terms.terms.items():
            product = Polynomial.constant(coefficient)
            for axis in monomial:
                known = self.tied.get(axis)
                product = product * (Polynomial.axis(axis) if known is None else self._resolved(known))
            found.append(product)
        return Polynomial.sum_of(found)

    def _is_numeral(self, atom: Atom) -> bool:
        found = self.numerals.get(id(atom))
        if found is None:
            firm = any(frozen.rank(reason) == 0 for reason in atom.frozen)
            found = self.numerals[id(atom)] = firm and isinstance(atom.expression, int)
        return found


def _attributes(origin: Origin) -> Iterator[Attribute]:
    if origin[0] == "attribute":
        yield origin[1], origin[2]
    elif origin[0] not in ("number", "size"):
        for operand in origin[1:]:
            yield from _attributes(operand)


def _key(origin: Origin) -> Attribute:
    return origin[1], origin[2]


def _name(equation: Equation) -> str:
    names = list(dict.fromkeys(".".join(filter(None, one)) for one in _attributes(equation.origin)))
    return " and ".join(names) if names else f"{equation.function} ({place(equation.path, equation.source)})"


def place(path: str, source: str) -> str:
    """Say where in the network and in its code a call stands."""
    return f"{path or 'the network'} at {source}" if source else path or "the network"


def _quotient(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """Divide by a monomial that divides every term; ``None`` otherwise."""
    if len(right.terms) != 1:
        return Polynomial.constant(1) if left == right and left.terms else None
    ((divisor, by),) = right.terms.items()
    out: dict[tuple[int, ...], int] = {}
    for monomial, coefficient in left.terms.items():
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if not by or coefficient % by:
            return None
        out[tuple(rest)] = coefficient // by
    return Polynomial(out)
