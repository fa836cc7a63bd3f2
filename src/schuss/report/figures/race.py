"""The race: held-out loss against rows seen for every learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..history import History, RecordLike, Run, as_history
from ..palette import LIGHT, RATE_STEPS, rate_colour
from ..runs import describe_run, optimizer_of, race_loss
from ..words import count, setting, short_count, shorten
from . import style
from .scale import Scale, constant_line, dash_of, loss_axis, loss_scale, optimizers_of, rate_shares
from .style import Sign

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning_rate_curves"]

_POINTS = 4000  # drawn in all: more than a screen can show, and the file stays small


def learning_rate_curves(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the held-out loss of every run against the training rows it has seen: the classic picture.

    A run still racing has the colour of its learning rate, the winner is thick, a dropped one is grey with a mark in
    its colour where it was dropped. The axes are chosen for the good runs, so that spikes and divergence leave the
    picture at the top.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.
    """
    history = as_history(record)
    curves = [run for run in history.runs if run.rows.size]
    if not curves:
        return style.blank("The record holds no evaluation of a run.")
    with style.drawing():
        return _draw_curves(history, curves, narrow)


def _draw_curves(history: History, curves: list[Run], narrow: bool) -> Figure:
    width, height, left, right = (360, 300, 46, 62) if narrow else (920, 400, 56, 132)
    rows = style.key_rows(_curve_key(history), width)
    top = 22 * len(rows) + 38
    fig = style.canvas(width, height + top)
    style.draw_key(fig, rows, 0)
    axes = style.place(fig, left, 52, right, top)

    winner = history.winner
    good = [run for run in curves if run.drop is None or run is winner]
    scale = loss_scale(
        (loss for run in good for loss in run.holdout),
        history.constant_loss,
        (x for run in curves for x in run.holdout),
    )
    _rows_axis(axes, curves, narrow)
    loss_axis(axes, scale)
    style.title(axes, race_loss(history), left)
    axes.set_xlabel("training rows seen", labelpad=8)
    _leg_marks(axes, history)
    constant_line(axes, history, scale, 1.0)

    shares, optimizers = rate_shares(history), optimizers_of(history)
    most = max(24, _POINTS // len(curves))
    for run in sorted(curves, key=lambda run: (run is winner, run.drop is None)):
        _curve(axes, run, history, scale, rate_colour(shares(run)), dash_of(optimizer_of(run), optimizers), most)
    if winner is not None and history.finish is not None:
        _model_mark(axes, winner, history, scale, rate_colour(shares(winner)))
    _end_labels(axes, history, [run for run in good if run.drop is None], scale, height - 52, narrow)
    return fig


def _rows_axis(axes: Axes, curves: list[Run], narrow: bool) -> None:
    """Logarithmic where the first evaluation came early, since a loss falls fastest at the beginning."""
    first = min(float(run.rows[0]) for run in curves)
    last = max(float(run.rows[-1]) for run in curves)
    if first > 0 and last / first >= 20:
        style.log_axis(axes, "x", (first, last), short_count, 5 if narrow else 9)
    else:
        low = 0.0 if last > 0 else last - 1.0
        style.linear_axis(axes, "x", (low, last), short_count, 4 if narrow else 7)


def _leg_marks(axes: Axes, history: History) -> None:
    low, high = axes.get_xlim()
    for leg in history.legs[1:]:
        if low < leg.start < high:
            axes.axvline(leg.start, color=LIGHT["constant"], lw=1, dashes=(1, 3), zorder=1)


def _curve(axes: Axes, run: Run, history: History, scale: Scale, colour: str, dash: Any, most: int) -> None:
    rows, losses = _thin(run.rows, run.holdout, most)
    won = run is history.winner
    dropped = run.drop is not None and not won
    rows, losses = _until_it_leaves(rows, losses, scale, dropped)
    (line,) = axes.plot(
        rows,
        losses,
        color=LIGHT["dropped"] if dropped else colour,
        lw=3.4 if won else 1.1 if dropped else 1.7,
        ls=dash,
        marker="o" if rows.size == 1 else None,
        clip_on=rows.size > 1,
        ms=6,
        solid_capstyle="round",
        zorder=4 if won else 2 if dropped else 3,
    )
    style.mark(line, f"run-{run.number}", describe_run(run, history))
    if dropped and rows.size:
        up = run.diverged or scale.leaves(float(losses[-1]))
        (end,) = axes.plot(
            rows[-1:],
            [scale.inside(float(losses[-1]))],
            marker="^" if run.diverged else "x",
            color=colour,
            ms=7,
            mew=1.8,
            ls="",
            zorder=5,
            clip_on=not up,
        )
        style.mark(end, f"mark-{run.number}", describe_run(run, history))


def _model_mark(axes: Axes, winner: Run, history: History, scale: Scale, colour: str) -> None:
    """Mark on the winner's curve where the model was taken: after the best of its legs, not always the last."""
    rows, loss = history.model_at
    if not math.isfinite(loss) or scale.leaves(loss):
        return
    face = {"mfc": colour, "mec": LIGHT["ink"], "mew": 2.0}
    (dot,) = axes.plot([rows], [loss], marker="o", ms=10, ls="", zorder=6, clip_on=False, **face)
    style.mark(dot, f"model-{winner.number}", f"the model, after {count(rows)} rows; {describe_run(winner, history)}")


def _thin(rows: NDArray[np.float64], losses: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], ...]:
    """At most so many points, evenly taken, the last one always."""
    keep = np.unique(np.linspace(0, rows.size - 1, min(most, rows.size)).round().astype(int))
    return rows[keep], losses[keep]


