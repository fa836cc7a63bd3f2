"""L-BFGS: descent with the curvature that the last steps have met, for smooth functions of many variables.

Steps and line search follow Nocedal and Wright, *Numerical Optimization* (2006): algorithms 7.5 (L-BFGS), 3.5 and 3.6
(strong Wolfe conditions); products with the inverse Hessian the compact form of Byrd, Nocedal and Schnabel (1994); the
convergence tests are those of SciPy's L-BFGS-B.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Iterate", "Minimum", "Outcome", "iterates", "minimise_smooth"]

Vector = NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]
Operator = Callable[[Vector], Vector]

SUFFICIENT = 1e-3
CURVATURE = 0.9
"""The strong Wolfe conditions on a step α: f(α) ≤ f(0) + SUFFICIENT α f′(0) and |f′(α)| ≤ CURVATURE |f′(0)|.

A loose condition on the slope: another direction is worth more than a better step along this one.
"""

TRIALS = 20
"""Steps that one line search may try."""

NARROW = 0.1
"""A line search ends when its bracket is narrower than this share of its far end, as SciPy's does."""


class Outcome(Enum):
    """How a minimisation ended."""

    DECREASE = "the last step gained next to nothing"
    SLOPE = "no slope is left"
    NO_STEP = "no step along the slope gains: the function has no more digits"
    ITERATIONS = "the iterations are used up"


class Iterate(NamedTuple):
    """A point on the way down, with the value and the gradient there, and the gradient times H₀, itself without one."""

    point: Vector
    value: float
    gradient: Vector
    start: Vector


class Minimum(NamedTuple):
    """Where a minimisation ended: the point, the value and the gradient there, steps taken, and why it ended."""

    point: Vector
    value: float
    gradient: Vector
    iterations: int
    outcome: Outcome


class _Trial(NamedTuple):
    """A step along a direction: its length, and point, value, gradient and slope there."""

    step: float
    point: Vector
    value: float
    gradient: Vector
    slope: float


class _Pairs:
    """The last steps s and the changes y of the gradient over them, and what they tell: H ≈ (∇²f)⁻¹ from H₀.

        H = H₀ + [S H₀Y] [[R⁻ᵀ (D + YᵀH₀Y) R⁻¹, −R⁻ᵀ], [−R⁻¹, 0]] [S H₀Y]ᵀ

    with R the upper triangle of SᵀY and D its diagonal (equation 3.1). The recursion pair by pair gives the same: of 20
    pairs it takes four times as long, longer than a pass over small data.

    steps, changes, curved : `(most, size)`, s, y and H₀y, without an H₀ given y; the oldest gives way to a new one, so
    that the lines and columns of R, too, are out of order.
    """

    def __init__(self, most: int, size: int, *, curved: bool) -> None:
        self.steps, self.changes = np.empty((most, size)), np.empty((most, size))
        self.curved = np.empty((most, size)) if curved else self.changes
        self.diagonal = np.zeros(most)
        self.inverse_triangle, self.squares = np.zeros((most, most)), np.zeros((most, most))
        self.count, self.last = 0, -1

    def clear(self) -> None:
        """Forget all pairs."""
        self.count, self.last = 0, -1

    def remember(self, step: Vector, change: Vector, curved: Vector) -> None:
        """Keep a pair, if the curvature s·y along it is positive, without which H would not be positive definite."""
        product = float(step @ change)
        if not product > np.finfo(np.float64).eps * float(change @ change):
            return
        before, line = slice(self.count), (self.last + 1) % len(self.steps)
        triangle = self.inverse_triangle
        triangle[line] = triangle[:, line] = 0.0
        triangle[before, line] = triangle[before, before] @ (self.steps[before] @ change) / -product
        triangle[line, line] = 1.0 / product
        self.steps[line], self.changes[line], self.curved[line], self.diagonal[line] = step, change, curved, product
        self.count, self.last = max(self.count, line + 1), line
        now = slice(self.count)
        self.squares[now, line] = self.squares[line, now] = self.curved[now] @ change

    def times(self, gradient: Vector, start: Vector) -> Vector:
        """Give H ∇f from H₀∇f, without an H₀ given from ∇f and H₀ = (s·y / y·y) I of the last pair."""
        if not self.count:
            return start
        now, own = slice(self.count), self.curved is self.changes
        scale = self.diagonal[self.last] / self.squares[self.last, self.last] if own else 1.0
        triangle, steps = self.inverse_triangle[now, now], self.steps[now]
        along = triangle @ (steps @ gradient)
        back = self.diagonal[now] * along + scale * (self.squares[now, now] @ along - self.changes[now] @ start)
        return scale * (start - along @ self.curved[now]) + (back @ triangle) @ steps


