"""The page in a real browser, where there is one: nothing is fetched, nothing hangs over, every text can be read.

Needs ``playwright`` and a Chromium: its own (``playwright install chromium``) or the system's.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from surgery_dsl.certificate.health import MergedLayer, MergeHealth
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.html import html
from surgery_dsl.report.result import Result
from tests.unit.report.made import predicate

api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CONTRAST = 4.5
"""What WCAG 2.2, success criterion 1.4.3, asks of text."""

WIDTHS = (400, 1100)

OVERHANGING = """() => {
  const wide = document.documentElement.clientWidth, inside = e => e.closest('.wide, pre');
  const found = document.documentElement.scrollWidth > wide ? ['the page'] : [];
  for (const e of document.querySelectorAll('body *'))
    if (!inside(e) && e.getClientRects().length && e.getBoundingClientRect().right > wide + 1) found.push(e.outerHTML);
  return found.map(one => one.slice(0, 200));
}"""

CRAMPED = """() => [...document.querySelectorAll('tbody td, tbody th')].filter(e => {
  const own = document.createRange();
  own.selectNodeContents(e);
  const lines = new Set([...own.getClientRects()].map(one => Math.round(one.bottom / 4))).size;
  return e.innerText.trim() && lines > 2 && e.innerText.trim().length / lines < 9;
}).map(e => e.innerText.slice(0, 60))"""
"""Cells whose text is broken after every few characters."""

CONTRASTS = """() => {
  const numbers = text => (text.match(/[0-9.]+/g) || []).map(Number);
  const light = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  };
  const found = {}, walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement, style = getComputedStyle(e);
    if (!node.data.trim() || !e.getClientRects().length || e.closest('desc')) continue;
    const ink = numbers(e.closest('svg') ? style.fill : style.color), paper = behind(e);
    const [a, b] = [luminance(ink), luminance(paper)].sort((x, y) => y - x);
    const name = `${e.tagName}.${e.getAttribute('class') || ''}`;
    found[name] = Math.min(found[name] ?? 99, (a + 0.05) / (b + 0.05) * (ink[3] ?? 1));
  }
  return found;
}"""

HEADINGS = """() => [...document.querySelectorAll('section')].map(section => {
  const heading = document.getElementById(section.getAttribute('aria-labelledby'));
  return [section.id, heading !== null && section.contains(heading) && heading.getClientRects().length > 0
          && heading.innerText.trim().length > 0];
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        found = str(own) if own.exists() else shutil.which("chromium") or shutil.which("chromium-browser")
        if not found:
            pytest.skip("there is no Chromium: run `playwright install chromium`")
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of claim, layers with long names, and a merge."""
    made = predicate(count=40)
    assert made.health is not None
    layers = tuple(
        MergedLayer(path=f"model.layers.{at}.self_attn.q_proj", dtype="bf16", lost=0.1 / (1 + at), vanished=0.25)
        for at in range(12)
    )
    merge = MergeHealth(
        step="merged", data="test", examples=64, largest=1.9, mean=0.02, answers=64, changed=3, layers=layers
    )
    made = made.replaced(health=made.health.replaced(merges=(merge,)))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(document(Result(Path("nowhere"), made, (), None, "it was never followed"))), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_can_be_read(browser: Any, report: Path, scheme: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    for opened in (False, True):
        if opened:
            page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert page.evaluate(OVERHANGING) == []
        assert page.evaluate(CRAMPED) == []
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 15
        assert {name: round(ratio, 2) for name, ratio in contrasts.items() if ratio < CONTRAST} == {}
    assert dict(page.evaluate(HEADINGS)).keys() > {"health"}
    assert all(shown for _, shown in page.evaluate(HEADINGS))
    assert said == []
    assert asked == [report.as_uri()]
    context.close()


def test_links_lead_to_their_sections(browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(report.as_uri())
    for link in page.locator("nav a").all():
        link.click()
        name = link.get_attribute("href").removeprefix("#")
        assert page.evaluate("() => document.querySelector(':target').id") == name
        assert page.locator(f"#{name}-h").is_visible()
    page.close()


def test_without_scripts_it_says_the_same(browser: Any, report: Path) -> None:
    texts = []
    for scripts in (True, False):
        context = browser.new_context(java_script_enabled=scripts, viewport={"width": 1100, "height": 900})
        page = context.new_page()
        page.goto(report.as_uri())
        page.locator("summary").first.click()  # what is folded opens without a script
        assert page.locator("details").first.get_attribute("open") is not None
        texts.append(page.locator("body").inner_text())
        context.close()
    assert texts[0] == texts[1]
    assert "it moved outputs by up to 1.9" in texts[0]


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        ("<p style='color:#999'>pale</p>", "contrast"),
        ("<div style='width:3000px;height:1px'></div>", "overhang"),
        (
            "<table style='width:3rem;min-width:0'><tr><td style='min-width:0;overflow-wrap:anywhere'>layers.0.weight",
            "cramped",
        ),
    ],
)
def test_the_measures_can_fail(browser: Any, report: Path, broken: str, seen: str, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text(report.read_text(encoding="utf-8").replace("</main>", f"{broken}</main>"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
    page.goto(spoilt.as_uri())
    if seen == "contrast":
        assert min(page.evaluate(CONTRASTS).values()) < CONTRAST
    else:
        assert page.evaluate({"overhang": OVERHANGING, "cramped": CRAMPED}[seen]) != []
    page.close()
