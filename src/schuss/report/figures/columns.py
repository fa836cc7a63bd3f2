"""Which columns matter: how much each moves the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .. import svg
from ..history import History, RecordLike, as_history, number, sequence
from ..svg import Figure
from ..words import figure, shorten
from . import axes
from .axes import Axis, Plot

__all__ = ["column_importance", "read_columns"]

_DRAWN = 15


def read_columns(history: History) -> list[tuple[str, float]]:
    """The columns and the standard deviation of what each adds to the scores, largest first."""
    entries = [entry for entry in sequence(history.finish, "columns") if isinstance(entry, Mapping)]
    pairs = [(str(entry.get("column")), number(entry.get("spread"))) for entry in entries]
    return sorted(((name, spread) for name, spread in pairs if math.isfinite(spread)), key=lambda pair: -pair[1])


def column_importance(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw how much each column moves the scores: the standard deviation over held-out rows of what it adds to them.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> column_importance([{"event": "finish", "columns": [{"column": "age", "spread": 0.4}]}]).empty
    False
    """
    columns = read_columns(as_history(record))[:_DRAWN]
    if not columns or not columns[0][1] > 0:
        return svg.blank("The record does not say how much each column matters.")
    width, high, top = (360.0, 40, 32) if narrow else (920.0, 27, 32)
    names = [shorten(name, 46 if narrow else 36) for name, _ in columns]
    left = 2.0 if narrow else 16 + 7.3 * max(map(len, names))
    rows = Axis((len(columns) - 0.5, -0.5), top + high * len(columns), top)
    plot = Plot(Axis((0.0, columns[0][1] * 1.12), left, width - (2 if narrow else 250)), rows)
    parts = [axes.title(plot, "standard deviation of what it adds to the score")]
    for row, ((name, spread), shown) in enumerate(zip(columns, names, strict=True)):
        thick = 0.34 if narrow else 0.62
        corner = plot.at(0.0, row - thick / 2).tolist()
        end = plot.at(spread, row + thick / 2).tolist()
        place = (left, float(rows.at(row - 0.42))) if narrow else (left - 12, float(rows.at(row)))
        bar = svg.rectangle((corner[0], corner[1]), end[0] - corner[0], end[1] - corner[1], "accent")
        value = svg.words(figure(spread, 3), (end[0] + 6, (corner[1] + end[1]) / 2), size=11)
        label = svg.words(shown, place, "ink", 12, anchor="start" if narrow else "end")
        parts.append(svg.told(f"{name}: {figure(spread, 3)}", bar, value, label))
    return Figure(width, top + high * len(columns) + 4, tuple(parts), (plot,))
