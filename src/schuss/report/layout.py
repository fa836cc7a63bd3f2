"""The parts of the page in HTML: sections, figures, tables, facts, and the document around them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .markup import Markup, element, joined
from .palette import DARK, LIGHT, css_variables
from .svg import Figure
from .tables import Table

__all__ = ["Picture", "details", "document", "facts", "figure", "pair", "paragraph", "section", "table", "turning"]

_SECTIONS = {
    "race": "Race",
    "results": "Held-out results",
    "learned": "Weights",
    "ground": "Ground",
    "advice": "Advice",
    "data": "Data",
    "repeat": "Repeat",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its drawings for desk and phone, its caption, what it shows in words, its numbers.

    said : what it shows, for those only who do not see it.
    """

    name: str
    wide: Figure
    narrow: Figure | None
    caption: str
    summary: str
    table: Table | None = None
    said: str = ""

    @property
    def words(self) -> str:
        """The text that stands for the drawing."""
        return self.said or self.summary or self.caption


def paragraph(words: str, style: str | None = None) -> Markup:
    """Write a paragraph, nothing where there are no words."""
    return element("p", {"class": style}, words) if words else Markup()


def details(summary: str, inside: Markup) -> Markup:
    """Write what is seen only after a click."""
    return element("details", {}, element("summary", {}, summary), inside)


def facts(pairs: Iterable[tuple[str, str]], style: str = "facts") -> Markup:
    """Write names and values, nothing where there are none."""
    found = [element("div", {}, element("dt", {}, name), element("dd", {}, value)) for name, value in pairs]
    return element("dl", {"class": style}, *found) if found else Markup()


def figure(picture: Picture, label: str = "") -> Markup:
    """Write a figure: its drawings, its caption, and the numbers behind it."""
    return element("figure", {"id": f"figure-{picture.name}"}, *_drawings(picture, label), *_below(picture))


def turning(picture: Picture, data: str) -> Markup:
    """Write a figure that the script `surface.js` turns; without it the drawings stay as they are.

    data : what the script draws, as JSON.
    """
    hint = "Turn it with the arrow keys, plus and minus come closer and go farther, Home turns it back."
    canvas = {"tabindex": "0", "role": "application", "aria-roledescription": "surface that turns", "hidden": ""}
    buttons = [element("button", {"type": "button", **given}, words) for words, given in _BUTTONS]
    box = element(
        "div",
        {"data-surface": data},
        *_drawings(picture),
        element("canvas", {**canvas, "aria-label": f"{picture.words} {hint}"}),
        element(
            "div", {"class": "controls", "role": "group", "aria-label": "Turn the surface", "hidden": ""}, *buttons
        ),
        element(
            "div", {"class": "tip", "aria-hidden": "true", "hidden": ""}, element("b", {}), " ", element("span", {})
        ),
        element("span", {"class": "unseen", "aria-live": "polite"}),
    )
    return element("figure", {"id": f"figure-{picture.name}"}, box, *_below(picture))


_BUTTONS: tuple[tuple[str, dict[str, str | float | None]], ...] = (
    ("←", {"data-act": "left", "aria-label": "Turn left"}),
    ("→", {"data-act": "right", "aria-label": "Turn right"}),
    ("↑", {"data-act": "up", "aria-label": "See it from higher up"}),
    ("↓", {"data-act": "down", "aria-label": "See it from lower down"}),
    ("Turn on its own", {"data-act": "spin", "aria-pressed": "false"}),
    ("Turn back", {"data-act": "reset"}),
    ("Save as PNG", {"data-act": "save"}),
)


def _drawings(picture: Picture, label: str = "") -> list[Markup]:
    """Write the drawings of a figure."""
    said = label or picture.words
    style = "drawing wide" if picture.narrow else "drawing"
    drawings = [element("div", {"class": style}, picture.wide.svg(said))]
    if picture.narrow:
        drawings.append(element("div", {"class": "drawing narrow"}, picture.narrow.svg(said)))
    return drawings


