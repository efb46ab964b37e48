"""Inputs and outputs of a model: names, dtypes, fixed and free sizes."""

from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.interface.expression import Expression, add, linear, linear_text, multiply, ordered_symbols
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.vocabulary.values import Plain

DTYPES = ("f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "bool")
_EXAMPLE = 'for example `x("f32", [N, 1, 8, 8])`'
_SIZES = "free sizes are capital names such as `N`"
_NOT_LINEAR = "a size is a number of times one free size, plus or minus a number"


def inputs(value: tree.Value, scope: Scope) -> Any:
    """``input``: one call, or a list of calls that are named as the forward's keyword arguments."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    if not items:
        scope.say(codes.WRONG_VALUE, "`input` names no input", value.span, help_text=_EXAMPLE)
        return MISSING
    found = [_Input(scope).read(ungroup(item)) for item in items]
    if any(item is MISSING for item in found):
        return MISSING
    if _repeated([item.name for item in found], "input", value, scope) or not _one_range_each(found, value, scope):
        return MISSING
    return {"inputs": tuple(found), "keyword_inputs": isinstance(value, tree.ListValue)}


def output_names(value: tree.Value, scope: Scope) -> Any:
    """``output = [recon, mu]``: names of the outputs, in order."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    names = [item.name for item in items if isinstance(item, tree.Reference)]
    if len(names) != len(items) or not names:
        message = f"`output` takes names, not {describe(value)}" if names or not items else "`output` takes names"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text="for example `output = [recon, mu]`")
        return MISSING
    return MISSING if _repeated(names, "output", value, scope) else tuple(names)


def _repeated(names: list[str], what: str, value: tree.Value, scope: Scope) -> bool:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"two of the names of `{what}` are `{twice}`"
        scope.say(codes.DUPLICATE_ATTRIBUTE, message, value.span, help_text="give each another name")
    return twice is not None


def _one_range_each(found: list[InputSpec], value: tree.Value, scope: Scope) -> bool:
    """A free size is one size, whichever input it stands in."""
    ranges: dict[str, FreeSize] = {}
    for free in (free for spec in found for free in spec.free):
        if ranges.setdefault(free.name, free) != free:
            message = f"the free size `{free.name}` has two ranges"
            scope.say(codes.WRONG_VALUE, message, value.span, help_text=f"give the range of `{free.name}` once")
            return False
    return True


