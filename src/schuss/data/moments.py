"""The first three moments of the features of rows: what is left of rows that have gone by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import store
from .chunk import Rows, SparseRows, feature_count, row_count, take_rows
from .saved import Saved

__all__ = ["ENOUGH_ROWS", "FEATURES_AT_ONCE", "Moments", "moments_of"]

ENOUGH_ROWS = 20_000
"""Of rows learned from, so many tell the means of features as well as anybody wants to know."""

NUMBERS = 1 << 20
FEATURES_AT_ONCE = 1 << 15
"""Features whose sums are worked on together: of 800,000 at once each step asks the system for memory anew."""


class Moments(NamedTuple):
    """How many rows, and of each feature `(features,)` the mean, the variance and the third central moment."""

    rows: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    third: NDArray[np.float64]

    def saved(self) -> Saved:
        """Give what `resumed` needs."""
        return Saved({"rows": self.rows}, {"moments": np.stack(self[1:])})

    @classmethod
    def resumed(cls, saved: Saved) -> Moments:
        """Take up what was saved."""
        return cls(saved.values["rows"], *saved.arrays["moments"])


def moments_of(*parts: Rows, most: int | None = None) -> Moments:
    """Give the moments of the rows of all parts, of each at most `most` rows, evenly taken.

    >>> moments_of(np.array([[0.0], [0.0], [3.0]], np.float32))
    Moments(rows=3, mean=array([1.]), variance=array([2.]), third=array([2.]))
    """
    count, sums = 0, np.zeros((feature_count(parts[0]), 3))
    for block in _blocks(parts, most):
        _add_powers(block, sums)
        count += row_count(block)
    moments = np.empty((3, len(sums)))
    for start in range(0, len(sums), FEATURES_AT_ONCE):
        here = slice(start, start + FEATURES_AT_ONCE)
        mean, second, third = sums[here].T / count
        moments[:, here] = mean, np.maximum(second - mean**2, 0.0), third - 3 * mean * second + 2 * mean**3
    return Moments(count, *moments)


def _add_powers(rows: Rows, sums: NDArray[np.float64]) -> None:
    """Add the values of rows, their squares and their cubes to the sums `(features, 3)` of their features."""
    if isinstance(rows, SparseRows):
        store.run("entries:add_powers", (), rows.indices, rows.values, sums)
        return
    power = rows
    for line in sums.T:
        line += power.sum(axis=0, dtype=np.float64)
        power = power * rows


def _blocks(parts: Iterable[Rows], most: int | None) -> Iterator[Rows]:
    """Yield the rows in pieces that take little memory."""
    for rows in parts:
        count = row_count(rows)
        if isinstance(rows, SparseRows) and count <= (most or count):
            yield rows
            continue
        stored = len(rows.values) if isinstance(rows, SparseRows) else rows.size
        places = np.linspace(0, count - 1, min(most or count, count)).round().astype(np.int64)
        step = max(int(NUMBERS * count // max(stored, 1)), 1)
        for start in range(0, len(places), step):
            yield take_rows(rows, places[start : start + step])
