"""A matplotlib figure as inline SVG: small, themed by CSS, its names its own, its curves with words on hovering."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from .figures.style import drawing
from .palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

_VARIABLES = {colour: f"var(--{name})" for name, colour in LIGHT.items()}
_NAMESPACES = re.compile(r"\{[^}]*\}")
_COLOUR = re.compile("#[0-9a-f]{6}")
_DECIMALS = re.compile(r"-?\d+\.\d{2,}")
_FONT = re.compile(r"font-family:[^;]*;?\s*")
_UPRIGHT = re.compile(r"\s*rotate\(-?0 [^)]*\)")
_RUN = re.compile(r"(?:run|mark|label|model)-(\d+)")
_NUMBERS = {"d", "x", "y", "width", "height", "transform", "viewBox"}


def inline_svg(fig: Figure, prefix: str, label: str) -> str:
    """Write a figure as an `<svg>` element for a page.

    Every colour of the palette becomes its CSS custom property, every id begins with `prefix`, and an artist that was
    given a name and words by `style.mark` becomes a group with a `<title>`; a run's line also gets a wide invisible
    twin, which is easier to point at.

    Parameters
    ----------
    fig
        The figure; the same figure gives the same text.
    prefix
        What makes ids unique on the page.
    label
        The short text alternative.
    """
    root = ElementTree.fromstring(_matplotlib_svg(fig))
    for element in root.iter():
        element.tag = _NAMESPACES.sub("", element.tag)
        element.attrib = {_NAMESPACES.sub("", key): value for key, value in element.attrib.items()}
    words = {str(artist.get_gid()): artist.get_label() for artist in fig.findobj(lambda artist: bool(artist.get_gid()))}
    _tidy(root, words, prefix)
    width = float(root.attrib["width"].removesuffix("pt"))
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": _DECIMALS.sub(_short, root.attrib["viewBox"]),
        "role": "img",
        "aria-label": str(label),
        "style": f"max-width:{width:.0f}px",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _matplotlib_svg(fig: Figure) -> str:
    file = io.StringIO()
    with drawing(), warnings.catch_warnings():
        # Only the layout looks glyphs up in DejaVu Sans; the page shows the text in the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        fig.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _tidy(root: ElementTree.Element, words: dict[str, object], prefix: str) -> None:
    """Drop what the page does not need, and give the rest its final names, colours and digits."""
    used = {found for element in root.iter() for found in _references(element)}
    named = {}
    for element in root.iter():
        element.text = (element.text or "").strip() or None
        element.tail = None
        identity = element.attrib.pop("id", "")
        if identity in words:
            named[identity] = element
        elif identity in used:
            element.set("id", identity)
    for identity, element in named.items():
        _name(element, identity, str(words[identity]))
    for element in root.iter():
        element.attrib = {key: _value(key, value, prefix) for key, value in element.attrib.items()}
        if not element.attrib.get("transform", "-"):
            del element.attrib["transform"]
    _unwrap(root)


def _references(element: ElementTree.Element) -> list[str]:
    links = [element.attrib["href"][1:]] if element.attrib.get("href", "").startswith("#") else []
    return links + [found for value in element.attrib.values() for found in re.findall(r"url\(#([^)]*)\)", value)]


def _name(group: ElementTree.Element, identity: str, words: str) -> None:
    """Give a group its words and, if it belongs to a run, the run's number, and a line of it a wide invisible twin."""
    run = _RUN.fullmatch(identity)
    line = group.find("path")
    if run:
        group.attrib = {"class": "run", "data-run": run[1]}
        if identity.startswith("run-") and line is not None and "d" in line.attrib:
            group.attrib |= {key: value for key, value in line.attrib.items() if key != "d"}
            line.attrib = {"id": identity, "d": line.attrib["d"]}
            group.insert(0, ElementTree.Element("use", {"href": f"#{identity}", "class": "reach"}))
    told = ElementTree.Element("title")
    told.text = words
    group.insert(0, told)


def _unwrap(parent: ElementTree.Element) -> None:
    """Drop what cannot be seen, and put the children of groups without attributes in their place."""
    children: list[ElementTree.Element] = []
    for child in parent:
        _unwrap(child)
        empty = child.tag in ("g", "defs") and not len(child)
        if empty or child.tag in ("metadata", "style") or child.attrib.get("style") == "fill:none":
            continue
        children += child if child.tag == "g" and not child.attrib else [child]
    parent[:] = children


def _value(key: str, value: str, prefix: str) -> str:
    if key == "style":
        value = _FONT.sub("", value)
        value = _COLOUR.sub(lambda found: _VARIABLES.get(found[0], found[0]), value)
        return value.replace("; ", ";").replace(": ", ":").replace("url(#", f"url(#{prefix}-")
    if key == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    if key == "href":
        return value.replace("#", f"#{prefix}-")
    if key == "id":
        return f"{prefix}-{value}"
    if key in _NUMBERS:
        value = _UPRIGHT.sub("", value) if key == "transform" else value
        value = " ".join(_DECIMALS.sub(_short, value).split())
        return value.replace(" L ", " ") if key == "d" and "C" not in value and "Q" not in value else value
    return value


def _short(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")
