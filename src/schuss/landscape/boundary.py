"""Where a classifier changes its mind: its classes over a plane through the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boundary", "decision_boundary", "principal_plane"]

Array = NDArray[np.float64]


class Plane(NamedTuple):
    """A plane in the space of rows: its middle, two directions of length 1, the share of the spread that it holds."""

    middle: Array
    directions: Array
    share: float

    def places(self, rows: Array) -> Array:
        """Give the places of rows in the plane `(n, 2)`."""
        return (rows - self.middle) @ self.directions.T

    def rows(self, places: Array) -> Array:
        """Give the rows at places of the plane `(n, features)`."""
        return self.middle + places @ self.directions


def principal_plane(rows: Array) -> Plane:
    """Give the plane in which rows `(n, features)` are spread most: the mean and the first two principal components.

    Rows of two features span it themselves, with the features as its axes; a single feature is drawn over nothing.
    """
    if rows.shape[1] <= 2:
        return Plane(np.zeros(rows.shape[1]), np.eye(2)[:, : rows.shape[1]], 1.0)
    middle = rows.mean(axis=0)
    away = rows - middle
    scales, units = np.linalg.eigh(away.T @ away)
    signs = np.sign(units[abs(units).argmax(axis=0), np.arange(len(scales))])  # the larger part points to the right
    return Plane(middle, (units * signs)[:, :-3:-1].T, float(scales[-2:].sum() / max(scales.sum(), 1e-300)))


class Boundary(NamedTuple):
    """The class at every point of a grid, `classes[j, i]` at `x[i]`, `y[j]`, and where the rows are: `(n, 2)`."""

    x: Array
    y: Array
    classes: NDArray[np.intp]
    points: Array
    share: float


def decision_boundary(
    classify: Callable[[Array], NDArray[np.intp]], rows: Array, resolution: int = 121, margin: float = 0.08
) -> Boundary:
    """Ask a classifier for the class at every point of a grid over the plane in which rows are spread most.

    `classify` gives class indices for rows `(n, features)`; `margin` is left around the rows, in units of their extent.

    >>> found = decision_boundary(lambda rows: (rows[:, 0] > 0).astype(int), np.array([[-1.0, 0.0], [1.0, 1.0]]), 5)
    >>> found.classes[0]
    array([0, 0, 0, 1, 1])
    """
    plane = principal_plane(rows)
    points = plane.places(rows)
    low, high = points.min(axis=0), points.max(axis=0)
    wide = np.where(high > low, high - low, 1.0)
    x, y = (np.linspace(low[i] - margin * wide[i], high[i] + margin * wide[i], resolution) for i in range(2))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return Boundary(x, y, classify(plane.rows(grid)).reshape(resolution, resolution), points, plane.share)
