"""The choice: which penalty's solution is kept, or the race's champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..race.legs import STILL_FALLING
from ..race.race import standing

__all__ = ["Choice", "choose", "choose_by_folds"]

LEVEL = 0.002
UNSURE = 0.01
"""Solutions are level if their gains over the constant prediction differ by less than LEVEL, or by less than UNSURE and
a standard error. Then the strongest penalty is right: rows to come will differ more from those held out than that.
"""

SURELY = 2.0
"""Standard errors by which a champion must be ahead to stay.

It is the best of many runs by the same rows, and the best of sixteen equal ones is 1.8 standard errors ahead by chance.
"""

DRAWS = 1_000
"""Draws of mean losses that choose: their mean is known to a thirtieth of their spread."""


def choose(
    losses: NDArray[np.float32], weights: NDArray[np.float32], constant_loss: float
) -> tuple[int, NDArray[np.float64]]:
    """Choose by the losses `(rows, candidates)` of held-out rows: solutions by falling penalty, then the champion.

    Gives the place of the first solution that is level with the best one, or the champion's if it is surely ahead of
    the best solution; and the mean losses.

    >>> losses = np.array([[0.3, 0.2, 0.2, 0.19], [0.4, 0.3, 0.3, 0.31]], np.float32)
    >>> choose(losses, np.ones(2, np.float32), 0.7)[0]
    1
    """
    now = standing(losses, weights)
    gain = max(constant_loss - float(now.means.min()), 0.0)
    solved = standing(losses[:, :-1], weights)
    level = solved.behind <= np.maximum(LEVEL * gain, np.minimum(solved.errors, UNSURE * gain))
    behind, error = now.behind[solved.best], now.errors[solved.best]
    stays = now.best == losses.shape[1] - 1 and behind > max(SURELY * error, STILL_FALLING * gain)
    return (now.best if stays else int(np.argmax(level))), now.means


class Choice(NamedTuple):
    """What cross-validation chose: a penalty, the place of the nearest that was tried, and the loss to be expected.

    loss : on the straight line between the means of the penalty's neighbours, below which the valley of losses lies.
    """

    penalty: float
    place: int
    loss: float


def choose_by_folds(penalties: Sequence[float], losses: NDArray[np.float32], weights: NDArray[np.float32]) -> Choice:
    """Choose a penalty between those tried by the losses `(rows, penalties)` of rows with weights `(rows,)`.

    It is the mean, in log λ, of the penalties that other rows as many would choose: mean losses are drawn with the
    covariance that they have over the rows, and each draw chooses where the parabola through its lowest and the
    neighbours is lowest. Where rows can hardly tell two penalties apart, it is chance which one is best, and with other
    units it would be another; the mean hardly moves. Bagging does the same for trees (Breiman 1996).

    The first penalty stands for the constant prediction. What does not surely gain over it has learned noise: on sets
    without signal, the best of eight penalties is ahead by chance.

    >>> losses = np.array([[0.9, 0.3, 0.4], [0.9, 0.4, 0.3], [0.8, 0.3, 0.3]], np.float32)
    >>> round(choose_by_folds([1e9, 1.0, 0.01], losses, np.ones(3, np.float32)).penalty, 1)
    0.1
    """
    now = standing(losses, weights)
    if now.behind[0] <= now.errors[0]:
        return Choice(penalties[0], 0, float(now.means[0]))
    tried = 1 + np.flatnonzero(np.isfinite(now.means[1:]))
    logs = np.log(np.array(penalties)[tried])
    log = _lowest_of_draws(logs, losses[:, tried].astype(np.float64), weights.astype(np.float64))
    order = np.argsort(logs)
    loss = float(np.interp(log, logs[order], now.means[tried][order]))
    return Choice(float(np.exp(log)), int(tried[np.abs(logs - log).argmin()]), loss)


def _lowest_of_draws(places: NDArray[np.float64], losses: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Give the mean of the places at which the mean losses of other rows would be lowest."""
    share = (weights / weights.sum())[:, None]
    behind = losses - losses[:, [int((share * losses).sum(axis=0).argmin())]]
    means = (share * behind).sum(axis=0)
    spread = share * (behind - means)
    covariance = spread.T @ spread
    covariance += (1e-6 * np.trace(covariance) + np.finfo(np.float64).tiny) * np.eye(len(means))
    drawn = np.random.default_rng(0).standard_normal((DRAWS, len(means)))
    return float(np.mean(_lowest(places, means + drawn @ np.linalg.cholesky(covariance).T)))


def _lowest(places: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give for each row of values where the parabola through its lowest one and the two beside it is lowest."""
    best, rows = values.argmin(axis=1), np.arange(len(values))
    lowest = places[best]
    within = (best > 0) & (best < len(places) - 1)
    rows, best = rows[within], best[within]
    left, right = places[best] - places[best - 1], places[best] - places[best + 1]
    down, up = values[rows, best] - values[rows, best - 1], values[rows, best] - values[rows, best + 1]
    curvature = left * up - right * down
    shift = np.divide(left**2 * up - right**2 * down, 2 * curvature, out=np.zeros(len(rows)), where=curvature != 0)
    lowest[within] -= shift
    return lowest
