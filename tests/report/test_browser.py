"""The page in a real browser: no error on the console, every figure drawn, nothing wider than the window."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest
from tests.report import ground, records

from schuss.report import render, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Runs after the page's own script and leaves what it saw in the document, which --dump-dom prints.
PROBE = """
<script>
addEventListener("load", () => {
  const drawn = [...document.querySelectorAll("svg")].filter((svg) => svg.getBoundingClientRect().width > 0);
  const first = document.querySelector("tr[data-run]");
  if (first) first.focus();
  const canvas = document.querySelector("canvas"), live = document.querySelector("[data-surface] [aria-live]");
  const press = (key) => {
    canvas.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
    return live.textContent;
  };
  const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const data = () => {
    [copy.canvas.width, copy.canvas.height] = [canvas.width, canvas.height];
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const painted = () => data().reduce((sum, part) => (sum * 31 + part) % 1000003, 0);
  const colours = () => new Set(data().filter((_, at) => at % 4 === 1)).size;
  for (const button of document.querySelectorAll(".controls button")) button.click();
  const ask = canvas ? (then) => requestAnimationFrame(() => requestAnimationFrame(then)) : (then) => then();
  const pointed = () => {
    const box = canvas.getBoundingClientRect(), tip = document.querySelector(".tip");
    const said = [];
    for (let across = .1; across < 1; across += .1) for (let down = .1; down < 1; down += .1) {
      const at = { clientX: box.left + across * box.width, clientY: box.top + down * box.height };
      canvas.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true }));
      if (!tip.hidden) said.push(tip.textContent);
    }
    return said;
  };
  const told = canvas ? pointed() : [];
  const turned = canvas ? { before: painted(), said: [press("Home"), press("ArrowLeft"), press("ArrowUp")] } : {};
  ask(() => {
  const seen = {
    turned: canvas && { ...turned, after: painted(), greens: colours(), name: canvas.getAttribute("aria-label") },
    unnamed: [...document.querySelectorAll("a, button, summary, [tabindex='0'], svg[role=img]")]
      .filter((one) => !(one.getAttribute("aria-label") || one.textContent).trim()).map((one) => one.outerHTML),
    told,
    figures: drawn.map((svg) => svg.closest("figure").id),
    heights: drawn.map((svg) => Math.round(svg.getBoundingClientRect().height)),
    width: document.documentElement.scrollWidth, window: innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    readout: (document.getElementById("readout") || {}).textContent || "",
    shown: document.querySelectorAll("svg .run.shown").length,
    requests: performance.getEntriesByType("resource").length,
  };
  const said = JSON.stringify(seen);
  if (parent !== window) parent.postMessage(said, "*");
  else document.body.insertAdjacentText("beforeend", `SEEN${said}SEEN`);
  });
});
</script>
"""


FRAME = """<!doctype html><meta charset="utf-8"><body>
<script>onmessage = (event) => document.body.insertAdjacentText("beforeend", `SEEN${event.data}SEEN`);</script>
<iframe src="probed.html" style="width:WIDTHpx;height:800px;border:0"></iframe>
"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("SCHUSS_REQUIRE_BROWSER") == "1":
        pytest.fail(f"SCHUSS_REQUIRE_BROWSER is set, but there is none of {', '.join(BROWSERS)}")
    if found is None:
        pytest.skip(f"there is none of {', '.join(BROWSERS)}")
    return found