def _below(picture: Picture) -> list[Markup]:
    """Write the caption of a figure and the numbers behind it."""
    summary = element("span", {"class": "summary"}, picture.summary) if picture.summary else ""
    caption = element("figcaption", {}, picture.caption, " ", summary)
    numbers = [details("The numbers behind this figure", table(picture.table))] if picture.table else []
    return [caption, *numbers]


def pair(*figures: Markup) -> Markup:
    """Put figures beside each other where there is room."""
    shown = [one for one in figures if one]
    return element("div", {"class": "pair"}, *shown) if shown else Markup()


def table(content: Table) -> Markup:
    """Write a table, which scrolls where the window is narrow."""
    styles = ["t" if place in content.texts else None for place in range(len(content.head))]
    head = joined(
        element("th", {"scope": "col", "class": style}, cell) for cell, style in zip(content.head, styles, strict=True)
    )
    rows = "\n".join(_row(content, place, cells, styles) for place, cells in enumerate(content.rows))
    whole = element(
        "table",
        {},
        element("caption", {}, element("span", {}, content.caption)),
        element("thead", {}, element("tr", {}, head)),
        element("tbody", {}, Markup(f"\n{rows}\n")),
    )
    scroll = {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": content.caption}
    return joined([element("div", scroll, whole), paragraph(content.rest, "small")])


def _row(content: Table, place: int, cells: Sequence[str], styles: Sequence[str | None]) -> Markup:
    run = {"data-run": str(content.runs[place]), "class": content.states[place]} if content.runs else {}
    first = element("th", {"scope": "row", "class": styles[0]}, cells[0])
    rest = (element("td", {"class": style}, cell) for cell, style in zip(cells[1:], styles[1:], strict=True))
    return element("tr", run, first, *rest)


def section(name: str, heading: str, *parts: Markup) -> Markup:
    """Write a section of the page; the first one, the answer, has the page's own heading."""
    level = "h1" if name == "answer" else "h2"
    title = element(level, {"id": f"h-{name}"}, heading)
    return element("section", {"id": name, "aria-labelledby": f"h-{name}"}, title, *parts)


def document(
    heading: str,
    version: str,
    time: Markup,
    sections: Iterable[Markup],
    *,
    links: Mapping[str, str] = _SECTIONS,
    source: str = " from record.jsonl",
) -> str:
    """Write the whole page: one file that asks the network for nothing and runs no script but its own.

    time : the `<time>` of the training, empty where it is not known; links : to sections, by their names; source :
    what it was written from.
    """
    written = list(sections)
    script = _asset("report.js")
    if any('data-surface="' in section for section in written):
        script += _asset("surface.js")
    there = [name for name in links if any(part.startswith(f'<section id="{name}"') for part in written)]
    shown = (element("a", {"href": f"#{name}"}, links[name]) for name in there)
    brand = element("p", {"class": "brand"}, element("span", {}, "schuss"), " ", time)
    ending = f"Written by schuss {version}{source}. This file needs nothing else: no network, no server."
    body = [
        element("a", {"class": "skip", "href": "#main"}, "Skip to the report"),
        element("header", {}, brand, element("nav", {"aria-label": "Sections"}, Markup(" ".join(shown)))),
        element("main", {"id": "main"}, Markup("\n\n".join(filter(None, written)))),
        element("footer", {}, paragraph(ending)),
        element("script", {}, Markup(script)),
    ]
    html = element(
        "html", {"lang": "en"}, _head(heading, version, script), element("body", {}, Markup("\n".join(body)))
    )
    return f"<!doctype html>\n{html}\n"


def _head(heading: str, version: str, script: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {css_variables(DARK)} }} }}"
    style = f":root {{ {css_variables(LIGHT)} }}\n{dark}\n{_asset('report.css')}"
    lines = [
        element("meta", {"charset": "utf-8"}),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("meta", {"name": "generator", "content": f"schuss {version}"}),
        element("title", {}, f"{heading} · schuss"),
        element("link", {"rel": "icon", "href": "data:,"}),
        element("style", {}, Markup(style)),
    ]
    return element("head", {}, Markup("\n".join(lines)))


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
