"""How good the model is on held-out rows: the confusion matrix of a classifier, the residuals of a regression."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..history import History, RecordLike, as_history, mapping, number, quantile, sequence
from ..markup import Markup
from ..palette import heat_colour
from ..svg import Figure
from ..words import count, percent, short_count, shorten
from . import axes
from .axes import Axis, Limits, Plot

__all__ = ["class_names", "confusion_counts", "confusion_matrix", "residual_points", "residuals"]

_TITLED = 12  # up to so many classes, each cell of the confusion matrix says on hovering what it holds


def class_names(history: History, size: int) -> list[str]:
    """The names of `size` classes, numbered where the record does not tell."""
    names = [str(name) for name in sequence(history.start, "classes")]
    return names if len(names) == size else [f"class {i + 1}" for i in range(size)]


def confusion_counts(history: History) -> NDArray[np.float64] | None:
    """How many held-out rows of each true class (row) were given each class (column); None where not recorded."""
    table = sequence(history.finish, "confusion")
    rows = [[number(value) for value in row] for row in table if isinstance(row, (list, tuple))]
    if not rows or any(len(row) != len(rows) for row in rows):
        return None
    return np.nan_to_num(np.array(rows, dtype=np.float64), posinf=0.0, neginf=0.0)


def confusion_matrix(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the confusion matrix of the held-out rows: true classes down, predicted ones across.

    Each cell holds the number of rows and their share of the true class, which is also its colour.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> "predicted" in confusion_matrix([{"event": "finish", "confusion": [[8, 1], [0, 9]]}]).svg("")
    True
    """
    history = as_history(record)
    counts = confusion_counts(history)
    if counts is None:
        return svg.blank("The record holds no confusion matrix.")
    return _draw_confusion(class_names(history, len(counts)), counts, narrow)


class _Grid(NamedTuple):
    """Where the cells of a matrix are: the left and upper edge of the first, their size, the gap between two."""

    left: float
    top: float
    wide: float
    high: float
    gap: float


def _draw_confusion(names: list[str], counts: NDArray[np.float64], narrow: bool) -> Figure:
    size = len(counts)
    labels = [shorten(name, 9 if narrow else 20) for name in names]
    longest = 7.4 * max(map(len, labels))
    left = 26 + longest
    wide = max(min(((360 if narrow else 860) - left) / size, 132.0), 8.0)
    high = max(min(wide, 64.0), 8.0)
    upright = longest > wide - 6
    top = 34 + (longest if upright else 18)
    grid = _Grid(left, top, wide, high, 0.0 if size > 20 else 1.0)
    parts = [
        svg.words("predicted", (left, 16), size=12, centred=False),
        svg.words("true", (2, top - 6), size=12, centred=False),
        *_cells(grid, names, counts),
        *_class_labels(grid, names, labels, upright),
    ]
    return Figure(max(left + wide * size + 1, 250.0), top + high * size + 4, tuple(parts))


def _cells(grid: _Grid, names: list[str], counts: NDArray[np.float64]) -> list[Markup]:
    size, shares = len(counts), counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    digits = len(count(float(counts.max())))
    text = min(13.0, (grid.wide - 4) / (0.66 * digits), grid.high * 0.6)
    cells = []
    for (true, predicted), rows in np.ndenumerate(counts):
        share = float(shares[true, predicted])
        fill, ink = heat_colour(math.sqrt(share))  # small shares are the ones to look for
        x, y = grid.left + predicted * grid.wide, grid.top + true * grid.high
        corner = (x + grid.gap / 2, y + grid.gap / 2)
        parts = [svg.rectangle(corner, grid.wide - grid.gap, grid.high - grid.gap, fill)]
        middle = (x + grid.wide / 2, y + grid.high / 2)
        if text >= 7 and rows:
            parts += _cell_words(grid, middle, float(rows), share, text, ink, true == predicted)
        told = f"true {names[true]}, predicted {names[predicted]}: {count(rows)} rows, {percent(share)} of the class"
        cells += [svg.told(told, *parts)] if size <= _TITLED else parts
    return cells


def _cell_words(
    grid: _Grid, at: svg.Point, rows: float, share: float, size: float, ink: str, right: bool
) -> list[Markup]:
    """Write how many rows a cell holds and, where there is room, their share of the true class."""
    x, y = at
    if grid.wide < 58 or grid.high < 40:
        return [svg.words(count(rows), at, ink, size, anchor="middle", bold=right)]
    below = svg.words(percent(share), (x, y + 10), ink, min(size, 11.0), anchor="middle")
    return [svg.words(count(rows), (x, y - 8), ink, size, anchor="middle", bold=right), below]


