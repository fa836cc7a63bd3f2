"""The objective in single precision, its losses compiled: for solves that only have to come near."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows, as_matrix, cut, transposed
from ..descent.losses import Loss
from ..descent.penalties import penalty_value
from ..kernels import store

__all__ = ["SingleObjective", "Sums", "sums_of"]

Array = NDArray[np.float64]

LANES = 16
BLOCK_VALUES = 1 << 17
"""Values of dense rows that are gone through at a time: half a megabyte, read again from the second cache.

Larger blocks BLAS shares out to threads too, which gains nothing here: on a busy machine of two cores they take three times
as long (400,000 rows of 118 numbers, one output).
"""


class Sums(NamedTuple):
    """Sums over rows, each times its weight: of the losses, of one, and of the gradients `(features + 1, outputs)`."""

    loss: float
    weight: float
    gradient: Array


@dataclass(frozen=True)
class SingleObjective:
    """Mean loss and penalty of a linear model as `LinearObjective` has them, in float32; sums of blocks are float64.

    On adult a pass takes a quarter of the time: losses are compiled, and rows come from memory once instead of twice.

    far : has `sums_of` worked out of rows that are elsewhere, see `Whole`.
    """

    rows: Chunk | Callable[[], Iterable[Chunk]]
    loss: Loss
    l2: float
    far: Callable[..., Iterable[Sums]] | None = None

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and its gradient at `weights` `(features + 1, outputs)`."""
        loss, total, gradient = sums_of(self.rows, self.loss, weights)
        for one in () if self.far is None else self.far(sums_of, self.loss, weights):
            loss, total, gradient = loss + one.loss, total + one.weight, gradient + one.gradient
        gradient /= total
        gradient[:-1] += self.l2 * weights[:-1]
        return loss / total + float(penalty_value(weights[:-1], self.l2)), gradient


def sums_of(rows: Chunk | Callable[[], Iterable[Chunk]], loss: Loss, weights: Array) -> Sums:
    """Add up the losses of rows and their gradients at `weights` `(features + 1, outputs)`."""
    slopes, intercepts = weights[:-1].astype(np.float32), weights[-1].astype(np.float32)
    tally, total = np.zeros(LANES), 0.0
    gradient = np.zeros(weights.shape)
    for block in _blocks(rows):
        matrix, shares = as_matrix(block.rows), np.ascontiguousarray(block.weights)
        scores = _scores(matrix, slopes)
        _replace_by_slopes(loss, scores, intercepts, block.targets.astype(np.float32), shares, tally)
        along = scores[:, : len(shares)]
        total += float(shares.sum(dtype=np.float64))
        gradient[:-1] += _back(matrix, along)
        gradient[-1] += along.sum(axis=1, dtype=np.float64)
    return Sums(float(tally.sum()), total, gradient)


def _replace_by_slopes(
    loss: Loss, scores: NDArray[np.float32], intercepts: NDArray[np.float32], targets: NDArray[np.float32],
    shares: NDArray[np.float32], tally: Array,
) -> None:  # fmt: skip
    static: tuple[Any, ...] = (loss, (0,) * LANES)
    if loss.multiclass:
        line = np.empty((len(scores), LANES), np.float32)
        store.run("slopes:slopes_many", static, intercepts, targets, shares, scores, line, tally)
    else:
        store.run("slopes:slopes_one", static, intercepts, targets, shares, scores, tally)


def _scores(rows: Any, slopes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the scores of a block without intercepts `(outputs, places)`, the rows filled up to whole lanes."""
    count, outputs = rows.shape[0], slopes.shape[1]
    scores = np.empty((outputs, -(-count // LANES) * LANES), np.float32)
    # A matrix of one column takes BLAS three times as long as a vector, the transposed product four times.
    scores[:, :count] = rows @ slopes[:, 0] if outputs == 1 else (rows @ slopes).T
    return scores


def _back(rows: Any, along: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give rowsᵀ · alongᵀ `(features, outputs)`."""
    if not isinstance(rows, np.ndarray):
        return transposed(rows) @ along.T
    return (along[0] @ rows)[:, None] if len(along) == 1 else (along @ rows).T


def _blocks(rows: Chunk | Callable[[], Iterable[Chunk]]) -> Iterator[Chunk]:
    """Give dense rows in blocks that stay in the cache, others as they come."""
    for chunk in cut(rows) if isinstance(rows, Chunk) else rows():
        if isinstance(chunk.rows, SparseRows):
            yield chunk
            continue
        many = max(BLOCK_VALUES // max(chunk.rows.shape[1], 1) // LANES * LANES, LANES)
        for begin in range(0, len(chunk.targets), many):
            yield Chunk(*(part[begin : begin + many] for part in chunk))  # pyright: ignore
