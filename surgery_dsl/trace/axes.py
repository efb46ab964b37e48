"""The algebra of axes: products by views, sums by concatenation.

Two dimensions are joined only where an operator makes them meet; the coarser side is then refined. Equal sizes alone
never join anything.

Every size is known twice: as an :data:`~surgery_dsl.interface.expression.Expression` in the free sizes, and as
numbers, one for each sample of the free sizes at which the forward ran. A step of the algebra is taken only where
it holds at every sample; where two expressions differ though the numbers agree, a requirement is noted.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import Expression, add, evaluate, floor_divide, multiply
from surgery_dsl.trace.atoms import Atom, Product, Sizes, find, flat, leaves, segments
from surgery_dsl.trace.entries import Turns


def _divides(small: Sizes, large: Sizes) -> bool:
    return all(n % d == 0 for d, n in zip(small, large, strict=True))


def _is_one(sizes: Sizes) -> bool:
    return all(n == 1 for n in sizes)


class Axes:
    """All atoms of one trace, the requirements met on the way, and the operator at hand.

    Args:
        samples: For each sample, the values of the free sizes.

    Attributes:
        given: What the numbers are that the call at hand was given, as far as the code computed them from sizes.
        alike: Pairs of expressions that have the same values at all samples: samples must tell them apart.
    """

    def __init__(self, samples: Sequence[dict[str, int]]) -> None:
        self.samples = tuple(samples)
        self.one: Sizes = (1,) * len(samples)
        self.requirements: dict[tuple[Literal["equal", "at_least", "divides"], Expression, Expression], tuple[int, str]]
        self.requirements = {}
        self.record = -1
        self.operator = ""
        self.place = ""
        self.turns = Turns()
        self.given: Mapping[Sizes, Expression] = {}
        self.alike: dict[tuple[Expression, Expression], None] = {}
        self._known: dict[Sizes, Expression] = {}
        for name in samples[0]:
            self._known.setdefault(tuple(sample[name] for sample in samples), name)
        self._derived: dict[tuple[tuple[int, ...], Expression], tuple[Product, Product]] = {}

    # ---- sizes -------------------------------------------------------------------------------------------------

    def sizes(self, dim: Iterable[Atom]) -> Sizes:
        """Return the size of a dimension at each sample."""
        atoms = [find(atom).sizes for atom in dim]
        if len(atoms) == 1:
            return atoms[0]
        return tuple(prod(column) for column in zip(*atoms, strict=True)) if atoms else self.one

    def expression(self, dim: Iterable[Atom]) -> Expression | None:
        """Return the size of a dimension in the free sizes, ``None`` where it is not known."""
        factors: list[Expression] = []
        for atom in flat(dim):
            if atom.parts is None:
                size = atom.expression
            else:
                terms = [self.expression(part) for part in atom.parts]
                known = [term for term in terms if term is not None]
                size = add(*known) if len(known) == len(terms) else None
            if size is None:
                return None
            factors.append(size)
        return multiply(*factors)

    def infer(self, sizes: Sizes) -> Expression | None:
        """Return what a number is: itself where it is the same at all samples, else the free size it equals."""
        if all(n == sizes[0] for n in sizes):
            return sizes[0]
        return self.given.get(sizes) or self._known.get(sizes)

    def know(self, sizes: Sizes, expression: Expression) -> None:
        """Note what a number is that changes with the free sizes; the first to say so is believed."""
        self.apart(self._known.setdefault(sizes, expression), expression)

    def apart(self, one: Expression, other: Expression) -> None:
        """Note two expressions that have the same values at all samples, and are perhaps not the same."""
        if one != other:
            self.alike[one, other] = None

    def fresh(self, sizes: Sizes, *reasons: str, soft: bool = False, expression: Expression | None = None) -> Product:
        """Return a new dimension; an exact one is the empty product."""
        size = self.infer(sizes) if expression is None else expression
        if size == 1:
            return []
        atom = Atom(sizes, size, reasons)
        atom.soft = soft
        return [atom]

    def derived(self, source: Product, expression: Expression | None, sizes: Sizes) -> Product:
        """Return the spatial axis that a window makes of ``source``: shared where source and expression are the same.

        Where the expression is the source's own, that is the source itself.
        """
        self.freeze(source, frozen.SPATIAL)
        if expression is not None and any(
            evaluate(expression, sample) != n for sample, n in zip(self.samples, sizes, strict=True)
        ):
            expression = None
        if expression is None:
            return self.fresh(sizes, frozen.SPATIAL)
        if expression == self.expression(source):
            return source
        roots = flat(source)
        key = (tuple(map(id, roots)), expression)
        if key not in self._derived:
            made = self.fresh(sizes, frozen.SPATIAL, expression=expression)
            self._derived[key] = (roots, made)
            self.know(sizes, expression)
            if not isinstance(expression, int):
                self.require("at_least", expression, 1, f"the result of {self.operator} must not be empty")
        return self._derived[key][1]

    def divided(self, source: Product, divisor: int, sizes: Sizes) -> Product:
        """Return the spatial axis that is ``source`` divided."""
        size = self.expression(source)
        return self.derived(source, None if size is None else floor_divide(size, divisor), sizes)

    def require(
        self, relation: Literal["equal", "at_least", "divides"], left: Expression, right: Expression, reason: str
    ) -> None:
        """Note a relation of sizes that the operator at hand needs; the first to need it is named."""
        if not (isinstance(left, int) and isinstance(right, int)):
            self.requirements.setdefault((relation, left, right), (self.record, reason))

    # ---- freezing ----------------------------------------------------------------------------------------------

    def freeze(self, dim: Iterable[Atom], reason: str) -> None:
        """Give every leaf of a dimension a reason to keep its size."""
        for leaf in leaves(dim):
            leaf.frozen[reason] = None

    def _conflict(self, *dims: Iterable[Atom]) -> None:
        for dim in dims:
            self.freeze(dim, frozen.regrouped(self.operator, self.place))

    # ---- refinement --------------------------------------------------------------------------------------------

    def split(self, atom: Atom, outer: Sizes, like: Expression | None = None) -> bool:
        """Take a leaf or sum apart into ``outer`` × the rest; say whether that was possible."""
        inner = tuple(n // d for n, d in zip(atom.sizes, outer, strict=True))
        if atom.parts is not None:
            return self._split_sum(atom, outer, inner)
        sizes = self._quotients(atom, outer, inner, like)
        if sizes is None:
            return False
        atom.factors = [Atom(outer, sizes[0], atom.frozen), Atom(inner, sizes[1], atom.frozen)]
        for factor in atom.factors:
            factor.soft = atom.soft
        return True

    def _quotients(
        self, atom: Atom, outer: Sizes, inner: Sizes, like: Expression | None
    ) -> tuple[Expression | None, Expression | None] | None:
        whole, first, second = atom.expression, self.infer(outer), self.infer(inner)
        if whole is None:
            return like if first is None else first, second
        if isinstance(whole, int):
            return (first, second) if isinstance(first, int) and isinstance(second, int) else None
        if first is None:
            first = like
        if isinstance(first, int):
            second = floor_divide(whole, first)
        elif isinstance(second, int):
            first = floor_divide(whole, second)
        if first is None or second is None:
            return None
        divisor = first if isinstance(first, int) else second
        if multiply(first, second) != whole:
            self.require("divides", divisor, whole, f"{self.operator} takes it apart")
        return first, second

    def _split_sum(self, atom: Atom, outer: Sizes, inner: Sizes) -> bool:
        pieces = segments(atom)
        if not all(_divides(inner, self.sizes(piece)) for piece in pieces):
            return False
        shared = self.fresh(inner)
        heads: list[Product] = []
        for piece in pieces:
            count = tuple(n // d for n, d in zip(self.sizes(piece), inner, strict=True))
            head = self.fresh(count)
            if not self.unify(piece, head + shared):
                return False
            heads.append(head)
        if any(self.infer(self.sizes(head)) is None for head in heads):
            return False
        lead = Atom(outer, self.infer(outer), (frozen.selected(self.place),))
        if not all(_is_one(self.sizes(head)) for head in heads):
            lead = Atom(outer, None)
            lead.parts = heads
        atom.parts, atom.factors = None, [lead, *shared]
        return True

    def unify(self, x: Iterable[Atom], y: Iterable[Atom]) -> bool:
        """Make two dimensions one, index by index; where that cannot be expressed, freeze both and say ``False``."""
        left, right = flat(x), flat(y)
        while left and right:
            a, b = find(left[0]), find(right[0])
            if a.factors is not None or b.factors is not None:
                left[:1], right[:1] = flat([a]), flat([b])
            elif a is b:
                del left[0], right[0]
            elif a.sizes == b.sizes:
                if not self._join(a, b):
                    break
                del left[0], right[0]
            elif _is_one(a.sizes):
                self._require_one(left.pop(0))
            elif _is_one(b.sizes):
                self._require_one(right.pop(0))
            elif _divides(b.sizes, a.sizes):
                if not self.split(a, b.sizes, b.expression):
                    break
            elif not _divides(a.sizes, b.sizes) or not self.split(b, a.sizes, a.expression):
                break
        rest = left + right
        if all(_is_one(find(atom).sizes) for atom in rest):
            for atom in rest:
                self._require_one(atom)
            return True
        self._conflict(x, y)
        return False

    def _require_one(self, atom: Atom) -> None:
        size = self.expression([atom])
        if size is not None:
            self.require("equal", size, 1, f"{self.operator} joins it with a dimension that lacks it")

    def _join(self, a: Atom, b: Atom) -> bool:
        if a.parts is not None and b.parts is not None:
            return self._join_sums(a, b)
        if a.parts is not None:
            a, b = b, a
        self._agree(a, b)
        a.parent = b
        for reason in a.frozen:
            self.freeze([b], reason)
        return True

    def _agree(self, a: Atom, b: Atom) -> None:
        """Settle the size of two atoms that become one; ``a`` is a leaf."""
        mine, theirs = a.expression, self.expression([b])
        if b.parts is None:
            if theirs is None or (b.soft and mine is not None):
                b.expression, b.soft = mine, a.soft
            elif not a.soft and mine is not None and mine != theirs:
                # An exact number is what tensors are made of: it stays, and the other side must meet it.
                b.expression = mine if isinstance(mine, int) else theirs
            else:
                b.soft = b.soft and a.soft
        if mine is not None and theirs is not None and mine != theirs and not a.soft and not b.soft:
            self.require("equal", mine, theirs, f"{self.operator} needs equal sizes")

    def _join_sums(self, a: Atom, b: Atom) -> bool:
        ends = [self._ends(a), self._ends(b)]
        cuts = sorted({*ends[0], *ends[1]})
        if any(not all(p < q for p, q in zip(one, two, strict=True)) for one, two in pairwise(cuts)):
            return False
        start = (0,) * len(self.one)
        for stop in cuts:
            mine, theirs = self.narrow([a], start, stop), self.narrow([b], start, stop)
            if mine is None or theirs is None or not self.unify(mine, theirs):
                return False
            start = stop
        a, b = find(a), find(b)
        if a is not b:
            a.parent = b
        return True

    def _ends(self, atom: Atom) -> list[Sizes]:
        out, end = [], (0,) * len(self.one)
        for piece in segments(atom):
            end = tuple(n + m for n, m in zip(end, self.sizes(piece), strict=True))
            out.append(end)
        return out

    # ---- what operators do -------------------------------------------------------------------------------------

    def narrow(self, dim: Iterable[Atom], start: Sizes, stop: Sizes) -> Product | None:
        """Return the indices ``start`` to ``stop`` of a dimension; ``None`` where they cannot be expressed."""
        atoms = flat(dim)
        whole = self.sizes(atoms)
        if start == (0,) * len(start) and stop == whole:
            return atoms
        if not atoms or start == stop:
            return None
        first, rest = atoms[0], atoms[1:]
        step = tuple(n // d for n, d in zip(whole, first.sizes, strict=True))
        if not _divides(step, start) or not _divides(step, stop):
            return None
        start = tuple(n // d for n, d in zip(start, step, strict=True))
        stop = tuple(n // d for n, d in zip(stop, step, strict=True))
        if first.parts is None and not self._cut_leaf(first, start, stop):
            return None
        picked = self._pick(first, start, stop)
        return None if picked is None else picked + rest

    def leading(self, dim: Iterable[Atom], count: int) -> Product | None:
        """Return the outermost factors of a dimension whose sizes make a number; ``None`` where none do."""
        taken: Product = []
        for atom in flat(dim):
            if self.sizes(taken)[0] == count:
                return taken
            taken.append(atom)
        return taken if self.sizes(taken)[0] == count else None

    def _cut_leaf(self, leaf: Atom, start: Sizes, stop: Sizes) -> bool:
        low, high = self.infer(start), self.infer(stop)
        if not (isinstance(leaf.expression, int) and isinstance(low, int) and isinstance(high, int)):
            return False
        pieces = [low, high - low, leaf.expression - high]
        leaf.parts = [self.fresh((n,) * len(self.one), *leaf.frozen) for n in pieces if n]
        return True

    def _pick(self, total: Atom, start: Sizes, stop: Sizes) -> Product | None:
        taken: list[Product] = []
        low = (0,) * len(start)
        for piece in segments(total):
            high = tuple(n + m for n, m in zip(low, self.sizes(piece), strict=True))
            columns = list(zip(start, stop, low, high, strict=True))
            if all(a <= c and d <= b for a, b, c, d in columns):
                taken.append(piece)
            elif not all(b <= c or d <= a for a, b, c, d in columns):
                if not all(c <= a < b <= d or a < d <= b or a <= c < b for a, b, c, d in columns):
                    return None
                inner = self.narrow(
                    piece,
                    tuple(max(a - c, 0) for a, _, c, _ in columns),
                    tuple(min(b, d) - c for _, b, c, d in columns),
                )
                if inner is None:
                    return None
                taken.append(inner)
            low = high
        return self.concatenate(taken)

    def concatenate(self, parts: Sequence[Product]) -> Product:
        """Return the sum of dimensions, one behind the other."""
        if len(parts) == 1:
            return list(parts[0])
        columns = zip(*(self.sizes(part) for part in parts), strict=True)
        total = Atom(tuple(sum(column) for column in columns), None)
        total.parts = [list(part) for part in parts]
        return [total]

    def reshape(self, dims: Sequence[Product], targets: Sequence[Sizes]) -> list[Product] | None:
        """Return the dimensions after a view; ``None``, and everything frozen, where it cannot be expressed."""
        if [self.sizes(dim) for dim in dims] == list(targets):
            return list(dims)
        source = [atom for dim in dims for atom in flat(dim)]
        out: list[Product] = []
        for target in targets:
            taken = self._take(source, target)
            if taken is None:
                self._conflict(*dims)
                return None
            out.append(taken)
        if source:  # symbolic sizes that are one at every sample
            last = max((i for i, dim in enumerate(out) if dim), default=len(out) - 1)
            if last < 0 or not all(_is_one(find(atom).sizes) for atom in source):
                self._conflict(*dims)
                return None
            out[last] = out[last] + source
        return out

    def _take(self, source: Product, target: Sizes) -> Product | None:
        """Take a product of the given size from the front of ``source``."""
        taken: Product = []
        left = target
        while source and (not _is_one(left) or (_is_one(target) and not taken)):
            atom = find(source[0])
            if atom.factors is not None:
                source[:1] = flat([atom])
            elif _is_one(target) and not _is_one(atom.sizes):
                break
            elif _divides(atom.sizes, left):
                taken.append(source.pop(0))
                left = tuple(n // d for n, d in zip(left, atom.sizes, strict=True))
            elif not _divides(left, atom.sizes) or not self.split(atom, left):
                return None
        return taken if _is_one(left) else None
