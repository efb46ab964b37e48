"""Rules of users: for operators of their own, and for modules that count as one operator.

They are found in the modules that a plan names (importing them registers), and in installed packages by the entry
points of the group ``surgery_dsl.operators``, which are loaded when something is first traced. What a user's rule says
is compared with what torch computed at every call; one that says otherwise is refused by name.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points

from torch import nn

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.trace.atoms import Sizes
from surgery_dsl.trace.registry import MODULE, WHOLE_MODULES, Outcome, Rule, rules
from surgery_dsl.trace.signature import Signature, SignatureError
from surgery_dsl.trace.step import Step

GROUP = "surgery_dsl.operators"
"""Entry points of installed packages that register rules: a module, or a function without arguments."""


@dataclass(frozen=True)
class Declared:
    """A user's rule.

    Attributes:
        rule: The rule.
        source: Where it was registered, ``file:line``.
        signature: Its signature, where it was written as one.
        integers: Integer attributes of a module, and the axes that they hold.
    """

    rule: Rule
    source: str
    signature: Signature | None = None
    integers: Mapping[str, str] = field(default_factory=dict)


_DECLARED: dict[str, Declared] = {}


def _register(name: str, declared: Declared) -> None:
    if name in rules():
        raise ValueError(f"{name} has a rule already, in {rules()[name].__module__}")
    _DECLARED[name] = declared


def operator_rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators that this program does not know.

    Args:
        names: ``namespace::name`` as torch registers it; ``aten::name`` for one of torch's own.

    The decorated function gets a :class:`~surgery_dsl.trace.step.Step` and returns an
    :class:`~surgery_dsl.trace.registry.Outcome`, or ``None`` where it cannot say. Registering a name again replaces
    its rule.

    Raises:
        ValueError: An operator has a rule of this program's own.
    """

    def register(function: Rule) -> Rule:
        code = function.__code__ if inspect.isfunction(function) else None
        source = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}" if code is not None else ""
        for name in names:
            _register(name.removeprefix("aten::"), Declared(function, source))
        return function

    return register


def operator_signature(name: str, signature: str, *, fixed: Iterable[str] = ()) -> None:
    """Register what an operator does to axes, written as a signature.

    ``operator_signature("audio::gate", "x[..., time, c], scale[c] -> [..., time, c]", fixed=["time"])``: tensors by
    the operator's argument names; the same axis name is the same axis, index by index; indices of ``fixed`` axes, and
    of tensors that are not named, cannot be removed. See ``docs/operators.md``.

    Args:
        name: ``namespace::name``.
        signature: The signature.
        fixed: Axes along which the operator mixes entries, or whose size it holds.

    Raises:
        ValueError: The signature cannot be read, or the operator has a rule of this program's own.
    """
    read = Signature.read(signature, fixed)

    def apply(step: Step) -> Outcome:
        return read.apply(step)[0]

    _register(name.removeprefix("aten::"), Declared(apply, _caller(), read))


def module_signature(
    kind: type[nn.Module], signature: str, *, fixed: Iterable[str] = (), integers: Mapping[str, str] | None = None
) -> None:
    """Let every module of a class count as one operator, with a signature; what it does inside is not followed.

    The signature names tensors by the arguments of ``forward``, and parameters and buffers by their names in the
    module (``proj.weight``). The module may not write to its inputs.

    Args:
        kind: The class; subclasses are not meant.
        signature: The signature.
        fixed: As for operators.
        integers: Integer attributes of the module that hold the size of an axis: attribute to axis name.

    Raises:
        ValueError: The signature cannot be read, or lacks an axis that ``integers`` names.
    """
    read = Signature.read(signature, fixed)
    known = {name for dims in read.inputs.values() for dim in dims for term in dim for name in term}
    missing = sorted(set((integers or {}).values()) - known)
    if missing:
        raise SignatureError(f"`{signature}` has no axis {', '.join(missing)} among its inputs")

    def apply(step: Step) -> Outcome:
        outcome, axes = read.apply(step)
        outcome.sizes = {attribute: axes[axis] for attribute, axis in (integers or {}).items() if axis in axes}
        return outcome

    name = name_of(kind)
    _register(name, Declared(apply, _caller(), read, dict(integers or {})))
    WHOLE_MODULES.add(name.removeprefix(MODULE))


def name_of(kind: type[nn.Module]) -> str:
    """Return the name of the operator that a class of modules counts as, if it is declared."""
    return f"{MODULE}{kind.__module__}.{kind.__qualname__}"


def declared(name: str) -> Declared | None:
    """Return a user's rule by the name of its operator."""
    return _DECLARED.get(name)


def forget(name: str) -> None:
    """Take a user's rule back."""
    _DECLARED.pop(name.removeprefix("aten::"), None)
    WHOLE_MODULES.discard(name.removeprefix(MODULE))


def _caller() -> str:
    frame = inspect.stack(0)[2]
    return f"{os.path.basename(frame.filename)}:{frame.lineno}"


@cache
def load_installed() -> None:
    """Let installed packages register their rules, once.

    Raises:
        Refused: With SD206 where one cannot be loaded.
    """
    for point in entry_points(group=GROUP):
        try:
            found = point.load()
            if callable(found):
                found()
        except Exception as error:
            raise Refused(
                Diagnostic(
                    shapes.WRONG_OPERATOR_RULE,
                    f"the operator rules `{point.name}` of {_package(point.dist)} cannot be loaded: {error}",
                    help=f"repair or uninstall {_package(point.dist)}",
                )
            ) from error


def _package(distribution: object) -> str:
    return str(getattr(distribution, "name", None) or "an installed package")


def apply(step: Step, own: Declared) -> Outcome | None:
    """Apply a user's rule; what it says must be what torch computed.

    Raises:
        Refused: With SD206 where it is not, or where the rule fails.
    """
    try:
        outcome = own.rule(step)
    except Exception as error:
        text = str(error) if isinstance(error, SignatureError) else f"{type(error).__name__}: {error}"
        raise Refused(_wrong(step, own, text)) from error
    if outcome is None:
        return None
    for position, sizes in enumerate(step.output_sizes):
        if not outcome.dims:
            raise Refused(_wrong(step, own, "it names no output"))
        said = [step.axes.sizes(dim) for dim in outcome.dims[min(position, len(outcome.dims) - 1)]]
        if said != sizes:
            text = f"it says that output {position} is {_shape(said)}, torch computed {_shape(sizes)}"
            raise Refused(_wrong(step, own, text))
    return outcome


def _shape(sizes: list[Sizes]) -> str:
    return "[" + ", ".join(str(size[0]) for size in sizes) + "]"


def _wrong(step: Step, own: Declared, text: str) -> Diagnostic:
    name = step.operation.name
    return Diagnostic(
        shapes.WRONG_OPERATOR_RULE,
        f"the rule registered for `{name}` does not hold: {text}",
        notes=(f"registered at {own.source}", f"called in {step.axes.place}"),
        help="correct the rule, or take it away: the axes that flow through the operator then keep their sizes",
    )
