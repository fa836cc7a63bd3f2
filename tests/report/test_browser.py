"""The page in a real browser: no error on the console, every figure drawn, nothing wider than the window."""

import contextlib
import os
import re
import shutil
from dataclasses import dataclass

import pytest
from playwright.sync_api import sync_playwright
from tests.report import ground, records

from schuss.report import render, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
DESK = (1200, 900)

SEEN = """() => {
  const drawn = [...document.querySelectorAll("svg")].filter((svg) => svg.getBoundingClientRect().width > 0);
  return {
    unnamed: [...document.querySelectorAll("a, button, summary, [tabindex='0'], svg[role=img]")]
      .filter((one) => !(one.getAttribute("aria-label") || one.textContent).trim()).map((one) => one.outerHTML),
    figures: drawn.map((svg) => svg.closest("figure").id),
    heights: drawn.map((svg) => Math.round(svg.getBoundingClientRect().height)),
    width: document.documentElement.scrollWidth,
    window: innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    requests: performance.getEntriesByType("resource").length,
  };
}"""
# A checksum of the canvas and how many greens are in it.
PAINTED = """(canvas) => {
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
  copy.drawImage(canvas, 0, 0);
  const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  const greens = new Set(data.filter((_, at) => at % 4 === 1)).size;
  return [data.reduce((sum, part) => (sum * 31 + part) % 1000003, 0), greens];
}"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("SCHUSS_REQUIRE_BROWSER") == "1":
        pytest.fail(f"SCHUSS_REQUIRE_BROWSER is set, but there is none of {', '.join(BROWSERS)}")
    if found is None:
        pytest.skip(f"there is none of {', '.join(BROWSERS)}")
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=found, args=FLAGS, timeout=120_000)


@dataclass(frozen=True)
class Opened:
    """A page in the browser, and what its console has said so far."""

    page: object
    console: list[str]

    def seen(self):
        return self.page.evaluate(SEEN)


@pytest.fixture
def opened(browser, tmp_path):
    """Open pages of a record or of a text, in windows of a size and on light or dark paper."""
    with contextlib.ExitStack() as stack:

        def open_page(what, size=DESK, paper="light"):
            path = tmp_path / "report.html"
            path.write_text(what if isinstance(what, str) else render(what), encoding="utf-8")
            viewport = {"width": size[0], "height": size[1]}
            context = stack.enter_context(browser.new_context(viewport=viewport, color_scheme=paper))
            page, console = context.new_page(), []
            page.set_default_timeout(120_000)
            page.on("console", lambda message: console.append(message.text))
            page.on("pageerror", lambda error: console.append(str(error)))
            page.goto(path.as_uri())
            return Opened(page, console)

        yield open_page


FIGURES = {
    "binary": [
        "figure-beside",
        "figure-race",
        "figure-losses",
        "figure-confusion",
        "figure-reliability",
        "figure-weights",
    ],
    "regression": ["figure-beside", "figure-race", "figure-losses", "figure-residuals", "figure-weights"],
}


@pytest.mark.parametrize("width", [1200, 600, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_once_and_fits(opened, name, width):
    report = opened(getattr(records, name)(), (width, 900))
    seen = report.seen()
    assert report.console == []
    assert seen["figures"] == FIGURES[name]
    assert min(seen["heights"]) > 100
    assert seen["width"] <= seen["window"] == width
    assert seen["requests"] == 0


GROUND = ["surface", "map", "map-2", "steps", "precision", "boundary", "slices", "few-rows", "spectrum"]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_ground_is_drawn_and_named(opened, width):
    report = opened([*records.binary(), *ground.events()], (width, 900))
    seen = report.seen()
    assert report.console == []
    assert seen["window"] == seen["width"] == width
    shown = [f"figure-{name}" for name in GROUND if name != "surface"]  # the surface is a canvas
    assert [name for name in seen["figures"] if name in shown] == shown
    assert seen["unnamed"] == []
    assert "Turn it with the arrow keys" in report.page.locator("canvas").get_attribute("aria-label")


def test_the_surface_turns_by_its_keys(opened):
    page = opened([*records.binary(), *ground.events()]).page
    canvas, live = page.locator("canvas"), page.locator("[data-surface] [aria-live]")
    before, greens = canvas.evaluate(PAINTED)
    assert greens > 100, "shaded from violet to yellow"
    places = []
    for key in ("Home", "ArrowLeft", "ArrowUp"):
        canvas.press(key)
        places.append([int(found) for found in re.findall(r"\d+", live.text_content())])
    assert places[0][1] == 32
    assert (places[1][0] - places[0][0]) % 360 in (7, 8), "an arrow turns it by a twenty-fourth of half a turn"
    assert places[2] == [places[1][0], 40]
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
    assert canvas.evaluate(PAINTED)[0] != before


def test_pointing_at_the_surface_tells_the_loss_there(opened):
    report = opened([*records.binary(), *ground.events()])
    canvas, tip = report.page.locator("canvas"), report.page.locator(".tip")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    told = []
    for across in range(2, 9):
        for down in range(2, 9):
            report.page.mouse.move(box["x"] + across / 10 * box["width"], box["y"] + down / 10 * box["height"])
            if tip.is_visible():
                told.append(tip.text_content())
    assert report.console == []
    assert len(told) > 10
    assert all(re.fullmatch(r"loss [\d.,]+( or more)? at \(\S+, \S+\)", said) for said in told)
    assert len(set(told)) > 5


def test_every_button_may_be_pressed(opened):
    report = opened([*records.binary(), *ground.events()])
    buttons = report.page.locator(".controls button")
    assert buttons.count() > 0
    for button in buttons.all():
        button.click()
    assert report.console == []


def test_a_run_chosen_in_the_table_is_shown_in_the_figures(opened):
    report = opened(records.binary())
    report.page.locator("tr[data-run]").first.focus()
    assert report.console == []
    assert report.page.locator("#readout").text_content().startswith("run ")
    assert report.page.locator("svg .run.shown").count() >= 3  # its curve for desk and phone, its label, its point


@pytest.mark.parametrize(("paper", "colour"), [("dark", "rgb(16, 22, 29)"), ("light", "rgb(255, 255, 255)")])
def test_paper_as_the_reader_prefers_it(opened, paper, colour):
    report = opened(records.binary(), paper=paper)
    assert report.console == []
    assert report.seen()["paper"] == colour


@pytest.mark.parametrize("name", ["binary", "hostile"])
def test_the_written_page_runs_its_script_and_says_nothing(opened, tmp_path, name):
    path = write_report(getattr(records, name)(), tmp_path / "written.html")
    report = opened(path.read_text(encoding="utf-8"))
    assert report.console == []
    assert report.page.locator("tr[data-run][tabindex='0']").count() > 0, "the page's own script ran"


def test_hostile_names_widen_nothing(opened):
    report = opened(records.hostile())
    seen = report.seen()
    assert report.console == []
    assert seen["width"] <= seen["window"]
