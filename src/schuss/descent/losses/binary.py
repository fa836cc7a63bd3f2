"""Losses of two classes: one score s for class 1 and a label y ∈ {0, 1}, or as a sign t = 2y − 1 ∈ {−1, 1}.

`evaluate(self, s, y)` gives value and derivative along the score, at a kink a subgradient; `curvature(self, s, y)` the
second derivative. Where `inverse_link(self, s)` gives a probability of class 1, `link(self, probability)` is its score.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from schuss.descent.ops import absolute, constant, exp, log, log1p_unit, maximum, sigmoid, where

__all__ = [
    "Hinge",
    "LogLoss",
    "ModifiedHuber",
    "Perceptron",
    "SigmoidSquaredError",
    "SquaredHinge",
    "ZeroOne",
    "half_squared_sigmoid",
    "modified_huber",
    "squared_hinge",
]


class LogLoss(NamedTuple):
    """Logistic loss: log(1 + eˢ) − y s; derivative σ(s) − y, curvature σ(s) (1 − σ(s)). In nats.

    The inverse link is σ(s) = 1/(1 + e⁻ˢ), the link log p/(1 − p).

    >>> value, derivative = LogLoss().evaluate(0.0, 1)
    >>> float(value).__round__(6), float(derivative)
    (0.693147, -0.5)
    """

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative, without overflow for any finite score."""
        zero, one = constant(0.0, s), constant(1.0, s)
        decay = exp(-absolute(s))
        inverse = one / (one + decay)
        probability = where(s >= zero, inverse, decay * inverse)
        return maximum(s, zero) - y * s + log1p_unit(decay), probability - y

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative."""
        return sigmoid(s) * sigmoid(-s)

    def inverse_link(self, s: Any) -> Any:
        """Give the probability of class 1."""
        return sigmoid(s)

    def link(self, probability: Any) -> Any:
        """Give the score of a probability between 0 and 1."""
        return log(probability) - log(constant(1.0, probability) - probability)


class Hinge(NamedTuple):
    """Hinge loss: max(0, Δ − t s), the margin Δ > 0 (Cortes and Vapnik 1995); subgradient −t where the margin is short.

    Piecewise linear; at the kink the subgradient is 0.

    >>> value, derivative = Hinge(2.0).evaluate(0.5, 1)
    >>> float(value), float(derivative)
    (1.5, -1.0)
    """

    margin: Any = 1.0

    multiclass = False
    smooth = False
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient (0 at the kink)."""
        zero, one = constant(0.0, s), constant(1.0, s)
        sign = y + y - one
        short = constant(self.margin, s) - sign * s
        return maximum(short, zero), where(short > zero, -sign, zero)


def squared_hinge(s: Any, sign: Any, margin: Any) -> tuple[Any, Any]:
    """Give max(0, Δ − t s)² and its derivative."""
    zero = constant(0.0, s)
    short = maximum(constant(margin, s) - sign * s, zero)
    return short * short, -sign * (short + short)


class SquaredHinge(NamedTuple):
    """Squared hinge loss: max(0, Δ − t s)²; derivative −2 t max(0, Δ − t s), curvature 2 where the margin is short.

    >>> value, derivative = SquaredHinge().evaluate(0.5, 1)
    >>> float(value), float(derivative)
    (0.25, -1.0)
    """

    margin: Any = 1.0

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        return squared_hinge(s, y + y - constant(1.0, s), self.margin)

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative (0 at its jump)."""
        zero, one = constant(0.0, s), constant(1.0, s)
        return where((y + y - one) * s < constant(self.margin, s), one + one, zero)


def modified_huber(s: Any, sign: Any) -> tuple[Any, Any]:
    """Give max(0, 1 − t s)² where t s ≥ −1, else −4 t s, and its derivative."""
    zero, one = constant(0.0, s), constant(1.0, s)
    four, margin = constant(4.0, s), sign * s
    short = maximum(one - margin, zero)
    far = margin < -one
    return where(far, -four * margin, short * short), where(far, -four * sign, -sign * (short + short))


class ModifiedHuber(NamedTuple):
    """Modified Huber loss: max(0, 1 − t s)² where t s ≥ −1, else −4 t s (Zhang 2004).

    Derivative −2 t max(0, 1 − t s), at most 4 in size; curvature 2 where −1 < t s < 1. Its minimum for a share p of
    class 1 is at s = 2p − 1, so that the inverse link is (1 + s)/2, cut off at 0 and 1, and the link 2p − 1.

    >>> value, derivative = ModifiedHuber().evaluate(-3.0, 1)
    >>> float(value), float(derivative)
    (12.0, -4.0)
    """

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        return modified_huber(s, y + y - constant(1.0, s))

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative (0 at its jumps)."""
        zero, one = constant(0.0, s), constant(1.0, s)
        return where(absolute(s) < one, one + one, zero)

    def inverse_link(self, s: Any) -> Any:
        """Give the probability of class 1."""
        zero, one, half = constant(0.0, s), constant(1.0, s), constant(0.5, s)
        return half + half * where(s > one, one, maximum(s, zero - one))

    def link(self, probability: Any) -> Any:
        """Give the score of a probability."""
        return probability + probability - constant(1.0, probability)


