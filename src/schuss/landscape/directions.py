"""Directions to look along from a place in the space of parameters, and places seen in the plane of two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["across", "filter_normalised", "path_directions", "projected", "random_direction"]

Array = NDArray[np.float64]


def random_direction(like: Array, seed: int = 0) -> Array:
    """Draw a direction of length 1, every one equally likely: a normalised Gaussian, in the shape of some weights.

    A uniform draw in a cube, as some packages have it, favours the corners.

    >>> round(float(np.linalg.norm(random_direction(np.zeros((2, 3))))), 12)
    1.0
    """
    drawn = np.random.default_rng(seed).normal(size=like.shape)
    return drawn / np.linalg.norm(drawn)


def filter_normalised(direction: Array, weights: Array, filters: Sequence[Any] | None = None) -> Array:
    """Scale each filter of a direction to the length of the same filter of the weights: d_f ‖w_f‖ / ‖d_f‖.

    Weights that may be scaled without changing what a network says (a rectified layer by 10, the next one by 1/10) look
    the same along such directions (Li et al. 2018, *Visualizing the Loss Landscape of Neural Nets*, section 4). What
    is in no filter, biases and the scales of batch normalisation, is not moved.

    Filters are places in the weights, anything that indexes an array; by default those of a linear model, the slopes
    `weights[:-1, j]` of each output.

    >>> filter_normalised(np.array([[1.0], [1.0], [9.0]]), np.array([[3.0], [4.0], [2.0]])).ravel().round(3)
    array([3.536, 3.536, 0.   ])
    """
    if filters is None:
        filters = [(slice(None, -1), output) for output in range(weights.shape[1])]
    scaled = np.zeros_like(direction)
    for places in filters:
        length = np.linalg.norm(direction[places])
        if length > 0:
            scaled[places] = direction[places] * (np.linalg.norm(weights[places]) / length)
    return scaled


def across(direction: Array, other: Array) -> Array:
    """Take out of a direction what it has of another, and give it the other's length.

    >>> across(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    array([0., 2.])
    """
    unit = other / np.linalg.norm(other)
    left = direction - np.vdot(unit, direction) * unit
    left = left - np.vdot(unit, left) * unit  # the first subtraction leaves rounding of what it took away
    length = np.linalg.norm(left)
    return left * (np.linalg.norm(other) / length) if length > 0 else left


def path_directions(path: Array, center: Array, count: int = 2) -> tuple[Array, Array]:
    """Give the directions that a path `(points, *shape)` varies most along, seen from a centre, and their shares.

    The principal components of points minus centre, `(count, *shape)` of length 1, and how much of the sum of squares
    each one holds (Li et al. 2018, section 7). A path that has fewer dimensions gives fewer.

    >>> path = np.array([[2.0, 0.0], [1.0, 0.0], [0.5, 0.1], [0.0, 0.0]])
    >>> path_directions(path, np.zeros(2))[1].round(3)
    array([0.998, 0.002])
    """
    moves = (path - center).reshape(len(path), -1)
    scales, units = np.linalg.eigh(moves @ moves.T)  # the path has far fewer points than dimensions
    order = np.argsort(-scales)[:count]
    kept = order[scales[order] > 1e-12 * max(scales.max(initial=0.0), 1e-300)]
    found = (units[:, kept] / np.sqrt(scales[kept])).T @ moves
    return found.reshape(len(kept), *center.shape), scales[kept] / scales.sum()


def projected(points: Array, center: Array, directions: Array) -> Array:
    """Give the places in a plane that are nearest to points: the least-squares x of Σ_d x_d V_d ≈ P − W, `(points, D)`.

    >>> projected(np.array([[2.0, 3.0, 1.0]]), np.zeros(3), np.array([[1.0, 0, 0], [0, 2.0, 0]]))
    array([[2. , 1.5]])
    """
    basis = directions.reshape(len(directions), -1)
    moves = (points - center).reshape(len(points), basis.shape[1])
    return np.linalg.lstsq(basis @ basis.T, basis @ moves.T, rcond=None)[0].T.astype(np.float64)
