"""From the syntax tree to the typed plan: names, units, words. Reports every independent mistake in one run."""

import hashlib
from collections.abc import Mapping

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.blocks import BLOCKS, lower_block
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.parse import parse
from surgery_dsl.language.scope import RESERVED, Scope, describe, did_you_mean, ungroup
from surgery_dsl.vocabulary.values import Percent, Plain, number_text

Value = Percent | Plain | str


def lower(
    file: tree.File, text: str, name: str, sets: Mapping[str, str] | None = None
) -> tuple[plan.Plan | None, tuple[Diagnostic, ...]]:
    """Return the plan and what was found; the plan is ``None`` where anything is an error.

    Args:
        file: The syntax tree.
        text: The source, for the wording of obligations and the digest.
        name: The plan's path as the user gave it.
        sets: Values of params by name, as written after ``--set``.
    """
    scope = Scope(name, Sink(name))
    blocks = _known_blocks(file, scope)
    _params(blocks, sets or {}, scope)
    lowered: list[plan.Block] = []
    complete = not file.broken
    for block in blocks:
        if block.kind.text == "param":
            found: plan.Block | None = _param_block(block, scope, text)
        else:
            found = lower_block(block, scope, text)
        scope.passed.add(block.name.text)
        if found is None:
            complete = False
        else:
            lowered.append(found)
    _patient(lowered, blocks, scope, complete)
    _excisions(lowered, scope)
    if not complete or scope.sink.failed:
        return None, scope.sink.found
    return _plan(file, text, name, lowered), scope.sink.found


def _known_blocks(file: tree.File, scope: Scope) -> list[tree.Block]:
    known = []
    for block in file.blocks:
        kind, name = block.kind.text, block.name.text
        if kind not in BLOCKS:
            help_text = did_you_mean(kind, BLOCKS)
            scope.say(codes.UNKNOWN_BLOCK, f"there is no block `{kind}`", block.kind.span, help_text=help_text)
            continue
        if name in RESERVED:
            message = f"`{name}` means something of its own in the language"
            scope.say(codes.RESERVED_NAME, message, block.name.span, help_text="choose another name")
        elif name in scope.blocks and not _excises(kind, name, scope):
            other, span = scope.blocks[name]
            message = f"`{name}` is the name of the `{other}` block at line {span.line} already"
            scope.say(codes.DUPLICATE_NAME, message, block.name.span, help_text="choose another name")
        scope.blocks.setdefault(name, (kind, block.name.span))
        known.append(block)
    return known


def _excises(kind: str, name: str, scope: Scope) -> bool:
    """An ``excise`` bears the name of the ``identify`` that it carries out."""
    return kind == "excise" and scope.blocks[name][0] == "identify"


# ---- params ------------------------------------------------------------------------------------------------------


def _params(blocks: list[tree.Block], sets: Mapping[str, str], scope: Scope) -> None:
    params = {block.name.text: block for block in blocks if block.kind.text == "param"}
    for name, block in params.items():
        for attribute in block.body.statements if block.body else ():
            if isinstance(attribute, tree.Attribute) and attribute.name.text == "default":
                value = param_value(attribute.value)
                if value is not None:
                    scope.params[name] = value
    first = next(iter(params.values()), None)
    for name, text in sets.items():
        if name not in params:
            span = first.name.span if first else Span(1, 1, 1, 1)
            help_text = did_you_mean(name, params) or "this plan has no params"
            scope.say(codes.UNKNOWN_PARAM, f"`--set {name}`: the plan has no such param", span, help_text=help_text)
            continue
        value = _set_value(text)
        if value is None:
            message = f"`--set {name}={text}`: this is no value"
            scope.say(codes.WRONG_VALUE, message, params[name].name.span, help_text="write a number, 40% or a word")
        else:
            scope.params[name] = value


def _set_value(text: str) -> Value | None:
    """Read what stands after ``--set NAME=``; a bare word is a string."""
    file, found = parse(f"surg 1\nparam p {{\n  default = {text}\n}}\n")
    body = file.blocks[0].body if file.blocks else None
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