class Perceptron(NamedTuple):
    """Perceptron criterion: max(0, −t s) (Rosenblatt 1958); subgradient −t where the sign is wrong or the score is 0.

    Piecewise linear. At the kink the subgradient is −t, not 0: from zero weights nothing would ever move. The loss of
    zero weights is zero, the lowest there is; models are therefore judged by `ZeroOne`.

    >>> value, derivative = Perceptron().evaluate(0.0, 1)
    >>> float(value), float(derivative)
    (0.0, -1.0)
    """

    multiclass = False
    smooth = False
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient."""
        zero, one = constant(0.0, s), constant(1.0, s)
        sign = y + y - one
        short = -sign * s
        return maximum(short, zero), where(short >= zero, -sign, zero)


def half_squared_sigmoid(s: Any, y: Any) -> tuple[Any, Any]:
    """Give ½ (y − σ(s))² and its derivative (σ(s) − y) σ(s) (1 − σ(s))."""
    output = sigmoid(s)
    difference = output - y
    return constant(0.5, s) * difference * difference, difference * output * sigmoid(-s)


class SigmoidSquaredError(NamedTuple):
    """Squared error of a sigmoid unit: ½ (y − σ(s))²; derivative (σ − y) σ (1 − σ) (Rumelhart et al. 1986).

    Smooth, not convex: far on the wrong side the derivative vanishes, and a unit learns nothing there. y may be any
    number between 0 and 1. The inverse link is σ(s), the link log p/(1 − p).

    A neuron with the inputs (0.1, 0.3), the weights (−0.8, 0.5) and the target 0.2 takes a step of rate 0.5:

    >>> import numpy as np
    >>> x, w = np.array([0.1, 0.3]), np.array([-0.8, 0.5])
    >>> -0.5 * SigmoidSquaredError().evaluate(x @ w, 0.2)[1] * x
    array([-0.00396..., -0.01189...])
    """

    multiclass = False
    smooth = True
    convex = False

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        return half_squared_sigmoid(s, y)

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative: σ' (σ' + (σ − y) (1 − 2σ)) with σ' = σ (1 − σ)."""
        output, rest = sigmoid(s), sigmoid(-s)
        slope = output * rest
        return slope * (slope + (output - y) * (rest - output))

    def inverse_link(self, s: Any) -> Any:
        """Give the probability of class 1."""
        return sigmoid(s)

    def link(self, probability: Any) -> Any:
        """Give the score of a probability between 0 and 1."""
        return log(probability) - log(constant(1.0, probability) - probability)


class ZeroOne(NamedTuple):
    """One for a row whose class is wrong, else zero: judges where the own loss cannot. Nothing learns from it.

    A score of 0 is that of class 0.
    """

    multiclass = False
    smooth = False
    convex = False

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative; a score that is not finite gives NaN: a run that has diverged must be seen."""
        zero, one = constant(0.0, s), constant(1.0, s)
        nothing = zero * s
        return where(s > zero, one - y, y + zero) + nothing, nothing
