"""Whether probabilities mean what they say: how often what was given a probability was so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..history import History, RecordLike, as_history, mapping, number, sequence
from ..markup import Markup
from ..svg import Figure
from ..words import percent, plural
from . import axes
from .axes import Axis, Plot

__all__ = ["reliability_bins", "reliability_curve"]

_WHOLE = (0.0, 1.0)


def reliability_bins(history: History) -> NDArray[np.float64]:
    """Bins of held-out rows, ascending `(bins, 3)`: mean probability, share that was so, rows; none if not recorded."""
    held = mapping(history.finish, "reliability")
    columns = [sequence(held, name) for name in ("predicted", "actual", "rows")]
    bins = np.array([[number(value) for value in values] for values in zip(*columns, strict=False)]).reshape(-1, 3)
    sound = np.isfinite(bins).all(axis=1) & (bins >= 0).all(axis=1) & (bins[:, :2] <= 1).all(axis=1) & (bins[:, 2] > 0)
    return bins[sound]


def reliability_curve(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw, for bins of held-out rows, the share that was so against the mean probability that was given.

    The bars are two standard errors of the share, √(a (1 − a)/n), either way.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> bins = {"predicted": [0.2, 0.8], "actual": [0.25, 0.75], "rows": [40, 40]}
    >>> reliability_curve([{"event": "finish", "reliability": bins}]).empty
    False
    """
    bins = reliability_bins(as_history(record))
    if not len(bins):
        return svg.blank("The record holds no probabilities.")
    plot = Plot(Axis(_WHOLE, 62, 346 if narrow else 460), Axis(_WHOLE, 288 if narrow else 348, 34))
    return Figure(*((360, 340) if narrow else (520, 400)), tuple(_draw(plot, bins)), (plot,))


def _draw(plot: Plot, bins: NDArray[np.float64]) -> list[Markup]:
    ticks = axes.linear_ticks(_WHOLE, 5)
    parts = [
        *axes.left(plot, ticks, _tick),
        *axes.bottom(plot, ticks, _tick, "probability that was predicted", grid=True),
        axes.title(plot, "share of rows for which it was so", 62),
        svg.line(plot.at(_WHOLE, _WHOLE), "constant", 1.2, (5, 3.4)),
    ]
    if len(bins) > 1:
        parts.append(svg.line(plot.at(bins[:, 0], bins[:, 1]), "accent", 1.6))
    for predicted, actual, rows in bins.tolist():
        reach = 2 * (actual * (1 - actual) / rows) ** 0.5
        bar = plot.at(predicted, np.clip([actual - reach, actual + reach], *_WHOLE))
        at = plot.at(predicted, actual)
        said = f"{plural(rows, 'row')} with {percent(predicted)} on average: {percent(actual)} were so"
        dot = svg.marker("circle", (float(at[0]), float(at[1])), 7, "accent")
        parts.append(svg.told(said, svg.line(bar, "accent", 1.2), dot))
    return parts


def _tick(share: float) -> str:
    return f"{100 * share:.0f}%"
