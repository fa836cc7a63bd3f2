"""What figures are drawn with: lines, areas, markers, words, in CSS pixels from the top left, as inline SVG.

A colour is the name of one of the palette's, which the page defines as a CSS custom property, so that one drawing
serves light and dark paper. Text is text, in the page's font; a drawing names nothing by an id, so that any number of
them can stand on one page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from schuss.errors import OptionError
from schuss.files import replacing

from .markup import Markup, element, joined, short
from .palette import DARK, LIGHT, css_variables
from .words import shorten

if TYPE_CHECKING:
    from .figures.axes import Plot

__all__ = [
    "MARKERS",
    "TEXT",
    "Figure",
    "Point",
    "area",
    "blank",
    "dots",
    "line",
    "marker",
    "path",
    "rectangle",
    "told",
    "words",
]

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

TEXT = 13.0  # size of text, in pixels
_SAID = 400  # cells of what a drawing says when pointed at, whose names may be values of any length
# Without quotes, and with names: what draws PNG files does not know which font a system calls its own.
_FONT = (
    "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Noto Sans, Liberation Sans, Arial, DejaVu Sans, sans-serif"
)
_VARIABLE = re.compile(r"var\(--([a-z0-9-]+)\)")

# Outlines within a circle of radius 1, those of a stroke without area last.
MARKERS = {
    "circle": "",
    "square": "M-.85-.85H.85V.85H-.85Z",
    "diamond": "M0-1.15 1.15 0 0 1.15-1.15 0Z",
    "triangle": "M0-1.1 1.1.85H-1.1Z",
    "wedge": "M0 1.1 1.1-.85H-1.1Z",
    "plus": "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "star": "M0-1.2 .3-.4 1.15-.37 .48.15 .7.97 0 .5-.7.97-.48.15-1.15-.37-.3-.4Z",
    "cross": "M-.85-.85.85.85M-.85.85.85-.85",
}


@dataclass(frozen=True)
class Figure:
    """A drawing: its size in CSS pixels, what is drawn from the back to the front, and the plots it holds.

    empty : whether it only says why there is nothing to draw.
    """

    width: float
    height: float
    parts: tuple[Markup, ...]
    plots: tuple[Plot, ...] = ()
    empty: bool = False

    def svg(self, label: str) -> Markup:
        """Write the figure as an `<svg>` element for a page that defines the palette's colours.

        label : the short text alternative.
        """
        return element("svg", self._attributes(label), *self.parts)

    def save(self, path: Path | str, label: str = "") -> None:
        """Write the figure as an SVG file of its own, for light and dark paper."""
        with replacing(path) as file:
            file.write(self._repr_svg_(label).encode("utf-8"))

    def save_png(self, path: Path | str, scale: float = 2.0) -> None:
        """Write the figure as a PNG file on light paper, `scale` times its size in CSS pixels.

        Raises OptionError where the package resvg_py is not installed.
        """
        try:
            from resvg_py import svg_to_bytes
        except ImportError:
            raise OptionError("PNG files need the package resvg_py: pip install 'schuss[png]'") from None
        drawing = _VARIABLE.sub(lambda found: LIGHT[found[1]], self._repr_svg_())  # it knows no custom properties
        with replacing(path) as file:
            file.write(bytes(svg_to_bytes(svg_string=drawing, zoom=scale)))

    def _repr_svg_(self, label: str = "") -> Markup:
        """Show the figure in a notebook."""
        size = {"width": self.width, "height": self.height, "class": "schuss", "font-family": _FONT}
        dark = f"@media (prefers-color-scheme: dark) {{ .schuss {{ {css_variables(DARK)} }} }}"
        colours = element("style", {}, Markup(f".schuss {{ {css_variables(LIGHT)} }} {dark}"))
        paper = rectangle((0, 0), self.width, self.height, "paper")
        return element("svg", {**self._attributes(label), **size}, colours, paper, *self.parts)

    def _attributes(self, label: str) -> dict[str, str | float | None]:
        return {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {short(self.width)} {short(self.height)}",
            "role": "img",
            "aria-label": label,
            "style": f"max-width:{self.width:.0f}px",
        }


def blank(sentence: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    return Figure(600, 120, (words(sentence, (300, 60), anchor="middle"),), empty=True)


def path(points: ArrayLike) -> str:
    """Write a line through points `(n, 2)` as the data of a path; where a coordinate is not finite there is a gap.

    >>> path([(0, 1), (2, 3.04), (float("nan"), 0), (5, 6)])
    'M0 1 2 3M5 6'
    """
    found, pen = [], "M"
    for x, y in np.round(np.asarray(points, dtype=np.float64), 1).tolist():
        if math.isfinite(x) and math.isfinite(y):
            found.append(f"{pen}{x + 0.0:.6g} {y + 0.0:.6g}")
            pen = " "
        else:
            pen = "M"
    return "".join(found)


def line(points: ArrayLike, colour: str, width: float = 1.0, dash: Sequence[float] = ()) -> Markup:
    """Draw a line through points `(n, 2)`; `dash` alternates strokes and gaps, in units of the width."""
    return element("path", {"d": path(points), **stroke(colour, width, dash)})


def stroke(colour: str, width: float, dash: Sequence[float] = ()) -> dict[str, str | float | None]:
    """Give the attributes of a line, or of a group of lines."""
    dashes = " ".join(short(part * width) for part in dash) or None
    return {"fill": "none", "stroke": _paint(colour), "stroke-width": width, "stroke-dasharray": dashes}


def area(points: ArrayLike, colour: str, opacity: float = 1.0) -> Markup:
    """Fill the polygon through points `(n, 2)`."""
    return element("path", {"d": f"{path(points)}Z", "fill": _paint(colour), "fill-opacity": opacity})


def rectangle(corner: Point, width: float, height: float, colour: str) -> Markup:
    """Fill a rectangle by its upper left corner."""
    place = {"x": corner[0], "y": corner[1], "width": width, "height": height}
    return element("rect", {**place, "fill": _paint(colour)})


def marker(shape: str, at: Point, size: float, fill: str, edge: str | None = None, width: float = 0.0) -> Markup:
    """Draw one of `MARKERS` around a point, `size` pixels across."""
    outline = {"stroke": _paint(edge), "stroke-width": width} if edge else {}
    if shape == "circle":
        return element("circle", {"cx": at[0], "cy": at[1], "r": size / 2, "fill": _paint(fill), **outline})
    # The outline keeps its width however large the shape is.
    scaled = f"translate({short(at[0])} {short(at[1])}) scale({short(size / 2)})"
    fixed = {"vector-effect": "non-scaling-stroke"} if edge else {}
    return element("path", {"d": MARKERS[shape], "transform": scaled, "fill": _paint(fill), **outline, **fixed})


def dots(points: ArrayLike, size: float, colour: str, opacity: float) -> Markup:
    """Draw many points `(n, 2)` alike; where several lie on each other, the colour is stronger."""
    circles = (
        element("circle", {"cx": round(x, 1), "cy": round(y, 1), "r": size / 2})
        for x, y in np.asarray(points, dtype=np.float64).tolist()
    )
    return element("g", {"fill": _paint(colour), "fill-opacity": opacity}, *circles)


def words(
    text: str,
    at: Point,
    colour: str = "muted",
    size: float = TEXT,
    *,
    anchor: Anchor = "start",
    centred: bool = True,
    bold: bool = False,
    upright: bool = False,
    cased: bool = False,
) -> Markup:
    """Write text whose start, middle or end is at a point, its height centred there or its baseline on it.

    cased : on a rim of paper, so that it can be read over lines.
    """
    x, y = at
    place = {"x": x, "y": y + 0.35 * size * centred, "transform": None}
    if upright:  # reads from the bottom to the top
        place = {"x": 0.0, "y": 0.35 * size * centred, "transform": f"translate({short(x)} {short(y)}) rotate(-90)"}
    font = {"font-size": size, "font-weight": "bold" if bold else None, "fill": _paint(colour)}
    rim = {"stroke": _paint("paper"), "stroke-width": 4.0, "paint-order": "stroke"} if cased else {}
    return element("text", {**place, "text-anchor": None if anchor == "start" else anchor, **font, **rim}, text)


def told(saying: str, *parts: Markup, run: int | None = None, **attributes: str | float | None) -> Markup:
    """Group parts that say something when pointed at; those of a run also carry its number."""
    of_run = {} if run is None else {"class": "run", "data-run": str(run)}
    return element("g", {**of_run, **attributes}, element("title", {}, shorten(saying, _SAID)), joined(parts))


def _paint(colour: str) -> str:
    return colour if colour in ("none", "transparent") else f"var(--{colour})"
