"""What one feature alone would reach: a baseline between the constant prediction and the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, Rows, SparseRows, row_count, take
from ..data.moments import FEATURES_AT_ONCE
from ..kernels import store

__all__ = ["single_feature"]

Array = NDArray[np.float64]

NUMBERS = 1 << 22
FEWEST_ROWS = 200


def single_feature(learned: Chunk, judged: Chunk, classes: int | None) -> tuple[int, float] | None:
    """Choose the feature that tells most of the targets, and judge what follows from it alone: its place, its score.

    It is the feature that explains the largest share of variance: of numbers ``r²``, and the score is R² of the line
    through ``learned``; of classes ``η² = Σ n_c (m_c − m)² / Σ (x − m)²``, and the score is the accuracy of the linear
    discriminant ``log(n_c / n) + x m_c / s² − m_c² / 2 s²`` with the pooled variance s². None where no feature varies.

    learned : rows to choose and to fit by, of which some are enough; judged : rows that are scored; classes : how many
    there are, None for numbers.

    >>> rows = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [3.0, 1.0]], np.float32)
    >>> some = Chunk(rows, np.array([1.0, 3.0, 5.0, 7.0], np.float32), np.ones(4, np.float32))
    >>> single_feature(some, some, None)
    (0, 1.0)
    """
    learned = _some(learned)
    found = _best(learned, classes)
    if found is None:
        return None
    values = _column(learned, found), _column(judged, found)
    score = _by_line if classes is None else _by_discriminant
    return found, score(*values, learned.targets, judged.targets)


def _best(chunk: Chunk, classes: int | None) -> int | None:
    """Give the place of the feature that tells most, None where none varies."""
    groups, count = _groups(chunk.targets, classes), len(chunk.targets)
    sums, sizes = _sums(chunk.rows, groups), groups.sum(axis=1)[:, None]
    starts = range(0, sums.shape[1], FEATURES_AT_ONCE)
    shares = np.concatenate(
        [_shares(sums[:, start : start + FEATURES_AT_ONCE], count, sizes, classes) for start in starts]
    )
    best = int(np.argmax(shares))
    return None if shares[best] < 0 else best


def _shares(sums: Array, count: int, sizes: Array, classes: int | None) -> Array:
    """Give the share of variance that each feature explains, but for a factor that all share; -1 where it is constant.

    sums : of some features, see `_sums`; sizes : the sum of what each group weighs `(groups, 1)`.
    """
    total, squares, weighed = sums[0], sums[1], sums[2:]
    mean = total / count
    spread = squares - count * mean**2
    varies = spread > 1e-9 * np.maximum(squares, 1e-12)
    if classes is None:
        explained = (weighed[0] - sizes[0] * mean) ** 2
    else:
        explained = (sizes * (weighed / np.maximum(sizes, 1.0) - mean) ** 2).sum(axis=0)
    return np.where(varies, explained / np.where(varies, spread, 1.0), -1.0)


def _sums(rows: Rows, groups: Array) -> Array:
    """Sum each feature, its square, and what each group weighs of it `(2 + groups, features)`, over the rows."""
    if not isinstance(rows, SparseRows):
        total, squares = (values.sum(axis=0, dtype=np.float64) for values in (rows, rows * rows))
        return np.vstack([total, squares, groups @ rows.astype(np.float64)])
    sums = np.zeros((rows.width, 2 + len(groups)))
    store.run("entries:add_weighed", (), *rows[:3], np.ascontiguousarray(groups.T), sums)
    return sums.T


def _groups(targets: NDArray[Any], classes: int | None) -> Array:
    """Give what sums over rows are weighted by `(groups, rows)`: the targets, or who is of which class."""
    if classes is None:
        return targets[None, :].astype(np.float64)
    return (np.arange(classes)[:, None] == targets[None, :]).astype(np.float64)


def _by_line(values: Array, judged: Array, targets: NDArray[Any], truth: NDArray[Any]) -> float:
    """Give the R² of the line of least squares."""
    middle, apart = targets.mean(dtype=np.float64), values - values.mean()
    predicted = middle + (apart @ (targets - middle)) / (apart @ apart) * (judged - values.mean())
    whole = float(((truth - truth.mean(dtype=np.float64)) ** 2).sum())
    return 1.0 - float(((truth - predicted) ** 2).sum()) / max(whole, 1e-300)


def _by_discriminant(values: Array, judged: Array, targets: NDArray[Any], truth: NDArray[Any]) -> float:
    """Give the accuracy of the linear discriminant."""
    known, place = np.unique(targets, return_inverse=True)
    sizes = np.bincount(place)
    means = np.bincount(place, values) / sizes
    pooled = max(float(((values - means[place]) ** 2).mean()), 1e-12 * float(values.var()))
    scores = np.log(sizes / len(values)) + np.outer(judged, means) / pooled - means**2 / (2 * pooled)
    return float((known[scores.argmax(axis=1)] == truth).mean())


def _some(chunk: Chunk) -> Chunk:
    """Take as many rows, evenly, as hold a few million numbers."""
    rows = chunk.rows
    stored = len(rows.values) if isinstance(rows, SparseRows) else rows.size
    count = row_count(rows)
    most = min(max(NUMBERS * count // max(stored, 1), FEWEST_ROWS), count)
    if most == count:
        return chunk
    return take(chunk, np.linspace(0, count - 1, most).round().astype(np.int64))


def _column(chunk: Chunk, at: int) -> Array:
    """Give a feature of every row."""
    rows = chunk.rows
    if not isinstance(rows, SparseRows):
        return rows[:, at].astype(np.float64)
    column, places = np.zeros(row_count(rows)), np.flatnonzero(rows.indices == at)
    column[np.searchsorted(rows.indptr, places, side="right") - 1] = rows.values[places]
    return column
