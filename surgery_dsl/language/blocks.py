"""From blocks to the typed blocks of a plan. Most attributes are typed by the plan's own fields; a few are special."""

from collections.abc import Callable
from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.language import control, plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.expectation import Expectation, expectation, fields
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.language.words import block_name, convert, word
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import Percent, Plain

BLOCKS: dict[str, type[plan.Block]] = {
    "param": plan.Param,
    "model": plan.Model,
    "data": plan.DataSet,
    "env": plan.Environment,
    "identify": plan.Identify,
    "excise": plan.Excise,
    "replace": plan.Replace,
    "recover": plan.Recover,
    "observe": plan.Observe,
    "control": plan.Control,
    "search": plan.Search,
}

HIDDEN = frozenset({"name", "span", "spans", "block", "value", "least", "most", "choices", "keyword_inputs"})
"""Fields of the plan's blocks that no attribute sets."""

RENAMED = {
    "model": {"inputs": "input", "outputs": "output"},
    "identify": {"sites": "in"},
    "observe": {"sites": "at"},
    "replace": {"sites": "", "where": "", "transform": "with"},
    "param": {},
}
"""Fields that a plan writes under another name; empty for those that no attribute sets by itself."""

PLACES = ("at", "after", "before", "around")

STEP_KINDS = ("identify", "replace")

Lowered = dict[str, Any]


def attributes(kind: str) -> dict[str, tuple[str, Expectation]]:
    """Return, by attribute, the field it sets and what it takes."""
    renamed = RENAMED.get(kind, {})
    result = {}
    for written, (field, expected) in fields(BLOCKS[kind]).items():
        if field not in HIDDEN and (name := renamed.get(field, written)):
            result[name] = (field, expected)
    if kind == "replace":
        result |= {place: ("sites", Expectation(frozenset(), ("sites",), STEP_KINDS, (), None)) for place in PLACES}
    if kind == "param":
        result["in"] = ("range", Expectation(frozenset(), (), (), (), None))
    return result


def lower_block(block: tree.Block, scope: Scope, text: str) -> plan.Block | None:
    """Return the typed block, or ``None`` after reporting why there is none."""
    kind = block.kind.text
    if kind == "control":
        return control.lower_control(block, scope, text)
    statements = _statements(block, scope)
    broken = {item.name for item in block.body.broken} if block.body else set()
    known = attributes(kind)
    values: Lowered = {"name": block.name.text, "span": block.span}
    spans: dict[str, Span] = {}
    failed = bool(broken)
    for attribute in statements:
        written = attribute.name.text
        if written not in known:
            message = f"`{kind}` has no attribute `{written}`"
            help_text = did_you_mean(written, known)
            scope.say(codes.UNKNOWN_ATTRIBUTE, message, attribute.name.span, help_text=help_text)
            failed = True
            continue
        if written in spans:
            message = f"`{written}` is given twice; it stands at line {spans[written].line} already"
            scope.say(codes.DUPLICATE_ATTRIBUTE, message, attribute.name.span, help_text="remove one of them")
            failed = True
            continue
        spans[written] = attribute.value.span
        field, expected = known[written]
        special = SPECIAL.get((kind, written))
        found = special(attribute.value, scope) if special else convert(attribute.value, expected, scope, written)
        if found is MISSING:
            failed = True
        elif kind == "replace" and written in PLACES:
            failed |= "where" in values and not _two_places(attribute, scope)
            values |= {"where": written, "sites": found}
        elif isinstance(found, dict):
            values |= found
        else:
            values[field] = found
    values["spans"] = spans
    failed |= _missing(block, known, values, broken, scope)
    return None if failed else _build(kind, values)


def _two_places(attribute: tree.Attribute, scope: Scope) -> bool:
    message = "a `replace` acts at one place: `at`, `after`, `before` or `around`"
    scope.say(codes.DUPLICATE_ATTRIBUTE, message, attribute.name.span, help_text="keep one of them")
    return False


def _statements(block: tree.Block, scope: Scope) -> list[tree.Attribute]:
    found = []
    for statement in block.body.statements if block.body else ():
        if isinstance(statement, tree.Attribute):
            found.append(statement)
        else:
            message = f"an obligation stands in a `control` block, not in `{block.kind.text}`"
            help_text = f"write a block `control … {{ {statement.verb.text} … }}`"
            scope.say(codes.NOT_A_STATEMENT, message, statement.span, help_text=help_text)
    return found


