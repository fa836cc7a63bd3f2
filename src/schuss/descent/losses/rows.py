"""Losses of many rows at once, uncompiled: values, gradients, curvature, and what scores predict."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.descent.losses.registry import LOSSES, Loss

__all__ = [
    "PROBABILISTIC",
    "curvature_products",
    "curvatures",
    "has_probabilities",
    "predicted_numbers",
    "probabilities",
    "values_and_gradients",
]


def values_and_gradients(loss: Loss, scores: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give each row's loss `(n,)` and its gradient along the scores `(n, outputs)`.

    scores : `(n, outputs)`; targets : `(n,)`.

    >>> from schuss.descent.losses import Softmax
    >>> values, gradients = values_and_gradients(Softmax(), np.zeros((1, 4)), np.array([2]))
    >>> values.round(4), gradients
    (array([1.3863]), array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    if loss.multiclass:
        columns = np.ascontiguousarray(scores.T)
        gradients = np.empty_like(columns)
        return loss.evaluate_into(columns, targets, gradients), gradients.T
    values, derivatives = loss.evaluate(scores[:, 0], targets)
    return values, derivatives[:, None]


def curvature_products(
    loss: Loss, scores: NDArray[Any], targets: NDArray[Any], directions: NDArray[Any]
) -> NDArray[Any]:
    """Give (∂²ℓ/∂s²) u for each row and its direction u, both `(n, outputs)`.

    Zero for piecewise linear losses; at a jump of the second derivative one of its two values.

    >>> from schuss.descent.losses import LogLoss
    >>> curvature_products(LogLoss(), np.zeros((1, 1)), np.array([1]), np.array([[2.0]]))
    array([[0.5]])
    """
    if not loss.smooth:
        return np.zeros_like(directions)
    if not loss.multiclass:
        return loss.curvature(scores[:, 0], targets).reshape(-1, 1) * directions
    along, products = np.ascontiguousarray(directions.T), np.empty(directions.shape[::-1])
    loss.curvature_into(np.ascontiguousarray(scores.T), targets, along, products)
    return products.T


def curvatures(loss: Loss, scores: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """Give ∂²ℓ/∂sⱼ∂sₖ of each row for scores `(outputs, n)`: a line for each pair j ≥ k, `np.tril_indices(outputs)`.

    In the precision of the scores; curvatures next to zero keep their digits.

    >>> from schuss.descent.losses import Softmax
    >>> curvatures(Softmax(), np.zeros((2, 1)), np.array([0])).ravel()
    array([ 0.25, -0.25,  0.25])
    """
    if not loss.multiclass:
        return np.broadcast_to(loss.curvature(scores[0], targets), scores.shape)
    found = np.empty((len(scores) * (len(scores) + 1) // 2, *scores.shape[1:]), scores.dtype)
    if hasattr(loss, "curvatures_into"):
        loss.curvatures_into(scores, found)
        return found
    product = np.empty_like(scores)
    for k in range(len(scores)):
        unit = np.zeros_like(scores)
        unit[k] = 1.0
        loss.curvature_into(scores, targets, unit, product)
        for j in range(k, len(scores)):
            found[j * (j + 1) // 2 + k] = product[j]
    return found


def has_probabilities(loss: Loss | type[Any]) -> bool:
    """Say whether scores of this loss of classes stand for probabilities."""
    return hasattr(loss, "inverse_link")


PROBABILISTIC = tuple(
    name for name, family in LOSSES.items() if family.task == "classification" and has_probabilities(family.forms[0])
)
"""The losses whose models give probabilities of classes; none of them has a number."""


def probabilities(loss: Loss, scores: NDArray[Any]) -> NDArray[Any]:
    """Give class probabilities `(n, classes)` from scores `(n, outputs)` of a loss that has them."""
    if loss.multiclass:
        return loss.inverse_link(np.ascontiguousarray(scores.T)).T
    positive = loss.inverse_link(scores[:, 0])
    return np.column_stack([1 - positive, positive])


def predicted_numbers(loss: Loss, scores: NDArray[Any]) -> NDArray[Any]:
    """Give the predictions `(n,)` of a loss of numbers, in the units of training, from scores `(n, 1)`."""
    return loss.inverse_link(scores[:, 0]) if hasattr(loss, "inverse_link") else scores[:, 0]
