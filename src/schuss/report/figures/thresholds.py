"""Every threshold between two classes: the ROC curve, and the curve of precision against recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..history import History, RecordLike, as_history, mapping, number, sequence
from ..markup import Markup
from ..svg import Figure
from ..words import percent
from . import axes
from .axes import Axis, Plot

__all__ = ["roc_and_precision", "threshold_points"]

Array = NDArray[np.float64]

_WHOLE = (0.0, 1.0)
_TOLD = 24  # points of a curve that say what they are when pointed at


def threshold_points(history: History) -> Array:
    """Thresholds from the highest on, `(n, 3)`: false positive rate, recall, precision; none if not recorded.

    The precision where nothing is found yet is that of the highest threshold that finds anything.
    """
    curve = mapping(history.finish, "curve")
    sizes = [number(curve.get(key)) for key in ("negatives", "positives")]
    counts = [sequence(curve, key) for key in ("false_positives", "true_positives")]
    table = np.array([[number(value) for value in pair] for pair in zip(*counts, strict=False)]).reshape(-1, 2)
    if len(table) < 2 or not min(sizes) > 0 or not np.isfinite(table).all() or (np.diff(table, axis=0) < 0).any():
        return np.empty((0, 3))
    false, true = table.T
    found = false + true
    precision = np.divide(true, found, out=np.full(len(table), np.nan), where=found > 0)
    known = precision[np.isfinite(precision)]
    return np.column_stack(
        [false / sizes[0], true / sizes[1], np.nan_to_num(precision, nan=known[0] if known.size else 1)]
    )


def roc_and_precision(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw for every threshold which share of the second class is found, against what is found by mistake.

    Left the ROC curve, recall against the false positive rate; right precision against recall, whose dashed line is the
    share of the class: what guessing would reach.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width, one below the other.

    Example
    -------
    >>> curve = {"negatives": 3, "positives": 2, "false_positives": [0, 0, 1, 3], "true_positives": [0, 1, 2, 2]}
    >>> roc_and_precision([{"event": "finish", "curve": curve}]).empty
    False
    """
    history = as_history(record)
    points = threshold_points(history)
    if not len(points):
        return svg.blank("The record holds no thresholds of two classes.")
    curve = mapping(history.finish, "curve")
    share = number(curve.get("positives")) / (number(curve.get("positives")) + number(curve.get("negatives")))
    if narrow:
        roc, precision = (
            Plot(Axis(_WHOLE, 62, 340), Axis(_WHOLE, 318, 34)),
            Plot(Axis(_WHOLE, 62, 340), Axis(_WHOLE, 688, 404)),
        )
    else:
        roc, precision = (
            Plot(Axis(_WHOLE, 62, 412), Axis(_WHOLE, 384, 34)),
            Plot(Axis(_WHOLE, 550, 900), Axis(_WHOLE, 384, 34)),
        )
    parts = (
        *_frame(roc, "false positive rate", "true positive rate (recall)"),
        svg.line(roc.at(_WHOLE, _WHOLE), "constant", 1.2, (5, 3.4)),
        svg.area(np.concatenate([roc.at(points[:, 0], points[:, 1]), roc.at([1.0], [0.0])]), "accent", 0.1),
        *_curve(roc, points, points[:, 0], points[:, 1]),
        *_frame(precision, "recall", "precision"),
        axes.across(precision, share, "constant", 1.2, (5, 3.4)),
        *_curve(precision, points, points[:, 1], points[:, 2]),
    )
    return Figure(*((360, 740) if narrow else (920, 436)), parts, (roc, precision))


def _frame(plot: Plot, across: str, upwards: str) -> list[Markup]:
    ticks = axes.linear_ticks(_WHOLE, 5)
    return [
        *axes.left(plot, ticks, _tick),
        *axes.bottom(plot, ticks, _tick, across, grid=True),
        axes.title(plot, upwards, 62),
    ]


def _curve(plot: Plot, points: Array, x: Array, y: Array) -> list[Markup]:
    """Draw a curve, and invisible points on it that say what they are."""
    line = plot.at(x, y)
    parts = [svg.line(line, "accent", 2.2)]
    for at in sorted({*np.linspace(0, len(points) - 1, min(_TOLD, len(points))).round().astype(int).tolist()}):
        false, recall, precision = points[at].tolist()
        said = (
            f"{percent(recall)} found, with {percent(false)} of the others; {percent(precision)} of all named are right"
        )
        place = (float(line[at, 0]), float(line[at, 1]))
        parts.append(svg.told(said, svg.marker("circle", place, 12, "transparent")))
    return parts


def _tick(share: float) -> str:
    return f"{100 * share:.0f}%"
