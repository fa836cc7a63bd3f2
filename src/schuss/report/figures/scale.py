"""What the pictures of the race share: the losses shown, the colour of a rate, the dash of an optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .. import svg
from ..history import History, Run, quantile
from ..markup import Markup
from ..runs import optimizer_of
from ..words import figure
from . import axes
from .axes import Axis, Limits, Plot

__all__ = ["Dash", "Scale", "constant_line", "dash_of", "loss_axis", "loss_scale", "optimizers_of", "rate_shares"]

Dash = tuple[float, ...]

_DASHES: tuple[Dash, ...] = ((), (5, 2), (1, 1.4), (6, 2, 1, 2), (9, 3), (3, 1, 1, 1, 1, 1))


@dataclass(frozen=True)
class Scale:
    """Which losses are shown, and whether their axis is logarithmic."""

    limits: Limits
    log: bool

    def axis(self, start: float, end: float) -> Axis:
        """Put the losses shown on the pixels from `start` to `end`."""
        return Axis(self.limits, start, end, self.log)

    def inside(self, loss: float) -> float:
        """The nearest loss that is shown; what is not finite lies above."""
        return min(max(loss, self.limits[0]), self.limits[1]) if math.isfinite(loss) else self.limits[1]

    def leaves(self, loss: float) -> bool:
        """Whether a loss lies above the picture."""
        return not loss <= self.limits[1]


def loss_scale(losses: Iterable[float], constant: float, runs: Iterable[float]) -> Scale:
    """Show the constant predictor and nearly all of `losses` (of the good runs); spikes leave the picture at the top.

    `runs` are the losses of all runs; they count only where nothing else is known.
    """
    good = np.array([loss for loss in losses if math.isfinite(loss)])
    if not good.size:
        good = np.array([loss for loss in runs if math.isfinite(loss)] or [0.0, 1.0])
        good = good[good <= quantile(good, 0.5)]
    low, top = quantile(good, 0.01), quantile(good, 0.95)
    if math.isfinite(constant) and constant > low:
        top = max(constant, min(top, 2 * constant - low))
    if not top > low:
        low, top = low - 0.05 * (abs(low) or 1.0), top + 0.05 * (abs(top) or 1.0)
    if low > 0 and top / low > 4:
        stretch = (top / low) ** 0.06
        return Scale((low / stretch, top * stretch), log=True)
    return Scale((low - 0.06 * (top - low), top + 0.08 * (top - low)), log=False)


def loss_axis(plot: Plot) -> list[Markup]:
    """Draw the vertical axis of the losses shown."""
    if plot.y.log:
        return axes.left(plot, axes.log_ticks(plot.y.limits), axes.loss_label)
    ticks = axes.linear_ticks(plot.y.limits)
    return axes.left(plot, ticks, axes.even_labels(ticks))


def rate_shares(history: History) -> Callable[[Run], float]:
    """How far each run's learning rate lies, in logarithms, between the smallest and the largest."""
    rates = [run.learning_rate for run in history.runs if run.learning_rate > 0]
    low, high = (math.log(min(rates)), math.log(max(rates))) if rates else (0.0, 0.0)

    def share(run: Run) -> float:
        if not run.learning_rate > 0 or high == low:
            return 0.4
        return (math.log(run.learning_rate) - low) / (high - low)

    return share


def optimizers_of(history: History) -> list[str]:
    """The names of the optimizers in the race, in the order of their dashes."""
    return sorted({optimizer_of(run) for run in history.runs})


def dash_of(name: str, optimizers: list[str]) -> Dash:
    """The dash of an optimizer's lines."""
    return _DASHES[optimizers.index(name) % len(_DASHES)]


def constant_line(plot: Plot, history: History, scale: Scale, across: float) -> list[Markup]:
    """Draw the loss of the constant predictor, named at a place `across` the picture (1 right, 0.5 in the middle)."""
    constant = history.constant_loss
    if not math.isfinite(constant) or scale.leaves(constant) or constant < scale.limits[0]:
        return []
    said = "constant predictor" if history.relative else f"constant predictor {figure(constant)}"
    x = plot.x.start + across * (plot.x.end - plot.x.start) - 4 * across
    place = (x, float(plot.y.at(constant)) - 6)
    name = svg.words(said, place, size=12, anchor="end" if across == 1 else "middle", centred=False, cased=True)
    return [axes.across(plot, constant, "constant", 1.2, (5, 3.4)), name]
