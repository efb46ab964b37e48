"""What dimensions are made of: atoms in a union-find.

A dimension is a list of :class:`Atom`, outermost first. An atom is a leaf, a product (``factors``: a view took it
apart) or a sum (``parts``: the parts lie one behind the other).
"""

from collections.abc import Iterable, Iterator

from surgery_dsl.interface.expression import Expression

Sizes = tuple[int, ...]
"""One number for each sample."""


class Atom:
    """A node of the union-find.

    Attributes:
        sizes: Its size at each sample.
        expression: Its size in the free sizes; ``None`` where that is not known (yet).
        soft: Whether the number comes from a tensor that the forward made, and gives way to a better one.
        parent: The atom that stands for this one, if another does.
        factors: For a product, its factors.
        parts: For a sum, its parts, each a product.
        frozen: Reasons why no index may be removed, in the order found.
    """

    __slots__ = ("expression", "factors", "frozen", "parent", "parts", "sizes", "soft")

    def __init__(self, sizes: Sizes, expression: Expression | None, reasons: Iterable[str] = ()) -> None:
        self.sizes = sizes
        self.expression = expression
        self.soft = False
        self.parent: Atom | None = None
        self.factors: list[Atom] | None = None
        self.parts: list[list[Atom]] | None = None
        self.frozen: dict[str, None] = dict.fromkeys(reasons)


Product = list[Atom]
"""One dimension."""


class UnknownSize(Exception):
    """An axis has a size that no free size explains.

    Attributes:
        place: What the axis is called.
        sizes: Its size at each sample.
    """

    def __init__(self, place: str, sizes: tuple[int, ...]) -> None:
        super().__init__(place)
        self.place, self.sizes = place, sizes


def find(atom: Atom) -> Atom:
    """Return the atom that stands for this one."""
    while atom.parent is not None:
        if atom.parent.parent is not None:
            atom.parent = atom.parent.parent
        atom = atom.parent
    return atom


def flat(dim: Iterable[Atom]) -> Product:
    """Return the leaves and sums of a product; exact ones vanish."""
    out: Product = []
    for atom in dim:
        root = find(atom)
        if root.factors is not None:
            out += flat(root.factors)
        elif root.expression != 1:
            out.append(root)
    return out


def leaves(dim: Iterable[Atom]) -> Iterable[Atom]:
    """Yield the leaves of a product, going into sums."""
    for atom in flat(dim):
        if atom.parts is None:
            yield atom
        else:
            for part in atom.parts:
                yield from leaves(part)


def distinct_leaves(dims: Iterable[Iterable[Atom]], seen: set[int] | None = None) -> Iterator[Atom]:
    """Yield each leaf of some products once; a sum that stands in many of them is gone into once.

    What has been ``seen``, by ``id``, is passed over, and grows.
    """
    seen = set() if seen is None else seen
    waiting = list(dims)
    while waiting:
        for atom in flat(waiting.pop()):
            if id(atom) in seen:
                continue
            seen.add(id(atom))
            if atom.parts is None:
                yield atom
            else:
                waiting += atom.parts


def segments(atom: Atom) -> list[Product]:
    """Return the parts of a sum, nested sums opened; a leaf is its own only part."""
    if atom.parts is None:
        return [[atom]]
    out: list[Product] = []
    for part in atom.parts:
        inner = flat(part)
        out += segments(inner[0]) if len(inner) == 1 and inner[0].parts is not None else [inner]
    return out


def subproducts(dim: Product) -> Iterator[Product]:
    """Yield what stands side by side in a product, the longest first, then that of the parts of its sums."""
    atoms = flat(dim)
    for length in range(len(atoms), 0, -1):
        for start in range(len(atoms) - length + 1):
            yield atoms[start : start + length]
    for atom in atoms:
        for part in atom.parts or ():
            yield from subproducts(part)


def without_common(one: Product, two: Product) -> tuple[Product, Product]:
    """Return two products without the atoms that both have."""
    rest, left = list(two), []
    for atom in one:
        at = next((i for i, other in enumerate(rest) if other is atom), None)
        if at is None:
            left.append(atom)
        else:
            del rest[at]
    return left, rest