def _param_block(block: tree.Block, scope: Scope, text: str) -> plan.Param | None:
    name = block.name.text
    attributes = {
        statement.name.text: statement
        for statement in (block.body.statements if block.body else ())
        if isinstance(statement, tree.Attribute)
    }
    in_force = scope.params.pop(name, None)  # a param does not refer to itself
    default = param_value(attributes["default"].value) if "default" in attributes else None
    if "default" in attributes and default is None:
        written = attributes["default"].value
        message = f"a param is a number, a percentage or a string, not {describe(written)}"
        scope.say(codes.WRONG_VALUE, message, written.span)
        return None
    rest = tuple(s for s in (block.body.statements if block.body else ()) if s is not attributes.get("default"))
    body = (
        tree.Body(rest, block.body.broken, block.body.opened, block.body.closed, block.body.span)
        if block.body
        else None
    )
    if default is None:
        lower_block(block, scope, text)  # reports the missing attribute
        return None
    found = lower_block(_with_default(block, body, attributes["default"]), scope, text)
    scope.params[name] = default if in_force is None else in_force
    if not isinstance(found, plan.Param):
        return None
    param = found.replaced(default=default, value=scope.params[name])
    for value, span in ((default, attributes["default"].value.span), (param.value, block.name.span)):
        if not _inside(param, value, span, scope):
            return None
    return param


def _with_default(block: tree.Block, body: tree.Body | None, default: tree.Attribute) -> tree.Block:
    """Return the block with a default that any lowering accepts: the true one is put in afterwards."""
    assert body is not None
    stand_in = tree.Attribute(default.name, tree.String("", '""', default.value.span), default.span)
    full = tree.Body((stand_in, *body.statements), body.broken, body.opened, body.closed, body.span)
    return tree.Block(block.kind, block.name, full, block.span)


def _inside(param: plan.Param, value: Value, span: Span, scope: Scope) -> bool:
    written = value_text(value)
    if param.choices:
        if isinstance(value, str) and value in param.choices:
            return True
        message = f"`{param.name}` = `{written}` is none of its choices"
        scope.say(codes.PARAM_OUT_OF_RANGE, message, span, help_text=did_you_mean(written, param.choices))
        return False
    if param.least is None or param.most is None:
        return True
    low, high = value_text(param.least), value_text(param.most)
    if type(value) is not type(param.least):
        message = f"`{param.name}` = `{written}` has another unit than its range {low}..{high}"
        scope.say(codes.WRONG_UNIT, message, span, help_text=f"write a value such as `{low}`")
        return False
    assert not isinstance(value, str)
    assert not isinstance(param.least, str)
    assert not isinstance(param.most, str)
    if param.least.value <= value.value <= param.most.value:
        return True
    nearest = low if value.value < param.least.value else high
    message = f"`{param.name}` = {written} lies outside {low}..{high}"
    scope.say(
        codes.PARAM_OUT_OF_RANGE,
        message,
        span,
        label=f"the plan allows {low}..{high}",
        help_text=f"the nearest value that the plan allows is {nearest}; widen `in` only where the proofs still hold",
        facts={"value": written, "least": low, "most": high},
    )
    return False


# ---- the whole ---------------------------------------------------------------------------------------------------


def _patient(lowered: list[plan.Block], blocks: list[tree.Block], scope: Scope, complete: bool) -> None:
    models = [block for block in lowered if isinstance(block, plan.Model)]
    patients = [model for model in models if model.role == "patient"]
    if len(patients) == 1 or (not complete and not patients):
        return
    if not patients:
        span = blocks[0].name.span if blocks else Span(1, 1, 1, 1)
        message = "the plan has no patient: exactly one model has no role"
        scope.say(codes.PATIENT_COUNT, message, span, help_text="add a `model` block without `role`")
    else:
        message = f"the plan has {len(patients)} models without a role"
        help_text = "give all but one of them `role = reference` or `role = partner`"
        scope.say(codes.PATIENT_COUNT, message, patients[1].span or Span(1, 1, 1, 1), help_text=help_text)


def _excisions(lowered: list[plan.Block], scope: Scope) -> None:
    seen: set[str] = set()
    for block in lowered:
        if isinstance(block, plan.Excise) and block.name not in seen and block.span is not None:
            message = f"`excise {block.name}` names no `identify` above it"
            help_text = did_you_mean(block.name, scope.names_of(("identify",)))
            scope.say(codes.UNKNOWN_REFERENCE, message, block.span, help_text=help_text)
        if isinstance(block, plan.Identify):
            seen.add(block.name)


def _plan(file: tree.File, text: str, name: str, lowered: list[plan.Block]) -> plan.Plan:
    steps = (plan.Identify, plan.Excise, plan.Replace, plan.Recover, plan.Observe, plan.Control, plan.Search)
    return plan.Plan.model_construct(
        file=name,
        dialect=file.dialect or 1,
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        params=tuple(block for block in lowered if isinstance(block, plan.Param)),
        models=tuple(block for block in lowered if isinstance(block, plan.Model)),
        data=tuple(block for block in lowered if isinstance(block, plan.DataSet)),
        environments=tuple(block for block in lowered if isinstance(block, plan.Environment)),
        steps=tuple(block for block in lowered if isinstance(block, steps)),
    )
