"""The step-size table: what one step along the gradient does to the loss, from far too short to far too long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schuss.objective import Objective

__all__ = ["RATES", "rates_around", "step_sizes"]

Array = NDArray[np.float64]

RATES: Array = np.power(10.0, np.arange(-10, 0))
"""10⁻¹⁰ … 10⁻¹."""


def rates_around(edge: float, points: int = 61) -> Array:
    """Give rates from a thousandth of an edge to ten times it, evenly on a logarithmic scale.

    The edge 2 / λ₁ is where plain descent on a quadratic valley stops converging and begins to swing up its walls.

    >>> rates_around(2.0, 3).round(3)
    array([2.e-03, 2.e-01, 2.e+01])
    """
    return np.geomspace(1e-3 * edge, 10 * edge, points)


def step_sizes(objective: Objective, weights: Array, rates: Array = RATES) -> Array:
    """Give the loss after one step of each rate, F(w − η ∇F(w)), all of them scored in one pass: `(rates,)`.

    Too small a step makes no headway, one too large overshoots the valley, and the best is between: the first table to
    look at when nothing is known of a problem.

    >>> class Square:
    ...     pass_rows = 1
    ...     def values(self, candidates): return (candidates**2).sum(axis=1)
    ...     def value_and_gradient(self, w): return (w**2).sum(), 2 * w
    >>> step_sizes(Square(), np.array([1.0]), np.array([0.01, 0.5, 2.0]))
    array([0.9604, 0.    , 9.    ])
    """
    _, gradient = objective.value_and_gradient(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        return objective.values(weights - rates.reshape(-1, *[1] * weights.ndim) * gradient)
