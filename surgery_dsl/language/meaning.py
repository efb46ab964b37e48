"""What tells two plans apart in meaning, and what of it loosens: limits, gates, contract, trust.

Compared are typed plans, never texts: blocks by kind and name, obligations by what they claim wherever they stand.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal

from surgery_dsl.interface.model import Data
from surgery_dsl.language import looseness
from surgery_dsl.language.claims import Claim, Known, claim, compared
from surgery_dsl.language.differences import Difference, Ruling, Source, Subject, bare
from surgery_dsl.language.plan import Block, Control, Obligation, Param, Plan
from surgery_dsl.language.renames import blocks_of, renamed

SUBJECTS: Mapping[str, Subject] = {
    "param": "param",
    "model": "inputs",
    "data": "data",
    "env": "data",
    "identify": "selection",
    "excise": "step",
    "replace": "step",
    "recover": "training",
    "observe": "step",
    "search": "step",
}
_UNCOMPARED_FIELDS = frozenset({"name", "block", "span", "spans"})


class Meaning(Data):
    """What tells a later plan from an earlier one.

    Attributes:
        format: Of this document.
        before: The earlier plan, as it was named.
        after: The later plan, as it was named.
        same: Whether both mean the same.
        same_text: Whether they are the same text.
        loosened: How many differences loosen the plan.
        differences: All differences: those that loosen first, each kind in the order of the later plan.
    """

    format: Literal["1"] = "1"
    before: str
    after: str
    same: bool
    same_text: bool
    loosened: int
    differences: tuple[Difference, ...]


def meaning(before: Plan, after: Plan, texts: tuple[str, str], known: Known | None = None) -> Meaning:
    """Compare two plans.

    Args:
        before: The earlier plan.
        after: The later plan.
        texts: Their texts, for the lines that differ.
        known: Gives what a reading of the base is, where that is known; limits that read different things of the base
            can then be compared.
    """
    earlier, names = renamed(before, after, texts[0])
    comparison = _Comparison(earlier, after, Source(texts[0]), Source(texts[1]), known, names)
    rank: Mapping[Ruling, int] = {"loosened": 0, "changed": 1, "tightened": 2, "cosmetic": 3}
    found = sorted(dict.fromkeys(comparison.run()), key=lambda one: rank[one.ruling])
    return Meaning(
        before=before.file,
        after=after.file,
        same=all(one.ruling == "cosmetic" for one in found),
        same_text=texts[0] == texts[1],
        loosened=sum(one.ruling == "loosened" for one in found),
        differences=tuple(found),
    )


class _Comparison:
    """Walks two plans. Final."""

    def __init__(
        self, before: Plan, after: Plan, old: Source, new: Source, known: Known | None, names: Mapping[str, str]
    ) -> None:
        self.names = names
        self.before, self.after, self.old, self.new, self.known = before, after, old, new, known
        self.context = looseness.Context(
            gated=_gated(before) | _gated(after), measured=any(o.verb == "measure" for _, o in _obligations(after))
        )

    def run(self) -> Iterator[Difference]:
        """Yield the differences."""
        if self.before.dialect != self.after.dialect:
            words = f"dialect {self.after.dialect} in place of {self.before.dialect}"
            yield Difference(ruling="changed", subject="order", block="surg", what=words)
        yield from self._renamed()
        yield from self._blocks()
        yield from self._order()
        yield from self._trust()
        yield from self._claims()

    # ---- blocks --------------------------------------------------------------------------------------------------

    def _renamed(self) -> Iterator[Difference]:
        """Blocks that are the same by another name; the name of a param is what ``--set`` goes by."""
        for name, other in self.names.items():
            for (kind, _), block in ((key, block) for key, block in blocks_of(self.after).items() if key[1] == other):
                yield Difference(
                    ruling="changed" if kind == "param" else "cosmetic",
                    subject=SUBJECTS[kind],
                    block=f"{kind} {other}",
                    what=f"`{kind} {name}` is called `{other}` now",
                    before=self.old.place(blocks_of(self.before)[kind, other].span),
                    after=self.new.place(block.span),
                )

    def _blocks(self) -> Iterator[Difference]:
        old, new = blocks_of(self.before), blocks_of(self.after)
        for key, block in new.items():
            if key not in old:
                yield self._added(key, block)
                yield from self._contract_of(key, None, block)
            else:
                yield from self._attributes(key, old[key], block)
        for key, block in old.items():
            if key not in new:
                kind, name = key
                ruling: Ruling = "tightened" if kind == "param" else "changed"
                place = self.old.place(block.span)
                what = f"`{kind} {name}` is gone"
                yield Difference(ruling=ruling, subject=SUBJECTS[kind], block=f"{kind} {name}", what=what, before=place)

    def _added(self, key: tuple[str, str], block: Block) -> Difference:
        kind, name = key
        ruling: Ruling = "loosened" if kind == "param" and isinstance(block, Param) and _sets(block) else "changed"
        what = f"`{kind} {name}` is new" + ("; `--set` may change its value" if ruling == "loosened" else "")
        place = self.new.place(block.span)
        return Difference(ruling=ruling, subject=SUBJECTS[kind], block=f"{kind} {name}", what=what, after=place)

    def _contract_of(self, key: tuple[str, str], old: Block | None, new: Block) -> Iterator[Difference]:
        """A new step may come with leave to change the contract."""
        allowed = getattr(new, "changes", ())
        if old is None and allowed:
            what = f"`{key[0]} {key[1]}` may change {' and '.join(allowed)}"
            place = self.new.place(new.spans.get("changes", new.span))
            yield Difference(ruling="loosened", subject="contract", block=" ".join(key), what=what, after=place)

    def _attributes(self, key: tuple[str, str], old: Block, new: Block) -> Iterator[Difference]:
        kind, name = key
        for attribute in type(new).model_fields:
            if attribute in _UNCOMPARED_FIELDS:
                continue
            was, now = getattr(old, attribute), getattr(new, attribute)
            if bare(was) == bare(now):
                continue
            for finding in looseness.findings(kind, attribute, was, now, name, self.context):
                yield Difference(
                    ruling=finding.ruling,
                    subject=finding.subject or SUBJECTS[kind],
                    block=f"{kind} {name}",
                    what=finding.what,
                    before=self.old.place(old.spans.get(finding.written, old.span)),
                    after=self.new.place(new.spans.get(finding.written, new.span)),
                )

    def _order(self) -> Iterator[Difference]:
        old, new = (list(blocks_of(plan)) for plan in (self.before, self.after))
        order = {key: at for at, key in enumerate(key for key in old if key in new)}
        steps = ("identify", "excise", "replace", "recover", "observe", "search")
        common = [key for key in new if key in order and key[0] in steps]
        for earlier, later in pairwise(common):
            if order[earlier] > order[later]:
                block = blocks_of(self.after)[later]
                what = f"`{' '.join(later)}` runs after `{' '.join(earlier)}`, and ran before it"
                places = self.old.place(blocks_of(self.before)[later].span), self.new.place(block.span)
                yield Difference(
                    ruling="changed",
                    subject="order",
                    block=" ".join(later),
                    what=what,
                    before=places[0],
                    after=places[1],
                )

    def _trust(self) -> Iterator[Difference]:
        """Code that a plan asks to run, and weights that can run any."""
        old, new = looseness.trusted(self.before), looseness.trusted(self.after)
        for what, (block, span) in new.items():
            if what not in old:
                place = self.new.place(span)
                words = f"it asks for trust in {what}"
                yield Difference(ruling="loosened", subject="trust", block=block, what=words, after=place)
        for what, (block, span) in old.items():
            if what not in new:
                place = self.old.place(span)
                words = f"it asks no more for trust in {what}"
                yield Difference(ruling="tightened", subject="trust", block=block, what=words, before=place)

    # ---- obligations ---------------------------------------------------------------------------------------------

    def _claims(self) -> Iterator[Difference]:
        common = set(blocks_of(self.before)) & set(blocks_of(self.after))
        old, new = list(_claims(self.before, common)), list(_claims(self.after, common))
        pairs = list(_paired(old, new))
        for was, now in pairs:
            yield from self._pair(was, now)
        for one in new:
            if all(one is not now for _, now in pairs):
                what = f"`{one.obligation.verb} {one.obligation.text}` is new"
                yield self._claim("tightened", what, None, one)
        for one in old:
            if all(one is not was for was, _ in pairs):
                what = f"`{one.obligation.verb} {one.obligation.text}` is gone"
                yield self._claim("loosened", what, one, None)

    def _pair(self, was: Claim, now: Claim) -> Iterator[Difference]:
        found = compared(was, now, self.known)
        if found is not None:
            yield self._claim(*found, was, now)
        elif was.obligation.text != now.obligation.text:
            yield self._claim("cosmetic", "another spelling of the same claim", was, now)
        if now.place < was.place:
            what = "it stands earlier: what later steps do is no more held to it"
            yield self._claim("loosened", what, was, now)
        elif now.place > was.place:
            yield self._claim("changed", "it stands later, behind more steps", was, now)

    def _claim(self, ruling: Ruling, what: str, was: Claim | None, now: Claim | None) -> Difference:
        one = now or was
        assert one is not None
        return Difference(
            ruling=ruling,
            subject="obligation",
            block=f"control {one.block}",
            what=what,
            before=self.old.place(was.obligation.span) if was is not None else None,
            after=self.new.place(now.obligation.span) if now is not None else None,
        )


def _sets(param: Param) -> bool:
    return bool(param.choices) or param.least is not None


def _obligations(plan: Plan) -> Iterator[tuple[Control, Obligation]]:
    for step in plan.steps:
        if isinstance(step, Control):
            for obligation in step.obligations:
                yield step, obligation


def _gated(plan: Plan) -> frozenset[str]:
    """Return the data sets that obligations read."""
    names = {data.name for data in plan.data}
    texts: set[str] = set()
    for _, obligation in _obligations(plan):
        texts |= set(_texts(bare(obligation.statement)))
    return frozenset(names & texts)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def _claims(plan: Plan, common: set[tuple[str, str]]) -> Iterator[Claim]:
    place = 0
    for step in plan.steps:
        if isinstance(step, Control):
            for obligation in step.obligations:
                yield claim(obligation, step.name, place)
        elif (step.block, step.name) in common:
            place += 1


def _paired(old: list[Claim], new: list[Claim]) -> Iterator[tuple[Claim, Claim]]:
    """Pair claims: first those that are the same, at the same place if they can, then those that are about the same."""
    rest = list(old), list(new)
    keys = (
        lambda one: (one.meaning, one.place, one.obligation.text),
        lambda one: (one.meaning, one.place),
        lambda one: one.meaning,
        lambda one: (one.obligation.verb, one.about, one.sign, one.place),
        lambda one: (one.obligation.verb, one.about, one.sign),
        lambda one: (one.about, one.sign),
        lambda one: (one.obligation.verb, one.about),
        lambda one: (one.obligation.verb, one.kind, one.place),
        lambda one: (one.obligation.verb, one.kind),
    )
    for key in keys:
        for now in list(rest[1]):
            was = next((one for one in rest[0] if key(one) == key(now)), None)
            if was is not None:
                rest[0].remove(was)
                rest[1].remove(now)
                yield was, now
