"""The race: held-out loss against rows seen for every learning rate, and where each ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..history import History, RecordLike, Run, as_history, number
from ..palette import LIGHT, RATE_STEPS, rate_colour
from ..words import count, figure, setting, short_count, shorten
from . import style
from .style import Limits, Sign

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["describe_run", "learning_rate_curves", "loss_by_learning_rate", "loss_in_words"]

_NAMES = {"squared_error": "mean squared error", "absolute_error": "mean absolute error"}
_UNITS = {"log_loss": "nats per row"}
_POINTS = 4000  # drawn in all: more than a screen can show, and the file stays small


def loss_name(history: History) -> str:
    """The name of the loss that is shown."""
    name = str(history.start.get("loss") or "loss")
    return _NAMES.get(name, name.replace("_", " "))


def loss_unit(history: History) -> str:
    """The unit of the loss, where it has a name."""
    return _UNITS.get(str(history.start.get("loss")), "")


def loss_in_words(history: History) -> str:
    """The name of the loss, with its unit."""
    unit = loss_unit(history)
    return f"{loss_name(history)} ({unit})" if unit else loss_name(history)


def describe_run(run: Run, history: History) -> str:
    """One line on a run: its settings, what became of it, its last loss."""
    loss = f"held-out loss {figure(run.final_loss)}" if math.isfinite(run.final_loss) else "no finite loss"
    return f"run {run.number}: {settings_in_words(run)}; {fate_in_words(run, history)}, {loss}"


def settings_in_words(run: Run) -> str:
    """The settings of a run that make it different from its neighbours."""
    parts = [str(run.settings.get("optimizer") or ""), f"learning rate {setting(run.settings.get('learning_rate'))}"]
    if run.settings.get("l2") is not None:
        parts.append(f"L2 {setting(run.settings['l2'])}")
    return ", ".join(filter(None, parts))


def fate_in_words(run: Run, history: History) -> str:
    """What became of a run."""
    if run.drop is not None:
        return f"{'diverged' if run.diverged else 'dropped'} after {count(run.drop.rows)} rows"
    winner = history.winner
    won = history.finish is not None and winner is not None and winner.number == run.number
    if won:
        return "the winner"
    return "in the race to the end" if history.finish is not None else "still racing"


@dataclass(frozen=True)
class _Scale:
    """Which losses are shown, and whether their axis is logarithmic."""

    limits: Limits
    log: bool

    def share(self, loss: float) -> float:
        """How far up the axis a loss lies, 0 to 1."""
        low, high, at = (math.log(v) if self.log else v for v in (*self.limits, self.inside(loss)))
        return (at - low) / (high - low)

    def inside(self, loss: float) -> float:
        """The nearest loss that is shown; what is not finite lies above."""
        return min(max(loss, self.limits[0]), self.limits[1]) if math.isfinite(loss) else self.limits[1]

    def leaves(self, loss: float) -> bool:
        """Whether a loss lies above the picture."""
        return not loss <= self.limits[1]


def _loss_scale(losses: Iterable[float], constant: float, runs: Iterable[float]) -> _Scale:
    """Show the constant predictor and nearly all of `losses` (of the good runs); spikes leave the picture at the top.

    `runs` are the losses of all runs; they count only where nothing else is known.
    """
    good = np.array([loss for loss in losses if math.isfinite(loss)])
    if not good.size:
        good = np.array([loss for loss in runs if math.isfinite(loss)] or [0.0, 1.0])
        good = good[good <= np.median(good)]
    low = float(np.quantile(good, 0.01))
    top = float(np.quantile(good, 0.95))
    if math.isfinite(constant) and constant > low:
        top = max(constant, min(top, 2 * constant - low))
    if not top > low:
        low, top = low - 0.05 * (abs(low) or 1.0), top + 0.05 * (abs(top) or 1.0)
    if low > 0 and top / low > 8:
        stretch = (top / low) ** 0.06
        return _Scale((low / stretch, top * stretch), log=True)
    return _Scale((low - 0.06 * (top - low), top + 0.08 * (top - low)), log=False)


def _loss_axis(axes: Axes, scale: _Scale) -> None:
    if scale.log:
        style.log_axis(axes, "y", scale.limits, style.loss_label)
    else:
        style.linear_axis(axes, "y", scale.limits)
    axes.grid(axis="y", color=LIGHT["grid"], lw=1)
    axes.spines["left"].set_visible(False)


def _rate_shares(history: History) -> Callable[[Run], float]:
    """How far each run's learning rate lies, in logarithms, between the smallest and the largest."""
    rates = [run.learning_rate for run in history.runs if run.learning_rate > 0]
    low, high = (math.log(min(rates)), math.log(max(rates))) if rates else (0.0, 0.0)

    def share(run: Run) -> float:
        if not run.learning_rate > 0 or high == low:
            return 0.4
        return (math.log(run.learning_rate) - low) / (high - low)

    return share


