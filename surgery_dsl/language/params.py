"""Params: what ``--set NAME=VALUE`` may change, and within which range."""

from collections.abc import Mapping
from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.parse import parse
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.vocabulary.values import Percent, Plain, number_text

Value = Percent | Plain | str

_START = Span(1, 1, 1, 2)
ONE_PARAM = "add a block `param ratio { … }` above, and write `over = ratio`"


def read_params(blocks: list[tree.Block], sets: Mapping[str, str], scope: Scope) -> None:
    """Note the value in force of every param, and report what ``--set`` gives wrongly."""
    params = {block.name.text: block for block in blocks if block.kind.text == "param"}
    for name, block in params.items():
        written = {
            statement.name.text: statement.value
            for statement in (block.body.statements if block.body else ())
            if isinstance(statement, tree.Attribute)
        }
        value = param_value(written["default"]) if "default" in written else None
        if value is not None:
            scope.params[name] = value
        choices = ungroup(written["in"]) if "in" in written else None
        if isinstance(choices, tree.ListValue):
            texts = tuple(item.text for item in choices.items if isinstance(item, tree.String))
            if len(texts) == len(choices.items):
                scope.choices[name] = texts
    for name, text in sets.items():
        if name not in params:
            first = next(iter(params.values()), None)
            span = first.name.span if first else _START
            help_text = did_you_mean(name, params) or "this plan has no params: leave `--set` out"
            message = f"`--set {name}={text}`: the plan has no param `{name}`"
            scope.say(codes.UNKNOWN_PARAM, message, span, help_text=help_text)
            continue
        set_value = _set_value(text)
        if set_value is None:
            message = f"`--set {name}={text}`: this is no value"
            help_text = "write a number, a percentage or a word: `--set ratio=40%`"
            scope.say(codes.WRONG_VALUE, message, params[name].name.span, help_text=help_text)
        else:
            scope.params[name] = set_value


def _set_value(text: str) -> Value | None:
    """Read what stands after ``--set NAME=``; a bare word is a string."""
    file, found = parse(f"surg 1\nparam p {{\n  default = {text}\n}}\n")
    body = file.blocks[0].body if len(file.blocks) == 1 else None
    if found or body is None or len(body.statements) != 1 or not isinstance(body.statements[0], tree.Attribute):
        return None
    value = ungroup(body.statements[0].value)
    return value.name if isinstance(value, tree.Reference) else param_value(value)


def param_value(value: tree.Value) -> Value | None:
    """Return a param's value: a number, a percentage or a string; ``None`` for anything else."""
    value = ungroup(value)
    if isinstance(value, tree.String):
        return value.text
    found = fold(value)
    return found if isinstance(found, Plain | Percent) else None


def value_text(value: Value) -> str:
    """Write a param's value as ``--set`` reads it."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Percent) else number_text(value.value)


def quoted(value: Value) -> str:
    """Write a param's value as a plan does."""
    return f'"{value}"' if isinstance(value, str) else value_text(value)


def param_default(value: tree.Value, scope: Scope) -> Any:
    """``default``: a number, a percentage or a string."""
    found = param_value(value)
    if found is None and not isinstance(value, tree.Unreadable):
        message = f"a param is a number, a percentage or a string, not {describe(value)}"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text='write `3`, `40%` or `"gelu"`')
    return MISSING if found is None else {"default": found}


def param_domain(value: tree.Value, scope: Scope) -> Any:
    """``in``: a range of numbers or percentages, or a list of values of one kind."""
    value = ungroup(value)
    if isinstance(value, tree.ListValue):
        items = [param_value(item) for item in value.items]
        choices = tuple(item for item in items if item is not None)
        shown = {value_text(choice) for choice in choices}
        if choices and len(items) == len(shown) and len({type(choice) for choice in choices}) == 1:
            return {"choices": choices}
    if isinstance(value, tree.Range):
        low, high = fold(value.low), fold(value.high)
        if isinstance(low, Plain | Percent) and isinstance(high, Plain | Percent) and type(low) is type(high):
            if low.value <= high.value:
                return {"least": low, "most": high}
            message = f"the range {value_text(low)}..{value_text(high)} is empty: it runs downwards"
            help_text = f"write `{value_text(high)}..{value_text(low)}`"
            scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
            return MISSING
    message = f"`in` takes a range such as `10%..60%` or a list of different values, not {describe(value)}"
    help_text = "give both ends of the range, or all values of the list, the same unit"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
    return MISSING


