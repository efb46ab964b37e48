"""Findings that several takes make, in one wording."""

from dataclasses import dataclass
from math import gcd

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.selection import Pool, Rounding


def path_of(pool: Pool) -> str:
    """Return the full path that stands for a pool: the tensor's, or its first site's."""
    return pool.tensor or (pool.sites[0].path if pool.sites else pool.key)


def shown(pool: Pool) -> str:
    """Name a pool in a message."""
    if pool.tensor:
        return f"`{pool.tensor}`"
    if pool.modules:
        return f"the list `{pool.key or '.'}`"
    paths = [f"`{site.path or '.'}`" for site in pool.sites]
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def units_of(pool: Pool) -> int:
    """Return how many units the plan's numbers count: channels of the site, heads, weights, modules."""
    return pool.size * pool.width


def noun(pool: Pool, count: int) -> str:
    """Return a count with the name of what is counted."""
    name = pool.noun or ("channel" if pool.axis is not None else "module" if pool.modules else "weight")
    return f"{count} {name}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Reports:
    """Says what is wrong with an amount at one place of a plan."""

    context: Static
    span: Span | None

    def _say(self, code: Code, message: str, pool: Pool | None, help: str, **facts: Fact) -> None:
        path = path_of(pool) if pool else ""
        notes = (pool.about,) if pool and pool.about else ()
        file, span = self.context.file, self.span
        self.context.say(
            Diagnostic(code, message, file=file, span=span, path=path, facts=facts, notes=notes, help=help)
        )

    def untrue_arrow(self, pool: Pool, left: int) -> None:
        """The author believes in another number of units than there is."""
        units = units_of(pool)
        text = f"the plan says that {shown(pool)} has {noun(pool, left)}; it has {units}"
        self._say(shapes.UNTRUE_ARROW, text, pool, f"write {units} to the left of the arrow", said=left, units=units)

    def emptied(self, pool: Pool, taken: int) -> None:
        """Nothing would be left of a pool."""
        units = units_of(pool)
        least = pool.least * pool.width
        text = f"{taken} of {noun(pool, units)} of {shown(pool)} would be taken; at least {least} must stay"
        self._say(shapes.EMPTIED_SITE, text, pool, f"take at most {units - least}", taken=taken, units=units)

    def rounds_to_nothing(self, pool: Pool, asked: str, fix: str) -> None:
        """What is asked for comes to nothing."""
        units = units_of(pool)
        text = f"{asked} of {noun(pool, units)} of {shown(pool)} is none after rounding"
        self._say(shapes.ROUNDS_TO_NOTHING, text, pool, fix, asked=asked, achieved=0, units=units)

    def indivisible(self, pool: Pool, count: int) -> None:
        """A count would leave groups of unlike size."""
        fit = max(count // pool.width, 1) * pool.width
        text = (
            f"{shown(pool)} has {pool.width} groups of {noun(pool, pool.size)}, which must stay equally large; "
            f"{count} do not share out among them"
        )
        fix = f"take {fit} or another multiple of {pool.width}"
        self._say(shapes.GROUP_INDIVISIBLE, text, pool, fix, taken=count, groups=pool.width)

    def forbidden(self, pool: Pool, kept: int, rounding: Rounding, nearest: int) -> None:
        """Round, floor or cap do not allow a count that the plan states exactly; counts are of pool units."""
        width = pool.width
        rules = []
        if rounding.multiple > 1:
            rules.append(f"a multiple of {rounding.multiple * width} must stay (round)")
        if rounding.keep_at_least > 1:
            rule = " (floor)" if rounding.keep_at_least > pool.least else ""
            rules.append(f"at least {rounding.keep_at_least * width} must stay{rule}")
        if rounding.remove_at_most is not None:
            rules.append(f"at most {rounding.remove_at_most * width} may go (cap)")
        text = f"{kept * width} of {noun(pool, units_of(pool))} of {shown(pool)} would stay, but {' and '.join(rules)}"
        fix = ", or ".join((f"keep {nearest * width}", *_looser(pool, kept, rounding)))
        self._say(shapes.COUNT_FORBIDDEN, text, pool, fix, kept=kept * width, nearest=nearest * width)


def _looser(pool: Pool, kept: int, rounding: Rounding) -> tuple[str, ...]:
    """Return the rule with which a count may stay, where one alone stands against it; counts are of pool units."""
    rules = []
    if kept % rounding.multiple:
        rules.append(f"write round = {gcd(kept, rounding.multiple) * pool.width}")
    if kept < rounding.keep_at_least:
        rules.append(f"write floor = {kept * pool.width}")
    if rounding.remove_at_most is not None and pool.size - kept > rounding.remove_at_most:
        rules.append(f"write cap = {(pool.size - kept) * pool.width}")
    return tuple(rules) if len(rules) == 1 else ()
