"""Newton's method for small convex problems: the last digits, and kinks that are rounded off to little."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .problem import Problem

__all__ = ["Descended", "is_small", "newton"]

Array = NDArray[np.float64]

SMALL = 2e6
"""Numbers of the rows up to which Newton's method is taken where Hessians are formed: steps over more take long."""

SMALL_UNFORMED = 2e5
"""The same, times outputs, where they are only multiplied with."""

FEW = 1000
"""Features up to which they are formed, for one output."""

STEPS = 50

FORMED = 2e8
"""Products up to which a Hessian of one output is formed; else it is multiplied with, in conjugate gradients."""

PRODUCTS = 300
"""Hessian products that one step may take."""

EXACT = 1e-12
"""The residual of such a step that is exact enough, as a share of the gradient."""

TRIALS = 30
FLAT = 0.1
"""A length along a step is taken when the slope there is at most this share of the slope at its start."""

SOLVED = 1e-7
"""The gradient at the end, as a share of that of weights of zero, below which a problem counts as solved."""


class Descended(NamedTuple):
    """Weights of scaled features, the looks at the rows (without conjugate gradients), and whether it is solved."""

    weights: Array
    passes: int
    solved: bool


def is_small(problem: Problem) -> bool:
    """Say whether Newton's method is for a problem."""
    formed = problem.outputs == 1 and problem.shape[0] <= FEW
    return not problem.l1 and problem.numbers * problem.outputs <= (SMALL if formed else SMALL_UNFORMED)


def newton(problem: Problem, weights: Array) -> Descended:
    """Take Newton steps while each goes downhill, or halves the gradient.

    Where the value has no more digits, the gradient still tells how far the optimum is: values that differ by 1e-16
    may be 1e-6 apart in the weights, and rows repeated or weighted would give other weights.
    """
    value, gradient = problem.value_and_gradient(weights)
    size = float(np.linalg.norm(problem.value_and_gradient(np.zeros_like(weights))[1]))
    passes = 2
    for _ in range(STEPS):
        if not gradient.any():
            break
        step = _formed_step(problem, weights, gradient)
        if step is None:
            step = _implicit_step(problem, weights, gradient)
        there = weights + _length(problem, weights, step) * step
        lower, changed = problem.value_and_gradient(there)
        passes += 4
        if not (lower < value or np.linalg.norm(changed) <= 0.5 * np.linalg.norm(gradient)):
            break
        weights, value, gradient = there, lower, changed
    return Descended(weights, passes, bool(np.linalg.norm(gradient) <= SOLVED * size))


def _length(problem: Problem, weights: Array, step: Array) -> float:
    """Give the length along a step at which the objective is (nearly) lowest: one, unless it rises before.

    The slope of a convex function rises along a line; scores along it need no further look at the features.
    """
    slope = problem.along(weights, step)
    first = slope(0.0)
    low, high = (0.0, first), (1.0, slope(1.0))
    if high[1] <= FLAT * abs(first):
        return 1.0
    for trial in range(TRIALS):
        share = 0.5 if trial % 2 else low[1] / (low[1] - high[1])
        middle = low[0] + share * (high[0] - low[0])
        there = slope(middle)
        if abs(there) <= FLAT * abs(first):
            return middle
        low, high = ((middle, there), high) if there < 0 else (low, (middle, there))
    return low[0]


def _formed_step(problem: Problem, weights: Array, gradient: Array) -> Array | None:
    """Solve H d = −∇F with the Hessian of one output; None where it would take long, or has no inverse."""
    if problem.outputs > 1:
        return None
    curved = problem.curvatures(weights)
    rows = np.flatnonzero(curved)
    features = problem.shape[0] - 1
    if max(len(rows), features) * features**2 > FORMED:
        return None
    scaled = problem.scaled_rows(rows)
    hessian = scaled.T @ (scaled * curved[rows, None])
    hessian[np.arange(features), np.arange(features)] += problem.l2
    if not problem.intercept:
        hessian[-1], hessian[:, -1], hessian[-1, -1] = 0.0, 0.0, 1.0
    try:
        return np.asarray(-np.linalg.solve(hessian, gradient), np.float64)
    except np.linalg.LinAlgError:
        return None


def _implicit_step(problem: Problem, weights: Array, gradient: Array) -> Array:
    """Solve H d = −∇F by conjugate gradients (Nocedal and Wright 2006, algorithm 7.1)."""
    step, residual = np.zeros_like(weights), -gradient
    search, left = residual, float(np.vdot(residual, residual))
    enough = EXACT**2 * left
    for _ in range(PRODUCTS):
        if left <= enough:
            break
        curved = problem.hessian_product(weights, search)
        curvature = float(np.vdot(search, curved))
        if not curvature > 0:
            break
        step, residual = step + left / curvature * search, residual - left / curvature * curved
        before, left = left, float(np.vdot(residual, residual))
        search = residual + left / before * search
    return step
