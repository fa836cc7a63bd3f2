"""Losses of more than two classes: a score for each class, and the index y of the right one.

`evaluate_into(self, s, y, d)` takes scores `(outputs, ...)`, writes the gradient along them into `d`, which may be `s`
itself, and gives the value; at a kink it is a subgradient. `curvature_into(self, s, y, u, h)` writes the product of the
second derivatives with a direction `u` into `h`. Where `inverse_link(self, s)` gives probabilities, they sum to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.losses.binary import (
    ModifiedHuber,
    SigmoidSquaredError,
    SquaredHinge,
    half_squared_sigmoid,
    modified_huber,
    squared_hinge,
)
from schuss.descent.ops import constant, exp, log, maximum, where

__all__ = [
    "CrammerSinger",
    "MulticlassHinge",
    "MulticlassModifiedHuber",
    "MulticlassPerceptron",
    "MulticlassSigmoidSquaredError",
    "MulticlassSquaredHinge",
    "MulticlassZeroOne",
    "Softmax",
    "towards_rival",
]


class Softmax(NamedTuple):
    """Softmax cross-entropy: log Σⱼ e^{sⱼ} − s_y; gradient softmax(s) − onehot(y). In nats.

    The curvature along u is p ∘ u − p (p·u) with p = softmax(s). The inverse link is softmax(s), the link log p.
    """

    multiclass = True
    smooth = True
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the gradient into `d` and give the value, without overflow for any finite score."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        top = s[0]
        for j in range(1, len(s)):
            top = maximum(top, s[j])
        total = own = zero
        for j in range(len(s)):
            own = own + where(y == j, s[j], zero)
            d[j] = exp(s[j] - top)
            total = total + d[j]
        share = one / total
        for j in range(len(s)):
            d[j] = d[j] * share - where(y == j, one, zero)
        return log(total) + top - own

    def curvature_into(self, s: Any, y: Any, u: Any, h: Any) -> None:
        """Write p ∘ u − p (p·u) into `h`."""
        p = self.inverse_link(s)
        h[:] = p * (u - (p * u).sum(0))

    def curvatures_into(self, s: Any, h: Any) -> None:
        """Write pⱼ Σ_{i≠j} pᵢ and −pⱼ pₖ for each pair j ≥ k into `h`; 1 − pⱼ has no digits left where it is small."""
        p = self.inverse_link(s)
        others = np.zeros_like(p)
        others[1:] += np.cumsum(p[:-1], axis=0)
        others[:-1] += np.cumsum(p[:0:-1], axis=0)[::-1]
        place = 0
        for j in range(len(p)):
            np.multiply(p[:j], -p[j], out=h[place : place + j])
            np.multiply(p[j], others[j], out=h[place + j])
            place += j + 1

    def inverse_link(self, s: Any) -> Any:
        """Give the probabilities of the classes `(outputs, n)`."""
        powers = np.exp(s - s.max(axis=0))
        return powers / powers.sum(axis=0)

    def link(self, probability: Any) -> Any:
        """Give scores of probabilities."""
        return log(probability)


class MulticlassHinge(NamedTuple):
    """Multiclass hinge: Σ_{j≠y} max(0, sⱼ − s_y + Δ) (Weston and Watkins 1999); subgradient 1 for each class too close.

    The right class gets minus the number of classes that are too close. Piecewise linear; 0 at a kink.
    """

    margin: Any = 1.0

    multiclass = True
    smooth = False
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the subgradient into `d` and give the value."""
        zero, one, margin = constant(0.0, s[0]), constant(1.0, s[0]), constant(self.margin, s[0])
        total = own = close = zero
        for j in range(len(s)):
            own = own + where(y == j, s[j], zero)
        for j in range(len(s)):
            short = where(y == j, zero, s[j] - own + margin)
            d[j] = where(short > zero, one, zero)
            total = total + maximum(short, zero)
            close = close + d[j]
        for j in range(len(s)):
            d[j] = d[j] - where(y == j, close, zero)
        return total


def towards_rival(s: Any, y: Any, d: Any) -> Any:
    """Write onehot(r) − onehot(y) into `d` and give s_r − s_y, r the first of the highest classes other than y."""
    zero, one = constant(0.0, s[0]), constant(1.0, s[0])
    lowest = constant(-np.inf, s[0])
    own, highest = zero, lowest
    for j in range(len(s)):
        own = own + where(y == j, s[j], zero)
        highest = maximum(highest, where(y == j, lowest, s[j]))
    left = one
    for j in range(len(s)):
        chosen = where(y == j, zero, where(s[j] >= highest, left, zero))
        left = left - chosen
        d[j] = chosen - where(y == j, one, zero)
    return highest - own


class CrammerSinger(NamedTuple):
    """Hinge against the strongest rival: max(0, Δ + max_{j≠y} sⱼ − s_y) (Crammer and Singer 2001).

    Subgradient onehot(r) − onehot(y) for the first of the strongest rivals r where the margin is short; piecewise
    linear, 0 where the margin is exactly kept. Of two classes it is `Hinge`.
    """

    margin: Any = 1.0

    multiclass = True
    smooth = False
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the subgradient into `d` and give the value."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        short = towards_rival(s, y, d) + constant(self.margin, s[0])
        active = where(short > zero, one, zero)
        for j in range(len(s)):
            d[j] = d[j] * active
        return maximum(short, zero)


