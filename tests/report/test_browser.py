"""Tests of the page in a browser: it draws, logs and requests nothing, and follows mouse and keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtrl_conic.report.charts import styles
from mtrl_conic.report.page import html
from mtrl_conic.report.reinforcement.report import make_report

from .conftest import LAB, TASKS, load, results, write_lab, write_run
from .test_report import FIGURES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")

LEARNING = "#chart-success_over_steps"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


class Opened:
    """A report's file in a browser tab, with the tab's messages and requests."""

    def __init__(self, browser: Any, file: Path, *, figures: int = FIGURES, **options: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab = browser.new_page(**options)
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(file.as_uri())
        self.tab.wait_for_function(f"document.querySelectorAll('svg.marks').length === {figures}", timeout=60_000)

    def strokes(self, colour: str, chart: str = LEARNING) -> int:
        return int(self.tab.locator(f"{chart} path[stroke='{colour}']").count())

    def wait(self, condition: str) -> None:
        self.tab.wait_for_function(condition)


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    page = tmp_path / "report.html"
    page.write_text(html(make_report(load(folder))))
    return page


def test_drawn_silent_and_alone(browser: Any, file: Path, folder: Path) -> None:
    opened = Opened(browser, file)
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
    found = results(folder)
    for balancer, runs in found.items():
        row = opened.tab.locator("#table-headline tbody tr", has=opened.tab.get_by_role("rowheader", name=balancer))
        mean = sum(run["mean_success"] for run in runs) / len(runs)
        assert float(row.locator("td").nth(1).get_attribute("data-value")) == pytest.approx(mean)
    opened.tab.close()


def test_a_method_is_hidden_by_its_box_and_by_the_space_bar(browser: Any, file: Path, folder: Path) -> None:
    opened, colour = Opened(browser, file), styles(load(folder).labels)["ls"].colour
    drawn = opened.strokes(colour)
    assert drawn > 0
    opened.tab.get_by_label("ls", exact=True).click()
    gone = f"document.querySelectorAll(\"{LEARNING} path[stroke='{colour}']\").length === 0"
    opened.wait(gone)
    columns = opened.tab.locator("#chart-heat_map .role-axis-label text").all_text_contents()
    assert "conicgrad" in columns
    assert "ls" not in columns
    opened.tab.get_by_label("ls", exact=True).focus()
    opened.tab.keyboard.press("Space")
    opened.wait(gone.replace("=== 0", f"=== {drawn}"))
    assert opened.said == []
    opened.tab.close()


def test_steps_or_minutes(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    steps, minutes = (opened.tab.locator(f"#success_over_{name}") for name in ("steps", "minutes"))
    assert (steps.is_visible(), minutes.is_visible()) == (True, False)
    opened.tab.get_by_label("steps", exact=True).focus()
    opened.tab.keyboard.press("ArrowRight")
    assert (steps.is_visible(), minutes.is_visible()) == (False, True)
    opened.wait("document.querySelector('#chart-success_over_minutes svg').getBoundingClientRect().width > 400")
    assert opened.said == []
    opened.tab.close()


def test_hovering_tells_the_numbers(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    opened.tab.locator(f"{LEARNING} .mark-symbol path").first.hover()
    tooltip = opened.tab.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "conicgrad" in tooltip.inner_text()
    opened.tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_on_a_phone(browser: Any, file: Path, scheme: str) -> None:
    opened = Opened(browser, file, color_scheme=scheme, viewport={"width": 390, "height": 800})
    read = "element => getComputedStyle(element)"
    back = opened.tab.evaluate(f"({read})(document.body).backgroundColor")
    text = opened.tab.evaluate(f"({read})(document.querySelector('{LEARNING} .role-axis-label text')).fill")
    assert (back, text) == {
        "light": ("rgb(255, 255, 255)", "rgb(27, 31, 36)"),
        "dark": ("rgb(20, 23, 26)", "rgb(230, 233, 236)"),
    }[scheme]
    sizes = json.loads(opened.tab.evaluate("JSON.stringify([document.documentElement.scrollWidth, innerWidth])"))
    assert sizes[0] <= sizes[1], "only tables scroll sideways, in frames of their own"
    opened.tab.close()


def test_every_chart_has_words(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    names = opened.tab.locator(".chart:has(svg.marks)").evaluate_all("all => all.map(chart => chart.ariaLabel)")
    assert len(names) == FIGURES
    assert min(len(name) for name in names) > 40
    opened.tab.close()


@pytest.mark.parametrize("width", [390, 1200])
def test_a_small_chart_for_each_task(browser: Any, tmp_path: Path, width: int) -> None:
    """If only some tasks define success, both curves switch axes together, and none is wider than the page."""
    report = make_report(load(write_lab(tmp_path / "lab", rated=LAB[2:])))
    page = tmp_path / "report.html"
    page.write_text(html(report))
    opened = Opened(browser, page, figures=len(report.figures), viewport={"width": width, "height": 800})
    chart = "#chart-return_over_steps svg.marks"
    assert set(LAB) <= set(opened.tab.locator(f"{chart} text").all_text_contents())
    assert opened.tab.locator(chart).evaluate("chart => chart.getBoundingClientRect().right") <= width
    opened.tab.get_by_label("minutes", exact=True).check()
    for name in ("success_over", "return_over"):
        assert not opened.tab.locator(f"#{name}_steps").is_visible()
        assert opened.tab.locator(f"#{name}_minutes").is_visible()
    colour = report.styles["ls"].colour
    assert opened.strokes(colour, "#chart-return_over_minutes") > 0
    opened.tab.get_by_label("ls", exact=True).click()
    gone = f"#chart-return_over_minutes path[stroke='{colour}']"
    opened.wait(f'document.querySelectorAll("{gone}").length === 0')
    assert opened.said == []
    opened.tab.close()


def test_few_seeds_say_nothing_on_the_console(browser: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "ls", "ls", 0)
    report = make_report(load(tmp_path))
    page = tmp_path / "report.html"
    page.write_text(html(report))
    opened = Opened(browser, page, figures=len(report.figures))
    assert opened.said == []
    opened.tab.close()


def test_numbers_in_cells_are_shown_where_they_fit(browser: Any, many: Path) -> None:
    shown = """() => [...document.querySelectorAll("#chart-heat_map .mark-text.role-mark text")]
        .filter(text => +getComputedStyle(text).opacity > 0).length"""
    for width, cells in ((390, 8 * len(TASKS)), (220, 0)):
        opened = Opened(browser, many, viewport={"width": width, "height": 800})
        assert opened.tab.evaluate(shown) == cells
        opened.tab.close()


def test_on_paper_nothing_is_cut_off(browser: Any, many: Path) -> None:
    """The window is as wide as a letter page; on the screen the tables scroll at this width."""
    opened = Opened(browser, many, viewport={"width": 740, "height": 900})
    cut = """() => [...document.querySelectorAll(".wide > table, svg.marks")].filter(part => part.offsetParent !== null
        || part.tagName === "svg").filter(part => part.getBoundingClientRect().right > innerWidth).length"""
    assert opened.tab.evaluate(cut) > 0
    opened.tab.emulate_media(media="print")
    assert opened.tab.evaluate(cut) == 0
    assert not opened.tab.locator("nav").is_visible()
    opened.tab.close()


SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
BACKGROUNDS = {"light": (255, 255, 255), "dark": (20, 23, 26)}
TOUCHING = """
() => [...document.querySelectorAll("svg.marks")].flatMap(chart =>
  [...chart.querySelectorAll(".role-axis-label")].flatMap(axis => {
    const boxes = [...axis.querySelectorAll("text")]
      .filter(text => text.textContent && getComputedStyle(text).opacity !== "0")
      .map(text => [text.textContent, text.getBoundingClientRect(), text.getAttribute("transform")])
      .filter(([words, box, turned]) => box.width > 0 && !/rotate/.test(turned));
    return boxes.flatMap(([words, a], i) => boxes.slice(i + 1)
      .filter(([_, b]) => a.left < b.right && b.left < a.right && a.top + 1 < b.bottom - 1 && b.top + 1 < a.bottom - 1)
      .map(([others]) => `${chart.closest("figure").id}: ${words} on ${others}`));
  }))