def minimise_smooth(
    function: Function,
    start: Vector,
    *,
    corrections: int = 20,
    decrease: float = 1e-8,
    slope: float = 1e-6,
    iterations: int = 15_000,
    inverse: Operator | None = None,
) -> Minimum:
    """Minimise a function by L-BFGS (Liu and Nocedal 1989): x ← x − α H ∇f(x), where H ≈ (∇²f)⁻¹.

    Parameters
    ----------
    function
        Gives f(x) and ∇f(x); what it raises ends the minimisation. Where a value is not finite, steps are shorter.
    start
        The first x, of one dimension.
    corrections
        How many of the last steps and changes of the gradient make up H.
    decrease, slope
        Converged when (f − f⁺) / max(|f|, |f⁺|, 1) or every component of the gradient is at most this. With H₀, which
        tells what is to be gained, ½ ∇f·H₀∇f ≤ decrease is asked instead of small components.
    iterations
        At most so many steps are taken.
    inverse
        Multiplies with H₀, a positive definite guess of (∇²f)⁻¹ that the steps correct; None for none.

    >>> found = minimise_smooth(lambda x: (float(x @ x), 2 * x), np.array([3.0, -4.0]))
    >>> round(found.value, 9), found.outcome.name
    (0.0, 'SLOPE')
    """
    before: Iterate | None = None
    done = 0
    for done, here in enumerate(iterates(function, start, corrections=corrections, inverse=inverse)):
        if before is not None and before.value - here.value <= decrease * max(abs(before.value), abs(here.value), 1.0):
            return _minimum(here, done, Outcome.DECREASE)
        if done >= iterations:
            return _minimum(here, done, Outcome.ITERATIONS)
        if _is_flat(here, slope, decrease):
            return _minimum(here, done, Outcome.SLOPE)
        before = here
    assert before is not None
    return _minimum(before, done, Outcome.NO_STEP)


def _minimum(here: Iterate, iterations: int, outcome: Outcome) -> Minimum:
    return Minimum(here.point, here.value, here.gradient, iterations, outcome)


def iterates(
    function: Function, start: Vector, *, corrections: int = 20, inverse: Operator | None = None
) -> Iterator[Iterate]:
    """Yield the start and then each step of L-BFGS, as `minimise_smooth` takes them, until none gains any more."""
    pairs = _Pairs(corrections, len(start), curved=inverse is not None)
    now = _iterate(start, *function(start), inverse)
    yield now
    while True:
        direction = -pairs.times(now.gradient, now.start)
        first = 1.0 if pairs.count or inverse is not None else min(1.0, 1.0 / math.sqrt(now.gradient @ now.gradient))
        here = _Trial(0.0, now.point, now.value, now.gradient, float(direction @ now.gradient))
        taken = _line_search(function, here, direction, first) if here.slope < 0 else here
        if taken.step == 0:
            if not pairs.count:
                return
            pairs.clear()  # what they tell of the curvature is wrong here: straight downhill once more
            continue
        before, now = now, _iterate(taken.point, taken.value, taken.gradient, inverse)
        pairs.remember(now.point - before.point, now.gradient - before.gradient, now.start - before.start)
        yield now


def _iterate(point: Vector, value: float, gradient: Vector, inverse: Operator | None) -> Iterate:
    return Iterate(point, value, gradient, gradient if inverse is None else inverse(gradient))


def _is_flat(here: Iterate, slope: float, decrease: float) -> bool:
    """Whether no slope is left, or, with an H₀, too little to be gained along it."""
    if here.start is here.gradient:
        return bool(np.abs(here.gradient).max() <= slope)
    return bool(here.gradient @ here.start <= 2 * decrease)


def _line_search(function: Function, here: _Trial, direction: Vector, step: float) -> _Trial:
    """Give a step that meets the strong Wolfe conditions, or else the lowest found, of length 0 if none is lower."""
    before = here
    for tried in range(1, TRIALS + 1):
        trial = _try(function, here, direction, step)
        if _too_high(trial, before, here):
            return _zoom(function, here, direction, before, trial, TRIALS - tried)
        if abs(trial.slope) <= -CURVATURE * here.slope:
            return trial
        if trial.slope >= 0:
            return _zoom(function, here, direction, trial, before, TRIALS - tried)
        wide = trial.step - before.step
        step = _within(_cubic_minimum(before, trial), trial.step + 1.1 * wide, trial.step + 4.0 * wide)
        before = trial
    return before


def _zoom(function: Function, here: _Trial, direction: Vector, low: _Trial, high: _Trial, trials: int) -> _Trial:
    """Narrow a bracket down to a step that meets the conditions; `low` is its lower end, and falls towards `high`."""
    for _ in range(trials):
        near, far = sorted((low.step, high.step))
        if far - near <= NARROW * far and low.step > 0:
            break
        margin = 0.1 * (far - near)
        trial = _try(function, here, direction, _within(_cubic_minimum(low, high), near + margin, far - margin))
        if _too_high(trial, low, here):
            high = trial
            continue
        if abs(trial.slope) <= -CURVATURE * here.slope:
            return trial
        if trial.slope * (high.step - low.step) >= 0:
            high = low
        low = trial
    return low


def _try(function: Function, here: _Trial, direction: Vector, step: float) -> _Trial:
    point = here.point + step * direction
    value, gradient = function(point)
    return _Trial(step, point, value, gradient, float(gradient @ direction))


def _too_high(trial: _Trial, lowest: _Trial, here: _Trial) -> bool:
    """Whether a step does not fall as it should, or is no lower than the lowest; not finite is too high."""
    falls = trial.value <= here.value + SUFFICIENT * trial.step * here.slope
    return not falls or (lowest.step > 0 and trial.value >= lowest.value) or not math.isfinite(trial.slope)


def _cubic_minimum(a: _Trial, b: _Trial) -> float:
    """Where the cubic through two steps' values and slopes is lowest; NaN where it has no minimum (equation 3.59)."""
    d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0 or not math.isfinite(square):
        return math.nan
    d2 = math.copysign(math.sqrt(square), b.step - a.step)
    over = b.slope - a.slope + 2.0 * d2
    return b.step - (b.step - a.step) * (b.slope + d2 - d1) / over if over else math.nan


def _within(step: float, low: float, high: float) -> float:
    """Give a step no smaller than `low` and no larger than `high`; halfway between them if it is NaN."""
    return (low + high) / 2.0 if math.isnan(step) else min(max(step, low), high)
