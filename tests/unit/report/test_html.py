"""The page: well formed, whole in one file, readable without script, and deaf to whatever a plan says."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from surgery_dsl.certificate.model import Predicate
from surgery_dsl.proof.change_reasons import Reason
from surgery_dsl.proof.plan_changes import Change, PlanChanges
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.document import Document, Items, Section, Text
from surgery_dsl.report.html import html
from surgery_dsl.report.markdown import markdown
from surgery_dsl.report.result import Result
from tests.unit.report.made import predicate
from tests.unit.report.page import Page

HOSTILE = "</title></desc></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;](javascript:3)|\n# x"


def result(made: Predicate, folder: Path = Path("nowhere")) -> Result:
    return Result(folder, made, (), None, "it was never followed")


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html(document(result(predicate()))))


def test_every_element_is_closed_and_every_name_is_used_once(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names)) > 10
    said = [attributes.get("aria-labelledby") or "" for _, attributes in page.tags]
    assert {name for text in said for name in text.split()} <= set(names)
    assert {(link["href"] or "").removeprefix("#") for link in page.having("a")} <= set(names)


def test_the_page_needs_nothing_else(page: Page) -> None:
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section", "figure"}
    allowed |= {
        "figcaption",
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "div",
        "ul",
        "li",
        "a",
        "details",
        "summary",
        "pre",
        "code",
    }
    allowed |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "br"}
    allowed |= {"svg", "desc", "text", "rect", "line", "circle", "polyline"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert not any({"src", "srcset", "style", "data"} & attributes.keys() for _, attributes in page.tags)
    assert all((link["href"] or "").startswith("#") for link in page.having("a"))
    assert any("default-src 'none'" in (one.get("content") or "") for one in page.having("meta"))


def test_tables_and_plots_can_be_read_aloud(page: Page) -> None:
    tables = page.having("table")
    assert len(tables) == len(page.having("caption")) > 8
    assert all(head.get("scope") in ("col", "row") for head in page.having("th"))
    plots = page.having("svg")
    assert len(plots) == len(page.having("desc")) == len(page.having("figure")) >= 4
    assert all(plot["role"] == "img" for plot in plots)


def test_colours_follow_the_reader_and_paper_is_light() -> None:
    text = html(document(result(predicate())))
    light = set(re.findall(r"--\w+(?=:)", text.split("@media")[0]))
    for part in text.split("@media")[1:]:
        assert set(re.findall(r"--\w+(?=:)", part)) == light
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used <= light


def spoiled(value: Any, text: str) -> Any:
    """Put a text into every free text of a predicate."""
    if isinstance(value, dict):
        kept = ("verb", "status", "verdict", "role", "form", "method", "relation", "arithmetic", "quantity", "how")
        kept = (
            (*kept, "sha256", "seal", "format", "block", "effect", "kind") if "kind" not in value else (*kept, "kind")
        )
        return {key: one if key in kept else spoiled(one, text) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [spoiled(one, text) for one in value]
    return value + text if isinstance(value, str) else value


def test_nothing_that_a_plan_says_is_markup() -> None:
    made = Predicate.model_validate(spoiled(predicate().model_dump(mode="json", by_alias=True), HOSTILE))
    text = html(document(result(made)))
    page = Page(text)
    assert page.having("script") == page.having("img") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("<script>alert(1)</script>") > 30
    assert "<script" not in text
    written = markdown(document(result(made)))
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(written)
    kinds = {inner.type for token in tokens for inner in (token, *(token.children or ()))}
    assert {"code_inline", "td_open", "heading_open"} <= kinds
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "em_open"})
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert not any(heading.startswith("x") for heading in headings)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_text_comes_back_as_it_was(text: str) -> None:
    page = Page(html(Document(text, text, (), (Text(text), Items((text,))), (Section("one", text, ()),))))
    wanted = "".join(one if one.isprintable() else " " for one in text)
    assert wanted.replace("`", "") in "".join(page.words).replace("`", "")
    assert page.having("script") == []


def test_equal_results_give_equal_bytes() -> None:
    first, again = (html(document(result(predicate()))) for _ in range(2))
    assert first == again
    assert first != html(document(result(predicate(4))))


def unlike(count: int) -> PlanChanges:
    """Return changes of which no two can be told together."""
    why = Reason(why="coupled", step="weak", block="identify", line=9, source="stages.3.blocks.17.convolution")
    changes = tuple(
        Change(
            kind=kind,
            action="changed",
            path=f"stages.{at % 7}.blocks.{at}.convolution_{at * at}.weight",
            before=f"{at} × 64 × 3 × 3",
            after=f"{at // 2} × 40 × 3 × 3",
            reasons=(why.replaced(dims=(0,)), why.replaced(dims=(1,), line=at)),
        )
        for kind in ("module", "tensor", "integer")
        for at in range(count)
    )
    return PlanChanges(
        changes=changes, written=(), tensors=count, modules=count, removed=0, added=0, untouched=0, steps=1
    )


def test_the_page_of_a_large_network_stays_small() -> None:
    made = replace(result(predicate(500)), changes=unlike(500))
    page, written = html(document(made)), markdown(document(made))
    assert len(page.encode()) < 300_000
    assert len(written.encode()) < 200_000
    for text in (page, written):
        assert text.count("and 380 rows more") >= 4
