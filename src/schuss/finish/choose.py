"""The choice: which penalty's solution is kept, or the race's champion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..race.legs import STILL_FALLING
from ..race.race import Standing, standing

__all__ = ["choose", "choose_by_folds"]

LEVEL = 0.002
UNSURE = 0.01
"""Solutions are level if their gains over the constant prediction differ by less than LEVEL, or by less than UNSURE and
a standard error. Then the strongest penalty is right: rows to come will differ more from those held out than that.
"""

SURELY = 2.0
"""Standard errors by which a champion must be ahead to stay.

It is the best of many runs by the same rows, and the best of sixteen equal ones is 1.8 standard errors ahead by chance.
"""


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


def choose_by_folds(now: Standing) -> int:
    """Give the place of the best penalty in cross-validation, the first of which stands for the constant prediction.

    What does not surely gain over the constant prediction has learned noise: on sets without signal, the best of eight
    penalties is ahead by chance.

    >>> choose_by_folds(Standing(np.array([0.5, 0.4]), np.array([0.1, 0.0]), np.array([0.2, 0.0])))
    0
    """
    return 0 if now.behind[0] <= now.errors[0] else now.best
