"""Dense rows: arrays as the kernels want them, whole vectors of columns and workspace."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk
from schuss.descent.losses import Loss
from schuss.kernels.store import run
from schuss.population.aligned import aligned

__all__ = ["advance", "columns", "learn_mixed", "losses", "scores"]

Floats = NDArray[np.float32]

SCORED_ROWS = 64
"""Rows that are scored at a time where nothing is learned: their scores stay in the nearest caches."""

TILE = 8
"""Lines of a tile, see `kernels.dense`."""

SINGLE_TILE = 4
"""Vectors of a tile for one run, see `kernels.single`."""


def columns(outputs: int, lanes: int) -> int:
    """Give the columns of a block's weights: the lanes of all outputs, filled up to whole vectors.

    >>> columns(1, 16), columns(10, 4), columns(1, 1)
    (16, 48, 1)
    """
    if outputs * lanes == 1:
        return 1
    vector = _vector(outputs * lanes)
    return -(-outputs * lanes // vector) * vector


def _vector(used: int) -> int:
    """Give the width of the vectors for so many columns; for one, vectors run over the features."""
    return next((width for width in (4, 8) if 1 < used <= width), 16)


@cache
def _like(*lengths: int) -> tuple[tuple[np.float32, ...], ...]:
    """Tell a kernel lengths by those of tuples."""
    return tuple((np.float32(0),) * length for length in lengths)


def _in_vectors(table: Floats, vector: int) -> Floats:
    """Repeat the scalars of the lanes `(lines, scalars, lanes)` until they fill a vector."""
    return table if table.shape[2] == vector else np.tile(table, (1, 1, vector // table.shape[2]))


def advance(
    rule: Any, loss: Loss, outputs: int, chunk: Chunk, batch: int, steps: tuple[int, int],
    tables: tuple[Floats, Floats], weights: Floats, slots: Floats, tally: NDArray[np.float64],
) -> None:  # fmt: skip
    """Learn from a chunk with one block.

    rule : with plain numbers in it; steps : phase and shift, step t takes line (phase + t) >> shift of the tables
    `(lines, scalars, lanes)` of scalars with and without the penalty; weights : `(features + 1, columns)`; slots :
    `(slots, features + 1, columns)`; tally : `(lanes,)`, to which the losses are added.
    """
    lanes = tables[0].shape[2]
    vector = _vector(outputs * lanes)
    like = _like(tables[0].shape[1], len(slots), lanes, vector)
    wide = [_in_vectors(table, vector) for table in tables]
    if outputs * lanes == 1:
        _advance_single(rule, loss, like, chunk, batch, steps, wide, weights, slots, tally)
        return
    row_arrays = (chunk.rows, chunk.targets, chunk.weights)
    workspace = aligned((batch + TILE, weights.shape[1]))
    scores, gradient = workspace[:batch], workspace[batch:]
    if batch == 1:
        run(
            "dense:advance_rows", (rule, loss, like), outputs, *row_arrays, *steps, *wide, weights, slots, tally, scores
        )
        return
    run(
        "dense:advance_dense", (rule, loss, like), outputs, *row_arrays, batch, *steps, *wide, weights, slots, tally,
        scores, gradient,
    )  # fmt: skip


def learn_mixed(
    rule: Any, loss: Loss, outputs: int, chunk: Chunk, tables: tuple[Floats, Floats], weights: Floats, slots: Floats,
    mixing: tuple[float, float, NDArray[np.float64], NDArray[np.float64]],
) -> None:  # fmt: skip
    """Answer and learn row by row with one block of several lanes, see `kernels.mixture`.

    mixing : sharpness and fading of the standings, the standings `(lanes,)`, the answers `(rows, outputs)`.
    """
    lanes = tables[0].shape[2]
    vector = _vector(outputs * lanes)
    like = _like(tables[0].shape[1], len(slots), lanes, vector)
    wide = [_in_vectors(table, vector) for table in tables]
    workspace = aligned((1, weights.shape[1])), aligned((1, lanes)), np.zeros(lanes)
    run(
        "mixture:learn_dense", (rule, loss, like), outputs, chunk.rows, chunk.targets, chunk.weights, *wide, weights,
        slots, *mixing, *workspace,
    )  # fmt: skip


def _advance_single(
    rule: Any, loss: Loss, like: Any, chunk: Chunk, batch: int, steps: tuple[int, int], tables: list[Floats],
    weights: Floats, slots: Floats, tally: NDArray[np.float64],
) -> None:  # fmt: skip
    """Learn from a chunk with one run of one output."""
    packed, packed_slots = _pack(weights), np.stack([_pack(slot) for slot in slots]) if len(slots) else slots
    scores, gradient = aligned((_whole(batch),)), aligned((SINGLE_TILE, 16))
    run(
        "single:advance_single", (rule, loss, like), chunk.rows, chunk.targets.astype(np.float32), chunk.weights, batch,
        *steps, *tables, packed, packed_slots, tally, scores, gradient,
    )  # fmt: skip
    weights[:, 0] = _unpacked(packed, len(weights))
    for slot, changed in zip(slots, packed_slots, strict=True):
        slot[:, 0] = _unpacked(changed, len(weights))


def _whole(count: int) -> int:
    """Fill up to whole vectors."""
    return -(-count // 16) * 16


def _pack(weights: Floats) -> Floats:
    """Put one run's weights `(features + 1, 1)` in vectors, as `kernels.single` wants them."""
    features = len(weights) - 1
    packed = aligned((_whole(features) // 16 + 1, 16))
    packed.ravel()[:features] = weights[:-1, 0]
    packed[-1] = weights[-1, 0]
    return packed


def _unpacked(packed: Floats, count: int) -> Floats:
    """Give the weights `(features + 1,)` that were packed."""
    return np.append(packed.ravel()[: count - 1], packed[-1, 0])


def losses(loss: Loss, outputs: int, lanes: int, chunk: Chunk, weights: Floats) -> Floats:
    """Give the loss of every row for every lane of a block `(rows, lanes)`."""
    out = np.empty((len(chunk.targets), lanes), np.float32)
    vector = _vector(outputs * lanes)
    if outputs * lanes == 1:
        targets, scores = chunk.targets.astype(np.float32), aligned((SCORED_ROWS,))
        run("single:losses_single", (loss, *_like(vector)), chunk.rows, targets, _pack(weights), scores, out)
        return out
    vector = lanes if weights.shape[1] % vector else vector  # columns that are not filled up to whole vectors
    scores = aligned((SCORED_ROWS, weights.shape[1]))
    like = _like(lanes, vector)
    run("dense:losses_dense", (loss, *like), outputs, chunk.rows, chunk.targets, weights, scores, out)
    return out


def scores(rows: Floats, weights: Floats) -> Floats:
    """Give rows · w + b `(n, outputs)` for weights `(features + 1, outputs)`, the intercepts last.

    rows : `(n, features)` float32, C-contiguous.

    >>> scores(np.array([[1, 2]], np.float32), np.array([[1.0, 0.0], [10.0, 1.0], [0.5, 0.0]], np.float32))
    array([[21.5,  2. ]], dtype=float32)
    """
    outputs = weights.shape[1]
    if outputs == 1:
        out = np.empty((len(rows), 1), np.float32)
        run("single:score_rows", _like(16), rows, _pack(weights), out)
        return out
    wide = np.zeros((len(weights), columns(outputs, 1)), np.float32)
    wide[:, :outputs] = weights
    out = np.empty((len(rows), wide.shape[1]), np.float32)
    run("dense:score_rows", _like(_vector(outputs)), rows, wide, out)
    return out[:, :outputs]
