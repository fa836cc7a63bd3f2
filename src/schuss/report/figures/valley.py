"""The valley: where each run ended, against its learning rate."""

from __future__ import annotations

import math

from .. import svg
from ..history import History, RecordLike, Run, as_history, number
from ..markup import Markup
from ..palette import rate_colour
from ..runs import describe_run, optimizer_of, race_loss
from ..svg import Figure
from ..words import setting, shorten
from . import axes, key
from .axes import Axis, Plot
from .key import Sign
from .scale import Scale, constant_line, dash_of, loss_axis, loss_scale, optimizers_of, rate_shares

__all__ = ["loss_by_learning_rate"]

_SHAPES = ("circle", "square", "diamond", "wedge", "plus", "star")  # of the penalties; the triangle says diverged


def loss_by_learning_rate(record: RecordLike) -> Figure:
    """Draw the last held-out loss of every run against its learning rate: the U-shaped curve.

    The marker tells the L2 penalty; a line joins the runs of an optimizer, which its dash tells, with the same penalty.
    A dropped run is hollow, since it has seen fewer rows, and a diverged one lies at the upper edge.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.

    Example
    -------
    >>> runs = [{"run": 0, "learning_rate": 0.1}, {"run": 1, "learning_rate": 1.0}]
    >>> seen = {"event": "evaluation", "rows": 100, "holdout_loss": {"0": 0.5, "1": 0.4}}
    >>> loss_by_learning_rate([{"event": "runs", "runs": runs}, seen]).empty
    False
    """
    history = as_history(record)
    runs = [run for run in history.runs if run.learning_rate > 0 and (run.rows.size or run.drop)]
    if not runs:
        return svg.blank("The record holds no run with a learning rate.")
    penalties = sorted(
        {number(run.settings.get("l2")) for run in runs if math.isfinite(number(run.settings.get("l2")))}
    )
    width, height, left = 440, 340, 56
    signs = key.rows(_key(runs, penalties, optimizers_of(history)), width)
    top = key.ROW * len(signs) + 38
    ends = _ends(history, runs)
    kept = [ends[run.number] for run in runs if run.drop is None or run is history.winner]
    scale = loss_scale(kept, history.constant_loss, ends.values())
    rates = [run.learning_rate for run in runs]
    limits = (min(rates) / 1.6, max(rates) * 1.6)
    plot = Plot(Axis(limits, left, width - 16, log=True), scale.axis(top + height - 52, top))
    parts = [
        *key.draw(signs),
        *loss_axis(plot),
        *axes.bottom(plot, axes.log_ticks(limits, 6), setting, "learning rate"),
        axes.title(plot, f"last {race_loss(history)}", left),
        *constant_line(plot, history, scale, 0.5),
        *_valleys(plot, runs, ends, scale, optimizers_of(history)),
        *_final_points(plot, history, runs, ends, scale, penalties),
    ]
    return Figure(width, height + top, tuple(parts), (plot,))


def _ends(history: History, runs: list[Run]) -> dict[int, float]:
    """Give the last loss of each run; of the winner, the loss where the model was taken."""
    ends = {run.number: run.final_loss for run in runs}
    if history.winner is not None:
        ends[history.winner.number] = history.model_at[1]
    return ends


def _valleys(plot: Plot, runs: list[Run], ends: dict[int, float], scale: Scale, optimizers: list[str]) -> list[Markup]:
    """Join the runs of each optimizer and penalty in the order of their rates, the best where several agree."""
    valleys: dict[tuple[str, str], dict[float, float]] = {}
    for run in runs:
        if not run.diverged:
            valley = valleys.setdefault((optimizer_of(run), repr(run.settings.get("l2"))), {})
            loss = scale.inside(ends[run.number])
            valley[run.learning_rate] = min(loss, valley.get(run.learning_rate, math.inf))
    return [
        svg.line(plot.at(*zip(*sorted(valley.items()), strict=True)), "dropped", 1.2, dash_of(name, optimizers))
        for (name, _), valley in valleys.items()
        if len(valley) > 1
    ]


def _final_points(
    plot: Plot, history: History, runs: list[Run], ends: dict[int, float], scale: Scale, penalties: list[float]
) -> list[Markup]:
    shares = rate_shares(history)
    parts = []
    for run in sorted(runs, key=lambda run: run is history.winner):
        won, colour = run is history.winner, rate_colour(shares(run))
        x, y = plot.at(run.learning_rate, scale.limits[1] if run.diverged else scale.inside(ends[run.number])).tolist()
        shape = "triangle" if run.diverged else _shape(number(run.settings.get("l2")), penalties)
        fill, edge = ("paper" if run.drop and not won else colour), ("ink" if won else colour)
        point = svg.marker(shape, (x, y), 12 if won else 8, fill, edge, 2.2 if won else 1.6)
        parts.append(svg.told(describe_run(run, history), point, run=run.number))
    return parts


def _shape(l2: float, penalties: list[float]) -> str:
    return _SHAPES[penalties.index(l2) % len(_SHAPES)] if l2 in penalties else "circle"


def _key(runs: list[Run], penalties: list[float], optimizers: list[str]) -> list[Sign]:
    signs = []
    if len(penalties) > 1:
        signs += [
            key.marker_sign(f"L2 {setting(l2)}", _shape(l2, penalties), 8, "muted", "muted")
            for l2 in penalties[: len(_SHAPES)]
        ]
    if len(optimizers) > 1:
        signs += [key.line_sign(shorten(name, 20), "muted", 1.4, dash_of(name, optimizers)) for name in optimizers]
    if any(run.drop and not run.diverged for run in runs):
        signs.append(key.marker_sign("dropped earlier", "circle", 8, "paper", "muted"))
    if any(run.diverged for run in runs):
        signs.append(key.marker_sign("diverged", "triangle", 8, "paper", "muted"))
    return signs
