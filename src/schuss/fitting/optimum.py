"""The optimum of a convex problem in float64: quasi-Newton passes, then Newton's method for the last digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..finish.solve import minimise
from .problem import Problem
from .smoothed import rounded

__all__ = ["Optimum", "has_optimum", "optimum"]

Array = NDArray[np.float64]

POLISHED = 2e6
"""Numbers of the rows times outputs up to which the last digits are solved for: a pass over more takes too long."""

NEWTON_STEPS = 50
PRODUCTS = 300
"""Hessian products that one step of Newton's method may take."""

EXACT = 1e-12
"""The residual of a step that is exact enough, as a share of the gradient."""

HALVINGS = 10
SUFFICIENT = 1e-4
"""A step counts as one downhill if the value falls by this share of what its slope promises."""


ROUGH = 100.0
"""By how much sooner solves end that are only on the way to a smaller width."""

FALLEN = 0.1
"""A value that has fallen so far is solved for again in its own unit: where classes can be told apart it nears zero."""


class Optimum(NamedTuple):
    """Weights of scaled features `(features + 1, outputs)`, the value there, the passes, and whether it converged."""

    weights: Array
    value: float
    passes: int
    converged: bool


WIDTHS = (1.0, 0.1, 0.01, 0.001)
"""Widths to which kinks are rounded off, one after the other, in units of a margin or of the targets' deviation.

The last leaves the objective within 0.0001 of its optimum, as far as rows lie at kinks; on four sets of normal rows the
hinge's was 1e-6 above that of LIBSVM, relative to the loss.
"""


def has_optimum(problem: Problem) -> bool:
    """Say whether `optimum` can solve a problem: its loss is smooth, or can be made so, and convex."""
    loss = problem.loss
    return bool(loss.convex) and (bool(loss.smooth) or rounded(loss, 1.0) is not None)


def optimum(problem: Problem, start: Array, *, passes: int, tol: float) -> Optimum:
    """Minimise a convex problem from weights of scaled features `(features + 1, outputs)`.

    passes : over the rows that may be taken, but for the last digits; tol : a solve ends when a step gains less than a
    millionth of it, in units of the value at the start. Smooth problems are solved further: to a millionth of `tol` in
    units of the optimum's own value, and on small data by Newton steps until the gradient falls no more.

    Losses with kinks are solved for with kinks rounded off less and less. With λ₁, weights are differences of two
    numbers that are at least zero, so that those that vanish are zero.
    """
    scale, _ = problem.value_and_gradient(start)
    if not scale > 0:
        return Optimum(start, scale, 1, True)
    if problem.loss.smooth:
        return _exactly(problem, _solve(problem, start, passes, tol, scale), passes, tol, scale)
    unit = float(problem.targets.std()) or 1.0 if problem.targets.dtype.kind == "f" else 1.0
    found, taken = Optimum(start, np.inf, 0, False), 0
    for width in WIDTHS:
        nearer = problem.with_loss(rounded(problem.loss, width * unit))
        rough = tol if width == WIDTHS[-1] else ROUGH * tol
        found = _solve(nearer, found.weights, passes - taken, rough, scale)
        taken += found.passes
        if taken >= passes:
            break
    return found._replace(passes=taken)


def _solve(problem: Problem, start: Array, passes: int, tol: float, scale: float) -> Optimum:
    """Minimise a smooth problem until a step gains next to nothing, in units of `scale`."""
    if problem.l1 > 0:
        return _sparse_optimum(problem, start, passes, tol, scale)
    found = minimise(problem, start, passes=passes, scale=scale, decrease=1e-6 * tol)
    return Optimum(found.weights, found.value, found.passes, found.converged)


def _exactly(problem: Problem, found: Optimum, passes: int, tol: float, scale: float) -> Optimum:
    """Go on in units of the value itself where it has fallen far, and solve for the last digits of small problems."""
    taken = found.passes
    while found.converged and 0 < found.value < FALLEN * scale and taken < passes:
        scale = found.value
        found = _solve(problem, found.weights, passes - taken, tol, scale)
        taken += found.passes
    if found.converged and not problem.l1 and problem.numbers * problem.outputs <= POLISHED:
        found = found._replace(weights=_polished(problem, found.weights))
    return found._replace(passes=taken)


def _sparse_optimum(problem: Problem, start: Array, passes: int, tol: float, scale: float) -> Optimum:
    """Minimise with λ₁ by L-BFGS-B (Byrd, Lu, Nocedal and Zhu 1995): w̃ = u − v, u and v at least zero."""
    from scipy.optimize import minimize

    slopes = start[:-1].size

    def joined(point: Array) -> Array:
        return np.append(point[:slopes] - point[slopes : 2 * slopes], point[2 * slopes :]).reshape(start.shape)

    def evaluate(point: Array) -> tuple[float, Array]:
        value, gradient = problem.value_and_gradient(joined(point))
        flat = gradient.ravel()
        along = np.concatenate([flat[:slopes] + problem.l1, problem.l1 - flat[:slopes], flat[slopes:]])
        return (value + problem.l1 * float(point[: 2 * slopes].sum())) / scale, along / scale

    flat = start.ravel()
    begin = np.concatenate([np.maximum(flat[:slopes], 0.0), np.maximum(-flat[:slopes], 0.0), flat[slopes:]])
    bounds = [(0.0, None)] * (2 * slopes) + [(None, None)] * start.shape[1]
    ends = {"maxiter": passes, "maxfun": passes, "ftol": 1e-9 * tol, "gtol": 1e-6 * tol, "maxls": 50}
    found = minimize(evaluate, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=ends)
    return Optimum(joined(found.x), float(found.fun) * scale, int(found.nfev), found.nfev < passes)


def _polished(problem: Problem, weights: Array) -> Array:
    """Take Newton steps while each halves the gradient, or else goes downhill.

    Where the value has no more digits, the gradient still tells how far the optimum is: values that differ by 1e-16
    may be 1e-6 apart in the weights, and rows repeated or weighted would give other weights.
    """
    value, gradient = problem.value_and_gradient(weights)
    for _ in range(NEWTON_STEPS):
        step = _newton_step(problem, weights, gradient)
        slope = float(np.vdot(gradient, step))
        for length in 0.5 ** np.arange(HALVINGS):
            lower, there = problem.value_and_gradient(weights + length * step)
            falls = lower < value + SUFFICIENT * length * slope
            if falls or np.linalg.norm(there) <= 0.5 * np.linalg.norm(gradient):
                break
        else:
            return weights
        weights, value, gradient = weights + length * step, lower, there
    return weights


def _newton_step(problem: Problem, weights: Array, gradient: Array) -> Array:
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
