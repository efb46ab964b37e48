"""From the syntax tree to the typed plan: names, units, words. Reports every independent mistake in one run."""

import hashlib
from collections.abc import Iterable, Mapping

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.blocks import BLOCKS, lower_block
from surgery_dsl.language.params import in_force, read_params, value_text
from surgery_dsl.language.scope import RESERVED, Scope, did_you_mean

__all__ = ["lower", "value_text"]


def lower(
    file: tree.File, text: str, name: str, sets: Mapping[str, str] | None = None
) -> tuple[plan.Plan | None, tuple[Diagnostic, ...]]:
    """Return the plan and what was found; the plan is ``None`` where anything is an error.

    Args:
        file: The syntax tree.
        text: The source, for the digest.
        name: The plan's path as the user gave it.
        sets: Values of params by name, as written after ``--set``.
    """
    scope = Scope(name, Sink(name))
    blocks = _known_blocks(file, scope)
    read_params(blocks, sets or {}, scope)
    lowered: list[plan.Block] = []
    complete = not file.broken
    for block in blocks:
        found = lower_block(block, scope)
        if isinstance(found, plan.Param):
            found = in_force(found, scope)
        scope.passed.add(block.name.text)
        if found is None:
            complete = False
        else:
            lowered.append(found)
    _patient(lowered, blocks, scope, complete)
    _excisions(file.blocks, scope)
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
        if not name:  # it has none, which was said
            pass
        elif name in RESERVED:
            message = f"`{name}` means something of its own in the language"
            scope.say(codes.RESERVED_NAME, message, block.name.span, help_text="choose another name")
        elif kind == "excise":  # it bears the name of the `identify` that it carries out
            known.append(block)
            continue
        elif name in scope.blocks:
            other, span = scope.blocks[name]
            message = f"`{name}` is the name of the `{other}` block at line {span.line} already"
            scope.say(codes.DUPLICATE_NAME, message, block.name.span, help_text="choose another name")
        scope.blocks.setdefault(name, (kind, block.name.span))
        known.append(block)
    return known


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


def _excisions(blocks: Iterable[tree.Block], scope: Scope) -> None:
    """Every ``excise`` bears the name of an ``identify`` above it, for which a block of unknown kind may stand."""
    seen: list[str] = []
    for block in blocks:
        if block.kind.text == "identify" or block.kind.text not in BLOCKS:
            seen.append(block.name.text)
        elif block.kind.text == "excise" and block.name.text and block.name.text not in seen:
            message = f"`excise {block.name.text}` names no `identify` above it"
            help_text = did_you_mean(block.name.text, seen) or "add an `identify` block above"
            scope.say(codes.UNKNOWN_REFERENCE, message, block.name.span, help_text=help_text)


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
