"""How large reports are, how long they take to write and to open in a browser, and whether axe finds fault with them.

    python benchmarks/opening.py RUN ...                  a table on standard output
    python benchmarks/opening.py RUN ... --write          also into RESULTS.md
    python benchmarks/opening.py RUN ... --axe axe.min.js     also the rules of axe-core that a report breaks

Each report is drawn five times in this process and opened five times in a headless Chromium, each time with an empty
profile; the medians are given, those of the browser from the start of the navigation on. axe-core (`npm pack axe-core`)
looks at every report with all numbers unfolded, on light paper at a desk's width and on dark paper at a phone's.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import results
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from schuss.report import render

TITLE = "opening.py: reports in a browser"
TIMES = 5
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
WAITED = """async () => {
  const painted = await new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const found = list.getEntriesByName("first-contentful-paint")[0];
      if (found) resolve(found.startTime);
    }).observe({ type: "paint", buffered: true });
  });
  const [page] = performance.getEntriesByType("navigation");
  return { ready: page.domContentLoadedEventEnd, loaded: page.loadEventEnd, painted };
}"""
BROKEN = """async () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const { violations } = await axe.run(document);
  return violations.map((one) => `${one.id} (${one.nodes.length})`);
}"""


def times(browser: Browser, page: Path) -> dict[str, float]:
    """Open a page and tell when it was ready, loaded and painted, in milliseconds."""
    with browser.new_context(viewport=DESK) as context:
        opened = context.new_page()
        opened.goto(page.as_uri())
        return opened.evaluate(WAITED)


def broken_rules(browser: Browser, page: Path, axe: str, **options: Any) -> list[str]:
    """Give the rules of axe-core that a page breaks, each with how often."""
    with browser.new_context(bypass_csp=True, **options) as context:  # the page's policy lets in its own script alone
        opened = context.new_page()
        opened.goto(page.as_uri())
        opened.add_script_tag(content=axe)
        return opened.evaluate(BROKEN)


def look(browser: Browser, run: Path, axe: str) -> tuple[list[str], list[str]]:
    """Give the cells of a run, and what axe finds."""
    written, seen, broken = [], [], []
    html = ""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        for _ in range(TIMES):
            begun = time.perf_counter()
            html = render(run)
            written.append(time.perf_counter() - begun)
            page.write_text(html, encoding="utf-8")
            seen.append(times(browser, page))
        if axe:
            broken += broken_rules(browser, page, axe, viewport=DESK)
            broken += broken_rules(browser, page, axe, viewport=PHONE, color_scheme="dark")
    parts = [median(one[name] for one in seen) for name in ("painted", "ready", "loaded")]
    cells = [run.name, f"{len(html.encode()) / 1000:.0f} kB", f"{1000 * median(written):.0f} ms"]
    return [*cells, *(f"{part:.0f} ms" for part in parts)], sorted(set(broken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--axe", type=Path, help="the script of axe-core")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    found = next(filter(None, map(shutil.which, BROWSERS)))
    axe = given.axe.read_text(encoding="utf-8") if given.axe else ""
    lines = ["|report|size|written|first paint|ready|loaded|axe|", "|-|-:|-:|-:|-:|-:|-|"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        for run in given.runs:
            cells, broken = look(browser, run, axe)
            seen = ", ".join(broken) or "nothing" if axe else ""
            lines.append("|" + "|".join([*cells, seen]) + "|")
            print(lines[-1], flush=True)
    text = "\n".join([f"{datetime.date.today()}, {results.machine()}", "", *lines])
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
