"""What another value of an attribute means: whether a plan lets pass, does or rests on more than before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.expression import Expression, linear
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.language.differences import UNCOMPARED, Ruling, Subject, bare
from surgery_dsl.language.params import value_text
from surgery_dsl.language.plan import DataSet, Model, Plan
from surgery_dsl.vocabulary.values import Percent, Plain

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
"""Endings of files that are read as pickles, which `--allow-pickle` must let in."""
WRITTEN = {"sites": "in", "transform": "with", "inputs": "input", "keyword_inputs": "input", "outputs": "output"}
"""How attributes are written, where the typed plan calls them otherwise."""


@dataclass(frozen=True)
class Context:
    """What a ruling depends on besides the attribute.

    Attributes:
        gated: Data sets that obligations read.
        measured: Whether the later plan measures anything.
    """

    gated: frozenset[str]
    measured: bool


@dataclass(frozen=True)
class Finding:
    """A ruling on one attribute; ``written`` is its name in the plan."""

    ruling: Ruling
    what: str
    written: str
    subject: Subject | None = None


def findings(kind: str, attribute: str, was: Any, now: Any, name: str, context: Context) -> Iterator[Finding]:
    """Yield what another value of an attribute of a block means."""
    written = WRITTEN.get(attribute, attribute)
    if attribute in ("default", "value"):
        if attribute == "default":
            yield Finding("changed", f"the default goes from {value_text(was)} to {value_text(now)}", "default")
        return
    if attribute in ("least", "most", "choices", "scale"):
        yield _range(attribute, was, now)
    elif attribute == "inputs":
        yield from _inputs(was, now)
    elif attribute == "changes":
        yield _allowed(was, now)
    elif attribute in ("floor", "cap", "round", "expect", "optional"):
        yield _guard(attribute, was, now)
    elif attribute == "target":
        yield _target(was, now)
    elif attribute in ("guard", "privacy"):
        gone = not now or (isinstance(was, tuple) and isinstance(now, tuple) and len(now) < len(was))
        ruling: Ruling = "loosened" if gone else "tightened" if not was else "changed"
        yield Finding(ruling, f"`{attribute}` {'is gone' if not now else 'is new' if not was else 'differs'}", written)
    elif attribute == "seed" or _only_seeds(was, now):
        ruling = "loosened" if context.measured else "changed"
        more = ": what is measured is drawn anew" if context.measured else ""
        yield Finding(ruling, f"another seed{more}", written)
    elif kind == "data" and name in context.gated and attribute in ("load", "split"):
        yield Finding("loosened", f"obligations read other data: {_change(written, was, now)}", written, "obligation")
    else:
        yield Finding("changed", _change(written, was, now), written)


def _change(written: str, was: Any, now: Any) -> str:
    texts = [_short(value) for value in (was, now)]
    return f"`{written}` differs" if None in texts else f"`{written}` goes from {texts[0]} to {texts[1]}"


def _short(value: Any) -> str | None:
    """Write a plain value in a few words; nothing for what the lines show better."""
    if isinstance(value, Percent | Plain):
        return value_text(value)
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool | int | float | str):
        return str(value)
    return None


def _only_seeds(was: Any, now: Any) -> bool:
    """Whether two values are alike but for seeds somewhere in them."""
    return bool(bare(was, ("seed",)) == bare(now, ("seed",)))


# ---- guards ------------------------------------------------------------------------------------------------------


def _guard(attribute: str, was: Any, now: Any) -> Finding:
    """Rule on what a selection or a step is held to."""
    what = _change(attribute, was, now)
    if attribute == "optional":
        words = "it may match nothing" if now else "it must match"
        return Finding("loosened" if now else "tightened", words, attribute)
    if was is None or now is None:
        ruling: Ruling = "loosened" if now is None else "tightened"
        return Finding(ruling, f"{what}: it is {'no more' if now is None else 'now'} held to it", attribute)
    if attribute == "expect":
        return Finding("changed", what, attribute)
    if attribute == "round":
        if now % was == 0 or was % now == 0:
            return Finding("tightened" if now % was == 0 else "loosened", what, attribute)
        return Finding("loosened", f"{what}; {UNCOMPARED}", attribute)
    if type(was) is not type(now):
        return Finding("loosened", f"{what}; {UNCOMPARED}", attribute)
    more = now.value > was.value if isinstance(now, Percent) else now > was
    return Finding("tightened" if more == (attribute == "floor") else "loosened", what, attribute)


def _allowed(was: tuple[str, ...], now: tuple[str, ...]) -> Finding:
    more, less = [one for one in now if one not in was], [one for one in was if one not in now]
    if more:
        return Finding("loosened", f"it may change {' and '.join(more)}", "changes", "contract")
    if less:
        return Finding("tightened", f"it may change {' and '.join(less)} no more", "changes", "contract")
    return Finding("cosmetic", "the same in another order", "changes", "contract")


def _target(was: str, now: str) -> Finding:
    if "none" in (was, now):
        words = f"the result need not load by {was}" if now == "none" else f"the result must load by {now}"
        return Finding("loosened" if now == "none" else "tightened", words, "target", "contract")
    return Finding("loosened", f"the result must load by {now}, not by {was}", "target", "contract")


def _range(attribute: str, was: Any, now: Any) -> Finding:
    """Rule on what ``--set`` may give."""
    if attribute == "scale":
        return Finding("changed", _change("scale", was, now), "scale")
    if attribute == "choices":
        more, less = set(now) - set(was), set(was) - set(now)
        if not more and not less:
            return Finding("changed", "the same choices in another order, which a search goes by", "in")
        shown = ", ".join(sorted(map(value_text, more or less)))
        words = f"`--set` may give {shown}" if more else f"no more {shown}"
        return Finding("loosened" if more or not now else "tightened", words, "in")
    side = "from" if attribute == "least" else "to"
    if was is None or now is None:
        ruling: Ruling = "loosened" if now is None else "tightened"
        words = "the range is gone" if now is None else f"the range goes {side} {value_text(now)}"
        return Finding(ruling, words, "in")
    wider = type(was) is not type(now) or isinstance(was, str)
    wider = wider or (now.value < was.value if attribute == "least" else now.value > was.value)
    words = f"`--set` may give values {side} {value_text(now)}, which was {value_text(was)}"
    return Finding("loosened" if wider else "tightened", words, "in")


# ---- inputs ------------------------------------------------------------------------------------------------------


def _inputs(was: tuple[InputSpec, ...], now: tuple[InputSpec, ...]) -> Iterator[Finding]:
    """Rule on what proofs claim of inputs: more sizes are more claimed."""
    if [spec.name for spec in was] != [spec.name for spec in now]:
        yield Finding("changed", "the inputs are others", "input", "contract")
        return
    for old, new in zip(was, now, strict=True):
        if bare(old) != bare(new):
            yield _input(old, new)


def _input(old: InputSpec, new: InputSpec) -> Finding:
    if old.dtype != new.dtype or len(old.dims) != len(new.dims):
        return Finding("changed", f"the input `{new.name}` has another form", "input", "contract")
    rulings: set[Ruling] = set()
    for position, (one, two) in enumerate(zip(old.dims, new.dims, strict=True)):
        before, after = _sizes(old, one), _sizes(new, two)
        if before != after:
            rulings.add("tightened" if after.hold(before) else "loosened" if before.hold(after) else "changed")
        elif before.step and position and _first_with(old, one) != _first_with(new, two):
            rulings.add("changed")
    if old.below != new.below:
        more = old.below is not None and (new.below is None or new.below > old.below)
        rulings.add("tightened" if more else "loosened")
    if not rulings:
        return Finding("cosmetic", f"sizes of `{new.name}` have other names", "input", "contract")
    if rulings == {"tightened"}:
        return Finding("tightened", f"proofs hold for more sizes or values of `{new.name}`", "input", "contract")
    if "loosened" in rulings:
        return Finding("loosened", f"proofs hold for fewer sizes or values of `{new.name}`", "input", "contract")
    return Finding("changed", f"the input `{new.name}` has other sizes", "input", "contract")


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes that a dimension may have: ``least``, ``least + step`` … up to ``most``; a step of 0 is one size."""

    least: int
    most: int | None
    step: int

    def hold(self, other: "_Sizes") -> bool:
        """Whether every size of the other is one of these."""
        apart = other.least - self.least
        in_step = apart % self.step == 0 and other.step % self.step == 0 if self.step else apart == 0 == other.step
        ends = self.most is None or (other.most is not None and other.most <= self.most)
        return apart >= 0 and in_step and ends


