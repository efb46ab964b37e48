"""From blocks to the typed blocks of a plan. Most attributes are typed by the plan's own fields; a few are special."""

from collections.abc import Callable
from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import control, plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.bounds import within_bounds
from surgery_dsl.language.convert import convert
from surgery_dsl.language.expectation import Expectation, fields
from surgery_dsl.language.inputs import inputs, output_names
from surgery_dsl.language.params import param_default, param_domain, searched
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, did_you_mean
from surgery_dsl.language.targets import STEP_KINDS, between, targets
from surgery_dsl.language.terms import terms
from surgery_dsl.vocabulary import catalogue

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

HIDDEN = frozenset(
    {"name", "span", "spans", "block", "value", "least", "most", "choices", "keyword_inputs", "inferred"}
)
"""Fields of the plan's blocks that no attribute sets."""

RENAMED = {
    "model": {"inputs": "input", "outputs": "output"},
    "identify": {"sites": "in"},
    "observe": {"sites": "at"},
    "replace": {"sites": "", "where": "", "transform": "with"},
    "param": {},
}
"""Fields that a plan writes under another name; empty for those that no attribute sets by itself."""

NEEDED = {
    ("model", "input"): 'for example `x("f32", [N, 1, 8, 8])`',
    ("identify", "in"): 'for example `linear("**")`',
}
"""Attributes without a default, where the field says too little of what they take."""

PLACES = ("at", "after", "before", "around")

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


def lower_block(block: tree.Block, scope: Scope) -> plan.Block | None:
    """Return the typed block, or ``None`` after reporting why there is none."""
    kind = block.kind.text
    if kind == "control":
        return control.lower_control(block, scope)
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
            broken |= {name for name in known if f"did you mean `{name}`?" == help_text}  # then it is not missing
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
        if found is MISSING or not within_bounds(kind, written, found, attribute.value.span, scope):
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
    if "" in broken:  # a line that could not be read may have held what seems to be missing
        return True
    for written, (field, expected) in known.items():
        if kind == "replace" and written in PLACES:
            continue
        if kind == "excise" and field == "mode":
            continue
        attempted = written in values["spans"] or written in broken
        required = expected.required or (kind, written) in NEEDED
        if (kind, written) == ("model", "input") and _says_its_inputs(values):
            continue
        if required and field not in values and not attempted:
            message = f"`{kind} {block.name.text}` needs `{written}`"
            help_text = f"add `{written} = …` ({NEEDED.get((kind, written), expected.says())})"
            scope.say(codes.MISSING_ATTRIBUTE, message, block.name.span, help_text=help_text)
            failed = True
    if kind == "replace" and not any(place in values["spans"] or place in broken for place in PLACES):
        message = f"`replace {block.name.text}` does not say where"
        help_text = "add one of `at`, `after`, `before`, `around`"
        scope.say(codes.MISSING_ATTRIBUTE, message, block.name.span, help_text=help_text)
        failed = True
    return failed


def _says_its_inputs(values: Lowered) -> bool:
    """Whether a model's inputs can be made from the network itself, or are not to be asked for yet."""
    if "load" not in values:
        return "load" in values["spans"]
    return bool(values["load"].makes_inputs)


def _build(kind: str, values: Lowered) -> plan.Block:
    if kind == "excise" and "mode" not in values:
        values["mode"] = catalogue.find("modes", "remove")(span=values["span"])
    if kind == "param":
        values["value"] = values["default"]  # the caller puts in the one in force
    cls = BLOCKS[kind]
    defaults = {
        name: info.get_default(call_default_factory=True)
        for name, info in cls.model_fields.items()
        if not info.is_required()
    }
    return cls.model_construct(**defaults | values)


SPECIAL: dict[tuple[str, str], Callable[[tree.Value, Scope], Any]] = {
    ("model", "input"): inputs,
    ("model", "output"): output_names,
    ("identify", "in"): targets,
    ("observe", "at"): targets,
    **{("replace", place): targets for place in PLACES},
    ("recover", "loss"): terms,
    ("recover", "penalty"): terms,
    ("excise", "between"): between,
    ("param", "default"): param_default,
    ("param", "in"): param_domain,
    ("search", "over"): searched,
}