def searched(value: tree.Value, scope: Scope) -> Any:
    """``over``: the name of a param, or a list of names; not what the param stands for."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    names = [item.name if isinstance(item, tree.Reference) else "" for item in map(ungroup, items)]
    for name, item in zip(names, items, strict=True):
        if scope.blocks.get(name, ("",))[0] != "param":
            missing = name and name not in scope.blocks
            message = f"`over` takes the name of a `param` block{'; there is no' if missing else ', not'} "
            message += f"`{name}`" if missing else describe(item)
            known = [other for other, (kind, _) in scope.blocks.items() if kind == "param"]
            scope.say(codes.UNKNOWN_REFERENCE, message, item.span, help_text=did_you_mean(name, known) or ONE_PARAM)
            return MISSING
    return tuple(names)


def in_force(param: plan.Param, scope: Scope) -> plan.Param | None:
    """Put the value in force into a param; report a value outside of what the plan allows.

    What the plan allows then stands in for it, so that one wrong value gives one finding.
    """
    spans, header = param.spans, param.span or _START
    if not _inside(param, param.default, spans.get("default", header), scope):
        scope.params[param.name] = param.choices[0] if param.choices else param.least or param.default
        return None
    value = scope.params.get(param.name, param.default)
    if not _inside(param, value, header, scope):
        scope.params[param.name] = param.default
        return None
    if param.scale == "log" and isinstance(param.least, Plain | Percent) and param.least.value <= 0:
        message = f"`{param.name}` has a logarithmic scale, and its range starts at {value_text(param.least)}"
        help_text = "start the range above 0, or leave `scale` out"
        scope.say(codes.WRONG_VALUE, message, spans.get("scale", header), help_text=help_text)
        return None
    return param.replaced(value=value)


def _inside(param: plan.Param, value: Value, span: Span, scope: Scope) -> bool:
    written = value_text(value)
    if param.choices:
        if value in param.choices:
            return True
        choices = tuple(value_text(choice) for choice in param.choices)
        message = f"`{param.name}` = `{written}` is none of its choices"
        facts = {"value": written, "choices": ", ".join(choices)}
        help_text = did_you_mean(written, choices) or f"write one of {', '.join(choices)}"
        scope.say(codes.PARAM_OUT_OF_RANGE, message, span, help_text=help_text, facts=dict(facts))
        return False
    if param.least is None or param.most is None:
        return _same_unit(param, value, span, scope)
    low, high = value_text(param.least), value_text(param.most)
    if isinstance(value, str) or isinstance(param.least, str) or isinstance(param.most, str):
        inside = None
    else:
        inside = type(value) is type(param.least) and param.least.value <= value.value <= param.most.value
    if type(value) is not type(param.least) or inside is None:
        what = "is no number; its range is" if isinstance(value, str) else "has another unit than its range"
        message = f"`{param.name}` = `{written}` {what} {low}..{high}"
        scope.say(codes.WRONG_UNIT, message, span, help_text=_in_its_unit(value, param, low))
        return False
    if inside:
        return True
    below = not isinstance(value, str) and not isinstance(param.least, str) and value.value < param.least.value
    nearest = low if below else high
    scope.say(
        codes.PARAM_OUT_OF_RANGE,
        f"`{param.name}` = {written} lies outside {low}..{high}",
        span,
        label=f"the plan allows {low}..{high}",
        help_text=f"write `{nearest}`, the nearest that the plan allows; widen `in` only where the proofs still hold",
        facts={"value": written, "least": low, "most": high},
    )
    return False


def _same_unit(param: plan.Param, value: Value, span: Span, scope: Scope) -> bool:
    """A param without a range keeps at least the unit of its default."""
    if type(value) is type(param.default):
        return True
    default = value_text(param.default)
    message = f"`{param.name}` = `{value_text(value)}` has another unit than its default {default}"
    scope.say(codes.WRONG_UNIT, message, span, help_text=f"write a value such as `{default}`")
    return False


def _in_its_unit(value: Value, param: plan.Param, low: str) -> str:
    """Suggest the number in the unit of the range, where it lies in it so."""
    if isinstance(value, Plain) and isinstance(param.least, Percent) and isinstance(param.most, Percent):
        for share in (value.value * 100, value.value):
            if param.least.value <= share <= param.most.value:
                return f"write `{number_text(share)}%`"
    return f"write a value such as `{low}`"
