"""Wide sparse problems with kinks, solved in the dual, where a row at a time costs no more than its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..descent.losses import EpsilonInsensitive
from ..finish.solve import Solution
from ..kernels import store
from .problem import Problem, canonical

__all__ = ["solve_dual", "suits_dual"]

Array = NDArray[np.float64]

ROWS_A_FEATURE = 10
"""Rows for each feature up to which it is the better way: 15,000 × 50,000 sparse ones take 16 passes, where L-BFGS is
not done after 1,000; 20,000 × 50 dense ones are not done after 300, where L-BFGS takes 266.
"""

PASSES = 100
"""After so many it is another's turn."""

INTERCEPT = 0.03
"""ρ as a share of the mean of ‖x‖²: ten times as much takes three times the passes, a thirtieth as many."""


def suits_dual(problem: Problem) -> bool:
    """Say whether a problem whose loss has kinks is one for the dual: sparse, wide, with an L2 penalty alone."""
    sparse = not isinstance(problem.X, np.ndarray)
    return sparse and problem.l2 > 0 and not problem.l1 and problem.rows <= ROWS_A_FEATURE * (problem.shape[0] - 1)


def solve_dual(problem: Problem, *, passes: int, tol: float) -> Solution:
    """Minimise hinge or ε-insensitive loss with λ₂ by `kernels.dual`, until no step moves a score by more than `tol`.

    Centres of the features are left to the intercept, which is free. The order of the rows has a seed of its own, so
    that the same rows give the same weights.
    """
    X, scaling = canonical(problem.X), problem.scaling
    values = X.data * scaling.factor[X.indices]
    layout = X.indptr.astype(np.int64), X.indices.astype(np.int32), values
    targets, low, high, epsilon = _bounds(problem)
    norms = np.add.reduceat(np.append(values**2, 0.0), X.indptr[:-1]) * (np.diff(X.indptr) > 0)
    rho = INTERCEPT * float(norms.mean()) if problem.intercept else 0.0
    weights, beta, told = np.zeros(X.shape[1]), np.zeros(problem.rows), np.zeros(3)
    order = np.arange(problem.rows, dtype=np.int32)
    done, converged, passes = 0, False, min(passes, PASSES)
    while done < passes and not converged:
        store.run("rows:shuffle", (), order, done)
        store.run(
            "dual:descend", (), *layout, targets, low, high, epsilon, norms + rho, order, rho, weights, beta, told
        )
        done += 1
        missing = rho * told[1]
        told[0] += missing
        converged = max(told[2], abs(missing)) <= tol
    found = np.append(weights, told[0] + scaling.centre @ (weights * scaling.factor))[:, None]
    return Solution(found, problem.values(found[None])[0], done, converged)


def _bounds(problem: Problem) -> tuple[Array, Array, Array, float]:
    """Give, for scores against numbers, these numbers, the bounds of β, and ε."""
    most = problem.weights / problem.weights.sum() / problem.l2
    loss = problem.loss
    if isinstance(loss, EpsilonInsensitive):
        return problem.targets.astype(np.float64), -most, most, float(loss.epsilon)
    second = problem.targets == 1
    margin = np.where(second, 1.0, -1.0) * getattr(loss, "margin", 1.0)
    return margin, np.where(second, 0.0, -most), np.where(second, most, 0.0), 0.0
