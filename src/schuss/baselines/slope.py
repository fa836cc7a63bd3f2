"""Descent by the slope of all rows: every step looks at each of them."""

from __future__ import annotations

import math
from collections.abc import Generator as Coroutine
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from schuss.descent.quasi_newton import iterates
from schuss.objective import Objective

from .steps import Step

__all__ = ["backtracking", "gradient_descent", "l_bfgs", "newton", "numerical_descent", "steepest_curvature"]

Array = NDArray[np.float64]
Generator = np.random.Generator

SUFFICIENT = 1e-4
"""Armijo's condition on a step η along d: F(w + η d) ≤ F(w) + SUFFICIENT η ∇F·d."""

HALVINGS = 8
"""Steps, each half as long as the one before, that a backtracking line search scores in one pass."""

LOOKS_AT_MOST = 7
"""Passes of a line search: after 56 halvings nothing is left of a step."""

FLAT = 1e-14
"""Along a direction of less curvature there is nothing to solve, as where all intercepts of softmax move alike."""

LOOKS = 20
"""Steps of the power iteration that measures the steepest curvature."""

NUDGE = 1e-5
"""By how much the numerical gradient moves a weight: errors by rounding, ε F / h, and by curvature, h² F‴ meet."""


def steepest_curvature(objective: Objective, weights: Array, rng: Generator, looks: int = LOOKS) -> float:
    """Estimate the largest eigenvalue of the Hessian, by power iteration on differences of gradients.

    Gradient descent is stable below 2 over it. Each of the looks reads the rows twice.
    """
    return _exhausted(_curvature(objective, weights, rng, looks, 0, 0.0))[0]


def _curvature(
    objective: Objective, weights: Array, rng: Generator, looks: int, rows: int, value: float
) -> Coroutine[Step, None, tuple[float, int]]:
    """Measure the steepest curvature, telling of every look; give it, and the rows read."""
    direction, found = rng.normal(size=weights.shape), 0.0
    for _ in range(looks):
        direction *= 1e-3 / np.linalg.norm(direction)
        there, back = (objective.value_and_gradient(weights + side * direction)[1] for side in (1, -1))
        change = (there - back) / 2e-3
        found, direction, rows = float(np.linalg.norm(change)), change, rows + 2 * objective.pass_rows
        yield Step(weights, value, rows)
        if not found > 0:
            break
    return found, rows


def _exhausted(steps: Coroutine[Step, None, tuple[float, int]]) -> tuple[float, int]:
    """Run a coroutine to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def gradient_descent(
    objective: Objective, start: Array, rng: Generator, *, rate: float | None = None, looks: int = LOOKS
) -> Iterator[Step]:
    """Full-batch gradient descent: w ← w − η ∇F(w).

    rate : η, by default 1 over the steepest curvature at the start, measured with so many looks.
    """
    weights, rows = start, 0
    if rate is None:
        value = float(objective.values(start[None])[0])
        yield Step(start, value, objective.pass_rows)
        curvature, rows = yield from _curvature(objective, start, rng, looks, objective.pass_rows, value)
        rate = 1.0 / max(curvature, 1e-12)
    while True:
        value, gradient = objective.value_and_gradient(weights)
        rows += objective.pass_rows
        yield Step(weights, value, rows)
        weights = weights - rate * gradient


def numerical_descent(
    objective: Objective,
    start: Array,
    rng: Generator,
    *,
    rate: float | None = None,
    candidates: int = 64,
    nudge: float = NUDGE,
) -> Iterator[Step]:
    """Gradient descent by the centred numerical gradient, whose price is two losses for every weight.

    ∂F/∂wⱼ ≈ (F(w + h eⱼ) − F(w − h eⱼ)) / 2h. Steps are backtracked unless `rate` is given. So many candidates are
    scored in a pass, and every pass is told of: with many weights one step takes long.
    """
    weights, rows, length = start, objective.pass_rows, 1.0
    value = float(objective.values(start[None])[0])
    while True:
        yield Step(weights, value, rows)
        slopes = np.empty(start.size)
        group = max(candidates // 2, 1)
        for first in range(0, start.size, group):
            places = np.arange(first, min(first + group, start.size))
            moves = np.zeros((len(places), start.size))
            moves[np.arange(len(places)), places] = nudge
            moves = moves.reshape(-1, *start.shape)
            there, back = np.split(objective.values(np.concatenate([weights + moves, weights - moves])), 2)
            slopes[places] = (there - back) / (2 * nudge)
            rows += objective.pass_rows
            yield Step(weights, value, rows)
        gradient = slopes.reshape(start.shape)
        if rate is None:
            length, looks = _enough(objective, weights, value, gradient, -gradient, 2 * length)
            rows += looks * objective.pass_rows
            if length == 0:
                return
        weights = weights - (length if rate is None else rate) * gradient
        value = float(objective.values(weights[None])[0])
        rows += objective.pass_rows


def _enough(
    objective: Objective, weights: Array, value: float, gradient: Array, direction: Array, longest: float
) -> tuple[float, int]:
    """Give the longest of some steps that gains and meets Armijo's condition, 0 if none does; and the looks it took."""
    slope = float(np.vdot(gradient, direction))
    lengths = longest * 0.5 ** np.arange(HALVINGS)
    for looks in range(1, LOOKS_AT_MOST + 1):
        tried = weights + lengths.reshape(-1, *[1] * weights.ndim) * direction
        values = objective.values(tried)
        falls = (values < value) & (values <= value + SUFFICIENT * lengths * slope)
        if falls.any():
            return float(lengths[int(np.argmax(falls))]), looks
        lengths = lengths * 0.5**HALVINGS
    return 0.0, LOOKS_AT_MOST


