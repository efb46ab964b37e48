"""One sign or one end of the bound engine turned round is found by random functions and networks."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from surgery_dsl.evidence.bounds import analysis, backward, change, changes, difference, known, leading, lengths, scalar
from tests.unit.evidence.bound_fuzz import networks, problems

MUTATIONS: list[tuple[Any, str, str, str]] = [
    (scalar, "_bands", "rest.amin(0) - error", "rest.amax(0) - error"),
    (scalar, "_bands", "rest.amax(0) + error", "rest.amin(0) + error"),
    (scalar, "_bands", "values - slope * points", "values + slope * points"),
    (scalar, "_bands", "rest.amin(0) - error", "rest.amin(0) + error"),
    (scalar, "_remainder", "/ 8", "/ -8"),
    (scalar, "_remainder", "+ scalar.slack", "- scalar.slack"),
    (scalar, "_points", "for at in scalar.breaks", "for at in ()"),
    (scalar, "span", "values.amin(0) - error", "values.amax(0) - error"),
    (scalar, "span", "values.amax(0) + error", "values.amin(0) + error"),
    (scalar, "slopes", "found - room, torch", "found + room, torch"),
    (scalar, "slopes", "inf)).amin(0)", "inf)).amin(0) + 0.1"),
    (scalar, "slopes", "found + room, torch", "found - room, torch"),
    (difference, "_chord", "torch.maximum if upper else torch.minimum", "torch.minimum if upper else torch.maximum"),
    (difference, "_chord", "pick(first - slope * low, last - slope * high)", "first + slope * low"),
    (difference, "_change", "low + rest.low", "low - rest.low"),
    (difference, "_change", "high + rest.high", "high - rest.high"),
    (difference, "_change", "difference(new, old)", "difference(old, new)"),
    (difference, "_change", "torch.maximum(before[1], after[1])", "torch.minimum(before[1], after[1])"),
    (difference, "_change", "torch.minimum(before[0], after[0])", "torch.maximum(before[0], after[0])"),
    (difference, "centre", "torch.maximum(most - of_delta, of_delta - least)", "torch.minimum(most - of_delta, least)"),
    (difference, "centre", "torch.minimum(before[0], after[0])", "torch.maximum(before[0], after[0])"),
    (difference, "centre", "reach, rest + slack", "reach, slack"),
    (difference, "centre", "Plane(band.slope, of_delta", "Plane(-band.slope, of_delta"),
    (difference, "apart", "new.low - old.high", "new.low - old.low"),
    (difference, "apart", "new.low_slope - old.high_slope", "new.low_slope + old.high_slope"),
    (difference, "apart", "new.high_slope - old.low_slope, new.high_slope", "new.high_slope, new.high_slope"),
    (difference, "_tighter", "torch.where(take, other.offset, one.offset)", "torch.where(take, one.offset, other.offset)"),  # noqa: E501
    (difference, "tighter", "one.low, other.low", "one.low, other.high"),
    (backward.Sided, "on_lines", "rows.clamp(min=0), rows.clamp(max=0)", "rows.clamp(max=0), rows.clamp(min=0)"),
    (backward.Sided, "on_lines", "lines.high_slope, lines.low_slope", "lines.low_slope, lines.high_slope"),
    (backward.Sided, "on_lines", "total(below, lines.low)", "total(below, lines.high)"),
    (backward.Sided, "on_planes", "rows.clamp(min=0), rows.clamp(max=0)", "rows.clamp(max=0), rows.clamp(min=0)"),
    (backward.Sided, "on_planes", "high.of_delta, low.of_delta", "low.of_delta, high.of_delta"),
    (backward.Sided, "on_planes", "high.of_z, low.of_z", "low.of_z, high.of_z"),
    (backward.Sided, "on_planes", "total(below, low.offset)", "total(below, high.offset)"),
    (backward.Sided, "on_planes", "away + total(rows, middle.offset)", "total(rows, middle.offset)"),
    (backward.Sided, "on_planes", "rows * middle.of_delta.unsqueeze(1)", "-rows * middle.of_delta.unsqueeze(1)"),
    (backward, "_away", "length.unsqueeze(1)", "length.unsqueeze(1) / 4"),
    (backward, "_away", "+ total(rows.abs(), change.centre.rest)", "- total(rows.abs(), change.centre.rest)"),
    (backward, "_through", "form.constant += total(rows, node.offset)", "form.constant -= total(rows, node.offset)"),
    (backward, "_through_change", "of_z - of_delta", "of_z + of_delta"),
    (backward, "_through_change", "of_z.sub_(on_new)", "of_z.add_(on_new)"),
    (backward, "_through_change", "form, rows + more, known", "form, rows, known"),
    (backward.Form, "both", "self.constant, -self.constant", "self.constant, self.constant"),
    (backward.Form, "both", "torch.cat([one, -one], 1)", "torch.cat([one, one], 1)"),
    (leading.Leading, "_carried", "constant + total", "constant - total"),
    (leading.Leading, "_carried", "rows[source] + back", "back"),
    (leading.Leading, "form", "led.constant * factor", "led.constant"),
    (leading.Leading, "form", "rows * factor", "rows * factor.abs()"),
    (backward, "_through_change", "more.index_fill(2, change.new, 0)", "more"),
    (backward, "_through_change", "rows.index_add(2, change.old, matched)", "rows"),
    (backward, "_over", "total(rows.clamp(min=0), box.high)", "total(rows.clamp(min=0), box.low)"),
    (backward, "_over", "total(rows.clamp(max=0), box.low)", "total(rows.clamp(max=0), box.high)"),
    (backward, "_over", "bound + form.error * (1 + 1e-6) + 64 * U64", "bound - form.error * (1 + 1e-6) - 64 * U64"),
    (changes, "_largest", "torch.inf).amin(-1)", "torch.inf).amax(-1)"),
    (changes, "_largest", "-torch.inf).amax(-1)", "torch.inf).amin(-1)"),
    (changes, "_delta", "after[0] - before[1], after[1] - before[0]", "after[0] - before[0], after[1] - before[1]"),
    (changes, "_delta", "units[0][open_], -1.0", "units[0][open_], 1.0"),
    (changes, "_pointwise", "before[0] + delta[0]", "before[1] + delta[0]"),
    (changes, "_pointwise", "before[1] + delta[1]", "before[0] + delta[1]"),
    (analysis.Analysis, "_affine", "middle - radius - room", "middle + radius - room"),
    (analysis.Analysis, "_affine", "middle + radius + room", "middle - radius + room"),
    (analysis.Analysis, "_largest", "least, most = lows.amax(-1), highs.amax(-1)", "least, most = lows.amax(-1), highs.amin(-1)"),  # noqa: E501
    (analysis.Analysis, "_largest", "least, most = lows.amax(-1)", "least, most = highs.amax(-1)"),
    (analysis.Analysis, "_largest", "sure = least >= others", "sure = least <= others"),
    (analysis.Analysis, "of_units", "lows.append(-found", "lows.append(found"),
    (lengths.Centred, "on_lines", "rows * band.slope", "-rows * band.slope"),
    (lengths.Centred, "on_planes", "rows * centre.plane.of_delta", "-rows * centre.plane.of_delta"),
    (lengths.Centred, "on_planes", "self._within(rows, centre.reach)", "None"),
    (lengths.Centred, "on_planes", "self._ball(rows * centre.reach.unsqueeze(1), change.length)", "None"),
    (lengths.Centred, "box", "self._within(rows, torch.maximum(ends[1] - middle, middle - ends[0]))", "None"),
    (lengths.Centred, "greatest", "size.sqrt()", "size.rsqrt()"),
    (lengths, "length", "linalg.vector_norm(form.constant, dim=1) +", "zeros_like(form.constant[:, 0]) +"),
    (lengths, "length", "(found + centred.greatest())", "(found - centred.greatest())"),
    (lengths, "spectral_norm", "return size * (inner", "return size * (inner * inner"),
    (known.Known, "narrow", "torch.minimum(self.high[key], high)", "torch.maximum(self.low[key], low)"),
    (change.Comparison, "bound", "ends[0]: -rows", "ends[0]: rows"),
]  # fmt: skip


def turned(owner: Any, name: str, text: str, other: str) -> Any:
    """Return a function of a module or class with one piece of its text replaced."""
    function = vars(owner)[name]
    source = textwrap.dedent(inspect.getsource(function))
    assert text in source, f"`{text}` is not in {name}"
    found: dict[str, Any] = {}
    exec(compile(source.replace(text, other, 1), "<turned>", "exec"), function.__globals__, found)
    return found[name]


def first_problem(found: Iterator[str]) -> "str | None":
    """Return what is found first, a refusal among it."""
    try:
        return next(found, None)
    except (ArithmeticError, AssertionError) as error:
        return str(error) or type(error).__name__


def test_nothing_is_broken() -> None:
    assert first_problem(problems(1000, 30, range(4))) is None


@pytest.mark.parametrize(("owner", "name", "text", "other"), MUTATIONS, ids=lambda value: str(value)[:40])
def test_a_mutation_is_found(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, text: str, other: str) -> None:
    monkeypatch.setattr(owner, name, turned(owner, name, text, other))
    alone = owner in (scalar, difference)
    assert first_problem(problems(100, 12, range(0)) if alone else networks(range(5), 12)) is not None
