"""The model beside what needs no model: always the same prediction, and the best single feature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from .. import svg
from ..history import History, RecordLike, as_history, interval, mapping, number
from ..markup import Markup
from ..svg import Figure
from ..words import figure, percent, shorten
from . import axes
from .axes import Axis, Plot
from .results import class_names, confusion_counts

__all__ = ["Reached", "model_beside_baselines", "read_reached"]


class Reached(NamedTuple):
    """A score of the held-out rows: whose it is, in words, and its 95 % interval where it is known."""

    name: str
    score: float
    ends: tuple[float, float] | None = None


def read_reached(history: History) -> list[Reached]:
    """Give the accuracy, or R², of what needs no model, and last that of the model; none where it is unknown."""
    held, classes = mapping(history.finish, "holdout"), history.task == "classification"
    key = "accuracy" if classes else "r2"
    own, alone = number(held.get(key)), mapping(history.finish, "single_feature")
    if not math.isfinite(own):
        return []
    found = []
    counts = confusion_counts(history)
    if not classes:
        found.append(Reached("always the mean", 0.0))
    elif counts is not None and counts.sum() > 0:
        most = counts.sum(axis=1)
        name = shorten(class_names(history, len(counts))[int(most.argmax())], 20)
        found.append(Reached(f"always {name}", float(most.max() / most.sum())))
    if math.isfinite(number(alone.get(key))):
        found.append(Reached(f"{shorten(alone.get('feature') or '', 28)} alone", number(alone.get(key))))
    return [*found, Reached("the model", own, interval(history, key))]


def model_beside_baselines(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the model's score on held-out rows, with its interval, beside those of what needs no model.

    Of classes the score is the accuracy, beside that of always naming the commonest class and of the best single
    feature; of numbers it is R², beside those of the mean and of the best single feature.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> finish = {"event": "finish", "holdout": {"r2": 0.9}, "single_feature": {"feature": "distance", "r2": 0.7}}
    >>> drawn = model_beside_baselines([{"event": "start", "task": "regression"}, finish])
    >>> "distance alone: R² 0.700" in drawn.svg("")
    True
    """
    history = as_history(record)
    reached, classes = read_reached(history), history.task == "classification"
    if len(reached) < 2:
        return svg.blank("The record holds no score to compare.")
    width, high, top = (360.0, 46.0, 8.0) if narrow else (920.0, 34.0, 8.0)
    foot = top + high * len(reached)
    left = 2.0 if narrow else 20 + 7.6 * max(len(one.name) for one in reached)
    limits = (min(0.0, *(one.score for one in reached)), 1.0)
    plot = Plot(Axis(limits, left, width - (10 if narrow else 240)), Axis((len(reached) - 0.5, -0.5), foot, top))
    ticks = axes.linear_ticks(limits, 5)
    label = "{:.0%}".format if classes else axes.even_labels(ticks)
    name = "accuracy" if classes else "R²"
    parts = axes.bottom(plot, ticks, label, f"{name} on held-out rows", grid=True)
    for row, one in enumerate(reached):
        said = _said(one, percent if classes else _three)
        bar = _bar(plot, row + (0.2 if narrow else 0.0), one, own=one is reached[-1])
        words = _words(plot, row, one.name, said, narrow=narrow, own=one is reached[-1])
        parts.append(svg.told(f"{one.name}: {name} {said}", *bar, *words))
    return Figure(width, foot + 52, tuple(parts), (plot,))


def _three(score: float) -> str:
    return figure(score, 3)


def _said(one: Reached, words: Callable[[float], str]) -> str:
    return words(one.score) + (f" ({words(one.ends[0])} to {words(one.ends[1])})" if one.ends else "")


def _bar(plot: Plot, middle: float, one: Reached, *, own: bool) -> list[Markup]:
    """Draw a bar that ends in a score, and the score's interval."""
    start, end = plot.at([0.0, one.score], middle).tolist()
    thick = 10.0 if own else 5.0
    corner = (min(start[0], end[0]), start[1] - thick / 2)
    parts = [svg.rectangle(corner, abs(end[0] - start[0]), thick, "accent" if own else "constant")]
    if one.ends:
        low, high = (float(plot.x.at(place)) for place in one.ends)
        parts.append(svg.line([(low, end[1]), (high, end[1])], "ink", 1.6))
        parts += [svg.line([(x, end[1] - 5), (x, end[1] + 5)], "ink", 1.6) for x in (low, high)]
    return parts


def _words(plot: Plot, row: int, name: str, said: str, *, narrow: bool, own: bool) -> list[Markup]:
    """Write whose score it is, before its bar or on a phone above it, and the score."""
    y = float(plot.y.at(row - (0.22 if narrow else 0.0)))
    size = 13 if own else 12
    before, behind = ((2.0, y), (plot.x.end, y)) if narrow else ((plot.x.start - 12, y), (plot.x.end + 16, y))
    return [
        svg.words(name, before, "ink", size, anchor="start" if narrow else "end", bold=own),
        svg.words(said, behind, "ink" if own else "muted", size, anchor="end" if narrow else "start", bold=own),
    ]