def backtracking(objective: Objective, start: Array, rng: Generator) -> Iterator[Step]:
    """Gradient descent whose steps are halved until the loss falls enough (Armijo 1966).

    The first try is twice the step before. Eight tries share one pass.
    """
    weights, rows, length = start, 0, 1.0
    while True:
        value, gradient = objective.value_and_gradient(weights)
        rows += objective.pass_rows
        yield Step(weights, value, rows)
        length, looks = _enough(objective, weights, value, gradient, -gradient, 2 * length)
        if length == 0:
            return
        weights = weights - length * gradient
        rows += looks * objective.pass_rows


def newton(objective: Objective, start: Array, rng: Generator, *, products: int = 100) -> Iterator[Step]:
    """Newton's method: w ← w − η H⁻¹ ∇F(w), H the Hessian, which is never formed.

    H d = −∇F is solved by conjugate gradients, each of whose steps is a Hessian–vector product and reads the rows once,
    more exactly the nearer the minimum (Nocedal and Wright 2006, algorithm 7.1); η meets Armijo's condition.
    """
    weights, rows = start, 0
    while True:
        value, gradient = objective.value_and_gradient(weights)
        rows += objective.pass_rows
        yield Step(weights, value, rows)
        direction, residual = np.zeros_like(weights), -gradient
        search, left = residual, float(np.vdot(residual, residual))
        enough = left * min(0.25, math.sqrt(left))
        for _ in range(products):
            curved = objective.hessian_product(weights, search)
            rows += objective.pass_rows
            yield Step(weights, value, rows)
            curvature = float(np.vdot(search, curved))
            if curvature <= FLAT * float(np.vdot(search, search)):
                break
            direction, residual = direction + left / curvature * search, residual - left / curvature * curved
            before, left = left, float(np.vdot(residual, residual))
            if left <= enough:
                break
            search = residual + (left / before) * search
        if not direction.any():
            direction = -gradient
        length, looks = _enough(objective, weights, value, gradient, direction, 1.0)
        if length == 0:
            return
        weights = weights + length * direction
        rows += looks * objective.pass_rows


def l_bfgs(objective: Objective, start: Array, rng: Generator, *, corrections: int = 20) -> Iterator[Step]:
    """L-BFGS (Liu and Nocedal 1989): Newton's direction from how the gradient changed over the last steps."""
    looks, lowest = 0, math.inf

    def look(flat: Array) -> tuple[float, Array]:
        nonlocal looks
        looks += 1
        value, gradient = objective.value_and_gradient(flat.reshape(start.shape))
        return value, gradient.ravel()

    with np.errstate(over="ignore", invalid="ignore"):
        for here in iterates(look, start.ravel(), corrections=corrections):
            if not here.value < lowest:
                return
            lowest = here.value
            yield Step(here.point.reshape(start.shape), here.value, looks * objective.pass_rows)