def _missing(
    block: tree.Block, known: dict[str, tuple[str, Expectation]], values: Lowered, broken: set[str], scope: Scope
) -> bool:
    failed = False
    kind = block.kind.text
    for written, (field, expected) in known.items():
        if kind == "replace" and written in PLACES:
            continue
        if kind == "excise" and field == "mode":
            continue
        attempted = written in values.get("spans", {}) or written in broken
        if expected.required and field not in values and not attempted:
            message = f"`{kind} {block.name.text}` needs `{written}`"
            help_text = f"add `{written} = …` ({expected.says()})"
            scope.say(codes.MISSING_ATTRIBUTE, message, block.name.span, help_text=help_text)
            failed = True
    if kind == "replace" and not any(place in values["spans"] or place in broken for place in PLACES):
        message = f"`replace {block.name.text}` does not say where"
        help_text = "add one of `at`, `after`, `before`, `around`"
        scope.say(codes.MISSING_ATTRIBUTE, message, block.name.span, help_text=help_text)
        failed = True
    return failed


def _build(kind: str, values: Lowered) -> plan.Block:
    if kind == "excise" and "mode" not in values:
        values["mode"] = catalogue.find("modes", "remove")()
    if kind == "param":
        values["value"] = values["default"]  # the caller puts in the one in force
    cls = BLOCKS[kind]
    defaults = {
        name: info.get_default(call_default_factory=True)
        for name, info in cls.model_fields.items()
        if not info.is_required()
    }
    return cls.model_construct(**defaults | values)


# ---- special attributes ------------------------------------------------------------------------------------------