def _optimizers(history: History) -> list[str]:
    return sorted({str(run.settings.get("optimizer") or "") for run in history.runs})


def _dash(run: Run, optimizers: list[str]) -> object:
    return style.DASHES[optimizers.index(str(run.settings.get("optimizer") or "")) % len(style.DASHES)]


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
    good = [run for run in curves if run.drop is None]
    scale = _loss_scale(
        (loss for run in good for loss in run.holdout),
        history.constant_loss,
        (x for run in curves for x in run.holdout),
    )
    _rows_axis(axes, curves, narrow)
    _loss_axis(axes, scale)
    style.title(axes, f"held-out {loss_in_words(history)}", left)
    axes.set_xlabel("training rows seen", labelpad=8)
    _leg_marks(axes, history)
    _constant_line(axes, history.constant_loss, scale, 1.0)

    shares, optimizers = _rate_shares(history), _optimizers(history)
    most = max(24, _POINTS // len(curves))
    for run in sorted(curves, key=lambda run: (run is winner, run.drop is None)):
        _curve(axes, run, history, scale, rate_colour(shares(run)), _dash(run, optimizers), most)
    _end_labels(axes, history, good, scale, height - 52, narrow)
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


def _constant_line(axes: Axes, constant: float, scale: _Scale, across: float) -> None:
    if not math.isfinite(constant) or scale.leaves(constant) or constant < scale.limits[0]:
        return
    axes.axhline(constant, color=LIGHT["constant"], lw=1.2, dashes=(6, 4), zorder=1.5)
    axes.annotate(
        f"constant predictor {figure(constant)}",
        (across, constant),
        (-4 * across, 5),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right" if across == 1 else "center",
        color=LIGHT["muted"],
        size=12,
    )


def _curve(axes: Axes, run: Run, history: History, scale: _Scale, colour: str, dash: object, most: int) -> None:
    rows, losses = _thin(run.rows, run.holdout, most)
    rows, losses = _until_it_leaves(rows, losses, scale, bool(run.drop))
    won = run is history.winner
    dropped = run.drop is not None
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


def _thin(rows: NDArray[np.float64], losses: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], ...]:
    """At most so many points, evenly taken, the last one always."""
    keep = np.unique(np.linspace(0, rows.size - 1, min(most, rows.size)).round().astype(int))
    return rows[keep], losses[keep]


