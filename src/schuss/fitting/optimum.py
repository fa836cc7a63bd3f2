"""The optimum of a convex problem in float64: quasi-Newton passes, then Newton's method for the last digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..finish.solve import Solution, minimise
from .dual import solve_dual, suits_dual
from .newton import is_small, newton
from .problem import Problem
from .smoothed import rounded

__all__ = ["has_optimum", "optimum"]

Array = NDArray[np.float64]

ROUGH = 100.0
"""By how much sooner solves end that are only on the way to a smaller width."""

FALLEN = 0.1
"""A value that has fallen so far is solved for again in its own unit: where classes can be told apart it nears zero."""


WIDTHS = tuple(0.5**halvings for halvings in range(11))
"""Widths to which kinks are rounded off, one after the other, in units of a margin or of the targets' deviation.

Newton's method follows from one to the next, to a tenth it loses its way; quasi-Newton passes need every third. The
last one leaves the objective within 0.0001 of its optimum, as far as rows lie at kinks; on three sets it was at most
0.006 % above LIBSVM's.
"""


def has_optimum(problem: Problem) -> bool:
    """Say whether `optimum` can solve a problem: its loss is smooth, or can be made so, and convex."""
    loss = problem.loss
    return bool(loss.convex) and (bool(loss.smooth) or rounded(loss, 1.0) is not None)


def optimum(problem: Problem, start: Array, *, passes: int, tol: float) -> Solution:
    """Minimise a convex problem from weights of scaled features `(features + 1, outputs)`.

    passes : over the rows that may be taken, but for the last digits; tol : a solve ends when a step gains less than a
    millionth of it, in units of the value at the start. Smooth problems are solved further: to a millionth of `tol` in
    units of the optimum's own value, and on small data by Newton steps until the gradient falls no more.

    Losses with kinks are solved for with kinks rounded off less and less, wide sparse problems in the dual. With λ₁,
    weights that vanish are zero.
    """
    scale, _ = problem.value_and_gradient(start)
    if not scale > 0:
        return Solution(start, scale, 1, True)
    if problem.loss.smooth:
        return _exactly(problem, start, passes, tol, scale)
    unit = float(problem.targets.std()) or 1.0 if problem.targets.dtype.kind == "f" else 1.0
    found, taken = Solution(start, scale, 0, False), 0
    if suits_dual(problem) and not is_small(problem):
        found = solve_dual(problem, passes=passes, tol=unit * tol)
        if found.converged:
            return found
        taken = found.passes
    for width in WIDTHS if is_small(problem) else WIDTHS[1::3]:
        nearer = problem.with_loss(rounded(problem.loss, width * unit))
        if taken and is_small(problem):
            moved = newton(nearer, found.weights)
            found, taken = found._replace(weights=moved.weights, converged=moved.solved), taken + moved.passes
        if not found.converged or not is_small(problem):
            rough = tol if width == WIDTHS[-1] else ROUGH * tol
            found = _solve(nearer, found.weights, passes - taken, rough, scale)
            taken += found.passes
        if taken >= passes:
            break
    return found._replace(passes=min(taken, passes))


def _solve(problem: Problem, start: Array, passes: int, tol: float, scale: float) -> Solution:
    """Minimise a smooth problem until a step gains next to nothing, in units of `scale`."""
    decrease = (1e-9 if problem.l1 else 1e-6) * tol
    return minimise(problem, start, passes=passes, l1=problem.l1, scale=scale, decrease=decrease)


def _exactly(problem: Problem, start: Array, passes: int, tol: float, scale: float) -> Solution:
    """Solve a smooth problem, a small one to the last digits; in units of the value itself where it has fallen far."""
    small = is_small(problem)
    found, taken, unit = Solution(start, scale, 0, True), 0, scale
    rough = ROUGH if small else 1.0
    while True:
        found = _solve(problem, found.weights, passes - taken, rough * tol, unit)
        taken += found.passes
        if small and found.converged:
            moved = newton(problem, found.weights)
            found, taken = found._replace(weights=moved.weights), taken + moved.passes
            if moved.solved:
                break
        fallen = rough > 1.0 or found.value < FALLEN * unit
        if not (found.converged and fallen and found.value > 0) or taken >= passes:
            break
        rough, unit = 1.0, found.value
    return found._replace(passes=min(taken, passes))
