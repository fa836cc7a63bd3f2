"""What the pictures of the race share: the losses shown, the colour of a rate, the dash of an optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..history import History, Run
from ..palette import LIGHT
from ..runs import optimizer_of
from ..words import figure
from . import style
from .style import Limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Scale", "constant_line", "dash_of", "loss_axis", "loss_scale", "optimizers_of", "rate_shares"]


@dataclass(frozen=True)
class Scale:
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


def loss_scale(losses: Iterable[float], constant: float, runs: Iterable[float]) -> Scale:
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
    if low > 0 and top / low > 4:
        stretch = (top / low) ** 0.06
        return Scale((low / stretch, top * stretch), log=True)
    return Scale((low - 0.06 * (top - low), top + 0.08 * (top - low)), log=False)


def loss_axis(axes: Axes, scale: Scale) -> None:
    """Scale the vertical axis to the losses shown."""
    if scale.log:
        style.log_axis(axes, "y", scale.limits, style.loss_label)
    else:
        style.linear_axis(axes, "y", scale.limits)
    axes.grid(axis="y", color=LIGHT["grid"], lw=1)
    axes.spines["left"].set_visible(False)


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


def dash_of(name: str, optimizers: list[str]) -> Any:
    """The dash of an optimizer's lines."""
    return style.DASHES[optimizers.index(name) % len(style.DASHES)]


def constant_line(axes: Axes, history: History, scale: Scale, across: float) -> None:
    """Draw the loss of the constant predictor, named at a place `across` the picture (1 right, 0.5 in the middle)."""
    constant = history.constant_loss
    if not math.isfinite(constant) or scale.leaves(constant) or constant < scale.limits[0]:
        return
    axes.axhline(constant, color=LIGHT["constant"], lw=1.2, dashes=(6, 4), zorder=1.5)
    axes.annotate(
        "constant predictor" if history.relative else f"constant predictor {figure(constant)}",
        (across, constant),
        (-4 * across, 5),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right" if across == 1 else "center",
        color=LIGHT["muted"],
        size=12,
    )
