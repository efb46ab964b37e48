"""Plots: what is drawn lies inside, and what is counted is what NumPy counts."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.report.contents.evidence import statistics
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.document import BarPlot, Histogram, Interval, IntervalPlot, LinePlot, Series
from surgery_dsl.report.numbers import number_of, shown
from surgery_dsl.report.plot_data import data_of, spark
from surgery_dsl.report.result import read_result
from surgery_dsl.report.svg import svg
from tests.unit.report.made import ITEMS, predicate, put, tensor_file
from tests.unit.report.page import Page

numbers = st.floats(allow_nan=False, allow_infinity=False)


def inside(page: Page) -> None:
    """Every mark lies within the view box."""
    box = [float(one) for one in (page.having("svg")[0]["viewbox"] or "").split()]
    for tag, attributes in page.tags:
        if tag in ("line", "rect", "circle"):
            for name in ("x", "x1", "x2", "cx"):
                assert 0 <= float(attributes.get(name) or 0) <= box[2]
            for name in ("y", "y1", "y2", "cy"):
                assert 0 <= float(attributes.get(name) or 0) <= box[3]
            assert float(attributes.get("x") or 0) + float(attributes.get("width") or 0) <= box[2] + 0.1
            assert float(attributes.get("width") or 1) > 0
        if tag == "polyline":
            points = [tuple(map(float, point.split(","))) for point in (attributes["points"] or "").split()]
            assert all(0 <= x <= box[2] and 0 <= y <= box[3] for x, y in points)


@given(st.lists(numbers, min_size=1, max_size=12))
def test_lines_stay_inside(values: list[float]) -> None:
    points = tuple((float(at), value) for at, value in enumerate(values))
    plot = LinePlot("losses", "of a step", "epoch", "loss", (Series("a", points), Series("b", points[:1])))
    inside(Page(svg(plot, "p")))
    assert len(data_of(plot).rows) == 2


@given(st.lists(st.tuples(st.text(max_size=90), numbers), max_size=8))
def test_bars_stay_inside(bars: list[tuple[str, float]]) -> None:
    inside(Page(svg(BarPlot("layers", "by score", "score", tuple(bars)), "p")))


@given(st.floats(0, 1e300), st.floats(0, 1e300), st.none() | st.floats(0, 1e300))
def test_intervals_stay_inside(low: float, width: float, limit: float | None) -> None:
    plot = IntervalPlot("bounds", "one", (Interval("claim", low, low + width, limit),))
    inside(Page(svg(plot, "p")))


@given(numbers, numbers, st.lists(st.integers(0, 10**9), min_size=1, max_size=30), numbers)
def test_histograms_stay_inside(one: float, other: float, counts: list[int], mark: float) -> None:
    low, high = sorted((one, other))
    plot = Histogram("values", "of examples", "loss", low, high, tuple(counts), (("mean", mark),))
    inside(Page(svg(plot, "p")))
    assert len(data_of(plot).rows) == sum(map(bool, counts)) + 1


def test_a_falling_line_falls() -> None:
    plot = LinePlot("losses", "", "epoch", "loss", (Series("a", ((1, 2.0), (2, 1.0), (3, 0.5))),))
    (line,) = Page(svg(plot, "p")).having("polyline")
    points = [tuple(map(float, point.split(","))) for point in (line["points"] or "").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][1] < points[1][1] < points[2][1]  # down the page
    assert (points[1][1] - points[0][1]) / (points[2][1] - points[1][1]) == pytest.approx(2, abs=0.02)


def test_the_course_of_numbers_is_told_in_blocks() -> None:
    assert spark([0.0, 7.0, 3.5]) == "▁█▅"
    assert spark([1.0, 1.0]) == "▁▁"
    assert len(spark([float(at) for at in range(1000)])) == 24


@pytest.mark.parametrize(
    ("text", "value", "people"),
    [
        ("70/71", 70 / 71, "0.985915"),
        ("0x1.8000000000000p-2", 0.375, "0.375"),
        ("1000000", 1e6, "1,000,000"),
        ("1e999", None, "1e999"),
        ("1/0", None, "1/0"),
        ("largest difference 0", None, "largest difference 0"),
        ("0x1.0p9999", None, "0x1.0p9999"),
    ],
)
def test_numbers_are_exact_and_readable(text: str, value: float | None, people: str) -> None:
    assert number_of(text) == (None if value is None else pytest.approx(value))
    if text != "1e999":
        assert shown(text) == people


def histogram(folder: Path) -> list[Histogram]:
    section = statistics(read_result(folder))
    assert section is not None
    return [part for part in section.parts if isinstance(part, Histogram)]


def test_the_examples_of_a_statistical_claim_are_counted_from_its_file(tmp_path: Path) -> None:
    values = np.random.default_rng(3).gamma(0.5, size=300).tolist()
    (plot,) = histogram(put(tmp_path / "out", predicate(values=values), values))
    counts, edges = np.histogram(values, bins=24)
    assert plot.counts == tuple(counts)
    assert (plot.low, plot.high) == (pytest.approx(edges[0]), pytest.approx(edges[-1]))
    assert dict(plot.marks) == {"mean": pytest.approx(math.fsum(values) / 300), "bound": 0.25, "limit": 0.5}


@pytest.mark.parametrize(
    "content", [b"", tensor_file((1.0, 2.0)), tensor_file((1.0, 2.0, math.nan)), b"PK\3\4", b"\xff" * 40]
)
def test_a_file_that_is_not_what_the_claim_says_is_not_drawn(tmp_path: Path, content: bytes) -> None:
    folder = put(tmp_path / "out", predicate())
    (folder / ITEMS).write_bytes(content)
    assert histogram(folder) == []
    assert "was changed after it was certified" in str(document(read_result(folder)).warnings)


def test_no_file_outside_of_the_result_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.safetensors").write_bytes(tensor_file((0.0, 0.1, 0.2)))
    made = predicate()
    claims = tuple(
        one.replaced(evidence=one.evidence.replaced(file="../secret.safetensors"))
        if one.evidence is not None and one.evidence.kind == "statistical"
        else one
        for one in made.claims.measured
    )
    made = made.replaced(claims=made.claims.replaced(measured=claims))
    assert histogram(put(tmp_path / "out", made)) == []
