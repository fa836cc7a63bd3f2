"""The curvature that solves begin with: the Hessian where they start, of some of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, cut, take
from ..data.whole import Whole
from ..descent.losses import Loss
from ..objective import HessianPart, LinearObjective, mean_hessian
from ..population.workers import side_by_side
from .turned import Turned, hessian_of_turned, part_of_turned, turn_every, turning_pays

__all__ = ["MOST_WEIGHTS", "inverse_with", "loss_hessian", "whole_hessian"]

Array = NDArray[np.float64]

MOST_WEIGHTS = 300
"""Beyond so many weights a Hessian takes longer than the passes that it saves."""

PRODUCTS = 3e8
"""Products that a Hessian may take: it is formed of every n-th row, not to take more."""

SPAN_VALUES = 1 << 20
"""Values of the rows of which a thread forms a part of a Hessian at a time."""

SINGULAR = (1e-9, 1e-8, 1e-7, 1e-6)
"""What is added to the Hessian, as shares of its trace, one after the other until it is positive definite.

Products in float32 tell curvatures of about 1e-8 from none; more than the penalty costs passes (five times as many on
dna)."""

SMALL_TRIANGLE = 32
"""Triangles that NumPy inverts as fast as their halves."""


def loss_hessian(
    blocks: Turned | Callable[[], Iterable[Chunk]], rows: int, loss: Loss, weights: Array
) -> NDArray[np.float64] | None:
    """Give the Hessian of the mean loss at `weights`, flattened; None where it is too large, or not finite.

    blocks : all rows turned, or what gives them block by block; rows : how many these are.
    """
    if weights.size > MOST_WEIGHTS:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(blocks, Turned):
            hessian = hessian_of_turned(blocks, loss, weights)
        else:
            every = _every(rows, weights.size)
            hessian = LinearObjective(partial(_thinned, blocks, every), loss, 0.0).hessian(weights)
    return hessian if np.isfinite(hessian).all() else None


def _every(rows: int, weights: int) -> int:
    """Give the n of which every n-th row has a part in a Hessian."""
    return int(np.ceil(rows * weights**2 / PRODUCTS))


def _hessian_of_chunks(chunks: Sequence[Chunk], loss: Loss, weights: Array, threads: int) -> Array | None:
    """Give the Hessian of the mean loss of every n-th of dense rows; None where it is not finite.

    Spans of rows are turned, long ones, which many threads go through without waiting for Python's lock: two threads
    over products of NumPy's with blocks of 8,192 rows took as long as one.
    """
    every = _every(sum(len(chunk.targets) for chunk in chunks), weights.size)
    spans = [*_spans(chunks, every)]
    parts = side_by_side([partial(_part_of_span, span, every, loss, weights) for span in spans], threads)
    hessian = mean_hessian(parts, weights.shape, 0.0)
    return hessian if np.isfinite(hessian).all() else None


def _spans(chunks: Iterable[Chunk], every: int) -> Iterator[Chunk]:
    """Cut dense rows into spans of which every n-th row is taken, from the first on."""
    for chunk in chunks:
        values = chunk.rows.shape[1] + 1  # pyright: ignore[reportAttributeAccessIssue]
        yield from cut(chunk, 0, every * max(SPAN_VALUES // values, 1))


def _part_of_span(span: Chunk, every: int, loss: Loss, weights: Array) -> HessianPart:
    """Give the part of every n-th row of a span in the Hessian."""
    with np.errstate(over="ignore", invalid="ignore"):  # each thread has its own
        return part_of_turned(turn_every(span, every), loss, weights)


def inverse_with(hessian: Array | None, l2: float, outputs: int) -> Callable[[Array], Array] | None:
    """Give what multiplies flattened weights with the inverse of a Hessian of the loss with a penalty on slopes.

    L-BFGS that begins with it, and corrects it by what steps meet, takes a third of the passes to the same decrease,
    and ends nearer to the optimum: 2,063 became 697 over all folds and penalties on shuttle, 823 161 on adult. It is
    kept as L⁻¹ of its Cholesky factor: L⁻ᵀ L⁻¹ as one matrix takes half as long again, and saves less than that.
    """
    if hessian is None:
        return None
    whole, trace = hessian.copy(), np.trace(hessian)
    diagonal = whole.reshape(-1)[:: len(whole) + 1]
    diagonal[:-outputs] += l2
    for share in SINGULAR:
        diagonal += share * trace
        try:
            factor = np.linalg.cholesky(whole)
        except np.linalg.LinAlgError:
            continue
        half = _inverse_of_triangle(np.asarray(factor, np.float64))
        return lambda along: half.T @ (half @ along)
    return None


def _inverse_of_triangle(lower: Array) -> Array:
    """Invert a lower triangle, half by half: NumPy inverts it as any matrix, which takes three times as long.

    SciPy has triangular solves, and takes a tenth of a second to import.
    """
    if len(lower) <= SMALL_TRIANGLE:
        return np.asarray(np.linalg.inv(lower), np.float64)
    half, found = len(lower) // 2, np.zeros_like(lower)
    found[:half, :half] = _inverse_of_triangle(lower[:half, :half])
    found[half:, half:] = _inverse_of_triangle(lower[half:, half:])
    found[half:, :half] = -found[half:, half:] @ (lower[half:, :half] @ found[:half, :half])
    return found


def whole_hessian(rows: Whole | Turned, loss: Loss, weights: Array, threads: int = 1) -> NDArray[np.float64] | None:
    """Give the Hessian of the mean loss of all rows at `weights`; None where there is none.

    threads : that form the parts of rows in memory, the same parts for any number of them.

    Rows that workers hold have their part in it: without it, four workers were left 6 % behind one machine on kddcup99.
    """
    if weights.size > MOST_WEIGHTS:
        return None
    if isinstance(rows, Turned):
        return loss_hessian(rows, rows.targets.size, loss, weights)
    if turning_pays(rows.chunks):
        return _hessian_of_chunks(rows.chunks, loss, weights, threads)
    if rows.far is None:
        return loss_hessian(rows.blocks, rows.rows, loss, weights)
    far = rows.far(_weighed_hessian, rows.rows, loss, weights)
    parts = [part for part in (_weighed_hessian(rows.blocks, rows.rows, loss, weights), *far) if part[1]]
    hessians = [hessian for hessian, _ in parts if hessian is not None]
    if not parts or len(hessians) < len(parts):
        return None
    return _mean_hessian(hessians, [weight for _, weight in parts])


def _mean_hessian(hessians: Sequence[Array], weights: Sequence[float]) -> Array:
    """Give the Hessian of the mean loss over parts of the rows, from those of the parts and what their rows weigh."""
    total = sum(weights)
    return np.sum([weight / total * hessian for hessian, weight in zip(hessians, weights, strict=True)], axis=0)


def _weighed_hessian(
    blocks: Callable[[], Iterable[Chunk]], rows: int, loss: Loss, weights: Array
) -> tuple[NDArray[np.float64] | None, float]:
    """Give the Hessian of some of all rows, and what these weigh: nothing where there are none of them here."""
    weight = sum(float(block.weights.sum(dtype=np.float64)) for block in blocks())
    return (loss_hessian(blocks, rows, loss, weights) if weight else None), weight


def _thinned(blocks: Callable[[], Iterable[Chunk]], every: int) -> Iterator[Chunk]:
    """Give every n-th row of blocks."""
    first = 0
    for block in blocks():
        yield block if every == 1 else take(block, np.arange(first, len(block.targets), every))
        first = (first - len(block.targets)) % every
