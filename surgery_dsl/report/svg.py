"""Draws plots as inline SVG: a few hundred bytes each, in the colours of the page, with a title and a description.

Positions are pixels of a view box 420 wide that a page scales. Every number that is drawn also stands in a table beside
the plot, so that nothing is said by shape or colour alone.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from surgery_dsl.report.document import BarPlot, Histogram, Interval, IntervalPlot, LinePlot, Plot
from surgery_dsl.report.numbers import short

WIDTH = 420
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 10, 38
LONGEST_NAME = 52
FAR = 1e150
"""Numbers beyond which nothing is drawn, so that differences stay finite."""
MOST_POINTS = 400
"""Points of one line that are drawn: more are closer than pixels."""


def svg(plot: Plot, name: str) -> str:
    """Return a plot as one SVG element; ``name`` is unique in its page."""
    if isinstance(plot, LinePlot):
        height, marks = _lines(plot)
    elif isinstance(plot, BarPlot):
        height, marks = _bars(plot)
    elif isinstance(plot, IntervalPlot):
        height, marks = _intervals(plot)
    else:
        height, marks = _bins(plot)
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-t {name}-d">'
    said = f'<title id="{name}-t">{_text(plot.title)}</title><desc id="{name}-d">{_text(plot.description)}</desc>'
    return f"{head}{said}{''.join(marks)}</svg>"


# ---- kinds of plots ----------------------------------------------------------------------------------------------


def _lines(plot: LinePlot) -> tuple[int, list[str]]:
    height = 240
    points = [point for series in plot.series for point in series.points]
    xs, ys = _ticks([x for x, _ in points], whole=True), _ticks([y for _, y in points])
    across, up = _scale(xs, LEFT, WIDTH - RIGHT), _scale(ys, height - BOTTOM, TOP)
    marks = [*_axes(xs, ys, across, up, height), *_labels(plot.x, plot.y, height)]
    for at, series in enumerate(plot.series):
        drawn = _thinned(series.points)
        path = " ".join(f"{_at(across(x))},{_at(up(y))}" for x, y in drawn)
        marks.append(f'<polyline class="line c{at % 6}" points="{path}"/>')
        if len(drawn) <= 40:
            marks += [
                f'<circle class="dot c{at % 6}" cx="{_at(across(x))}" cy="{_at(up(y))}" r="2.5"/>' for x, y in drawn
            ]
    if len(plot.series) > 1:
        for at, series in enumerate(plot.series):
            y = height + 18 * at + 14
            marks.append(f'<rect class="bar c{at % 6}" x="{LEFT}" y="{y - 8}" width="14" height="8"/>')
            marks.append(_label(LEFT + 20, y, _cut(series.name)))
        height += 18 * len(plot.series) + 4
    return height, marks


def _bars(plot: BarPlot) -> tuple[int, list[str]]:
    most = max((abs(value) for _, value in plot.bars), default=0.0) or 1.0
    marks = []
    for at, (name, value) in enumerate(plot.bars):
        y = 34 * at
        wide = (WIDTH - RIGHT - 90) * (abs(value) / most)
        marks.append(_label(4, y + 13, _cut(name)))
        marks.append(f'<rect class="bar c0" x="4" y="{y + 18}" width="{_at(max(wide, 1))}" height="10"/>')
        marks.append(_label(wide + 10, y + 27, short(value), "value"))
    return 34 * len(plot.bars) + 4, marks


def _intervals(plot: IntervalPlot) -> tuple[int, list[str]]:
    marks: list[str] = []
    for at, one in enumerate(plot.intervals):
        marks += _interval(one, 50 * at)
    return 50 * len(plot.intervals) + 4, marks


def _interval(one: Interval, y: int) -> Iterator[str]:
    most = max(one.high, one.low, one.limit or 0.0) or 1.0
    across = _scale((0.0, most), 4, WIDTH - RIGHT - 8)
    low, high = across(one.low), across(one.high)
    yield _label(4, y + 13, _cut(one.name))
    yield f'<line class="axis" x1="4" x2="{WIDTH - RIGHT - 8}" y1="{y + 26}" y2="{y + 26}"/>'
    yield f'<rect class="bar c0" x="{_at(low)}" y="{y + 21}" width="{_at(max(high - low, 1.5))}" height="10"/>'
    if one.limit is not None:
        x = _at(across(one.limit))
        yield f'<line class="limit" x1="{x}" x2="{x}" y1="{y + 17}" y2="{y + 35}"/>'
    said = f"attack {short(one.low)}, bound {short(one.high)}"
    yield _label(4, y + 45, said if one.limit is None else f"{said}, limit {short(one.limit)} (line)", "value")


def _bins(plot: Histogram) -> tuple[int, list[str]]:
    height = 220
    values = [plot.low, plot.high, *(value for _, value in plot.marks)]
    xs, ys = _ticks(values), _ticks([0.0, float(max(plot.counts, default=1))], whole=True)
    across, up = _scale(xs, LEFT, WIDTH - RIGHT), _scale(ys, height - BOTTOM, TOP)
    marks = [*_axes(xs, ys, across, up, height), *_labels(plot.x, "examples", height)]
    width = (plot.high - plot.low) / max(1, len(plot.counts))
    for at, count in enumerate(plot.counts):
        left, right, top = across(plot.low + at * width), across(plot.low + (at + 1) * width), up(count)
        if count:
            size = f'width="{_at(max(right - left - 0.5, 0.5))}" height="{_at(max(height - BOTTOM - top, 1))}"'
            marks.append(f'<rect class="bar c0" x="{_at(left)}" y="{_at(min(top, height - BOTTOM - 1))}" {size}/>')
    for at, (name, value) in enumerate(plot.marks):
        x = _at(across(value))
        marks.append(f'<line class="limit m{at % 3}" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM}"/>')
        y = height + 18 * at + 14
        marks.append(f'<line class="limit m{at % 3}" x1="{LEFT}" x2="{LEFT + 16}" y1="{y - 4}" y2="{y - 4}"/>')
        marks.append(_label(LEFT + 22, y, f"{name}: {short(value)}"))
    return height + 18 * len(plot.marks) + 4, marks


# ---- axes --------------------------------------------------------------------------------------------------------


def _ticks(values: Iterable[float], whole: bool = False) -> tuple[float, ...]:
    """Return round numbers, evenly spaced, from at most the least to at least the greatest value."""
    found = [max(-FAR, min(FAR, value)) for value in values]
    low, high = min(found), max(found)
    if low == high and not whole:
        low, high = low - abs(low) / 2, high + abs(high) / 2
    if high - low < 1 / FAR:
        low, high = low - 1, high + 1
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(at * step for at in range(first, last + 1))


class _Scale:
    """From numbers to pixels."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high, self.first, self.last = low, high, first, last

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.first + max(0.0, min(1.0, share)) * (self.last - self.first)


