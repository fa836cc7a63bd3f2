"""Axes: from values to pixels, linear and logarithmic, with round ticks, grid lines and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import svg
from ..markup import Markup
from ..svg import Point
from ..words import MINUS, figure

__all__ = [
    "Axis",
    "Limits",
    "Plot",
    "across",
    "bottom",
    "even_labels",
    "inside",
    "left",
    "linear_ticks",
    "log_ticks",
    "loss_label",
    "spread",
    "title",
]

Limits = tuple[float, float]
Label = Callable[[float], str]


@dataclass(frozen=True)
class Axis:
    """Values between `limits` on the pixels from `start` to `end`; a vertical axis starts at the bottom."""

    limits: Limits
    start: float
    end: float
    log: bool = False

    def at(self, values: ArrayLike) -> Any:
        """Give the pixels of values.

        >>> Axis((0.0, 100.0), 20.0, 220.0).at([0.0, 10.0]).tolist()
        [20.0, 40.0]
        """
        low, high = self._bent(self.limits)
        return self.start + (self._bent(values) - low) * ((self.end - self.start) / (high - low))

    def value(self, pixels: ArrayLike) -> Any:
        """Give the values at pixels."""
        low, high = self._bent(self.limits)
        bent = low + (np.asarray(pixels, dtype=np.float64) - self.start) * ((high - low) / (self.end - self.start))
        return np.exp(bent) if self.log else bent

    def _bent(self, values: ArrayLike) -> Any:
        array = np.asarray(values, dtype=np.float64)
        return np.log(np.maximum(array, 1e-300)) if self.log else array[()]


@dataclass(frozen=True)
class Plot:
    """A rectangle with an axis across and one upwards."""

    x: Axis
    y: Axis

    def at(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Give the pixels `(…, 2)` of points."""
        return np.stack(np.broadcast_arrays(self.x.at(x), self.y.at(y)), axis=-1)


def title(plot: Plot, text: str, left: float = 0.0) -> Markup:
    """Say above a plot what it shows, from `left` pixels before it."""
    return svg.words(text, (plot.x.start - left, plot.y.end - 12), centred=False)


def bottom(plot: Plot, ticks: Sequence[float], label: Label, name: str, *, grid: bool = False) -> list[Markup]:
    """Draw the axis across: a base line or vertical grid lines, the ticks' labels, and the axis's name."""
    low, high = plot.y.start, plot.y.end
    places = [float(place) for place in plot.x.at(ticks)]
    parts = [svg.line([(x, low), (x, high)], "grid") for x in places if grid]
    if not grid:
        parts.append(svg.line([(plot.x.start, low), (plot.x.end, low)], "rule"))
    parts += [
        svg.words(label(tick), (x, low + 17), anchor="middle", centred=False)
        for tick, x in zip(ticks, places, strict=True)
    ]
    middle = (plot.x.start + plot.x.end) / 2
    return [*parts, svg.words(name, (middle, low + 41), anchor="middle", centred=False)]


def left(plot: Plot, ticks: Sequence[float], label: Label) -> list[Markup]:
    """Draw the axis upwards: horizontal grid lines and the ticks' labels."""
    parts = []
    for tick in ticks:
        y = float(plot.y.at(tick))
        parts.append(svg.line([(plot.x.start, y), (plot.x.end, y)], "grid"))
        parts.append(svg.words(label(tick), (plot.x.start - 6, y), anchor="end"))
    return parts


def across(plot: Plot, value: float, colour: str, width: float = 1.0, dash: Sequence[float] = ()) -> Markup:
    """Draw a horizontal line through a plot at a value."""
    y = float(plot.y.at(value))
    return svg.line([(plot.x.start, y), (plot.x.end, y)], colour, width, dash)


def inside(points: NDArray[np.float64], plot: Plot) -> NDArray[np.float64]:
    """Cut a line `(n, 2)` in pixels where it leaves a plot at the top or at the bottom; gaps are points of NaN."""
    top, base = plot.y.end, plot.y.start
    if len(points) < 2 or ((points[:, 1] >= top) & (points[:, 1] <= base)).all():
        return points
    found: list[Point] = []
    for start, end in pairwise(points.tolist()):
        part = _between(tuple(start), tuple(end), top, base)
        if part is None:
            continue
        if found and found[-1] != part[0]:
            found.append((math.nan, math.nan))
        found += part[1:] if found and found[-1] == part[0] else part
    return np.array(found).reshape(-1, 2)


def _between(start: Point, end: Point, top: float, base: float) -> tuple[Point, Point] | None:
    """Give the part of a straight line that is between two heights, None where there is none."""
    (x, y), wide, high = start, end[0] - start[0], end[1] - start[1]
    if high == 0:
        return (start, end) if top <= y <= base else None
    first, last = sorted(((top - y) / high, (base - y) / high))
    first, last = max(first, 0.0), min(last, 1.0)
    return ((x + first * wide, y + first * high), (x + last * wide, y + last * high)) if first < last else None


def linear_ticks(limits: Limits, most: int = 6) -> list[float]:
    """Give round values between limits, at most so many steps of 1, 2, 2.5 or 5 × a power of ten.

    >>> linear_ticks((0.0, 103.0))
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    low, high = limits
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(part * power for part in (1, 2, 2.5, 5, 10, 20) if part * power >= least * (1 - 1e-9))
    return [float(k) * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def log_ticks(limits: Limits, most: int = 7) -> list[float]:
    """Give ticks at 1, 2, 5 × powers of ten between limits, more or fewer as there is room.

    >>> log_ticks((0.8, 60.0))
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    """
    low, high = limits
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= most:
            break
    while len(ticks) > most:
        ticks = ticks[::2]
    return ticks if len(ticks) >= 2 else [low, high]


def even_labels(ticks: Sequence[float]) -> Label:
    """Give all ticks of a linear axis the same number of decimals."""
    largest = max(map(abs, ticks), default=0.0)
    decimals = next((d for d in range(7) if all(abs(t - round(t, d)) <= 1e-9 * largest for t in ticks)), None)
    if decimals is None or largest >= 1e6:
        return loss_label
    return lambda tick: f"{tick + 0.0:,.{decimals}f}".replace("-", MINUS)


def loss_label(value: float) -> str:
    """Write a loss for an axis."""
    return figure(value, 2) if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:,.4g}".replace("-", MINUS)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Move labels apart to at least `gap` from each other, each as near as possible to where it is wanted.

    >>> spread([1.0, 1.1, 5.0], 1.0, 0.0, 9.0).tolist()
    [0.55, 1.55, 5.0]
    """
    order = np.argsort(wanted, kind="stable")
    groups: list[tuple[float, int]] = []  # labels that touch: the sum of where they are wanted, and how many they are

    def centre(total: float, size: int) -> float:
        half = (size - 1) * gap / 2
        return min(max(total / size, low + half), max(low + half, high - half))

    for at in order:
        total, size = float(wanted[at]), 1
        while groups and centre(*groups[-1]) + groups[-1][1] * gap / 2 > centre(total, size) - size * gap / 2:
            before, more = groups.pop()
            total, size = before + total, more + size
        groups.append((total, size))
    result = np.empty(len(order))
    result[order] = [centre(total, size) + (i - (size - 1) / 2) * gap for total, size in groups for i in range(size)]
    return result
