"""Rules written as signatures: ``x[..., c], weight[c] -> [..., c]``.

A signature names the dimensions of what an operator reads and writes. The same name is the same axis, index by index.
A dimension is a name, ``1``, a product (``heads * size``, outermost first) or a sum of parts one behind the other
(``h + h``); ``...`` stands for any dimensions in front, the same wherever it is written.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.registry import Outcome
from surgery_dsl.trace.step import Step

Pattern = tuple[tuple[str, ...], ...]
"""One dimension: a sum of products of names; ``1`` is the empty product."""

_REST: Pattern = (("...",),)
_TENSOR = re.compile(r"([A-Za-z_][\w.]*)?\s*\[([^\[\]]*)\]\s*(?:,|$)")
_NAME = re.compile(r"[A-Za-z_]\w*|\.\.\.|1")


class SignatureError(ValueError):
    """A signature that cannot be read, or that does not fit the call at hand."""


@dataclass(frozen=True)
class Signature:
    """What an operator or module does to axes.

    Attributes:
        inputs: Patterns of the dimensions of each tensor argument, by name.
        outputs: Those of each output, in order.
        fixed: Names of axes that must keep their size.
    """

    inputs: Mapping[str, tuple[Pattern, ...]]
    outputs: tuple[tuple[Pattern, ...], ...]
    fixed: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str, fixed: Iterable[str] = ()) -> "Signature":
        """Read a signature.

        Raises:
            SignatureError: It has another form, or ``fixed`` names an axis that it lacks.
        """
        left, arrow, right = text.partition("->")
        inputs, outputs = list(_tensors(left, text)), list(_tensors(right, text))
        names = [name for name, _ in inputs]
        if not arrow or not inputs or not outputs or not all(names) or len(set(names)) < len(names):
            raise SignatureError(f"`{text}` is no signature: write `x[..., c], weight[c] -> [..., c]`")
        axes = {name for _, dims in (*inputs, *outputs) for dim in dims for term in dim for name in term}
        missing = sorted(set(fixed) - axes)
        if missing:
            raise SignatureError(f"`{text}` has no axis {', '.join(f'`{name}`' for name in missing)}")
        return cls(dict(inputs), tuple(dims for _, dims in outputs), frozenset(fixed))

    def apply(self, step: Step) -> tuple[Outcome, dict[str, Product]]:
        """Join the axes of a call as the signature says; return the outcome and the axis behind each name.

        Tensors that the call reads and the signature does not name keep all their sizes.

        Raises:
            SignatureError: The tensors of the call do not have the form that it says.
        """
        binding = _Binding(step)
        for name, patterns in self.inputs.items():
            state = step.state(name)
            if state is not None:
                binding.tensor(name, patterns, state.dims)
        binding.settle()
        self._hold_others(step)
        if len(self.outputs) < len(step.output_sizes):
            raise SignatureError(f"it names {len(self.outputs)} outputs, torch computed {len(step.output_sizes)}")
        pairs = zip(self.outputs, step.output_sizes, strict=False)
        dims = [binding.output(patterns, sizes) for patterns, sizes in pairs]
        for name in sorted(self.fixed & binding.axes.keys()):
            step.axes.freeze(binding.axes[name], f"`{name}` of {step.axes.operator} is fixed ({step.axes.place})")
        return Outcome(dims, settings=step.scalars(), kind=_kind(step.operation.name)), binding.axes

    def _hold_others(self, step: Step) -> None:
        named = {step[name] for name in self.inputs}
        for ref in step.records[0].reads:
            if ref not in named:
                for dim in step.states[ref].dims:
                    step.axes.freeze(dim, frozen.opaque(step.axes.operator, step.axes.place))


def _kind(name: str) -> str:
    return re.split(r"::|\.", name)[-1].strip("_")


def _tensors(text: str, whole: str) -> Iterable[tuple[str, tuple[Pattern, ...]]]:
    position, text = 0, text.strip()
    while position < len(text):
        found = _TENSOR.match(text, position)
        if found is None:
            raise SignatureError(f"`{whole}` is no signature: `{text[position:]}` is not understood")
        items = [item.strip() for item in found[2].split(",") if item.strip()]
        dims = tuple(_dimension(item, whole) for item in items)
        if _REST in dims[1:]:
            raise SignatureError(f"`{whole}` is no signature: `...` comes first")
        yield found[1] or "", dims
        position = found.end()
        position += len(text[position:]) - len(text[position:].lstrip())


def _dimension(text: str, whole: str) -> Pattern:
    terms = []
    for term in text.split("+"):
        names = [name.strip() for name in term.split("*")]
        if not all(_NAME.fullmatch(name) for name in names) or ("..." in names and text != "..."):
            raise SignatureError(f"`{whole}` is no signature: `{text}` is no dimension")
        terms.append(tuple(name for name in names if name != "1"))
    return tuple(terms)


@dataclass
class _Binding:
    step: Step
    axes: dict[str, Product] = field(default_factory=dict)
    rest: list[Product] | None = None
    open: list[tuple[str, Pattern, Product]] = field(default_factory=list)

    def tensor(self, name: str, patterns: tuple[Pattern, ...], dims: list[Product]) -> None:
        """Take note of one tensor's dimensions."""
        count = len(patterns)
        if patterns and patterns[0] == _REST:
            count -= 1
            self._lead(name, dims[: max(len(dims) - count, 0)])
        elif len(dims) != count:
            raise SignatureError(f"`{name}` has {len(dims)} dimensions, not {count}")
        if len(dims) < count:
            raise SignatureError(f"`{name}` has {len(dims)} dimensions, fewer than {count}")
        self.open += zip([name] * count, patterns[len(patterns) - count :], dims[len(dims) - count :], strict=True)

    def _lead(self, name: str, dims: list[Product]) -> None:
        if self.rest is None:
            self.rest = dims
            return
        if len(self.rest) != len(dims):
            raise SignatureError(f"`...` stands for {len(self.rest)} dimensions and, in `{name}`, for {len(dims)}")
        for mine, theirs in zip(self.rest, dims, strict=True):
            self._same(name, mine, theirs)

    def settle(self) -> None:
        """Join all noted dimensions; plain names first, then those whose sizes follow."""
        while self.open:
            later = [item for item in self.open if not self._join(*item)]
            if len(later) == len(self.open):
                names = ", ".join(sorted({name for name, _, _ in later}))
                raise SignatureError(f"the sizes of products or sums in {names} do not follow from other dimensions")
            self.open = later

    def _join(self, tensor: str, pattern: Pattern, dim: Product) -> bool:
        whole = self.step.axes.sizes(dim)
        unknown = [name for term in pattern for name in term if name not in self.axes]
        if len(set(unknown)) > 1 or (len(pattern) == 1 and len(unknown) > 1):
            return False
        if unknown and len(pattern) == 1 and len(pattern[0]) == 1:
            self.axes[unknown[0]] = dim
            return True
        if unknown:
            size = self._missing(unknown[0], pattern, whole)
            if size is None:
                raise SignatureError(f"a dimension of `{tensor}` has size {whole[0]}, which `{_text(pattern)}` is not")
            self.axes[unknown[0]] = self.step.axes.fresh(size)
        self._same(tensor, self._product(pattern), dim)
        return True

    def _missing(self, name: str, pattern: Pattern, whole: Sizes) -> Sizes | None:
        """Solve a sum of products for the one name that is unknown."""
        sizes = []
        for sample, total in enumerate(whole):
            times = rest = 0
            for term in pattern:
                known = 1
                for other in term:
                    known *= self.step.axes.sizes(self.axes[other])[sample] if other in self.axes else 1
                times, rest = (times + known, rest) if name in term else (times, rest + known)
            if not times or (total - rest) % times or total <= rest:
                return None
            sizes.append((total - rest) // times)
        return tuple(sizes)

    def _product(self, pattern: Pattern) -> Product:
        parts = [[atom for name in term for atom in self.axes[name]] for term in pattern]
        return self.step.axes.concatenate(parts)

    def _same(self, tensor: str, one: Product, two: Product) -> None:
        sizes = self.step.axes.sizes(one), self.step.axes.sizes(two)
        if sizes[0] != sizes[1]:
            raise SignatureError(f"a dimension of `{tensor}` has size {sizes[1][0]}, the signature says {sizes[0][0]}")
        self.step.axes.unify(one, two)

    def output(self, patterns: tuple[Pattern, ...], sizes: list[Sizes]) -> list[Product]:
        """Return the dimensions of an output; names that no input has are new axes, which keep their size."""
        lead = self.rest or [] if patterns and patterns[0] == _REST else []
        own = patterns[1:] if patterns and patterns[0] == _REST else patterns
        if len(lead) + len(own) != len(sizes):
            raise SignatureError(f"an output has {len(sizes)} dimensions, not {len(lead) + len(own)}")
        dims = list(lead)
        for pattern, size in zip(own, sizes[len(lead) :], strict=True):
            if len(pattern) == 1 and len(pattern[0]) == 1 and pattern[0][0] not in self.axes:
                reason = frozen.constant(self.step.axes.operator, self.step.axes.place)
                self.axes[pattern[0][0]] = self.step.axes.fresh(size, reason)
            unknown = [name for term in pattern for name in term if name not in self.axes]
            if unknown:
                raise SignatureError(f"no input has an axis `{unknown[0]}`")
            dims.append(self._product(pattern))
        return dims


def _text(pattern: Pattern) -> str:
    return " + ".join(" * ".join(term) or "1" for term in pattern)
