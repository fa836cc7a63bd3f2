"""Scales of features: how lightly the penalty weighs on each.

The penalty λ₂/2 Σⱼ ‖wⱼ/sⱼ‖² is λ₂/2 ‖v‖² of v = w/s, the weights of features that are multiplied by s. With s = 1 it is
the same for all. Others are better where rows are few:

- m columns that hold the same have s = 1/√m. They share their weight, and together bear the penalty of one: a column
  that is there twice changes nothing.
- A feature that has a large weight is let go further, one that has next to none is held back: s ∝ ‖wⱼ‖ of a solution
  with other scales. Its penalty is Σⱼ ‖wⱼ‖²/‖wⱼ⁰‖², which is nearly the number of weights that matter: the adaptive
  ridge (Grandvalet 1998, "Least absolute shrinkage is equivalent to quadratic penalization"; Frommlet and Nuel 2016).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows
from ..descent.penalties import penalty_value
from .curvature import inverse_with
from .dealing import column_keys, first_equals
from .solve import Solution, WithGradient, minimise

__all__ = ["by_weights", "mean_penalty", "of_equal_columns", "solve_scaled"]

Array = NDArray[np.float64]

LEAST = 1e-4
"""The least scale that a weight gives, in shares of what it was: none is zero, to divide by."""


def of_equal_columns(rows: Chunk) -> Array:
    """Give the scales `(features,)` by which equal columns of dense rows bear the penalty of one; ones for sparse rows.

    >>> of_equal_columns(Chunk(np.eye(3, dtype=np.float32)[:, [0, 1, 0, 0, 0]], np.zeros(3), np.ones(3)))
    array([0.5, 1. , 0.5, 0.5, 0.5])
    """
    if isinstance(rows.rows, SparseRows):
        return np.ones(rows.rows.width)
    places = first_equals(key.tobytes() for key in column_keys(rows.rows))
    return 1 / np.sqrt(np.bincount(places)[places])


def by_weights(weights: Array, scales: Array) -> Array:
    """Give scales in proportion to the size of each feature's weights `(features + 1, outputs)`, found with `scales`.

    Their sum of squares stays what it was. Equal columns, whose weight is that of all of them shared out, go on bearing
    the penalty of one.

    >>> by_weights(np.array([[3.0], [-1.0], [2.0], [5.0]]), np.ones(3)).round(4)
    array([1.3887, 0.4629, 0.9258])
    """
    found = np.sqrt((weights[:-1] ** 2).sum(axis=1)) / scales
    size = float((found**2).sum())
    if size == 0.0:
        return scales
    return np.maximum(np.sqrt((scales**2).sum() / size) * found, LEAST * scales)


def mean_penalty(l2: float, weights: Array, scales: Array) -> float:
    """Give the λ₂ of which all weights `(features + 1, outputs)` alike would have the penalty that they have."""
    plain, scaled = (float(penalty_value(one, l2)) for one in (weights[:-1], weights[:-1] / scales[:, None]))
    return l2 * (scaled / plain) if plain else l2


@dataclass(frozen=True)
class _Scaled:
    """A mean loss of weights w, with λ₂/2 ‖v‖² added, as a function of v = w/s; `column` is s, and 1 for intercepts."""

    mean_loss: WithGradient
    l2: float
    column: Array

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give the value and the gradient at v."""
        value, gradient = self.mean_loss.value_and_gradient(self.column * weights)
        gradient *= self.column
        gradient[:-1] += self.l2 * weights[:-1]
        return value + float(penalty_value(weights[:-1], self.l2)), gradient


def solve_scaled(
    mean_loss: WithGradient,
    l2: float,
    scales: Array,
    start: Array,
    *,
    hessian: Callable[[], Array | None],
    l1: float = 0.0,
    **options: Any,
) -> Solution:
    """Minimise a mean loss with the penalty λ₂/2 Σⱼ ‖wⱼ/sⱼ‖² from the weights `start` `(features + 1, outputs)`.

    hessian : gives that of the mean loss near `start`, and is not asked beside λ₁, which is on v; options : see
    `minimise`.
    """
    column = np.append(scales, 1.0)[:, None]
    inverse = None
    if not l1:
        bent, flat = hessian(), np.repeat(column, start.shape[1])
        inverse = inverse_with(None if bent is None else flat[:, None] * bent * flat, l2, start.shape[1])
    done = minimise(_Scaled(mean_loss, l2, column), start / column, l1=l1, inverse=inverse, **options)
    return done._replace(weights=column * done.weights)
