"""How good the model is on held-out rows: the confusion matrix of a classifier, the residuals of a regression."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..history import History, RecordLike, as_history, mapping, number, sequence
from ..palette import LIGHT, heat_colour
from ..words import count, percent, short_count, shorten
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    """
    history = as_history(record)
    counts = confusion_counts(history)
    if counts is None:
        return style.blank("The record holds no confusion matrix.")
    with style.drawing():
        return _draw_confusion(class_names(history, len(counts)), counts, narrow)


def _draw_confusion(names: list[str], counts: NDArray[np.float64], narrow: bool) -> Figure:
    size = len(counts)
    most = 9 if narrow else 20
    left = 26 + 7.4 * min(most, max(len(shorten(name, most)) for name in names))
    room = (360 if narrow else 860) - left
    wide = max(min(room / size, 132.0), 8.0)
    high = max(min(wide, 64.0), 8.0)
    upright = any(7.4 * len(shorten(name, most)) > wide - 6 for name in names)
    top = 34 + (7.4 * max(len(shorten(name, most)) for name in names) if upright else 18)

    width = max(left + wide * size + 1, 250.0)
    fig = style.canvas(width, top + high * size + 4)
    axes = style.place(fig, left, 4, width - left - wide * size, top)
    axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    _cells(axes, names, counts, counts / totals, wide, high)
    _class_labels(axes, names, most, upright, min(12.0, high * 0.85))
    corner = {"xycoords": "axes fraction", "textcoords": "offset points", "color": LIGHT["muted"], "size": 12}
    axes.annotate("predicted", (0, 1), (0, top - 18), **corner)
    axes.annotate("true", (0, 1), (-left + 2, 6), **corner)
    return fig


def _cells(
    axes: Axes, names: list[str], counts: NDArray[np.float64], shares: NDArray[np.float64], wide: float, high: float
) -> None:
    from matplotlib.patches import Rectangle

    size = len(counts)
    digits = len(count(float(counts.max())))
    text = min(13.0, (wide - 4) / (0.66 * digits), high * 0.6)
    gap = 0.0 if size > 20 else 1.0
    for true, predicted in np.ndindex(counts.shape):
        share, rows = float(shares[true, predicted]), float(counts[true, predicted])
        fill, ink = heat_colour(math.sqrt(share))  # small shares are the ones to look for
        corner = (predicted + gap / wide / 2, true + gap / high / 2)
        cell = Rectangle(corner, 1 - gap / wide, 1 - gap / high, fc=fill, ec="none", lw=0, clip_on=False)
        axes.add_artist(cell)  # add_patch would measure each of up to 900 cells
        if size <= _TITLED:
            told = (
                f"true {names[true]}, predicted {names[predicted]}: {count(rows)} rows, {percent(share)} of the class"
            )
            style.mark(cell, f"cell-{true}-{predicted}", told)
        if text < 7 or (rows == 0 and size > _TITLED):
            continue
        lift = 8 / high if rows and wide >= 58 and high >= 40 else 0.0
        words: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": ink}
        weight = "bold" if true == predicted else "normal"
        axes.text(predicted + 0.5, true + 0.5 - lift, count(rows), size=text, weight=weight, **words)
        if lift:
            axes.text(predicted + 0.5, true + 0.5 + 1.2 * lift, percent(share), size=min(text, 11.0), **words)


def _class_labels(axes: Axes, names: list[str], most: int, upright: bool, size: float) -> None:
    beside: dict[str, Any] = {"textcoords": "offset points", "parse_math": False, "size": size, "color": LIGHT["ink"]}
    for at, name in enumerate(names):
        words = shorten(name, most)
        row = axes.annotate(
            words,
            (0, at + 0.5),
            (-8, 0),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="center_baseline",
            **beside,
        )
        column = axes.annotate(
            words,
            (at + 0.5, 1),
            (0, 6),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom" if upright else "baseline",
            rotation=90 if upright else 0,
            **beside,
        )
        style.mark(row, f"row-{at}", name)
        style.mark(column, f"column-{at}", name)


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
    """
    history = as_history(record)
    predicted, actual = residual_points(history)
    if not predicted.size:
        return style.blank("The record holds no residuals.")
    with style.drawing():
        fig = style.canvas(360, 640) if narrow else style.canvas(920, 380)
        scatter = style.place(fig, 62, 372, 14, 34) if narrow else style.place(fig, 62, 52, 500, 34)
        histogram = style.place(fig, 62, 52, 14, 374) if narrow else style.place(fig, 540, 52, 14, 34)
        _scatter(scatter, predicted, actual, str(history.start.get("target") or "target"))
        _histogram(histogram, history, actual - predicted)
    return fig


def _range(values: NDArray[np.float64]) -> style.Limits:
    """All values, or where a few lie far out, the bulk of them."""
    low, high = (float(end) for end in np.quantile(values, [0.01, 0.99]))
    reach = 0.35 * (high - low)
    low, high = max(float(values.min()), low - reach), min(float(values.max()), high + reach)
    margin = max(0.03 * (high - low), 1e-6 * abs(high), 1e-6)
    return low - margin, high + margin


def _scatter(axes: Axes, predicted: NDArray[np.float64], actual: NDArray[np.float64], target: str) -> None:
    limits = _range(np.concatenate([predicted, actual]))
    style.linear_axis(axes, "x", limits, most=5)
    style.linear_axis(axes, "y", limits, most=5)
    axes.plot(limits, limits, color=LIGHT["constant"], lw=1.2, dashes=(6, 4), zorder=1)
    axes.plot(
        np.clip(predicted, *limits),
        np.clip(actual, *limits),
        ls="",
        marker="o",
        ms=4.5,
        mew=0,
        mfc=LIGHT["accent"],
        alpha=0.45,
    )
    axes.grid(color=LIGHT["grid"], lw=1)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted", labelpad=8)
    style.title(axes, f"actual {shorten(target, 30)}", 62)


def _histogram(axes: Axes, history: History, differences: NDArray[np.float64]) -> None:
    held = mapping(history.finish, "residuals")
    edges = np.array([number(edge) for edge in sequence(held, "edges")])
    counts = np.array([number(rows) for rows in sequence(held, "counts")])
    if edges.size != counts.size + 1 or edges.size < 2 or not (np.isfinite(edges).all() and np.isfinite(counts).all()):
        bins = min(30, max(5, math.isqrt(differences.size)))
        counts, edges = np.histogram(differences, bins=bins, range=_range(differences))
    axes.stairs(counts, edges, fill=True, color=LIGHT["accent"], alpha=0.75, lw=0)
    axes.axvline(0, color=LIGHT["ink"], lw=1)
    style.linear_axis(axes, "x", (float(edges[0]), float(edges[-1])))
    style.linear_axis(axes, "y", (0.0, float(counts.max() or 1) * 1.05), short_count, 4)
    axes.grid(axis="y", color=LIGHT["grid"], lw=1)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("actual \N{MINUS SIGN} predicted", labelpad=8)
    style.title(axes, "held-out rows", 0)
