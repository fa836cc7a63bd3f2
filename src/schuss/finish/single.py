"""The objective in single precision, its losses compiled: for solves that only have to come near."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, Rows, SparseRows, as_matrix, cut, row_count, transposed
from ..descent.losses import Loss
from ..kernels import store
from ..population.workers import side_by_side
from .turned import LANES, LIKE, Turned, sums_of_turned

__all__ = ["SingleObjective", "Spans", "Sums", "spans_of", "sums_of"]

Array = NDArray[np.float64]

WIDTH = (0,) * LANES
"""Tells kernels how many lanes there are; one object, because `store.run` knows static parameters by identity."""

VECTORS = 4
"""Vectors of features that `kernels.single` has the gradient of at a time."""

BLOCK_VALUES = 1 << 17
"""Values of dense rows that are gone through at a time: half a megabyte, read again from the second cache.

Larger blocks BLAS shares out to threads too, which gains nothing here: on a busy machine of two cores they take three
times as long (400,000 rows of 118 numbers, one output).
"""


SPAN_VALUES = 1 << 20
"""Values of dense rows that a thread goes through at a time."""

ROWS_AT_ONCE = 256
"""Rows whose scores are made, and turned into slopes, before they are read again from the first cache."""


class Spans(NamedTuple):
    """Dense rows in memory, cut into long spans with targets in float32, and how many threads share them.

    For losses of one score: rows are read from memory once, by a compiled loop, in half the time of BLAS's products.
    """

    spans: list[Chunk]
    threads: int


def spans_of(chunks: Iterable[Chunk], threads: int) -> Spans:
    """Cut dense rows into spans."""
    found = []
    for chunk in chunks:
        width = chunk.rows.shape[1]  # pyright: ignore[reportAttributeAccessIssue]
        found += cut(chunk, 0, max(SPAN_VALUES // max(width, 1), 1))
    return Spans([span._replace(targets=span.targets.astype(np.float32)) for span in found], threads)


class Sums(NamedTuple):
    """Sums over rows, each times its weight: of the losses, of one, and of the gradients `(features + 1, outputs)`."""

    loss: float
    weight: float
    gradient: Array


@dataclass(frozen=True)
class SingleObjective:
    """Mean loss of a linear model as `LinearObjective` has it, in float32; sums of blocks are float64.

    On adult a pass takes a quarter of the time: losses are compiled, and rows come from memory once instead of twice.

    far : has `sums_of` worked out of rows that are elsewhere, see `Whole`.
    """

    rows: Chunk | Turned | Spans | Callable[[], Iterable[Chunk]]
    loss: Loss
    far: Callable[..., Iterable[Sums]] | None = None

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and its gradient at `weights` `(features + 1, outputs)`."""
        loss, total, gradient = sums_of(self.rows, self.loss, weights)
        for one in () if self.far is None else self.far(sums_of, self.loss, weights):
            loss, total, gradient = loss + one.loss, total + one.weight, gradient + one.gradient
        return loss / total, gradient / total


def sums_of(rows: Chunk | Turned | Spans | Callable[[], Iterable[Chunk]], loss: Loss, weights: Array) -> Sums:
    """Add up the losses of rows and their gradients at `weights` `(features + 1, outputs)`."""
    if isinstance(rows, Turned):
        value, gradient = sums_of_turned(rows, loss, weights)
        return Sums(value, rows.weight, gradient)
    if isinstance(rows, Spans):
        return _sums_of_spans(rows, loss, weights)
    slopes, intercepts = weights[:-1].astype(np.float32), weights[-1].astype(np.float32)
    tally, total = np.zeros(LANES), 0.0
    gradient = np.zeros(weights.shape)
    for block in _blocks(rows):
        shares = np.ascontiguousarray(block.weights)
        scores = _scores(block.rows, slopes)
        _replace_by_slopes(loss, scores, intercepts, block.targets.astype(np.float32), shares, tally)
        total += float(shares.sum(dtype=np.float64))
        _add_back(block.rows, scores, gradient[:-1])
        gradient[-1] += scores[:, : len(shares)].sum(axis=1, dtype=np.float64)
    return Sums(float(tally.sum()), total, gradient)


