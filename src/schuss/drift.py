"""Whether the held-out rows are like the rows learned from, feature by feature."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Rows, as_matrix, row_count, take_rows
from .data.columns.kind import width_edges
from .data.encoder import Encoder

__all__ = ["drift"]

ROWS = 20_000
"""Of the rows learned from, so many at most are looked at, evenly taken."""

SHOWN = 10
_FEW = 5.0
_CHANCE = 0.05


def drift(encoder: Encoder, training: Rows, held: Rows) -> dict[str, Any]:
    """Compare the means of features: the standardised difference (m₁ − m₀)/√((s₁² + s₀²)/2), and what chance explains.

    Gives `rows` and `against` (how many of each were compared), `features`, `beyond_chance` (features whose difference
    exceeds its standard error times the quantile at which, by Bonferroni, any of all would by chance once in twenty
    comparisons), and `columns`: the ten with the largest difference, each with the `feature` that has it. Features that
    are too skewed for the errors of their means to be normal are left out: γ² > n/5 in n held-out rows, which of two
    values is an expectation of less than five of the rarer one.

    Source: Austin, Balance diagnostics (2009), where 0.1 is the rule of thumb for a difference that matters.
    """
    places = np.linspace(0, row_count(training) - 1, min(ROWS, row_count(training))).round().astype(np.int64)
    then, now = (_Moments(rows) for rows in (take_rows(training, places), held))
    spread = np.sqrt((then.variance + now.variance) / 2)
    known = (then.variance > 0) & (now.variance > 0) & (then.third**2 <= now.rows / _FEW * then.variance**3)
    apart = np.where(known, now.mean - then.mean, 0.0)
    difference = apart / np.where(known, spread, 1.0)
    error = np.sqrt(then.variance / then.rows + now.variance / now.rows)
    limit = _quantile(_CHANCE / (2 * max(int(known.sum()), 1)))
    beyond = np.abs(apart) > limit * np.where(known, error, np.inf)
    return {
        "rows": now.rows,
        "against": then.rows,
        "features": int(known.sum()),
        "beyond_chance": int(beyond.sum()),
        "columns": _largest(encoder, difference, beyond),
    }


class _Moments:
    """The first three central moments of each feature of rows."""

    def __init__(self, rows: Rows) -> None:
        matrix: Any = as_matrix(rows)
        squares = matrix * matrix
        self.rows = row_count(rows)
        self.mean, second, third = (
            np.asarray(part.mean(axis=0, dtype=np.float64), np.float64).ravel()
            for part in (matrix, squares, squares * matrix)
        )
        self.variance = np.maximum(second - self.mean**2, 0.0)
        self.third = third - 3 * self.mean * second + 2 * self.mean**3


def _largest(encoder: Encoder, difference: NDArray[np.float64], beyond: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Describe the columns that differ most, each by its feature that does."""
    found = []
    for column, (start, stop) in zip(encoder.features, pairwise(width_edges(encoder.features)), strict=True):
        if start < stop:
            at = start + int(np.argmax(np.abs(difference[start:stop])))
            found.append((column.name, at, float(difference[at])))
    found.sort(key=lambda entry: -abs(entry[2]))
    return [
        {"name": name, "feature": encoder.feature(at)[0], "difference": size, "beyond_chance": bool(beyond[at])}
        for name, at, size in found[:SHOWN]
        if size
    ]


def _quantile(tail: float) -> float:
    """Give what a standard normal variable exceeds with this probability.

    >>> round(_quantile(0.025), 6)
    1.959964
    """
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > tail else (low, middle)
    return low
