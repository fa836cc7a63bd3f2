"""Curves with their names at their ends: the one chart that comparisons and the documentation are drawn with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import svg
from ..markup import Markup
from ..palette import rate_colour
from ..svg import Figure
from ..words import short_count
from . import axes
from .axes import Axis, Limits, Plot

__all__ = ["Curve", "Frame", "chart", "colours", "power_label"]

_LABEL = 12.0
_GAP = 16.0
_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """A curve: its name, points `(n, 2)`, colour, width and dash; said : what it says when pointed at."""

    name: str
    points: ArrayLike
    colour: str = "accent"
    width: float = 1.8
    dash: tuple[float, ...] = ()
    said: str = ""
    marks: bool = False

    @property
    def line(self) -> NDArray[np.float64]:
        """The points as an array, at most as many as are seen."""
        points = np.asarray(self.points, np.float64).reshape(-1, 2)
        if len(points) <= _POINTS:
            return points
        return points[sorted({*np.linspace(0, len(points) - 1, _POINTS).round().astype(int).tolist()})]


@dataclass(frozen=True)
class Frame:
    """What is shown: the name, limits and kind of each axis; label : how a tick across is written."""

    x_name: str
    y_name: str
    x: Limits
    y: Limits
    x_log: bool = False
    y_log: bool = False
    label: Callable[[float], str] = short_count


def colours(many: int) -> list[str]:
    """Give so many colours of the palette's scale, in their order."""
    return [rate_colour(place / max(many - 1, 1)) for place in range(many)]


def power_label(value: float) -> str:
    """Write a power of ten for an axis.

    >>> power_label(1e-5), power_label(1.0), power_label(0.003)
    ('10⁻⁵', '1', '3·10⁻³')
    """
    power = math.floor(math.log10(value) + 1e-9)
    if -3 < power < 4:
        return f"{value:g}"
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    factor = value / 10.0**power
    return f"10{raised}" if abs(factor - 1) < 1e-6 else f"{factor:g}·10{raised}"


def chart(
    curves: Sequence[Curve],
    frame: Frame,
    *,
    narrow: bool = False,
    size: tuple[float, float] | None = None,
    extend: bool = False,
    linked: bool = True,
    over: Sequence[Markup] = (),
    behind: Callable[[Plot], Sequence[Markup]] = lambda plot: (),
) -> Figure:
    """Draw curves in a frame, the last one on top; where they leave it they are cut.

    narrow : draw for a phone; extend : lead each curve on to the right edge with dots, where it ended earlier; linked :
    pointing at a curve shows those of the same place in the page's other charts; behind : gives what lies under the
    curves.
    """
    width, height = size or ((360.0, 320.0) if narrow else (920.0, 420.0))
    left = 50.0 if narrow else 58.0
    longest = max((len(curve.name) for curve in curves), default=0)
    right = 26.0 + 7.0 * longest if longest else 16.0
    plot = Plot(Axis(frame.x, left, width - right, frame.x_log), Axis(frame.y, height - 52, 38, frame.y_log))
    y_ticks = axes.log_ticks(frame.y) if frame.y_log else axes.linear_ticks(frame.y)
    most = (5 if narrow else 9) if frame.x_log else (4 if narrow else 7)
    x_ticks = axes.log_ticks(frame.x, most) if frame.x_log else axes.linear_ticks(frame.x, most)
    parts = [
        *axes.left(plot, y_ticks, _log_label if frame.y_log else axes.even_labels(y_ticks)),
        *axes.bottom(plot, x_ticks, frame.label, frame.x_name),
        axes.title(plot, frame.y_name, left),
        *behind(plot),
        *(_drawn(plot, place if linked else None, curve, extend) for place, curve in enumerate(curves)),
        *_names(plot, curves, linked),
        *over,
    ]
    return Figure(width, height, tuple(parts), (plot,))


def _log_label(value: float) -> str:
    return power_label(value) if value < 1e-3 or value >= 1e4 else axes.loss_label(value)


def _drawn(plot: Plot, place: int | None, curve: Curve, extend: bool) -> Markup:
    """Draw one curve."""
    points = _pixels(plot, curve)
    parts: list[Markup] = [svg.line(axes.inside(points, plot), curve.colour, curve.width, curve.dash)]
    if curve.marks:
        within = [tuple(point) for point in points.tolist() if plot.y.end <= point[1] <= plot.y.start]
        parts += [svg.marker("circle", at, 2.6 * curve.width, curve.colour) for at in within]
    end: Any = points[-1].tolist() if len(points) else (math.nan, math.nan)
    if extend and end[0] < plot.x.end - 6 and plot.y.end <= end[1] <= plot.y.start:
        parts.append(svg.marker("circle", (end[0], end[1]), 2.6 * curve.width, curve.colour))
        parts.append(svg.line([end, (plot.x.end, end[1])], curve.colour, 1.0, (1, 3)))
    return svg.told(curve.said or curve.name, *parts, run=place)


def _pixels(plot: Plot, curve: Curve) -> NDArray[np.float64]:
    """Give the pixels of a curve; what lies before the frame begins at its edge, what is not finite above it."""
    line = curve.line
    line = line[max(int(np.searchsorted(line[:, 0], plot.x.limits[0], side="right")) - 1, 0) :].copy()
    line[:, 0] = np.clip(line[:, 0], *plot.x.limits)
    top = plot.y.limits[1]
    line[:, 1] = np.where(np.isfinite(line[:, 1]), line[:, 1], 1e3 * abs(top) + 1)
    return plot.at(line[:, 0], line[:, 1])


def _names(plot: Plot, curves: Sequence[Curve], linked: bool) -> list[Markup]:
    """Write the names of the curves to the right of where they end, each beside a piece of its line."""
    named = [(place, curve) for place, curve in enumerate(curves) if curve.name and len(curve.line)]
    wanted = [min(max(float(_pixels(plot, curve)[-1, 1]), plot.y.end), plot.y.start) for _, curve in named]
    places = axes.spread(wanted, _GAP, plot.y.end, plot.y.start).tolist()
    parts = []
    for (place, curve), y in zip(named, places, strict=True):
        x = plot.x.end
        sample = svg.line([(x + 5, y), (x + 15, y)], curve.colour, curve.width, curve.dash)
        bold = curve.width > 3
        name = svg.words(curve.name, (x + 20, y), "ink" if bold else "muted", _LABEL, bold=bold)
        parts.append(svg.told(curve.said or curve.name, sample, name, run=place if linked else None))
    return parts