def _sums_of_spans(rows: Spans, loss: Loss, weights: Array) -> Sums:
    """Add up what each span has in the sums, in their order."""
    slopes, width = weights[:-1, 0], len(weights) - 1
    packed = np.zeros((-(-width // LANES) + 1, LANES), np.float32)
    packed[:-1].reshape(-1)[:width], packed[-1] = slopes, weights[-1]
    value, total, gradient = 0.0, 0.0, np.zeros(packed.shape)
    for part in side_by_side([partial(_sums_of_span, span, loss, packed) for span in rows.spans], rows.threads):
        value, total, gradient = value + part.loss, total + part.weight, gradient + part.gradient
    return Sums(value, total, np.append(gradient[:-1].reshape(-1)[:width], gradient[-1].sum())[:, None])


def _sums_of_span(span: Chunk, loss: Loss, packed: NDArray[np.float32]) -> Sums:
    """Add up the losses and gradients of a span; weights and gradient are packed as `kernels.single` has them."""
    tally, gradient, rows = np.zeros(LANES), np.zeros(packed.shape), np.ascontiguousarray(span.rows)
    workspace = np.empty(ROWS_AT_ONCE, np.float32), np.empty((VECTORS, LANES), np.float32)
    shares = np.ascontiguousarray(span.weights)
    store.run("single:sums", (loss, LIKE), rows, span.targets, shares, packed, tally, gradient, *workspace)
    with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
        return Sums(float(tally.sum()), float(shares.sum(dtype=np.float64)), gradient)


def _replace_by_slopes(
    loss: Loss, scores: NDArray[np.float32], intercepts: NDArray[np.float32], targets: NDArray[np.float32],
    shares: NDArray[np.float32], tally: Array,
) -> None:  # fmt: skip
    static: tuple[Any, ...] = (loss, WIDTH)
    if loss.multiclass:
        line = np.empty((len(scores), LANES), np.float32)
        store.run("slopes:slopes_many", static, intercepts, targets, shares, scores, line, tally)
    else:
        store.run("slopes:slopes_one", static, intercepts, targets, shares, scores, tally)


def _scores(rows: Rows, slopes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the scores of a block without intercepts `(outputs, places)`, the rows filled up to whole lanes."""
    count, outputs = row_count(rows), slopes.shape[1]
    scores = np.empty((outputs, -(-count // LANES) * LANES), np.float32)
    if outputs > 1:
        scores[:, :count] = (as_matrix(rows) @ slopes).T
    elif isinstance(rows, SparseRows):
        store.run("slopes:scores_of_sparse", (), *rows[:3], slopes.ravel(), scores.ravel())
    else:  # a matrix of one column takes BLAS three times as long as a vector, the transposed product four times
        scores[0, :count] = rows @ slopes[:, 0]
    return scores


def _add_back(rows: Rows, scores: NDArray[np.float32], gradient: Array) -> None:
    """Add rowsᵀ · scoresᵀ to the gradient `(features, outputs)`, where scores have become slopes along them."""
    along = scores[:, : row_count(rows)]
    if isinstance(rows, SparseRows) and len(along) == 1:
        store.run("slopes:add_sparse", (), *rows[:3], along.ravel(), gradient.ravel())
    elif isinstance(rows, SparseRows):
        gradient += transposed(as_matrix(rows)) @ along.T
    else:
        gradient += (along[0] @ rows)[:, None] if len(along) == 1 else (along @ rows).T


def _blocks(rows: Chunk | Callable[[], Iterable[Chunk]]) -> Iterator[Chunk]:
    """Give dense rows in blocks that stay in the cache, others as they come."""
    for chunk in cut(rows) if isinstance(rows, Chunk) else rows():
        if isinstance(chunk.rows, SparseRows):
            yield chunk
            continue
        many = max(BLOCK_VALUES // max(chunk.rows.shape[1], 1) // LANES * LANES, LANES)
        for begin in range(0, len(chunk.targets), many):
            yield Chunk(*(part[begin : begin + many] for part in chunk))  # pyright: ignore
