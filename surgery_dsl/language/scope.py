"""What lowering knows while it goes through a plan: names, params in force, and where findings go."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import limits
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.tokens import too_many_mistakes
from surgery_dsl.vocabulary.values import Percent, Plain

RESERVED = frozenset({"base", "now", "all", "true", "false"})
"""Names that mean something of their own where a block could be named."""

_SHOWN = 20
_COMPARED = 500


@dataclass
class Scope:
    """The state of one lowering.

    Attributes:
        file: The plan's path.
        sink: Where findings go.
        blocks: Kind of every block that the plan has, by name, with its header.
        passed: Names of the blocks that stand above the one at hand.
        params: Value in force of each param.
        choices: The strings that each param of strings may be.
        told: How many findings were reported.
        unknown: Words that were reported as unknown: the same name is told once for each slot.
    """

    file: str
    sink: Sink
    blocks: dict[str, tuple[str, Span]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    params: dict[str, Percent | Plain | str] = field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: set[tuple[str, ...]] = field(default_factory=set)
    told: int = 0

    @property
    def full(self) -> bool:
        """Whether so much was reported that no more is."""
        return self.told > limits.MISTAKES

    def say(
        self,
        code: Code,
        message: str,
        span: Span,
        *,
        label: str = "",
        help_text: str = "",
        notes: tuple[str, ...] = (),
        facts: dict[str, Fact] | None = None,
    ) -> None:
        """Report a finding; after many, say once that there are more."""
        self.told += 1
        if self.told > limits.MISTAKES:
            if self.told == limits.MISTAKES + 1:
                self.sink.say(too_many_mistakes(self.file, span))
            return
        self.sink.say(
            Diagnostic(
                code, message, file=self.file, span=span, label=label, help=help_text, notes=notes, facts=facts or {}
            )
        )

    def names_of(self, kinds: Iterable[str]) -> list[str]:
        """Return the names of the blocks of some kinds, in the plan's order."""
        wanted = set(kinds)
        return [name for name, (kind, _) in self.blocks.items() if kind in wanted]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a help text that names the closest known name, or all of them where there are few."""
    known = list(known)
    close = difflib.get_close_matches(name, known[:_COMPARED], n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not known:
        return ""
    shown = [f"`{item}`" for item in known[:_SHOWN]]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(shown)}{more}"


def ungroup(value: tree.Value) -> tree.Value:
    """Take parentheses away."""
    while isinstance(value, tree.Group):
        value = value.value
    return value


def describe(value: tree.Value) -> str:
    """Say what was written, in a few words."""
    value = ungroup(value)
    match value:
        case tree.Reference(name=name):
            return f"the name `{name}`"
        case tree.String(raw=raw):
            return f"the string {raw}"
        case tree.Number(digits=digits, unit=unit):
            return f"the number `{digits}{unit}`"
        case tree.Call(function=tree.Reference(name=name)):
            return f"`{name}(…)`"
        case tree.Call(function=tree.Member(name=name)) | tree.Member(name=name):
            return f"the member `….{name.text}`"
        case tree.ListValue():
            return "a list"
        case tree.Range():
            return "a range"
        case tree.Arrow():
            return "an arrow"
        case tree.Boolean(value=truth):
            return f"`{str(truth).lower()}`"
        case _:
            return "an expression"
