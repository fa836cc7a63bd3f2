"""The race: held-out loss against rows seen for every learning rate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..history import History, RecordLike, Run, as_history, evenly
from ..markup import Markup, element
from ..palette import RATE_STEPS, rate_colour
from ..runs import describe_run, optimizer_of, race_loss
from ..svg import Figure
from ..words import count, setting, short_count, shorten
from . import axes, key
from .axes import Axis, Plot
from .key import Sign
from .scale import Dash, Scale, constant_line, dash_of, loss_axis, loss_scale, optimizers_of, rate_shares

__all__ = ["learning_rate_curves"]

_POINTS = 4000  # drawn in all: more than a screen can show, and the file stays small
_REACH = 60  # points of the wide invisible twin of a curve, which is easier to point at
_BOTTOM = 52
_LEG: Dash = (1, 3)


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

    Example
    -------
    >>> seen = [{"event": "evaluation", "rows": rows, "holdout_loss": {"0": 50 / rows}} for rows in (100, 200, 300)]
    >>> learning_rate_curves(seen).empty
    False
    """
    history = as_history(record)
    curves = [run for run in history.runs if run.rows.size]
    if not curves:
        return svg.blank("The record holds no evaluation of a run.")
    width, height, left, right = (360, 300, 46, 78) if narrow else (920, 400, 56, 132)
    signs = key.rows(_key(history), width)
    top = key.ROW * len(signs) + 38
    scale, good = _shown(history, curves)
    rows, rows_axis = _rows_axis(curves, (left, width - right), narrow)
    plot = Plot(rows, scale.axis(top + height - _BOTTOM, top))
    ends = [run for run in good if run.drop is None and not scale.leaves(run.final_loss)]
    parts = [
        *key.draw(signs),
        *loss_axis(plot),
        *axes.bottom(plot, rows_axis, short_count, "training rows seen"),
        axes.title(plot, race_loss(history), left),
        *_leg_marks(plot, history),
        *constant_line(plot, history, scale, 1.0),
        *_curves(plot, history, curves, scale),
        *_end_labels(plot, history, ends, narrow),
    ]
    return Figure(width, height + top, tuple(parts), (plot,))


def _shown(history: History, curves: list[Run]) -> tuple[Scale, list[Run]]:
    """Give the losses that are shown, and the runs that they are chosen for."""
    good = [run for run in curves if run.drop is None or run is history.winner]
    losses = (loss for run in good for loss in run.holdout)
    return loss_scale(losses, history.constant_loss, (loss for run in curves for loss in run.holdout)), good


def _rows_axis(curves: list[Run], pixels: tuple[float, float], narrow: bool) -> tuple[Axis, list[float]]:
    """Logarithmic where the first evaluation came early, since a loss falls fastest then; with its ticks."""
    first = min(float(run.rows[0]) for run in curves)
    last = max(float(run.rows[-1]) for run in curves)
    if first > 0 and last / first >= 20:
        return Axis((first, last), *pixels, log=True), axes.log_ticks((first, last), 5 if narrow else 9)
    limits = (0.0 if last > 0 else last - 1.0, last)
    return Axis(limits, *pixels), axes.linear_ticks(limits, 4 if narrow else 7)


def _leg_marks(plot: Plot, history: History) -> list[Markup]:
    low, high = plot.x.limits
    starts = (float(plot.x.at(leg.start)) for leg in history.legs[1:] if low < leg.start < high)
    return [svg.line([(x, plot.y.start), (x, plot.y.end)], "constant", 1.0, _LEG) for x in starts]


