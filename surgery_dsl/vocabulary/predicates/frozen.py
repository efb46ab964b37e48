"""``frozen``: tensors that no step touches."""

from typing import Annotated, ClassVar, final

from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Predicate, Ruling, SiteWord
from surgery_dsl.vocabulary.predicates._holding import follow, tensors_at, with_ties
from surgery_dsl.vocabulary.word import Card, NameOr

Named = str | SiteWord
STEPS = ("identify", "replace")


@final
class Frozen(Predicate):
    """No step up to here touches the named tensors of the base: they are equal bit for bit.

    Arguments:
        what: Sites of the base (``param("embed.weight")``), or an earlier step: the sites of an ``identify``, or what
            a ``replace`` brought in, from that step on. Left out: everything.
        except: Sites or a step that may change: what it brought in, and what it replaced.

    Static rule:
        Every step names the tensors that it may write. Names are followed through renames, and memory through ties:
        who writes a tied tensor writes all its names. ``apply`` compares digests.

    Source:
        docs/language.md, section 6.
    """

    positional = ("what",)
    card: ClassVar[Card] = Card(
        summary="Prove that no step touches the named tensors",
        source="Digests before and after are compared at apply.",
        example="frozen(except = adapters)",
        near_miss="frozen(except = no_such_step)",
        near_miss_code="SD106",
    )

    what: Annotated[Named | None, NameOr(STEPS, "sites")] = None
    except_: Annotated[Named | None, NameOr(STEPS, "sites")] = None

    def decide(self, context: Static) -> Ruling:
        """Follow the tensors through every run so far."""
        names, started = self._named(context)
        if self.except_ is not None:
            for name in self._excepted(context):
                names.pop(name, None)
        if not names:
            return Ruling(False, "it names no tensor", ())
        for position, (step, effect) in enumerate(context.history):
            if position >= started and step != self.except_:
                written = [first for first, now in names.items() if now in effect.writes]
                if written:
                    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
                    return Ruling(False, f"`{step}` may write `{written[0]}`{more}", (step,), tuple(written))
            names = follow(names, effect)
        return Ruling(True, f"no step writes any of {len(names)} tensors", (), tuple(names)[:5])

    def _named(self, context: Static) -> tuple[dict[str, str], int]:
        """Return the tensors meant (first name: present name) and the run from which on they count."""
        if self.what is None:
            return {name: name for name in context.base.tensor_by_name}, 0
        if isinstance(self.what, str):
            runs = [(at, effect) for at, (step, effect) in enumerate(context.history) if step == self.what]
            if self.what in context.selections or not runs:
                return {name: name for name in context.held.get(self.what, ())}, 0
            position, effect = runs[-1]
            return {name: name for name in effect.creates}, position + 1
        sites = self.what.resolve(context.base, context)
        return {name: name for name in with_ties(context.base, tensors_at(context.base, sites))}, 0

    def _excepted(self, context: Static) -> frozenset[str]:
        if isinstance(self.except_, str):
            return context.held.get(self.except_, frozenset())
        if self.except_ is None:
            return frozenset()
        return with_ties(context.base, tensors_at(context.base, self.except_.resolve(context.base, context)))