class MulticlassPerceptron(NamedTuple):
    """Perceptron criterion: max(0, max_{j≠y} sⱼ − s_y), the form of Collins (2002); subgradient onehot(r) − onehot(y).

    It holds at ties too, so that zero weights move; r is the first of the strongest rivals. Piecewise linear. Models
    are judged by `MulticlassZeroOne`: zero weights have the lowest loss there is.
    """

    multiclass = True
    smooth = False
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the subgradient into `d` and give the value."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        short = towards_rival(s, y, d)
        active = where(short >= zero, one, zero)
        for j in range(len(s)):
            d[j] = d[j] * active
        return maximum(short, zero)


def _label(y: Any, j: int, like: Any) -> Any:
    """Give 1 where class j is the right one, else 0, in the precision of `like`."""
    return where(y == j, constant(1.0, like), constant(0.0, like))


class MulticlassSquaredHinge(NamedTuple):
    """Squared hinge of each class against the rest: Σⱼ max(0, Δ − tⱼ sⱼ)², tⱼ = 1 for the right class, else −1.

    What scikit-learn's LinearSVC minimises by default; for the formulas see `SquaredHinge`.
    """

    margin: Any = 1.0

    multiclass = True
    smooth = True
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the gradient into `d` and give the value."""
        one = constant(1.0, s[0])
        total = constant(0.0, s[0])
        for j in range(len(s)):
            value, derivative = squared_hinge(s[j], where(y == j, one, -one), self.margin)
            total = total + value
            d[j] = derivative
        return total

    def curvature_into(self, s: Any, y: Any, u: Any, h: Any) -> None:
        """Write the curvature of each class times its direction into `h`."""
        for j in range(len(s)):
            h[j] = SquaredHinge(self.margin).curvature(s[j], _label(y, j, s[j])) * u[j]


class MulticlassModifiedHuber(NamedTuple):
    """Modified Huber loss of each class against the rest, summed; for the formulas see `ModifiedHuber`.

    The inverse link is that of each class, divided by their sum, and equal shares where all are zero, as scikit-learn
    has it; the link 2p − 1.
    """

    multiclass = True
    smooth = True
    convex = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the gradient into `d` and give the value."""
        one = constant(1.0, s[0])
        total = constant(0.0, s[0])
        for j in range(len(s)):
            value, derivative = modified_huber(s[j], where(y == j, one, -one))
            total = total + value
            d[j] = derivative
        return total

    def curvature_into(self, s: Any, y: Any, u: Any, h: Any) -> None:
        """Write the curvature of each class times its direction into `h`."""
        for j in range(len(s)):
            h[j] = ModifiedHuber().curvature(s[j], _label(y, j, s[j])) * u[j]

    def inverse_link(self, s: Any) -> Any:
        """Give the probabilities of the classes `(outputs, n)`."""
        chances = ModifiedHuber().inverse_link(s)
        total = chances.sum(axis=0)
        return np.where(total > 0, chances / np.where(total > 0, total, 1.0), 1.0 / len(s))

    def link(self, probability: Any) -> Any:
        """Give scores of probabilities."""
        return ModifiedHuber().link(probability)


class MulticlassSigmoidSquaredError(NamedTuple):
    """Squared error of a sigmoid unit for each class, summed: ½ Σⱼ ([j = y] − σ(sⱼ))²; see `SigmoidSquaredError`.

    The inverse link is σ(sⱼ) divided by the sum over the classes, the link log p/(1 − p).
    """

    multiclass = True
    smooth = True
    convex = False

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the gradient into `d` and give the value."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        total = zero
        for j in range(len(s)):
            value, derivative = half_squared_sigmoid(s[j], where(y == j, one, zero))
            total = total + value
            d[j] = derivative
        return total

    def curvature_into(self, s: Any, y: Any, u: Any, h: Any) -> None:
        """Write the curvature of each class times its direction into `h`."""
        for j in range(len(s)):
            h[j] = SigmoidSquaredError().curvature(s[j], _label(y, j, s[j])) * u[j]

    def inverse_link(self, s: Any) -> Any:
        """Give the probabilities of the classes `(outputs, n)`; the logarithms of σ keep tiny ones apart."""
        logs = -np.logaddexp(0.0, -s)
        return Softmax().inverse_link(logs)

    def link(self, probability: Any) -> Any:
        """Give scores of probabilities."""
        return SigmoidSquaredError().link(probability)


class MulticlassZeroOne(NamedTuple):
    """One for a row whose class is wrong, else zero; the first of the highest scores is the class. See `ZeroOne`."""

    multiclass = True
    smooth = False
    convex = False

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write zeros into `d` and give the value."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        own = wrong = zero
        for j in range(len(s)):
            own = own + where(y == j, s[j], zero)
        for j in range(len(s)):
            beaten = where(j < y, where(s[j] >= own, one, zero), where(s[j] > own, one, zero))
            wrong = maximum(wrong, where(y == j, zero, beaten)) + zero * s[j]  # a run that has diverged must be seen
            d[j] = zero
        return wrong