def _targets(value: tree.Value, scope: Scope) -> Any:
    """``in``, ``at`` …: site words, names of earlier steps, sites of another model."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    found = [_target(ungroup(item), scope) for item in items]
    return MISSING if any(item is MISSING for item in found) or not found else tuple(found)


def _target(value: tree.Value, scope: Scope) -> Any:
    if isinstance(value, tree.Reference):
        name = block_name(value, STEP_KINDS, scope, "sites", ("sites",))
        return name if name is MISSING else plan.Target(step=name, span=value.span)
    if isinstance(value, tree.Call):
        function = value.function
        if isinstance(function, tree.Member) and isinstance(function.owner, tree.Reference):
            model = block_name(function.owner, ("model",), scope, "sites")
            call = tree.Call(
                tree.Reference(function.name.text, function.name.span),
                value.arguments,
                value.trailing_comma,
                value.span,
            )
            found = word(call, ("sites",), scope, "sites")
            if model is MISSING or found is MISSING:
                return MISSING
            return plan.Target(word=found, model=model, span=value.span)
        found = word(value, ("sites",), scope, "sites")
        return found if found is MISSING else plan.Target(word=found, span=value.span)
    message = f'sites are written `linear("…")`, or named by an earlier step; this is {describe(value)}'
    scope.say(codes.WRONG_VALUE, message, value.span)
    return MISSING


def _terms(value: tree.Value, scope: Scope) -> Any:
    """A weighted sum of losses or penalties: ``0.5 * cross_entropy + 0.5 * distill(base)``."""
    value = ungroup(value)
    if isinstance(value, tree.Binary) and value.operator in "+-":
        left, right = _terms(value.left, scope), _terms(value.right, scope)
        if left is MISSING or right is MISSING:
            return MISSING
        if value.operator == "-":
            if any(not isinstance(term.weight, float) for term in right):
                scope.say(codes.WRONG_VALUE, "a scheduled weight cannot be subtracted", value.right.span)
                return MISSING
            right = tuple(term.replaced(weight=-term.weight) for term in right)
        return (*left, *right)
    if isinstance(value, tree.Binary) and value.operator == "*":
        for weight_node, rest in ((value.left, value.right), (value.right, value.left)):
            weight = fold(weight_node)
            if isinstance(weight, Plain):
                terms = _terms(rest, scope)
                if terms is MISSING:
                    return MISSING
                return tuple(term.replaced(weight=term.weight * float(weight.value)) for term in terms)
        scheduled = convert(value.left, expectation(float), scope, "weight of a loss")
        return MISSING if scheduled is MISSING else _terms(value.right, scope)
    if isinstance(value, tree.Reference | tree.Call):
        found = word(value, ("losses", "penalties"), scope, "loss")
        if found is MISSING:
            return MISSING
        return (plan.LossTerm.model_construct(weight=1.0, word=found),)
    scope.say(codes.WRONG_VALUE, f"a loss is a weighted sum of words, not {describe(value)}", value.span)
    return MISSING


def _inputs(value: tree.Value, scope: Scope) -> Any:
    value = ungroup(value)
    listed = isinstance(value, tree.ListValue)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    found = [_input(ungroup(item), scope) for item in items]
    if any(item is MISSING for item in found):
        return MISSING
    return {"inputs": tuple(found), "keyword_inputs": listed}


DTYPES = ("f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "bool")


def _input(value: tree.Value, scope: Scope) -> Any:
    """``x("f32", [N, 1, 8, 8])``, with ``below = 101`` and ranges such as ``T = 1..512`` or ``[B, T in 1..512]``."""
    example = 'for example `x("f32", [N, 1, 8, 8])`'
    if not (isinstance(value, tree.Call) and isinstance(value.function, tree.Reference)):
        scope.say(codes.WRONG_VALUE, f"an input is a call, not {describe(value)}", value.span, help_text=example)
        return MISSING
    positional = [ungroup(a.value) for a in value.arguments if a.name is None]
    named = {a.name.text: ungroup(a.value) for a in value.arguments if a.name is not None}
    if (
        len(positional) != 2
        or not isinstance(positional[0], tree.String)
        or not isinstance(positional[1], tree.ListValue)
    ):
        scope.say(codes.WRONG_VALUE, "an input takes a dtype and a list of sizes", value.span, help_text=example)
        return MISSING
    dtype = positional[0].text
    if dtype not in DTYPES:
        message = f"`{dtype}` is no dtype"
        scope.say(codes.WRONG_VALUE, message, positional[0].span, help_text=did_you_mean(dtype, DTYPES))
        return MISSING
    ranges: dict[str, tree.Value] = {}
    sizes = [_size(ungroup(item), ranges, scope) for item in positional[1].items]
    below = named.pop("below", None)
    ranges |= named
    limit = fold(below) if below is not None else None
    free = [_free_size(name, part, sizes, scope) for name, part in ranges.items()]
    if any(part is MISSING for part in (*sizes, *free)):
        return MISSING
    return InputSpec(
        name=value.function.name,
        dtype=dtype,
        dims=tuple(sizes),
        below=int(limit.value) if isinstance(limit, Plain) else None,
        free=tuple(free),
    )


def _size(value: tree.Value, ranges: dict[str, tree.Value], scope: Scope) -> Any:
    if isinstance(value, tree.Membership) and isinstance(value.subject, tree.Reference):
        ranges[value.subject.name] = ungroup(value.domain)
        value = value.subject
    if isinstance(value, tree.Reference) and value.name[:1].isupper():
        return value.name
    number = fold(value)
    if isinstance(number, Plain) and number.value.denominator == 1 and number.value >= 1:
        return int(number.value)
    message = f"a size is a whole number of at least 1 or a capital name, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text="free sizes are capital names: `N`")
    return MISSING


def _free_size(name: str, value: tree.Value, sizes: list[Any], scope: Scope) -> Any:
    if name not in sizes:
        scope.say(codes.UNKNOWN_ARGUMENT, f"the input has no free size `{name}`", value.span)
        return MISSING
    if isinstance(value, tree.Range):
        low, high = fold(value.low), fold(value.high)
        if isinstance(low, Plain) and isinstance(high, Plain) and 1 <= low.value <= high.value:
            return FreeSize(name=name, least=int(low.value), most=int(high.value))
    scope.say(codes.WRONG_VALUE, f"the range of `{name}` is written `{name} = 1..512`", value.span)
    return MISSING


def _output_names(value: tree.Value, scope: Scope) -> Any:
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    if all(isinstance(item, tree.Reference) for item in items):
        return tuple(item.name for item in items if isinstance(item, tree.Reference))
    scope.say(codes.WRONG_VALUE, "`output` takes a list of names", value.span, help_text="`output = [recon, mu]`")
    return MISSING


def _later_names(value: tree.Value, scope: Scope) -> Any:
    """``between``: names of steps, above or below."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    found = []
    for item in items:
        item = ungroup(item)
        known = scope.names_of(("recover", "replace"))
        if not isinstance(item, tree.Reference) or item.name not in known:
            name = item.name if isinstance(item, tree.Reference) else describe(item)
            message = f"`between` names `recover` or `replace` steps; `{name}` is none"
            scope.say(codes.UNKNOWN_REFERENCE, message, item.span, help_text=did_you_mean(name, known))
            return MISSING
        found.append(item.name)
    return tuple(found)


def _param_domain(value: tree.Value, scope: Scope) -> Any:
    """``in``: a range of numbers or percentages, or a list of words."""
    value = ungroup(value)
    if isinstance(value, tree.ListValue) and all(isinstance(item, tree.String) for item in value.items):
        return {"choices": tuple(item.text for item in value.items if isinstance(item, tree.String))}
    if isinstance(value, tree.Range):
        low, high = fold(value.low), fold(value.high)
        if (
            isinstance(low, Plain | Percent)
            and isinstance(high, Plain | Percent)
            and type(low) is type(high)
            and low.value <= high.value
        ):
            return {"least": low, "most": high}
    message = f"`in` takes a range `10%..60%` or a list of strings, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span)
    return MISSING


SPECIAL: dict[tuple[str, str], Callable[[tree.Value, Scope], Any]] = {
    ("model", "input"): _inputs,
    ("model", "output"): _output_names,
    ("identify", "in"): _targets,
    ("observe", "at"): _targets,
    **{("replace", place): _targets for place in PLACES},
    ("recover", "loss"): _terms,
    ("recover", "penalty"): _terms,
    ("excise", "between"): _later_names,
    ("param", "in"): _param_domain,
}