def _scale(ticks: Sequence[float], first: float, last: float) -> _Scale:
    return _Scale(ticks[0], ticks[-1], first, last)


def _axes(xs: Sequence[float], ys: Sequence[float], across: _Scale, up: _Scale, height: int) -> Iterator[str]:
    for y in ys:
        at = _at(up(y))
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield _label(LEFT - 6, up(y) + 4, _tick(y), "value end")
    for x in xs:
        yield _label(across(x), height - BOTTOM + 15, _tick(x), "value middle")


def _labels(x: str, y: str, height: int) -> Iterator[str]:
    yield _label((LEFT + WIDTH - RIGHT) / 2, height - 5, x, "middle")
    middle = (TOP + height - BOTTOM) / 2
    yield f'<text class="middle" transform="translate(11 {_at(middle)}) rotate(-90)">{_text(y)}</text>'


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def _thinned(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[round(at * (len(points) - 1) / (MOST_POINTS - 1))] for at in range(MOST_POINTS)]


def _label(x: float, y: float, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{_at(x)}" y="{_at(y)}">{_text(text)}</text>'


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _cut(name: str) -> str:
    """Shorten a long name in its middle: paths differ at both ends."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def _text(text: str) -> str:
    return escape("".join(one if one.isprintable() else " " for one in text))