def _sizes(spec: InputSpec, dim: Expression) -> _Sizes:
    name, step, rest = linear(dim)
    free = next((one for one in spec.free if one.name == name), FreeSize(name=name))
    if not step:
        return _Sizes(rest, rest, 0)
    return _Sizes(step * free.least + rest, None if free.most is None else step * free.most + rest, step)


def _first_with(spec: InputSpec, dim: Expression) -> int:
    """Return the first dimension of the same free size."""
    return next(at for at, other in enumerate(spec.dims) if linear(other)[0] == linear(dim)[0])


# ---- trust -------------------------------------------------------------------------------------------------------


def trusted(plan: Plan) -> Mapping[str, tuple[str, Span | None]]:
    """Return what a plan must be trusted with, in words, and where it says so."""
    found: dict[str, tuple[str, Span | None]] = {}
    blocks: list[Model | DataSet] = [*plan.models, *plan.data]
    for block in blocks:
        grant = block.load.grant()
        if grant:
            found.setdefault(f"the code `{grant}`", (f"{block.block} {block.name}", block.load.span or block.span))
    for model in plan.models:
        if model.weights.endswith(PICKLES):
            place = model.spans.get("weights", model.span)
            found.setdefault(f"the pickle `{model.weights}`", (f"model {model.name}", place))
    return found