def _class_labels(grid: _Grid, names: list[str], labels: list[str], upright: bool) -> list[Markup]:
    size = min(12.0, grid.high * 0.85)
    parts = []
    for at, (name, label) in enumerate(zip(names, labels, strict=True)):
        row = (grid.left - 8, grid.top + (at + 0.5) * grid.high)
        column = (grid.left + (at + 0.5) * grid.wide, grid.top - 7)
        parts.append(svg.told(name, svg.words(label, row, "ink", size, anchor="end")))
        if upright:
            parts.append(svg.told(name, svg.words(label, column, "ink", size, upright=True)))
        else:
            parts.append(svg.told(name, svg.words(label, column, "ink", size, anchor="middle", centred=False)))
    return parts


def residual_points(history: History) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions and actual values of the recorded held-out rows, pairs that are not finite left out."""
    held = mapping(history.finish, "residuals")
    pairs = zip(sequence(held, "predicted"), sequence(held, "actual"), strict=False)
    table = np.array([[number(p), number(a)] for p, a in pairs], dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, 0], table[:, 1]


def residuals(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw predicted against actual values of held-out rows, and how the residuals (actual − predicted) are spread.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width, one below the other.

    Example
    -------
    >>> residuals([{"event": "finish", "residuals": {"predicted": [1, 2, 3], "actual": [1, 3, 2]}}]).empty
    False
    """
    history = as_history(record)
    predicted, actual = residual_points(history)
    if not predicted.size:
        return svg.blank("The record holds no residuals.")
    limits = _range(np.concatenate([predicted, actual]))
    counts, edges = _spread(history, actual - predicted)
    between, most = (float(edges[0]), float(edges[-1])), (0.0, float(counts.max() or 1) * 1.05)
    if narrow:
        scatter = Plot(Axis(limits, 62, 346), Axis(limits, 268, 34))
        histogram = Plot(Axis(between, 62, 346), Axis(most, 588, 374))
    else:
        scatter = Plot(Axis(limits, 62, 420), Axis(limits, 328, 34))
        histogram = Plot(Axis(between, 540, 906), Axis(most, 328, 34))
    target = str(history.start.get("target") or "target")
    parts = (*_scatter(scatter, predicted, actual, target), *_histogram(histogram, counts, edges))
    return Figure(*((360, 640) if narrow else (920, 380)), parts, (scatter, histogram))


def _range(values: NDArray[np.float64]) -> Limits:
    """All values, or where a few lie far out, the bulk of them."""
    low, high = quantile(values, 0.01), quantile(values, 0.99)
    reach = 0.35 * (high - low)
    low, high = max(float(values.min()), low - reach), min(float(values.max()), high + reach)
    margin = max(0.03 * (high - low), 1e-6 * abs(high), 1e-6)
    return low - margin, high + margin


def _scatter(plot: Plot, predicted: NDArray[np.float64], actual: NDArray[np.float64], target: str) -> list[Markup]:
    limits = plot.x.limits
    ticks = axes.linear_ticks(limits, 5)
    label = axes.even_labels(ticks)
    points = plot.at(np.clip(predicted, *limits), np.clip(actual, *limits))
    return [
        *axes.left(plot, ticks, label),
        *axes.bottom(plot, ticks, label, "predicted", grid=True),
        axes.title(plot, f"actual {shorten(target, 30)}", 62),
        svg.line(plot.at(limits, limits), "constant", 1.2, (5, 3.4)),
        svg.dots(points, 4.5, "accent", 0.45),
    ]


def _spread(history: History, differences: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give how many residuals lie between edges: those of the record, or counted here."""
    held = mapping(history.finish, "residuals")
    edges = np.array([number(edge) for edge in sequence(held, "edges")])
    counts = np.array([number(rows) for rows in sequence(held, "counts")])
    if edges.size == counts.size + 1 and edges.size > 1 and np.isfinite(edges).all() and np.isfinite(counts).all():
        return counts, edges
    bins = min(30, max(5, math.isqrt(differences.size)))
    return np.histogram(differences, bins=bins, range=_range(differences))


def _histogram(plot: Plot, counts: NDArray[np.float64], edges: NDArray[np.float64]) -> list[Markup]:
    ticks, heights = axes.linear_ticks(plot.x.limits), axes.linear_ticks(plot.y.limits, 4)
    corners = plot.at(np.repeat(edges, 2), np.concatenate([[0], np.repeat(counts, 2), [0]]))
    zero = float(plot.x.at(0.0))
    parts = [
        *axes.left(plot, heights, short_count),
        svg.area(corners, "accent", 0.75),
        *axes.bottom(plot, ticks, axes.even_labels(ticks), "actual \N{MINUS SIGN} predicted"),
        axes.title(plot, "held-out rows"),
    ]
    shown = plot.x.start <= zero <= plot.x.end
    return [*parts, svg.line([(zero, plot.y.start), (zero, plot.y.end)], "ink")] if shown else parts
