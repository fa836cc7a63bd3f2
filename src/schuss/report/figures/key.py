"""The key of a figure: what its lines, markers and colours stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import svg
from ..markup import Markup, element, short

__all__ = ["ROW", "Sign", "draw", "line_sign", "marker_sign", "rows", "scale_sign"]

ROW = 22.0
"""Height of a row, in pixels."""


@dataclass(frozen=True)
class Sign:
    """An entry of a key: a sample, drawn from the point (0, 0) to the right, its width, and what it stands for."""

    words: str
    sample: Markup
    wide: float = 22.0

    @property
    def width(self) -> float:
        """Room it takes, in CSS pixels, the words by an average character."""
        return self.wide + 10 + 6.6 * len(self.words) + 22


def line_sign(words: str, colour: str, width: float, dash: Sequence[float] = ()) -> Sign:
    """A sign for a line."""
    return Sign(words, svg.line([(0, 0), (22, 0)], colour, width, dash))


def marker_sign(words: str, shape: str, size: float, fill: str, edge: str) -> Sign:
    """A sign for a marker."""
    return Sign(words, svg.marker(shape, (11, 0), size, fill, edge, 1.8))


def scale_sign(words: str, colours: Sequence[str]) -> Sign:
    """A sign for a scale of colours."""
    steps = (svg.rectangle((11.0 * step, -5), 11.5, 10, colour) for step, colour in enumerate(colours))
    return Sign(words, Markup("".join(steps)), 11.0 * len(colours))


def rows(signs: Sequence[Sign], width: float) -> list[list[Sign]]:
    """Break the entries of a key into rows no wider than `width` CSS pixels."""
    found: list[list[Sign]] = []
    room = 0.0
    for sign in signs:
        if not found or sign.width > room:
            found.append([])
            room = width
        found[-1].append(sign)
        room -= sign.width
    return found


def draw(lines: Sequence[Sequence[Sign]]) -> list[Markup]:
    """Draw the rows of a key at the top of a figure."""
    parts = []
    for row, signs in enumerate(lines):
        x, y = 0.0, ROW * (row + 0.5)
        for sign in signs:
            parts.append(element("g", {"transform": f"translate({short(x)} {short(y)})"}, sign.sample))
            parts.append(svg.words(sign.words, (x + sign.wide + 10, y), size=12))
            x += sign.width
    return parts
