"""Holding the record of a search against the plan that names it, the plan's lock, and itself.

A claim about data that chose the network is right only because of how they chose it. The record says how, and is held
against the plan, its lock and itself before anything rests on it: another order, value, line, network or data set, or
a record that was changed, and the plan is refused. What earlier candidates measured is the word of the search.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from surgery_dsl.certificate.canonical import LARGEST, parse
from surgery_dsl.certificate.numbers import number
from surgery_dsl.certificate.search_record import LineResult, SearchRecord
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.data import first_misfit
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.staleness import declaration, placed
from surgery_dsl.language.params import value_text
from surgery_dsl.language.plan import Block, Model, Plan, Search
from surgery_dsl.proof import statistical
from surgery_dsl.proof.searching import candidates_of, param_of, search_of

_PLACES = frozenset({"span", "spans"})


# ---- what a record is of -----------------------------------------------------------------------------------------


def blocks_of(plan: Plan) -> dict[str, str]:
    """Return a digest of what each block of a plan means, by kind and name."""
    blocks: tuple[Block, ...] = (*plan.params, *plan.models, *plan.data, *plan.environments, *plan.steps)
    return {f"{block.block} {block.name}": _meaning(block) for block in blocks}  # type: ignore[attr-defined]


def _meaning(block: Block) -> str:
    if isinstance(block, Model) and block.inferred:
        block = block.replaced(inputs=(), keyword_inputs=False)
    text = declaration(block, set(type(block).model_fields) - _PLACES)
    return hashlib.sha256(text.encode()).hexdigest()


def facts_of(lock: Lock) -> dict[str, dict[str, str]]:
    """Return the digests of data, structure and weights that a lock knows, as fields of a record."""
    return {
        "data": {one.name: one.digest for one in lock.data},
        "structure": {one.name: one.structure for one in lock.models},
        "weights": {one.name: one.weights.digest for one in lock.models if one.weights is not None},
    }


# ---- reading -----------------------------------------------------------------------------------------------------


def read_record(path: Path) -> SearchRecord:
    """Read the record of a search.

    Raises:
        Refused: There is none, it is none, or it was changed after it was written.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise Refused(_unreadable(path, f"it is larger than {LARGEST} bytes"))
        record = SearchRecord.model_validate(parse(path.read_bytes()))
    except OSError as error:
        raise Refused(_unreadable(path, error.strerror or str(error))) from None
    except ValidationError as error:
        raise Refused(_unreadable(path, first_misfit(error))) from None
    except ValueError as error:
        raise Refused(_unreadable(path, f"it is not JSON: {error}")) from None
    if record.digest != record.seal():
        text = f"`{path.name}` was changed after the search wrote it"
        raise Refused(_changed(text, "", None, "", record.digest[:16], record.seal()[:16]))
    return record


def _unreadable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        trust.SEARCH_UNREADABLE,
        f"`{path.name}` is no record of a search: {why}",
        help="run `surgery-dsl search` again, or take `record` out of the `search` block and search first",
    )


def unread(plan: Plan, path: Path) -> tuple[Diagnostic, ...]:
    """Return why the record that a plan names cannot be read; nothing where it can, or where there is none."""
    search = search_of(plan)
    if search is None or not search.record:
        return ()
    try:
        read_record(path.parent / search.record)
    except Refused as refused:
        span = search.spans.get("record", search.span)
        return tuple(placed(found, plan.file, span) for found in refused.diagnostics)
    return ()


def folder_of(plan: Plan, path: Path) -> Path:
    """Return where the files that a plan names stand: in its own folder, or in that of the plan that was searched."""
    search = search_of(plan)
    if search is None or not search.record or unread(plan, path):
        return path.parent
    return path.parent / read_record(path.parent / search.record).folder


# ---- is it still so? ---------------------------------------------------------------------------------------------


def differences(plan: Plan, lock: Lock, folder: Path) -> tuple[Diagnostic, ...]:
    """Return what tells the record that a plan names from what the plan and its lock now say; nothing where it fits.

    Raises:
        Refused: The record cannot be read.
    """
    search = search_of(plan)
    assert search is not None
    return tuple(_apart(read_record(folder / search.record), search, plan, lock))[:1]


