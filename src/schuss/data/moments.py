"""The first three moments of the features of rows: what is left of rows that have gone by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .chunk import Rows, SparseRows, feature_count, row_count, take_rows
from .saved import Saved

__all__ = ["ENOUGH_ROWS", "Moments", "moments_of", "sum_by_feature"]

ENOUGH_ROWS = 20_000
"""Of rows learned from, so many tell the means of features as well as anybody wants to know."""

NUMBERS = 1 << 20


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
    count, sums = 0, np.zeros((3, feature_count(parts[0])))
    for block in _blocks(parts, most):
        values = block.values.astype(np.float64) if isinstance(block, SparseRows) else block
        power = values
        for line in sums:
            line += sum_by_feature(block, power)
            power = power * values
        count += row_count(block)
    sums /= count
    mean, second, third = sums
    return Moments(count, mean, np.maximum(second - mean**2, 0.0), third - 3 * mean * second + 2 * mean**3)


def sum_by_feature(rows: Rows, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum numbers by feature: one for each that the rows hold, or for each entry of sparse ones."""
    if isinstance(rows, SparseRows):
        return np.bincount(rows.indices, values, rows.width).astype(np.float64, copy=False)
    return values.sum(axis=0, dtype=np.float64)


def _blocks(parts: Iterable[Rows], most: int | None) -> Iterator[Rows]:
    """Yield the rows in pieces that take little memory."""
    for rows in parts:
        count = row_count(rows)
        stored = len(rows.values) if isinstance(rows, SparseRows) else rows.size
        places = np.linspace(0, count - 1, min(most or count, count)).round().astype(np.int64)
        step = max(int(NUMBERS * count // max(stored, 1)), 1)
        for start in range(0, len(places), step):
            yield take_rows(rows, places[start : start + step])