"""
"""The labels of an axis that touch each other, turned ones left out."""

COVERED = f"""
() => {{
  const box = document.querySelector("fieldset").getBoundingClientRect();
  const chart = document.querySelector("{LEARNING} svg.marks").getBoundingClientRect();
  return Math.min(box.bottom, chart.bottom) - Math.max(box.top, chart.top);
}}"""
"""Pixels of a chart that the box of the methods lies on; less than none where they lie apart."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a report on eight methods."""
    folder = tmp_path_factory.mktemp("many")
    for width in range(8, 16):
        for seed in range(2):
            write_run(folder / f"{width}" / f"seed_{seed}", "ls", seed, agent={"width": width}, steps=1_234_567)
    page = folder / "report.html"
    page.write_text(html(make_report(load(folder))))
    return page


@pytest.mark.parametrize("size", SIZES)
def test_screenshots(browser: Any, many: Path, tmp_path: Path, size: str) -> None:
    width, height = SIZES[size]
    opened = Opened(browser, many, viewport={"width": width, "height": height})
    tab, picture = opened.tab, tmp_path / "page.png"
    for scheme, background in BACKGROUNDS.items():
        tab.emulate_media(color_scheme=scheme)
        tab.screenshot(path=picture, full_page=True)
        pixels = np.asarray(Image.open(picture).convert("RGB")).astype(np.int16)
        assert pixels.shape[1] == width, "nothing but tables scrolls sideways"
        share = (np.abs(pixels - background).max(-1) < 3).mean()
        assert 0.5 < share < 0.99, "the page's own background, and something on it"
        for style in list(styles(load(many.parent).labels).values())[:4]:
            ink = [int(style.colour[at : at + 2], 16) for at in (1, 3, 5)]
            assert (np.abs(pixels - ink).max(-1) < 30).sum() > 100, "every method's colour is seen"
    assert tab.evaluate(TOUCHING) == []
    tab.locator(LEARNING).evaluate("chart => chart.closest('figure').scrollIntoView({block: 'start'})")
    assert tab.evaluate(COVERED) <= 0, "the box of the methods leaves the charts in sight"
    assert opened.said == []
    tab.close()