def _apart(record: SearchRecord, search: Search, plan: Plan, lock: Lock) -> Iterator[Diagnostic]:
    """Yield every difference, the one that says most first."""

    def say(text: str, span: Span | None, recorded: str, found: str) -> Diagnostic:
        return _changed(text, plan.file, span, search.name, recorded, found)

    param = param_of(search, plan)
    then = f"{record.search}: {record.method} over {record.param}"
    asked = f"{search.name}: {search.by.name} over {param.name}"
    if then != asked:
        yield say(f"`{search.record}` is of another search, `{then}`", search.span, then, asked)
    order = tuple(value_text(value) for value in candidates_of(search, plan))
    if order != record.order:
        text = f"the candidates of `{param.name}` were {', '.join(record.order)}, and now are {', '.join(order)}"
        yield say(text, param.spans.get("in", param.span), ", ".join(record.order), ", ".join(order))
    value = value_text(param.value)
    if value != record.found:
        text = f"the search found `{param.name}` = {record.found}, and the plan says {value}"
        yield say(text, param.spans.get("default", param.span), record.found, value)
    for what, name, then, now in _pins(record, lock):
        if then != now:
            blocks = (*plan.data, *plan.models)
            span = next((block.span for block in blocks if block.name == name), search.span)
            yield say(f"the {what} of `{name}` is not the one that the search ran on", span, then[:16], now[:16])
    spans = {f"{b.block} {b.name}": b.span for b in (*plan.params, *plan.models, *plan.data, *plan.steps)}
    now_blocks = blocks_of(plan)
    for name in dict.fromkeys((*record.blocks, *now_blocks)):
        then, now = record.blocks.get(name, "nothing"), now_blocks.get(name, "nothing")
        if then != now:
            yield say(f"`{name}` was changed after the search", spans.get(name, search.span), then[:16], now[:16])
    why = _contradiction(record, search, plan, lock)
    if why:
        yield say(f"`{search.record}` contradicts itself: {why}", search.spans.get("record"), record.found, "nothing")


def settings_apart(plan: Plan, folder: Path, dtype: str, seed: int) -> tuple[Diagnostic, ...]:
    """Return what a run is told otherwise than the search was; errors as of :func:`differences`."""
    search = search_of(plan)
    assert search is not None
    record = read_record(folder / search.record)
    given = {"--dtype": (record.dtype, dtype), "--seed": (str(record.seed), str(seed))}
    return tuple(
        _changed(
            f"the search ran with `{option} {then}`" if then else f"the search ran without `{option}`",
            plan.file,
            search.span,
            search.name,
            then or "none",
            now or "none",
        )
        for option, (then, now) in given.items()
        if then != now
    )


def _pins(record: SearchRecord, lock: Lock) -> Iterator[tuple[str, str, str, str]]:
    words = {"data": "data", "structure": "structure", "weights": "weights"}
    for field, now in facts_of(lock).items():
        then: dict[str, str] = getattr(record, field)
        for name in dict.fromkeys((*then, *now)):
            if field != "weights" or name in now:  # weights are read where the lock does not know these
                yield words[field], name, then.get(name, "nothing"), now.get(name, "nothing")


def _contradiction(record: SearchRecord, search: Search, plan: Plan, lock: Lock) -> str:
    """Return why the choice does not follow from what the record says of its candidates."""
    if tuple(one.value for one in record.candidates) != record.order:
        return "its candidates are not those of its order"
    tested = [one for one in record.candidates if one.verdict not in ("refused", "not tested")]
    ended = next((at for at, one in enumerate(tested) if one.verdict != "accepted"), len(tested) - 1)
    if search.by.stops and ended < len(tested) - 1:
        return f"{tested[ended].value} did not pass, and {tested[ended + 1].value} was tested after it"
    if not search.by.stops and any(one.verdict == "not tested" for one in record.candidates):
        return "some candidate was not tested"
    accepted = [one for one in tested if one.verdict == "accepted"]
    if not accepted or accepted[-1].value != record.found:
        last = accepted[-1].value if accepted else "none"
        return f"the last candidate that it accepts is {last}, not {record.found}"
    facts = {one.name: one for one in lock.data}
    forms = {
        (control.name, line.text): statistical.form_of(line, facts, plan.file)
        for control, line in statistical.lines(plan)
    }
    asked = {key: (str(statistical.risk(form, plan)), form.limit) for key, form in forms.items()}
    for one in accepted:
        said = {(line.block, line.text): (line.risk, number(line.limit)) for line in one.lines}
        if said != asked:
            return f"what {one.value} was tested by is not what the plan asks for"
        bad = next((line for line in one.lines if not _kept(line, forms[line.block, line.text].relation)), None)
        if bad is not None:
            return f"{one.value} is accepted, and `{bad.text}` has {bad.bound} against {bad.limit}"
    return ""


def _kept(line: LineResult, relation: str) -> bool:
    """Whether a line passed, and its numbers say so too."""
    bound, limit, margin = (number(text) for text in (line.bound, line.limit, line.margin))
    if line.status != "passed" or bound is None or limit is None or margin is None:
        return False
    return margin >= 0 and (limit - bound if relation in ("<=", "<") else bound - limit) >= 0


def _changed(text: str, file: str, span: Span | None, search: str, recorded: str, found: str) -> Diagnostic:
    return Diagnostic(
        trust.SEARCH_CHANGED,
        text,
        file=file,
        span=span,
        facts={"recorded": recorded, "found": found},
        notes=(f"recorded is {recorded}, found is {found}",),
        help="run `surgery-dsl search` again on the plan as it is now"
        + (f", or remove `search {search}` and measure on data that chose nothing" if search else ""),
    )
