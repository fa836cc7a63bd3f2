"""How large reports are, how long they take to write and to open in a browser, and whether axe finds fault with them.

    python benchmarks/opening.py RUN ...                  a table on standard output
    python benchmarks/opening.py RUN ... --write          also into RESULTS.md
    python benchmarks/opening.py RUN ... --axe axe.min.js     also the rules of axe-core that a report breaks

Each report is drawn five times in this process and opened five times in a headless Chromium with a profile of its own;
the medians are given, those of the browser from the start of the navigation on. axe-core (`npm pack axe-core`) looks at
every report with all numbers unfolded, on light paper at a desk's width, and on dark paper as narrow as a headless
window gets.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import tempfile
import time
from html import unescape
from pathlib import Path
from statistics import median
from typing import Any

import results

from schuss.report import render

TITLE = "opening.py: reports in a browser"
TIMES, TRIES = 5, 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAITED = """
const painted = new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const found = list.getEntriesByName("first-contentful-paint")[0];
    if (found) resolve(found.startTime);
  }).observe({ type: "paint", buffered: true });
});
addEventListener("load", () => setTimeout(async () => {
  const [page] = performance.getEntriesByType("navigation");
  const seen = { ready: page.domContentLoadedEventEnd, loaded: page.loadEventEnd, painted: await painted };
  if (window.axe) {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
    const { violations } = await axe.run(document);
    seen.broken = violations.map((one) => `${one.id} (${one.nodes.length})`);
  }
  document.body.insertAdjacentText("beforeend", `SEEN${JSON.stringify(seen)}SEEN`);
}, 0));
"""


def opened(browser: str, html: str, folder: Path, *options: str, axe: str = "") -> dict[str, Any]:
    """Open a page with a script beside its own, which tells when it was ready, loaded and painted."""
    policy = re.search(r"script-src '[^']*'", html)
    assert policy is not None
    scripts = "".join(f"<script>{script}</script>" for script in (axe, WAITED) if script)
    page = folder / "report.html"
    page.write_text(html.replace(policy[0], "script-src 'unsafe-inline'").replace("</body>", f"{scripts}</body>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"--user-data-dir={folder / 'profile'}"]
    if axe:
        flags.append("--virtual-time-budget=60000")
    for _ in range(TRIES):  # a document that is printed before it is painted says nothing
        done = subprocess.run(
            [browser, *flags, *options, page.as_uri()], capture_output=True, encoding="utf-8", timeout=100, check=True
        )
        seen = re.findall(r"SEEN(\{.*?\})SEEN", unescape(done.stdout), flags=re.DOTALL)
        if seen:
            return json.loads(seen[-1])
    raise RuntimeError(f"the browser printed {page} {TRIES} times before it had painted it")


def look(browser: str, run: Path, axe: str) -> tuple[list[str], list[str]]:
    """Give the cells of a run, and what axe finds."""
    written, seen, broken = [], [], []
    html = ""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(TIMES):
            begun = time.perf_counter()
            html = render(run)
            written.append(time.perf_counter() - begun)
            seen.append(opened(browser, html, Path(folder), "--window-size=1280,900"))
        for options in (
            ["--window-size=1280,900"],
            ["--window-size=500,900", "--blink-settings=preferredColorScheme=0"],
        ):
            broken += opened(browser, html, Path(folder), *options, axe=axe)["broken"] if axe else []
    parts = [median(one[name] for one in seen) for name in ("painted", "ready", "loaded")]
    cells = [run.name, f"{len(html.encode()) / 1000:.0f} kB", f"{1000 * median(written):.0f} ms"]
    return [*cells, *(f"{part:.0f} ms" for part in parts)], sorted(set(broken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--axe", type=Path, help="the script of axe-core")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    axe = given.axe.read_text(encoding="utf-8") if given.axe else ""
    lines = ["|report|size|written|first paint|ready|loaded|axe|", "|-|-:|-:|-:|-:|-:|-|"]
    for run in given.runs:
        cells, broken = look(browser, run, axe)
        found = ", ".join(broken) or "nothing" if axe else ""
        lines.append("|" + "|".join([*cells, found]) + "|")
        print(lines[-1], flush=True)
    text = "\n".join([f"{datetime.date.today()}, {results.machine()}", "", *lines])
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
