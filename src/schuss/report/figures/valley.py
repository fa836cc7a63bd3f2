"""The valley: where each run ended, against its learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..history import History, RecordLike, Run, as_history, number
from ..palette import LIGHT, rate_colour
from ..runs import describe_run, optimizer_of, race_loss
from ..words import setting, shorten
from . import style
from .scale import Scale, constant_line, dash_of, loss_axis, loss_scale, optimizers_of, rate_shares
from .style import Sign

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["loss_by_learning_rate"]


def loss_by_learning_rate(record: RecordLike) -> Figure:
    """Draw the last held-out loss of every run against its learning rate: the U-shaped curve.

    The marker tells the L2 penalty; a line joins the best runs of an optimizer, which its dash tells. A dropped run is
    hollow, since it has seen fewer rows, and a diverged one lies at the upper edge.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    """
    history = as_history(record)
    runs = [run for run in history.runs if run.learning_rate > 0 and (run.rows.size or run.drop)]
    if not runs:
        return style.blank("The record holds no run with a learning rate.")
    with style.drawing():
        return _draw_losses(history, runs)


def _draw_losses(history: History, runs: list[Run]) -> Figure:
    penalties = sorted(
        {number(run.settings.get("l2")) for run in runs if math.isfinite(number(run.settings.get("l2")))}
    )
    optimizers = optimizers_of(history)
    width, height, left = 440, 340, 56
    rows = style.key_rows(_loss_key(runs, penalties, optimizers), width)
    top = 22 * len(rows) + 38
    fig = style.canvas(width, height + top)
    style.draw_key(fig, rows, 0)
    axes = style.place(fig, left, 52, 16, top)
    ends = {run.number: run.final_loss for run in runs}
    if history.winner is not None:
        ends[history.winner.number] = history.model_at[1]
    kept = [ends[run.number] for run in runs if run.drop is None or run is history.winner]
    scale = loss_scale(kept, history.constant_loss, ends.values())
    loss_axis(axes, scale)
    rates = [run.learning_rate for run in runs]
    style.log_axis(axes, "x", (min(rates) / 1.6, max(rates) * 1.6), setting, 6)
    style.title(axes, f"last {race_loss(history)}", left)
    axes.set_xlabel("learning rate", labelpad=8)
    constant_line(axes, history, scale, 0.5)
    _valleys(axes, runs, ends, scale, optimizers)
    shares = rate_shares(history)
    for run in sorted(runs, key=lambda run: run is history.winner):
        _final_point(axes, run, ends[run.number], history, scale, rate_colour(shares(run)), _marker(run, penalties))
    return fig


def _marker(run: Run, penalties: list[float]) -> str:
    l2 = number(run.settings.get("l2"))
    return style.MARKERS[penalties.index(l2) % len(style.MARKERS)] if l2 in penalties else "o"


def _valleys(axes: Axes, runs: list[Run], ends: dict[int, float], scale: Scale, optimizers: list[str]) -> None:
    """Join, for each optimizer, the best run of each learning rate."""
    valleys: dict[str, dict[float, float]] = {name: {} for name in optimizers}
    for run in runs:
        if not run.diverged:
            valley, loss = valleys[optimizer_of(run)], scale.inside(ends[run.number])
            valley[run.learning_rate] = min(loss, valley.get(run.learning_rate, math.inf))
    for name, valley in valleys.items():
        points = sorted(valley.items())
        if len(points) > 1:
            dash = dash_of(name, optimizers)
            axes.plot(*zip(*points, strict=True), color=LIGHT["dropped"], lw=1.2, ls=dash, zorder=2)


def _final_point(axes: Axes, run: Run, loss: float, history: History, scale: Scale, colour: str, marker: str) -> None:
    won = run is history.winner
    above = run.diverged or scale.leaves(loss)
    (point,) = axes.plot(
        [run.learning_rate],
        [scale.limits[1] if above else scale.inside(loss)],
        marker="^" if run.diverged else marker,
        ms=12 if won else 8,
        mfc=LIGHT["paper"] if run.drop and not won else colour,
        mec=LIGHT["ink"] if won else colour,
        mew=2.2 if won else 1.6,
        ls="",
        zorder=5 if won else 4,
        clip_on=False,
    )
    style.mark(point, f"run-{run.number}", describe_run(run, history))


def _loss_key(runs: list[Run], penalties: list[float], optimizers: list[str]) -> list[Sign]:
    lone: dict[str, object] = {"color": LIGHT["muted"], "ls": "", "ms": 8, "mew": 1.6, "markevery": [1]}
    signs = []
    if len(penalties) > 1:
        signs += [
            Sign(f"L2 {setting(l2)}", {**lone, "marker": style.MARKERS[i % len(style.MARKERS)]})
            for i, l2 in enumerate(penalties[: len(style.MARKERS)])
        ]
    if len(optimizers) > 1:
        signs += [
            Sign(shorten(name, 20), {"color": LIGHT["muted"], "lw": 1.4, "ls": style.DASHES[i % len(style.DASHES)]})
            for i, name in enumerate(optimizers)
        ]
    if any(run.drop and not run.diverged for run in runs):
        signs.append(Sign("dropped earlier", {**lone, "marker": "o", "mfc": LIGHT["paper"]}))
    if any(run.diverged for run in runs):
        signs.append(Sign("diverged", {**lone, "marker": "^", "mfc": LIGHT["paper"]}))
    return signs