class _Input:
    """Reads one input: ``x("f32", [N, 1, 8, 8])``, ``tokens("i64", [B, T in 1..512], below = 101)``."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.ranges: dict[str, tuple[tree.Value, tree.Value]] = {}
        self.failed = False

    def read(self, value: tree.Value) -> Any:
        """Return the input, or ``MISSING`` after reporting what is wrong with it."""
        if isinstance(value, tree.Unreadable):
            return MISSING
        if not (isinstance(value, tree.Call) and isinstance(value.function, tree.Reference)):
            return self._wrong(f"an input is a name with a dtype and sizes, not {describe(value)}", value)
        positional = [ungroup(argument.value) for argument in value.arguments if argument.name is None]
        if len(positional) != 2:
            return self._wrong(f"the input `{value.function.name}` takes a dtype and a list of sizes", value)
        dtype = self._dtype(positional[0])
        dims = self._dims(positional[1])
        below: tree.Value | None = None
        for argument in value.arguments:
            if argument.name is not None and argument.name.text == "below":
                below = argument.value
            elif argument.name is not None:
                self.ranges[argument.name.text] = (argument.value, argument.value)
        limit = self._below(below, dtype) if below is not None else None
        free = [self._free_size(name, part, dims) for name, (part, _) in self.ranges.items()]
        self._not_empty(dims, free, positional[1])
        if self.failed:
            return MISSING
        return InputSpec(name=value.function.name, dtype=dtype, dims=tuple(dims), below=limit, free=tuple(free))

    def _wrong(self, message: str, value: tree.Value, help_text: str = _EXAMPLE) -> Any:
        self.failed = True
        self.scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
        return MISSING

    def _dtype(self, value: tree.Value) -> str:
        if not isinstance(value, tree.String):
            self._wrong(f"a dtype is a string, not {describe(value)}", value, 'for example `"f32"`')
            return ""
        if value.text not in DTYPES:
            self._wrong(f"`{value.text}` is no dtype", value, did_you_mean(value.text, DTYPES))
        return value.text

    def _dims(self, value: tree.Value) -> list[Any]:
        if isinstance(value, tree.ListValue):
            return [self._size(ungroup(item)) for item in value.items]
        self._wrong(f"sizes are a list, not {describe(value)}", value)
        return []

    def _size(self, value: tree.Value) -> Any:
        if isinstance(value, tree.Membership) and isinstance(value.subject, tree.Reference):
            self.ranges[value.subject.name] = (value.domain, value)
            value = value.subject
        elif isinstance(value, tree.Membership) and (names := _capitals(value.subject)):
            help_text = f"give the range of `{names[0].name}` behind the sizes: `{names[0].name} = 2..64`"
            return self._wrong("a range is that of a free size alone, not of what is computed of it", value, help_text)
        if not _capitals(value):
            return self._number(value)
        found = self._expression(value)
        if found is None:
            return MISSING if self.failed else self._wrong(_NOT_LINEAR, value, "for example `16 * H` or `2 * T + 1`")
        try:
            name, factor, rest = linear(found)
        except ValueError:
            return self._wrong(_NOT_LINEAR, value, "for example `16 * H` or `2 * T + 1`")
        if name and factor < 1:
            return self._wrong(f"a size grows with its free size; `{linear_text(found)}` does not", value, _SIZES)
        return found if name else self._at_least_one(rest, value)

    def _expression(self, value: tree.Value) -> Expression | None:
        """Return whole-number arithmetic over capital names; ``None`` for anything else."""
        value = ungroup(value)
        if isinstance(value, tree.Reference) and value.name[:1].isupper():
            return value.name
        if isinstance(value, tree.Negative):
            operand = self._expression(value.operand)
            return None if operand is None else multiply(-1, operand)
        if isinstance(value, tree.Binary) and value.operator in ("+", "-", "*"):
            left, right = self._expression(value.left), self._expression(value.right)
            if left is None or right is None:
                return None
            if value.operator == "*":
                return multiply(left, right)
            return add(left, right if value.operator == "+" else multiply(-1, right))
        number = fold(value, self.scope.params)
        whole = isinstance(number, Plain) and number.value.denominator == 1
        return int(number.value) if whole and number is not None else None

    def _number(self, value: tree.Value) -> Any:
        number = fold(value, self.scope.params)
        if isinstance(number, Plain) and number.value.denominator == 1 and number.value >= 1:
            return int(number.value)
        help_text = _SIZES
        if isinstance(value, tree.Reference):
            help_text = f"write `{value.name[:1].upper()}{value.name[1:]}`: {help_text}"
        message = f"a size is a whole number of at least 1 or a capital name, not {describe(value)}"
        return self._wrong(message, value, help_text)

    def _at_least_one(self, number: int, value: tree.Value) -> Any:
        return number if number >= 1 else self._wrong(f"a size is at least 1; this is {number}", value, _SIZES)

    def _not_empty(self, dims: list[Any], free: list[Any], value: tree.Value) -> None:
        """Report a dimension that has no entry at the least value of its free size."""
        least = {one.name: one.least for one in free if isinstance(one, FreeSize)}
        for dim in dims if not self.failed else ():
            name, factor, rest = linear(dim)
            start = least.get(name, 1)
            if factor * start + rest < 1:
                fewest = (factor - rest) // factor
                help_text = f"give `{name}` a range: `{name} = {fewest}..{fewest + 63}`"
                self._wrong(f"`{linear_text(dim)}` is {factor * start + rest} where {name} = {start}", value, help_text)

    def _below(self, value: tree.Value, dtype: str) -> int | None:
        number = fold(value, self.scope.params)
        if dtype in DTYPES and not dtype.startswith("i"):
            self._wrong(f"`below` bounds integers; the input is `{dtype}`", value, "remove `below`")
        elif isinstance(number, Plain) and number.value.denominator == 1 and number.value >= 1:
            return int(number.value)
        else:
            self._wrong(f"`below` takes a whole number of at least 1, not {describe(value)}", value, "`below = 101`")
        return None

    def _free_size(self, name: str, value: tree.Value, dims: list[Any]) -> Any:
        names = [one for size in dims if size is not MISSING for one in ordered_symbols(size)]
        if name not in names:
            self.failed = True
            help_text = did_you_mean(name, names) or _SIZES
            self.scope.say(
                codes.UNKNOWN_ARGUMENT, f"the input has no free size `{name}`", value.span, help_text=help_text
            )
            return MISSING
        value = ungroup(value)
        if isinstance(value, tree.Range):
            low, high = fold(value.low, self.scope.params), fold(value.high, self.scope.params)
            whole = all(isinstance(end, Plain) and end.value.denominator == 1 for end in (low, high))
            if whole and low is not None and high is not None and 1 <= low.value <= high.value:
                return FreeSize(name=name, least=int(low.value), most=int(high.value))
        message = f"the range of `{name}` goes from a whole number of at least 1 upwards; this is {describe(value)}"
        return self._wrong(message, value, f"write `{name} = 1..512`")


def _capitals(value: tree.Value) -> list[tree.Reference]:
    """Return the capital names of arithmetic."""
    value = ungroup(value)
    if isinstance(value, tree.Reference):
        return [value] if value.name[:1].isupper() else []
    if isinstance(value, tree.Negative):
        return _capitals(value.operand)
    return [*_capitals(value.left), *_capitals(value.right)] if isinstance(value, tree.Binary) else []
