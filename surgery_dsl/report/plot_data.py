"""What a plot shows, as a table: beside it in HTML, in its place in Markdown."""

from surgery_dsl.report.document import BarPlot, Column, Histogram, IntervalPlot, LinePlot, Plot, Table, table
from surgery_dsl.report.numbers import short

LEVELS = "▁▂▃▄▅▆▇█"
WIDTH = 20
"""Blocks of the longest bar in text."""


def data_of(plot: Plot) -> Table:
    """Return the numbers of a plot."""
    if isinstance(plot, LinePlot):
        return _lines(plot)
    if isinstance(plot, BarPlot):
        return _bars(plot)
    if isinstance(plot, IntervalPlot):
        return _intervals(plot)
    return _bins(plot)


def _lines(plot: LinePlot) -> Table:
    columns = (
        Column("", "name"),
        Column("course"),
        Column("first", "number"),
        Column("least", "number"),
        Column("last", "number"),
        Column(plot.x, "number"),
    )
    rows = []
    for series in plot.series:
        values = [y for _, y in series.points]
        course = spark(values)
        rows.append(
            (series.name, course, short(values[0]), short(min(values)), short(values[-1]), short(series.points[-1][0]))
        )
    return table(plot.title, columns, rows)


def spark(values: list[float], width: int = 24) -> str:
    """Return the course of numbers as a row of blocks of eight heights; of many, evenly spaced ones."""
    if len(values) > width:
        values = [values[round(at * (len(values) - 1) / (width - 1))] for at in range(width)]
    low, high = min(values), max(values)
    if low / 2 == high / 2:
        return LEVELS[0] * len(values)
    half = high / 2 - low / 2  # the whole may be too large for a float
    return "".join(LEVELS[min(7, int(4 * ((value / 2 - low / 2) / half) * 2))] for value in values)


def _bars(plot: BarPlot) -> Table:
    most = max((abs(value) for _, value in plot.bars), default=0.0)
    rows = [(name, short(value), _bar(value, most)) for name, value in plot.bars]
    return table(plot.title, (Column("", "name"), Column(plot.unit, "number"), Column("")), rows)


def _bar(value: float, most: float) -> str:
    return "█" * max(int(value != 0), round(WIDTH * (abs(value) / most))) if most else ""


def _intervals(plot: IntervalPlot) -> Table:
    titles = ("attack reached", "bounded by", "limit", "bound / attack")
    columns = (Column("", "name"), *(Column(title, "number") for title in titles))
    rows = [
        (
            one.name,
            short(one.low),
            short(one.high),
            "" if one.limit is None else short(one.limit),
            f"{one.high / one.low:.3g}" if one.low > 0 else "",
        )
        for one in plot.intervals
    ]
    return table(plot.title, columns, rows)


def _bins(plot: Histogram) -> Table:
    width = (plot.high - plot.low) / max(1, len(plot.counts))
    most = max(plot.counts, default=0)
    rows = [
        (f"{plot.low + at * width:.4g} … {plot.low + (at + 1) * width:.4g}", f"{count:,}", _bar(count, most))
        for at, count in enumerate(plot.counts)
        if count
    ]
    rows += [(f"{name}: {short(value)}", "", "") for name, value in plot.marks]
    return table(plot.title, (Column(plot.x, "name"), Column("examples", "number"), Column("")), rows)
