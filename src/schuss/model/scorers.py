"""What turns encoded rows into scores, and says what these depend on: a linear model, or networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Rows, SparseRows, as_matrix, row_count, row_of_entries, take_rows
from ..population.architecture import Architecture
from ..population.dense import scores as dense_scores
from ..population.outside import Outside
from ..population.sparse import scores as sparse_scores

__all__ = ["LinearScorer", "NetworkScorer", "Scorer", "slopes_of"]

Array = NDArray[np.float64]

NODES = 24
"""Points on the way from zero to a row at which its slopes are looked at."""

NUMBERS_AT_ONCE = 1 << 22
"""Slopes that are worked on at once."""


class Scorer(Protocol):
    """Scores, and what they depend on."""

    @property
    def outputs(self) -> int:
        """How many scores a row has."""
        ...

    @property
    def slopes(self) -> NDArray[np.float32]:
        """How scores change with each feature, on average `(features + 1, outputs)`; last the scores of zeros."""
        ...

    @property
    def reach(self) -> NDArray[np.float32]:
        """How much, up or down, a score changes with each feature `(features, outputs)`."""
        ...

    def scores(self, rows: Rows) -> Array:
        """Compute the scores `(n, outputs)` of encoded rows."""
        ...

    def contributions(self, rows: Rows, edges: list[int]) -> Array:
        """Give what the features from each edge to the next add to the scores of zeros, `(n, parts, outputs)`."""
        ...


@dataclass(frozen=True)
class LinearScorer:
    """Scores `rows @ weights[:-1] + weights[-1]`."""

    weights: NDArray[np.float32]

    @property
    def outputs(self) -> int:
        """How many scores a row has."""
        return self.weights.shape[1]

    @property
    def slopes(self) -> NDArray[np.float32]:
        """The weights, everywhere the same."""
        return self.weights

    @property
    def reach(self) -> NDArray[np.float32]:
        """The sizes of the weights."""
        return np.abs(self.weights[:-1])

    def scores(self, rows: Rows) -> Array:
        """Compute the scores `(n, outputs)` of encoded rows."""
        if isinstance(rows, SparseRows):
            return sparse_scores(rows, self.weights)
        return dense_scores(rows, self.weights).astype(np.float64)

    def contributions(self, rows: Rows, edges: list[int]) -> Array:
        """Give what the features between the edges add to the intercept."""
        slopes = self.weights[:-1].astype(np.float64)
        if isinstance(rows, SparseRows):
            return _entry_contributions(rows, edges, slopes)
        return np.stack([rows[:, start:stop] @ slopes[start:stop] for start, stop in pairwise(edges)], axis=1)


def _entry_contributions(rows: SparseRows, edges: list[int], slopes: Array) -> Array:
    """Add up what the entries between the edges add to scores, `(n, parts, outputs)`."""
    parts, outputs = len(edges) - 1, slopes.shape[1]
    part = np.searchsorted(edges, rows.indices, side="right") - 1
    cell = row_of_entries(rows) * parts + part
    cells = row_count(rows) * parts
    added: list[Any] = [np.bincount(cell, rows.values * line[rows.indices], cells) for line in slopes.T]
    return np.stack(added, axis=-1).reshape(-1, parts, outputs)


@dataclass(frozen=True)
class NetworkScorer:
    """The mean of the scores of networks.

    weights : `(networks, parameters)`; slopes, reach : those of some rows, see `slopes_of`.
    """

    architecture: Architecture | Outside
    weights: NDArray[np.float32]
    slopes: NDArray[np.float32]
    reach: NDArray[np.float32]

    @property
    def outputs(self) -> int:
        """How many scores a row has."""
        return self.architecture.outputs

    @cached_property
    def _networks(self) -> list[Any]:
        return [self.architecture.layers(one) for one in self.weights]

    def scores(self, rows: Rows) -> Array:
        """Compute the scores `(n, outputs)` of encoded rows."""
        total = np.zeros((row_count(rows), self.outputs))
        with np.errstate(over="ignore"):  # sigmoid's e^z
            for layers in self._networks:
                total += self.architecture.scores(layers, rows)
        return total / len(self.weights)

    def row_slopes(self, rows: NDArray[np.float32]) -> Array:
        """Give the slopes of the scores of dense rows along their features, `(n, features, outputs)`."""
        found = [self.architecture.row_slopes(layers, rows) for layers in self._networks]
        return np.asarray(np.mean(found, axis=0, dtype=np.float64))

    def contributions(self, rows: Rows, edges: list[int]) -> Array:
        """Give what the features between the edges add to the scores of zeros.

        A feature adds its value times its slope, averaged along the straight way from zeros to the row (integrated
        gradients, Sundararajan, Taly and Yan 2017): that adds up to the score but for the error of an integral over
        `NODES` points, which is shared out by size.
        """
        step = max(NUMBERS_AT_ONCE // (self.architecture.features * self.outputs), 1)
        pieces = [
            self._contributions(_dense(take_rows(rows, np.arange(first, min(first + step, row_count(rows))))), edges)
            for first in range(0, row_count(rows), step)
        ]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(edges) - 1, self.outputs))

    def _contributions(self, rows: NDArray[np.float32], edges: list[int]) -> Array:
        places, shares = np.polynomial.legendre.leggauss(NODES)
        slopes = sum(
            share / 2 * self.row_slopes(np.float32((place + 1) / 2) * rows)
            for place, share in zip(places, shares, strict=True)
        )
        added = np.add.reduceat(rows[:, :, None] * slopes, edges[:-1], axis=1)
        left = self.scores(rows) - self.slopes[-1] - added.sum(axis=1)
        sizes = np.abs(added)
        return added + left[:, None] * sizes / np.maximum(sizes.sum(axis=1, keepdims=True), 1e-300)


def slopes_of(
    architecture: Architecture | Outside, weights: NDArray[np.float32], rows: Rows
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the mean slopes `(features + 1, outputs)` of networks at some rows, and the roots of their mean squares.

    The last line of the slopes are the scores of a row of zeros.
    """
    shape = architecture.features, architecture.outputs
    empty = np.zeros((shape[0] + 1, shape[1]), np.float32)
    scorer = NetworkScorer(architecture, weights, empty, empty[:-1])
    step = max(NUMBERS_AT_ONCE // (shape[0] * shape[1]), 1)
    many, total, squares = row_count(rows), np.zeros(shape), np.zeros(shape)
    for first in range(0, many, step):
        slopes = scorer.row_slopes(_dense(take_rows(rows, np.arange(first, min(first + step, many)))))
        total += slopes.sum(axis=0)
        squares += (slopes**2).sum(axis=0)
    base = scorer.scores(np.zeros((1, shape[0]), np.float32))
    mean, reach = total / max(many, 1), np.sqrt(squares / max(many, 1))
    return np.vstack([mean, base]).astype(np.float32), reach.astype(np.float32)


def _dense(rows: Rows) -> NDArray[np.float32]:
    return as_matrix(rows).toarray() if isinstance(rows, SparseRows) else rows
