"""The solver: full passes over the rows, by L-BFGS or with λ₁ by L-BFGS-B, to the optimum of an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, as_matrix
from ..descent.losses import Loss, values_and_gradients
from ..descent.quasi_newton import minimise_smooth
from ..process import one_blas_thread

__all__ = ["DECREASE", "FEWEST_CORRECTIONS", "MEMORY", "ROUGH", "Solution", "WithGradient", "losses_of", "minimise"]

Array = NDArray[np.float64]

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
    l1: float = 0.0,
    scale: float = 1.0,
    decrease: float = DECREASE,
    inverse: Callable[[Array], Array] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Minimise a smooth objective, with λ₁ Σ|slopes| added, from `start`, until converged or the passes are used up.

    l1 : λ₁, of every row of weights but the last; scale : the size of a loss, in which convergence is counted;
    decrease : what a step must gain to go on; stop : asked before every pass, and ends the solve. Without λ₁ the method
    is L-BFGS (Liu and Nocedal 1989), with it L-BFGS-B over positive and negative parts.
    """
    best, taken = Solution(start, np.inf, 0, False), 0

    def evaluate(flat: Array) -> tuple[float, Array]:
        """Give the smooth part and its gradient, and remember where the whole was lowest."""
        nonlocal best, taken
        if taken >= passes or stop():
            raise _Enough
        taken += 1
        weights = flat.reshape(start.shape)
        value, gradient = objective.value_and_gradient(weights)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise _Enough
        whole = value + (l1 * float(np.abs(weights[:-1]).sum()) if l1 else 0.0)
        if whole < best.value:
            best = best._replace(weights=weights.copy(), value=whole)
        return value / scale, gradient.ravel() / scale

    numbers = start.size if l1 == 0 else 2 * start.size
    corrections = max(min(CORRECTIONS, MEMORY // (16 * numbers)), 1)
    ends = {"corrections": corrections, "decrease": decrease, "slope": 100 * decrease}
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if l1 == 0:
                scaled = None if inverse is None else lambda along: scale * inverse(along)
                minimise_smooth(evaluate, start.ravel(), inverse=scaled, **ends)
            else:
                _minimise_in_parts(evaluate, start, l1 / scale, **ends)
    except _Enough:
        return best._replace(passes=taken)
    return best._replace(passes=taken, converged=True)


def _minimise_in_parts(
    smooth: Callable[[Array], tuple[float, Array]], start: Array, l1: float, *, corrections: int, decrease: float,
    slope: float,
) -> None:  # fmt: skip
    """Minimise f(w) + λ₁ Σ|slopes| by L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995): w = u − v with u and v at least zero.

    Weights that vanish are exactly zero: both their parts lie at their bound. L-BFGS with orthants (Andrew and Gao
    2007) was tried: it takes 0.9 to 3.6 times the passes to 1e-6 on a9a, digits and cpu_act.
    """
    from scipy.optimize import minimize

    slopes = start[:-1].size

    def joined(parts: Array) -> Array:
        return np.append(parts[:slopes] - parts[slopes : 2 * slopes], parts[2 * slopes :])

    def evaluate(parts: Array) -> tuple[float, Array]:
        value, gradient = smooth(joined(parts))
        along = np.concatenate([gradient[:slopes] + l1, l1 - gradient[:slopes], gradient[slopes:]])
        return value + l1 * float(parts[: 2 * slopes].sum()), along

    flat = start.ravel()
    begin = np.concatenate([np.maximum(flat[:slopes], 0.0), np.maximum(-flat[:slopes], 0.0), flat[slopes:]])
    bounds = [(0.0, None)] * (2 * slopes) + [(None, None)] * start.shape[1]
    ends = {"maxcor": corrections, "ftol": decrease, "gtol": slope, "maxiter": 10**9, "maxfun": 10**9, "maxls": 50}
    with one_blas_thread:  # SciPy's own BLAS is loaded by the import above, with as many as there are cores
        minimize(evaluate, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=ends)


def losses_of(loss: Loss, rows: Chunk, weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """Give the loss of every row `(rows,)`, as a population gives it; inf or NaN where scores overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = as_matrix(rows.rows) @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float64)
        return values_and_gradients(loss, scores, rows.targets)[0].astype(np.float32)