def _until_it_leaves(
    rows: NDArray[np.float64], losses: NDArray[np.float64], scale: Scale, dropped: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow a run that never comes back up to its first loss above the picture, and there to the upper edge.

    A run that goes on keeps its gaps, and matplotlib cuts its spikes.
    """
    above = np.array([scale.leaves(float(loss)) for loss in losses])
    back = np.flatnonzero(~above)
    if not dropped or not above.any() or (back.size and back[-1] == losses.size - 1):
        return rows, losses
    end = int(back[-1]) + 1 if back.size else 0
    rows, losses = rows[: end + 1].copy(), losses[: end + 1].copy()
    if end and math.isfinite(losses[end]):
        before, after = losses[end - 1 : end + 1]
        rows[end] -= (rows[end] - rows[end - 1]) * (after - scale.limits[1]) / (after - before)
    losses[end] = scale.limits[1]
    return rows, losses


def _end_labels(axes: Axes, history: History, good: list[Run], scale: Scale, height: float, narrow: bool) -> None:
    """Write at the right end of each run still racing which learning rate it has, the best ones where room is short."""
    gap = 16.0
    ends = [run for run in good if not scale.leaves(run.final_loss)]
    ends = sorted(ends, key=lambda run: (run is not history.winner, run.final_loss))[: int(height / gap)]
    wanted = [scale.share(run.final_loss) * height for run in ends]
    several = len(optimizers_of(history)) > 1 and not narrow
    for run, y in zip(ends, style.spread(wanted, gap, 0.0, height), strict=True):
        words = setting(run.settings.get("learning_rate"))
        if several:
            words += f" {shorten(optimizer_of(run), 12)}"
        won = run is history.winner
        label = axes.annotate(
            words,
            (1, y / height),
            (10, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center_baseline",
            color=LIGHT["ink" if won else "muted"],
            weight="bold" if won else "normal",
            size=13 if won else 12,
        )
        style.mark(label, f"label-{run.number}", describe_run(run, history))


def _curve_key(history: History) -> list[Sign]:
    rates = sorted({run.learning_rate for run in history.runs if run.learning_rate > 0})
    signs = []
    if len(rates) > 1:
        scale = tuple(rate_colour((step + 0.5) / RATE_STEPS) for step in range(RATE_STEPS))
        signs.append(Sign(f"learning rate {setting(rates[0])} to {setting(rates[-1])}", scale=scale))
    optimizers = optimizers_of(history)
    if len(optimizers) > 1:
        lines = [
            {"color": LIGHT["muted"], "lw": 1.7, "ls": style.DASHES[i % len(style.DASHES)]}
            for i in range(len(optimizers))
        ]
        signs += [Sign(shorten(name, 20), line) for name, line in zip(optimizers, lines, strict=True)]
    lone: dict[str, object] = {"color": LIGHT["muted"], "ls": "", "ms": 7, "mew": 1.8, "markevery": [1]}
    if history.finish is not None and history.winner is not None:
        signs.append(Sign("the model", {**lone, "marker": "o", "ms": 9, "mec": LIGHT["ink"]}))
    if any(run.drop and not run.diverged for run in history.runs):
        cross = {"marker": "x", "ms": 7, "mew": 1.8, "mec": LIGHT["muted"], "markevery": [2]}
        signs.append(Sign("dropped", {"color": LIGHT["dropped"], "lw": 1.1, **cross}))
    if any(run.diverged for run in history.runs):
        signs.append(Sign("diverged", {**lone, "marker": "^"}))
    if len(history.legs) > 1:
        signs.append(Sign("a new leg begins", {"color": LIGHT["constant"], "lw": 1, "dashes": (1, 3)}))
    return signs
