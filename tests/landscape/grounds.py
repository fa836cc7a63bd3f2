"""Grounds to look at whose shape is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from schuss.data.chunk import Chunk
from schuss.descent.losses import Softmax, SquaredError
from schuss.objective import LinearObjective


class Quadratic(NamedTuple):
    """½ (w − m)ᵀ H (w − m): its curvature is H everywhere."""

    matrix: np.ndarray
    minimum: np.ndarray

    pass_rows = 1

    def values(self, candidates: np.ndarray) -> np.ndarray:
        away = candidates - self.minimum
        return (away * (away @ self.matrix)).sum(axis=1) / 2

    def values_along(self, center: np.ndarray, directions: np.ndarray, places: np.ndarray) -> np.ndarray:
        return self.values(center + places @ directions)

    def value_and_gradient(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        away = weights - self.minimum
        return float(away @ self.matrix @ away) / 2, self.matrix @ away

    def hessian_product(self, weights: np.ndarray, direction: np.ndarray) -> np.ndarray:
        return self.matrix @ direction


def with_spectrum(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A symmetric matrix with these eigenvalues, in a random basis."""
    size = len(values)
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return (basis * values) @ basis.T


def digits(loss: object = None, rows: int = 1000, l2: float = 0.0) -> LinearObjective:
    """Softmax, or another loss, on scikit-learn's digits with pixels between 0 and 1, in float64."""
    found = load_digits()
    targets = found.target.astype(np.int32 if loss is None else np.float32)[:rows]
    chunk = Chunk(found.data[:rows] / 16, targets, np.ones(rows, np.float32))
    return LinearObjective(chunk, loss or Softmax(), l2)  # pyright: ignore


def least_squares(rows: int = 200, features: int = 7, seed: int = 0) -> LinearObjective:
    """Linear regression on random rows."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, features)) * np.geomspace(1, 30, features)
    targets = (values @ rng.normal(size=features)).astype(np.float32)
    return LinearObjective(Chunk(values, targets, np.ones(rows, np.float32)), SquaredError(), 0.0)
