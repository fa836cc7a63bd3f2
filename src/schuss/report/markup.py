"""HTML and SVG as text: elements, whose words are escaped unless they are markup already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Attributes", "Markup", "element", "joined", "short"]

Attributes = Mapping[str, "str | float | None"]

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_VOID = {"meta", "link"}  # HTML elements that are never closed
_SHAPES = {"circle", "line", "path", "rect"}  # SVG elements that close themselves


class Markup(str):
    """Text that is HTML or SVG; any other text is escaped when it comes into an element."""

    __slots__ = ()


def element(name: str, attributes: Attributes | None = None, *children: str) -> Markup:
    """Write an element; an attribute that is None is left out.

    >>> element("p", {"class": "small", "id": None}, "1 < 2, ", element("b", {}, "R&D"))
    '<p class="small">1 &lt; 2, <b>R&amp;D</b></p>'
    >>> element("rect", {"x": 1.0, "width": 2.345})
    '<rect x="1" width="2.35"/>'
    """
    given = ""
    for key, value in (attributes or {}).items():
        if value is not None:
            given += f' {key}="{value.translate(_ESCAPES) if isinstance(value, str) else short(value)}"'
    inside = joined(children)
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    if name in _SHAPES and not inside:
        return Markup(f"<{name}{given}/>")
    return Markup(f"<{name}{given}>{inside}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Put markup and words one after the other, the words escaped."""
    return Markup("".join([child if isinstance(child, Markup) else child.translate(_ESCAPES) for child in children]))


def short(value: float, decimals: int = 2) -> str:
    """Write a coordinate with no more decimals than are seen.

    >>> short(12.0), short(0.456), short(-0.001)
    ('12', '0.46', '0')
    """
    return f"{round(value, decimals) + 0.0:.6g}"
