"""Dense rows for one run of one output: vectors run over the features, and over the rows where losses are computed.

Weights are packed, `(vectors + 1, places of a vector)`: feature after feature, zeros after the last one, and a line
that holds the intercept in every place. `like` holds tuples of which only the length counts: scalars and slots of the
rule, lanes (one), places of a vector.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dense import step
from schuss.kernels.dispatch import evaluate
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import add_to, load_each, load_part, registers, spread, store_at, store_element, sum_of
from schuss.kernels.options import inlined, kernel

ALONE, TILE = (None,), (None,) * 4
"""Rows, or vectors of features, whose sums are in registers at a time."""


@inlined
def score_tile(tile, like, x, row, weights, scores, place):
    """Write the scores of a tile of rows."""
    features, vectors = x.shape[1], len(weights) - 1
    sums = registers(tile, like)
    for i in range(len(tile)):
        sums[i] = spread(np.float32(0.0), like)
    for v in range(vectors):
        w, f = load(weights, v, 0, like), v * len(like)
        for i in range(len(tile)):
            sums[i] = fused(load_part(x, (row + i) * features + f, features - f, like), w, sums[i])
    for i in range(len(tile)):
        store_element(scores, place + i, sum_of(sums[i]) + weights[vectors, 0])


@inlined
def score(like, x, first, rows, weights, scores):
    """Write the scores of some rows, from `first` on."""
    whole = rows - rows % len(TILE)
    for r in range(0, whole, len(TILE)):
        score_tile(TILE, like, x, first + r, weights, scores, r)
    for r in range(whole, rows):
        score_tile(ALONE, like, x, first + r, weights, scores, r)


@inlined
def learn(loss, like, scores, rows, targets, weights, first, tally):
    """Replace scores by the gradient of the mean loss and give its sum; add weight · loss to `tally` `(1,)`."""
    per_row = np.float32(1.0) / np.float32(rows)
    total = slope = spread(np.float32(0.0), like)
    for r in range(0, rows, len(like)):
        weight = load_part(weights, first + r, rows - r, like)  # zero after the last row
        y = load_part(targets, first + r, rows - r, like)
        value, derivative = evaluate(loss, load_part(scores, r, rows - r, like), y)
        total = total + value * weight
        derivative = derivative * (weight * per_row)
        slope = slope + derivative
        store_at(scores, r, derivative)
    tally[0] += sum_of(total)
    return sum_of(slope)


@inlined
def slope_tile(like, x, first, rows, derivatives, f, gradient):
    """Write the gradient of a tile of vectors of features, from feature `f` on."""
    features = x.shape[1]
    sums = registers(TILE, like)
    for i in range(len(TILE)):
        sums[i] = spread(np.float32(0.0), like)
    for r in range(rows):
        d = spread(derivatives[r], like)
        for i in range(len(TILE)):
            g = f + i * len(like)
            sums[i] = fused(d, load_part(x, (first + r) * features + g, features - g, like), sums[i])
    for i in range(len(TILE)):
        store(gradient, i, 0, sums[i])


@kernel()
def advance_single(
    rule, loss, like, x, targets, row_weights, batch, phase, shift, table, free_table, weights, slots, tally, scores,
    gradient,
):  # fmt: skip
    """Learn from a chunk, a mini-batch at a time.

    `targets` are float32; for the tables see `dense.advance_dense`. Workspace: `scores`, as many as rows in whole
    vectors, `gradient` `(4, places of a vector)`.
    """
    rows, vector = len(targets), like[3]
    size, vectors = len(like[0]) * len(vector), len(weights) - 1
    for t in range((rows + batch - 1) // batch):
        first, last = t * batch, min(t * batch + batch, rows)
        score(vector, x, first, last - first, weights, scores)
        slope = learn(loss, vector, scores, last - first, targets, row_weights, first, tally)
        line = ((phase + t) >> shift) * size
        scalars = load_each(table, line, len(vector), like[0], vector)
        for v in range(0, vectors, len(TILE)):
            slope_tile(vector, x, first, last - first, scores, v * len(vector), gradient)
            step(rule, like, scalars, weights, slots, v, min(vectors - v, len(TILE)), gradient, 0)
        store(gradient, 0, 0, spread(slope, vector))
        free = load_each(free_table, line, len(vector), like[0], vector)
        step(rule, like, free, weights, slots, vectors, 1, gradient, 0)


@kernel()
def sums(loss, like, x, targets, row_weights, weights, tally, gradient, scores, part):
    """Add weight · loss to `tally` `(lanes,)` and its gradient to `gradient`, as the weights, both float64.

    As many rows at a time as `scores` has places (whole vectors); `part` `(4, lanes)` is workspace too.
    """
    vectors = len(weights) - 1
    for first in range(0, len(x), len(scores)):
        rows = min(len(scores), len(x) - first)
        score(like, x, first, rows, weights, scores)
        for r in range(0, rows, len(like)):
            weight = load_part(row_weights, first + r, rows - r, like)  # zero after the last row
            y = load_part(targets, first + r, rows - r, like)
            value, derivative = evaluate(loss, load_part(scores, r, rows - r, like), y)
            add_to(tally, 0, value * weight)
            add_to(gradient, vectors * len(like), derivative * weight)
            store_at(scores, r, derivative * weight)
        for v in range(0, vectors, len(TILE)):
            slope_tile(like, x, first, rows, scores, v * len(like), part)
            for i in range(min(vectors - v, len(TILE))):
                add_to(gradient, (v + i) * len(like), load(part, i, 0, like))


@kernel()
def score_rows(like, x, weights, scores):
    """Write the scores `(rows, 1)` of all rows."""
    score(like, x, 0, len(x), weights, scores)


@kernel()
def losses_single(loss, like, x, targets, weights, scores, out):
    """Write each row's loss into `out` `(rows, 1)`; as many rows at a time as `scores` has places (whole vectors)."""
    for first in range(0, len(x), len(scores)):
        rows = min(len(scores), len(x) - first)
        score(like, x, first, rows, weights, scores)
        for r in range(0, rows, len(like)):
            y = load_part(targets, first + r, rows - r, like)
            value = evaluate(loss, load_part(scores, r, rows - r, like), y)[0]
            store_at(scores, r, value)
        for r in range(rows):
            out[first + r, 0] = scores[r]