def _curves(plot: Plot, history: History, curves: list[Run], scale: Scale) -> list[Markup]:
    """Draw the curves, the winner's last, then where runs were dropped, then the model."""
    shares, optimizers = rate_shares(history), optimizers_of(history)
    most = max(24, _POINTS // len(curves))
    lines, marks = [], []
    for run in sorted(curves, key=lambda run: (run is history.winner, run.drop is None)):
        rows, losses = _thin(run.rows, run.holdout, most)
        dropped = run.drop is not None and run is not history.winner
        rows, losses = _until_it_leaves(rows, losses, scale, dropped)
        points = axes.inside(plot.at(rows, losses), plot)
        lines.append(_curve(points, run, history, rate_colour(shares(run)), dash_of(optimizer_of(run), optimizers)))
        if dropped:
            end = plot.at(rows[-1], scale.inside(float(losses[-1])))
            marks.append(_drop_mark(end, run, history, rate_colour(shares(run))))
    if history.winner is not None and history.finish is not None:
        marks += _model_mark(plot, history.winner, history, scale, rate_colour(shares(history.winner)))
    return lines + marks


def _curve(points: NDArray[np.float64], run: Run, history: History, colour: str, dash: Dash) -> Markup:
    won = run is history.winner
    dropped = run.drop is not None and not won
    words = describe_run(run, history)
    if len(points) and np.isfinite(points).all() and np.ptp(points[:, 0]) < 1:
        return svg.told(words, svg.marker("circle", tuple(points[-1]), 8 if won else 6, colour), run=run.number)
    reach = element("path", {"class": "reach", "d": svg.path(_thinned(points, _REACH))})
    line = svg.stroke("dropped" if dropped else colour, 3.4 if won else 1.1 if dropped else 1.7, dash)
    return svg.told(words, reach, element("path", {"d": svg.path(points)}), run=run.number, **line)


def _drop_mark(end: NDArray[np.float64], run: Run, history: History, colour: str) -> Markup:
    shape, fill = ("triangle", colour) if run.diverged else ("cross", "none")
    mark = svg.marker(shape, (float(end[0]), float(end[1])), 8, fill, colour, 1.8)
    return svg.told(describe_run(run, history), mark, run=run.number)


def _model_mark(plot: Plot, winner: Run, history: History, scale: Scale, colour: str) -> list[Markup]:
    """Mark on the winner's curve where the model was taken: after the best of its legs, not always the last."""
    rows, loss = history.model_at
    if not math.isfinite(loss) or scale.leaves(loss):
        return []
    x, y = plot.at(rows, loss).tolist()
    said = f"the model, after {count(rows)} rows; {describe_run(winner, history)}"
    return [svg.told(said, svg.marker("circle", (x, y), 11, colour, "ink", 2.0), run=winner.number)]


def _thin(rows: NDArray[np.float64], losses: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], ...]:
    """At most so many points, evenly taken, the last one always."""
    table = _thinned(np.stack([rows, losses], axis=1), most)
    return table[:, 0], table[:, 1]


def _thinned(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    return points[evenly(len(points), most)]


def _until_it_leaves(
    rows: NDArray[np.float64], losses: NDArray[np.float64], scale: Scale, dropped: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow a run that never comes back up to its first loss above the picture, and there to the upper edge.

    A run that goes on keeps its gaps, and its spikes are cut.
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


def _end_labels(plot: Plot, history: History, ends: list[Run], narrow: bool) -> list[Markup]:
    """Write at the right end of each run still racing which learning rate it has, the best ones where room is short."""
    gap = 16.0
    room = int((plot.y.start - plot.y.end) / gap)
    ends = sorted(ends, key=lambda run: (run is not history.winner, run.final_loss))[:room]
    wanted = [float(plot.y.at(run.final_loss)) for run in ends]
    several = len(optimizers_of(history)) > 1 and not narrow
    labels = []
    for run, y in zip(ends, axes.spread(wanted, gap, plot.y.end, plot.y.start).tolist(), strict=True):
        said = setting(run.settings.get("learning_rate"))
        if several:
            said += f" {shorten(optimizer_of(run), 12)}"
        colour, size = ("ink", 13) if run is history.winner else ("muted", 12)
        label = svg.words(said, (plot.x.end + 12, y), colour, size, bold=run is history.winner)
        labels.append(svg.told(describe_run(run, history), label, run=run.number))
    return labels


def _key(history: History) -> list[Sign]:
    rates = sorted({run.learning_rate for run in history.runs if run.learning_rate > 0})
    signs = []
    if len(rates) > 1:
        scale = [rate_colour((step + 0.5) / RATE_STEPS) for step in range(RATE_STEPS)]
        signs.append(key.scale_sign(f"learning rate {setting(rates[0])} to {setting(rates[-1])}", scale))
    optimizers = optimizers_of(history)
    if len(optimizers) > 1:
        signs += [key.line_sign(shorten(name, 20), "muted", 1.7, dash_of(name, optimizers)) for name in optimizers]
    if history.finish is not None and history.winner is not None:
        signs.append(key.marker_sign("the model", "circle", 10, "muted", "ink"))
    if any(run.drop and not run.diverged for run in history.runs):
        cross = svg.marker("cross", (22, 0), 8, "none", "muted", 1.8)
        signs.append(Sign("dropped", Markup(svg.line([(0, 0), (22, 0)], "dropped", 1.1) + cross), 26.0))
    if any(run.diverged for run in history.runs):
        signs.append(key.marker_sign("diverged", "triangle", 8, "muted", "muted"))
    if len(history.legs) > 1:
        signs.append(key.line_sign("a new leg begins", "constant", 1.0, _LEG))
    return signs
