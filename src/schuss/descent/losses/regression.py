"""Losses of numbers: one score s, from which the number is predicted, and the target y.

`evaluate(self, s, y)` gives value and derivative along the score, at a kink a subgradient; `curvature(self, s, y)` the
second derivative. The score is the prediction itself but for `Poisson`. Parameters are in the units of the targets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from schuss.descent.ops import absolute, constant, exp, log, maximum, where

__all__ = [
    "AbsoluteError",
    "EpsilonInsensitive",
    "Huber",
    "Poisson",
    "Quantile",
    "SquaredEpsilonInsensitive",
    "SquaredError",
]


class SquaredError(NamedTuple):
    """Half the squared difference: ½ (s − y)²; derivative s − y, curvature 1. Its constant is the mean."""

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        difference = s - y
        return constant(0.5, s) * difference * difference, difference

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative."""
        return constant(1.0, s)


class AbsoluteError(NamedTuple):
    """Absolute difference: |s − y|; subgradient sign(s − y), 0 at the kink. Its constant is the median.

    Piecewise linear.
    """

    multiclass = False
    smooth = False
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient."""
        zero, one = constant(0.0, s), constant(1.0, s)
        difference = s - y
        return absolute(difference), where(difference > zero, one, where(difference < zero, -one, zero))


class Huber(NamedTuple):
    """Huber's loss of r = s − y: ½ r² where |r| ≤ δ, else δ (|r| − ½ δ) (Huber 1964), δ > 0.

    Derivative r, cut off at −δ and δ; curvature 1 where |r| < δ.

    >>> value, derivative = Huber(2.0).evaluate(0.0, 5.0)
    >>> float(value), float(derivative)
    (8.0, -2.0)
    """

    delta: Any = 0.5

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        half, delta = constant(0.5, s), constant(self.delta, s)
        difference = s - y
        size = absolute(difference)
        derivative = where(difference > delta, delta, maximum(difference, -delta))
        return where(size > delta, delta * (size - half * delta), half * difference * difference), derivative

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative (0 at its jumps)."""
        return where(absolute(s - y) < constant(self.delta, s), constant(1.0, s), constant(0.0, s))


class EpsilonInsensitive(NamedTuple):
    """Errors beyond a tolerance: max(0, |s − y| − ε) (Vapnik 1995), ε ≥ 0; subgradient sign(s − y) beyond it, else 0.

    Piecewise linear.
    """

    epsilon: Any = 0.1

    multiclass = False
    smooth = False
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient."""
        zero, one = constant(0.0, s), constant(1.0, s)
        difference = s - y
        beyond = absolute(difference) - constant(self.epsilon, s)
        direction = where(difference > zero, one, -one)
        return maximum(beyond, zero), where(beyond > zero, direction, zero)


class SquaredEpsilonInsensitive(NamedTuple):
    """Squared errors beyond a tolerance: max(0, |s − y| − ε)², ε ≥ 0; derivative 2 sign(s − y) max(0, |s − y| − ε).

    Curvature 2 beyond the tolerance.

    >>> value, derivative = SquaredEpsilonInsensitive(1.0).evaluate(0.0, 3.0)
    >>> float(value), float(derivative)
    (4.0, -4.0)
    """

    epsilon: Any = 0.1

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        zero, one = constant(0.0, s), constant(1.0, s)
        difference = s - y
        beyond = maximum(absolute(difference) - constant(self.epsilon, s), zero)
        direction = where(difference > zero, one, -one)
        return beyond * beyond, direction * (beyond + beyond)

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative (0 at its jumps)."""
        zero, one = constant(0.0, s), constant(1.0, s)
        return where(absolute(s - y) > constant(self.epsilon, s), one + one, zero)


class Quantile(NamedTuple):
    """Pinball loss of r = y − s: τ r where r ≥ 0, else (τ − 1) r (Koenker and Bassett 1978), 0 < τ < 1.

    Subgradient −τ below the target, 1 − τ above it, 0 at the kink; piecewise linear. Its constant is the τ-quantile;
    for τ = ½ it is half the absolute error.

    >>> value, derivative = Quantile(0.9).evaluate(1.0, 3.0)
    >>> float(value), float(derivative)
    (1.8, -0.9)
    """

    tau: Any = 0.5

    multiclass = False
    smooth = False
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient."""
        zero, tau = constant(0.0, s), constant(self.tau, s)
        over = tau - constant(1.0, s)
        missing = y - s
        return maximum(tau * missing, over * missing), where(missing > zero, -tau, where(missing < zero, -over, zero))


class Poisson(NamedTuple):
    """Half the Poisson deviance: eˢ − y s + (y log y − y) for targets y ≥ 0; derivative eˢ − y, curvature eˢ.

    The inverse link eˢ is the prediction, the link log μ (McCullagh and Nelder 1989). The last two terms make the loss
    of a perfect prediction zero; 0 log 0 = 0. Its constant is the logarithm of the mean.

    >>> value, derivative = Poisson().evaluate(0.0, 2.0)
    >>> float(value).__round__(4), float(derivative)
    (0.3863, -1.0)
    """

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        mean = exp(s)
        return (mean - y) + y * (log(maximum(y, constant(1e-30, y))) - s), mean - y

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative."""
        return exp(s)

    def inverse_link(self, s: Any) -> Any:
        """Give the prediction."""
        return exp(s)

    def link(self, mean: Any) -> Any:
        """Give the score of a prediction."""
        return log(mean)