def opened(browser, page, *options):
    """Open a page and give its document, as the browser made it, and the lines of its console."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags += ["--no-first-run", "--disable-extensions", "--disable-background-networking", "--enable-logging=stderr"]
    flags += ["--dump-dom", f"--user-data-dir={page.parent / 'profile'}", *options]
    command = [browser, *flags, page.as_uri()]
    for seconds in (40, 120):  # now and then a headless Chromium never ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=seconds, check=True)
            break
    else:
        pytest.fail("the browser did not end, twice")
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def look(browser, tmp_path, record, *options):
    """Open a report and give what the probe saw and what the console said."""
    html = render(record)
    return probed(browser, tmp_path, html, *options)


def probed(browser, tmp_path, html, *options, width=None):
    """Open a page with the probe in it, in a frame of a width if one is given."""
    policy = re.search(r"script-src '[^']*'", html)[0]
    # The probe is let in beside the page's own script: only this copy allows it, as a page may say 'unsafe-inline'
    # or the hash of a script, not both.
    html = html.replace(policy, "script-src 'unsafe-inline'").replace("</body>", PROBE + "</body>")
    page = tmp_path / "probed.html"
    page.write_text(html, encoding="utf-8")
    if width is not None:  # a headless window is never narrower than 500
        page = tmp_path / "frame.html"
        page.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    document, console = opened(browser, page, "--virtual-time-budget=3000", *options)
    seen = re.findall(r"SEEN(\{.*?\})SEEN", unescape(document), flags=re.DOTALL)[-1]
    return json.loads(seen), console


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


@pytest.mark.parametrize("width", [1200, 600])  # a headless window is never narrower than 500
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_once_and_fits(browser, tmp_path, name, width):
    seen, console = look(browser, tmp_path, getattr(records, name)(), f"--window-size={width},900")
    assert console == []
    assert seen["figures"] == FIGURES[name]
    assert min(seen["heights"]) > 100
    assert seen["width"] <= seen["window"] == width
    assert seen["requests"] == 0


GROUND = ["surface", "map", "map-2", "steps", "precision", "boundary", "slices", "few-rows", "spectrum"]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_ground_is_drawn_and_turns(browser, tmp_path, width):
    html = render([*records.binary(), *ground.events()])
    seen, console = probed(browser, tmp_path, html, "--window-size=1200,900", width=width if width < 500 else None)
    assert console == []
    assert seen["window"] == seen["width"] == width
    shown = [f"figure-{name}" for name in GROUND if name != "surface"]  # the surface is a canvas
    assert [name for name in seen["figures"] if name in shown] == shown
    turned = seen["turned"]
    places = [[int(found) for found in re.findall(r"\d+", said)] for said in turned["said"]]
    assert places[0][1] == 32
    assert (places[1][0] - places[0][0]) % 360 in (7, 8), "an arrow turns it by a twenty-fourth of half a turn"
    assert places[2] == [places[1][0], 40]
    assert turned["before"] != turned["after"]
    assert turned["greens"] > 100, "shaded from violet to yellow"
    assert "Turn it with the arrow keys" in turned["name"]
    assert seen["unnamed"] == []
    assert len(seen["told"]) > 10, "pointing at the surface tells the loss there"
    assert all(re.fullmatch(r"loss [\d.,]+( or more)? at \(\S+, \S+\)", said) for said in seen["told"])
    assert len(set(seen["told"])) > 5


def test_a_run_chosen_in_the_table_is_shown_in_the_figures(browser, tmp_path):
    seen, console = look(browser, tmp_path, records.binary(), "--window-size=1200,900")
    assert console == []
    assert seen["readout"].startswith("run ")
    assert seen["shown"] >= 3  # its curve for desk and phone, its label, its point


def test_dark_paper_where_the_reader_prefers_it(browser, tmp_path):
    seen, console = look(browser, tmp_path, records.binary(), "--blink-settings=preferredColorScheme=0")
    assert console == []
    assert seen["paper"] == "rgb(16, 22, 29)"


@pytest.mark.parametrize("name", ["binary", "hostile"])
def test_the_console_is_silent(browser, tmp_path, name):
    path = write_report(getattr(records, name)(), tmp_path / "report.html")
    document, console = opened(browser, path)
    assert console == []
    assert 'tabindex="0"' in document.split("<tr data-run")[1], "the page's own script ran"


def test_hostile_names_widen_nothing(browser, tmp_path):
    seen, console = look(browser, tmp_path, records.hostile(), "--window-size=1200,900")
    assert console == []
    assert seen["width"] <= seen["window"]
