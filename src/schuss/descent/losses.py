"""Losses: how wrong a row's scores are, and in which direction they should move.

A loss works on one row's scores `s`, one per output, and the row's target `y`. Two kinds share one calling form:

- one output: `evaluate(self, s, y)` gives `(value, derivative)` of one score;
- several outputs: `evaluate_into(self, s, y, d)` takes `s` of shape `(outputs, ...)`, writes ∂loss/∂s into `d`,
  which may be `s` itself, and gives the value.

Targets of classification are class indices 0 … C − 1 (two classes need one output, whose score is for class 1);
those of regression are numbers. Each formula is written once with `ops`: on NumPy arrays it works on all rows at once
(the trailing axes), compiled it works on one row of one run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.descent.ops import absolute, constant, exp, log, log1p_unit, maximum, where

__all__ = [
    "LOSSES",
    "Hinge",
    "LogLoss",
    "MulticlassHinge",
    "Softmax",
    "SquaredError",
    "loss_for",
    "values_and_gradients",
]


class LogLoss(NamedTuple):
    """Logistic loss of two classes: log(1 + eˢ) − y s, with y ∈ {0, 1}; derivative σ(s) − y. In nats.

    >>> value, derivative = LogLoss().evaluate(0.0, 1)
    >>> float(value).__round__(6), float(derivative)
    (0.693147, -0.5)
    """

    multiclass = False
    classification = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative, without overflow for any finite score."""
        zero, one = constant(0.0, s), constant(1.0, s)
        decay = exp(-absolute(s))
        inverse = one / (one + decay)
        probability = where(s >= zero, inverse, decay * inverse)
        return maximum(s, zero) - y * s + log1p_unit(decay), probability - y


class Hinge(NamedTuple):
    """Hinge loss of two classes: max(0, 1 − t s) with t = 2y − 1 ∈ {−1, 1}; subgradient −t at a short margin."""

    multiclass = False
    classification = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and subgradient (0 at the kink)."""
        zero, one = constant(0.0, s), constant(1.0, s)
        sign = y + y - one
        short = one - sign * s
        return maximum(short, zero), where(short > zero, -sign, zero)


class SquaredError(NamedTuple):
    """Half the squared difference: ½ (s − y)²; derivative s − y."""

    multiclass = False
    classification = False

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        difference = s - y
        return constant(0.5, s) * difference * difference, difference


class Softmax(NamedTuple):
    """Softmax cross-entropy: log Σⱼ e^{sⱼ} − s_y; gradient softmax(s) − onehot(y). In nats."""

    multiclass = True
    classification = True

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


class MulticlassHinge(NamedTuple):
    """Multiclass hinge: Σ_{j≠y} max(0, sⱼ − s_y + 1) (Weston and Watkins 1999); subgradient 1 for each class too close.

    The right class gets minus the number of classes that are too close.
    """

    multiclass = True
    classification = True

    def evaluate_into(self, s: Any, y: Any, d: Any) -> Any:
        """Write the subgradient into `d` and give the value."""
        zero, one = constant(0.0, s[0]), constant(1.0, s[0])
        total = own = close = zero
        for j in range(len(s)):
            own = own + where(y == j, s[j], zero)
        for j in range(len(s)):
            short = where(y == j, zero, s[j] - own + one)
            d[j] = where(short > zero, one, zero)
            total = total + maximum(short, zero)
            close = close + d[j]
        for j in range(len(s)):
            d[j] = d[j] - where(y == j, close, zero)
        return total


Loss = LogLoss | Hinge | SquaredError | Softmax | MulticlassHinge

LOSSES: dict[str, tuple[Loss, ...]] = {
    "log_loss": (LogLoss(), Softmax()),
    "hinge": (Hinge(), MulticlassHinge()),
    "squared_error": (SquaredError(),),
}
"""The losses by the name that a user gives, for two classes (or a number) and, where there is one, for more."""


def loss_for(name: str, outputs: int) -> Loss:
    """Give the loss called `name` for rows with so many outputs (1 for two classes and for numbers)."""
    forms = LOSSES[name]
    return forms[0] if outputs == 1 else forms[1]


def values_and_gradients(loss: Loss, scores: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give each row's loss `(n,)` and its gradient along the scores `(n, outputs)`, uncompiled.

    scores : `(n, outputs)`; targets : `(n,)`.

    >>> values, gradients = values_and_gradients(Softmax(), np.zeros((1, 4)), np.array([2]))
    >>> values.round(4), gradients
    (array([1.3863]), array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    if loss.multiclass:
        columns = np.ascontiguousarray(scores.T)
        gradients = np.empty_like(columns)
        return loss.evaluate_into(columns, targets, gradients), gradients.T  # pyright: ignore
    values, derivatives = loss.evaluate(scores[:, 0], targets)  # pyright: ignore
    return values, derivatives[:, None]


def probabilities(loss: Loss, scores: NDArray[Any]) -> NDArray[Any]:
    """Give class probabilities `(n, classes)` from scores `(n, outputs)` of log_loss: σ(s) or softmax(s)."""
    if loss.multiclass:
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
    positive = LogLoss().evaluate(scores[:, 0], 0)[1]
    return np.column_stack([1 - positive, positive])


def constant_scores(loss: Loss, class_weights: NDArray[Any] | None, mean: float) -> NDArray[np.float64]:
    """Give the scores `(outputs,)` of the best prediction that ignores the features.

    class_weights : `(classes,)` total weight of each class, None for regression; mean : mean target of regression.

    >>> constant_scores(LogLoss(), np.array([1.0, 3.0]), 0.0).round(4)
    array([1.0986])
    """
    if class_weights is None:
        return np.array([mean])
    shares = np.maximum(np.asarray(class_weights, np.float64), 1e-12) / max(float(np.sum(class_weights)), 1e-12)
    if isinstance(loss, LogLoss):
        return np.array([np.log(shares[1] / shares[0])])
    if isinstance(loss, Softmax):
        return np.log(shares)
    most = int(np.argmax(shares))
    return np.array([2.0 * most - 1.0]) if isinstance(loss, Hinge) else (np.arange(len(shares)) == most).astype(float)