def _until_it_leaves(
    rows: NDArray[np.float64], losses: NDArray[np.float64], scale: _Scale, dropped: bool
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


def _end_labels(axes: Axes, history: History, good: list[Run], scale: _Scale, height: float, narrow: bool) -> None:
    """Write at the right end of each run still racing which learning rate it has, the best ones where room is short."""
    gap = 16.0
    ends = [run for run in good if not scale.leaves(run.final_loss)]
    ends = sorted(ends, key=lambda run: (run is not history.winner, run.final_loss))[: int(height / gap)]
    wanted = [scale.share(run.final_loss) * height for run in ends]
    several = len(_optimizers(history)) > 1 and not narrow
    for run, y in zip(ends, style.spread(wanted, gap, 0.0, height), strict=True):
        words = setting(run.settings.get("learning_rate"))
        if several:
            words += f" {shorten(run.settings.get('optimizer') or '', 12)}"
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
    optimizers = _optimizers(history)
    if len(optimizers) > 1:
        lines = [
            {"color": LIGHT["muted"], "lw": 1.7, "ls": style.DASHES[i % len(style.DASHES)]}
            for i in range(len(optimizers))
        ]
        signs += [Sign(shorten(name, 20), line) for name, line in zip(optimizers, lines, strict=True)]
    lone: dict[str, object] = {"color": LIGHT["muted"], "ls": "", "ms": 7, "mew": 1.8, "markevery": [1]}
    if any(run.drop and not run.diverged for run in history.runs):
        cross = {"marker": "x", "ms": 7, "mew": 1.8, "mec": LIGHT["muted"], "markevery": [2]}
        signs.append(Sign("dropped", {"color": LIGHT["dropped"], "lw": 1.1, **cross}))
    if any(run.diverged for run in history.runs):
        signs.append(Sign("diverged", {**lone, "marker": "^"}))
    if len(history.legs) > 1:
        signs.append(Sign("a new leg begins", {"color": LIGHT["constant"], "lw": 1, "dashes": (1, 3)}))
    return signs


def loss_by_learning_rate(record: RecordLike) -> Figure:
    """Draw the last held-out loss of every run against its learning rate: the U-shaped curve.

    The marker tells the L2 penalty, the dash of the line between runs with otherwise equal settings the optimizer;
    a dropped run is hollow, since it has seen fewer rows, and a diverged one lies at the upper edge.

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
    optimizers = _optimizers(history)
    width, height, left = 440, 340, 56
    rows = style.key_rows(_loss_key(runs, penalties, optimizers), width)
    top = 22 * len(rows) + 38
    fig = style.canvas(width, height + top)
    style.draw_key(fig, rows, 0)
    axes = style.place(fig, left, 52, 16, top)
    kept = [run.final_loss for run in runs if run.drop is None]
    scale = _loss_scale(kept, history.constant_loss, (run.final_loss for run in runs))
    _loss_axis(axes, scale)
    rates = [run.learning_rate for run in runs]
    style.log_axis(axes, "x", (min(rates) / 1.6, max(rates) * 1.6), setting, 6)
    style.title(axes, f"last held-out {loss_in_words(history)}", left)
    axes.set_xlabel("learning rate", labelpad=8)
    _constant_line(axes, history.constant_loss, scale, 0.5)
    _valleys(axes, runs, scale, optimizers)
    shares = _rate_shares(history)
    for run in sorted(runs, key=lambda run: run is history.winner):
        _final_point(axes, run, history, scale, rate_colour(shares(run)), _marker(run, penalties))
    return fig


def _marker(run: Run, penalties: list[float]) -> str:
    l2 = number(run.settings.get("l2"))
    return style.MARKERS[penalties.index(l2) % len(style.MARKERS)] if l2 in penalties else "o"


def _valleys(axes: Axes, runs: list[Run], scale: _Scale, optimizers: list[str]) -> None:
    """Join the runs that differ in nothing but the learning rate."""
    families: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        alike = {key: value for key, value in run.settings.items() if key not in ("run", "learning_rate")}
        families.setdefault(tuple(f"{key}={alike[key]}" for key in sorted(alike)), []).append(run)
    for family in families.values():
        points = sorted((run.learning_rate, scale.inside(run.final_loss)) for run in family if not run.diverged)
        if len(points) > 1:
            axes.plot(
                *zip(*points, strict=True), color=LIGHT["dropped"], lw=1.2, ls=_dash(family[0], optimizers), zorder=2
            )


def _final_point(axes: Axes, run: Run, history: History, scale: _Scale, colour: str, marker: str) -> None:
    won = run is history.winner
    above = run.diverged or scale.leaves(run.final_loss)
    (point,) = axes.plot(
        [run.learning_rate],
        [scale.limits[1] if above else scale.inside(run.final_loss)],
        marker="^" if run.diverged else marker,
        ms=12 if won else 8,
        mfc=LIGHT["paper"] if run.drop else colour,
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
