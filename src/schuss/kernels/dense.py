"""Dense rows: one chunk for all runs of a block.

Both passes over a mini-batch are matrix products `(rows, features) × (features, outputs · lanes)`, which one function
computes in tiles of 8 lines × one vector of columns: eight sums in registers, each step adding eight numbers of the
rows times one vector. That is at the peak of the processor (115 GFLOP/s a core; BLAS 65–90) and down to 28 features and
16 columns near it (110; BLAS 80).

Weights are `(features + 1, columns)`, the intercepts last; columns are the lanes of all outputs, one output after the
other, filled up to whole vectors. Every sum runs over its terms in order, whatever tile it is in, so that no run's bits
depend on the width of its block, nor a row's on its place in the mini-batch.

`like` holds tuples of which only the length counts: scalars and slots of the rule, lanes, places of a vector.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import update
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import element, load_at, load_each, registers, spread, store_at, store_each
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import learn_from_scores, losses_of_scores

ALONE = (None,)
"""A tile of one line."""

TILE = (None,) * 8


@inlined
def multiply_tile(like, tile, x, corner, across, along, terms, table, column, start, out, line):
    """Write a tile of lines: out[line + i] = start + Σₖ x[corner + i · across + k · along] · table[k], at `column`."""
    sums = registers(tile, like)
    for i in range(len(tile)):
        sums[i] = start
    for k in range(terms):
        vector = load(table, k, column, like)
        for i in range(len(tile)):
            sums[i] = fused(spread(element(x, corner + i * across + k * along), like), vector, sums[i])
    for i in range(len(tile)):
        store(out, line + i, column, sums[i])


@inlined
def multiply(like, x, corner, across, along, count, terms, table, column, start, out):
    """Write `count` lines, the last tile over lines that are there already; fewer than eight one by one."""
    if count < len(TILE):
        for i in range(count):
            multiply_tile(like, ALONE, x, corner + i * across, across, along, terms, table, column, start, out, i)
    for i in range(0, count if count >= len(TILE) else 0, len(TILE)):
        i = min(i, count - len(TILE))
        multiply_tile(like, TILE, x, corner + i * across, across, along, terms, table, column, start, out, i)


@inlined
def score(like, x, first, rows, weights, scores):
    """Write the scores of some rows, from `first` on."""
    features = x.shape[1]
    for column in range(0, weights.shape[1], len(like)):
        start = load(weights, features, column, like)
        multiply(like, x, first * features, features, 1, rows, features, weights, column, start, scores)


@inlined
def sum_lines(like, table, out):
    """Write the sum of the lines of a table into the first line of `out`."""
    for column in range(0, table.shape[1], len(like)):
        total = spread(np.float32(0.0), like)
        for r in range(len(table)):
            total = total + load(table, r, column, like)
        store(out, 0, column, total)


@inlined
def step_vector(rule, like, scalars, weights, slots, place, g):
    """Apply the rule to the vector of weights at a place of the flat array, and give it."""
    memory = load_each(slots, place, weights.size, like[1], like[3])
    w, memory = update(rule, scalars, load_at(weights, place, like[3]), g, memory)
    store_at(weights, place, w)
    store_each(slots, place, weights.size, memory)
    return w


@inlined
def step(rule, like, scalars, weights, slots, first, lines, gradient, line):
    """Apply the rule to some lines of weights; the gradient of the first is in `line` of `gradient`."""
    columns = weights.shape[1]
    for i in range(0, lines * columns, len(like[3])):
        g = load_at(gradient, line * columns + i, like[3])
        step_vector(rule, like, scalars, weights, slots, first * columns + i, g)


@inlined
def descend(rule, like, scalars, x, first, rows, derivatives, weights, slots, gradient):
    """Apply the rule to all features for some rows, from `first` on, eight features at a time."""
    features, zero = x.shape[1], spread(np.float32(0.0), like[3])
    for f in range(0, features, len(TILE)):
        whole = max(min(f, features - len(TILE)), 0)  # the last eight features, of which some are done
        for column in range(0, weights.shape[1], len(like[3])):
            multiply(
                like[3], x, first * features + whole, 1, features, min(features, len(TILE)), rows, derivatives, column,
                zero, gradient,
            )  # fmt: skip
        step(rule, like, scalars, weights, slots, f, min(len(TILE), features - f), gradient, f - whole)


@kernel()
def advance_dense(
    rule, loss, like, outputs, x, targets, row_weights, batch, phase, shift, table, free_table, weights, slots, tally,
    scores, gradient,
):  # fmt: skip
    """Learn from a chunk, a mini-batch at a time.

    `table` and `free_table` `(lines, scalars, places)` hold the rule's scalars with and without the penalty;
    step t takes line (phase + t) >> shift. Workspace: `scores` `(batch, columns)`, `gradient` `(8, columns)`.
    """
    rows, features = x.shape
    size = len(like[0]) * len(like[3])
    for t in range((rows + batch - 1) // batch):
        first, last = t * batch, min(t * batch + batch, rows)
        s = scores[: last - first]
        score(like[3], x, first, last - first, weights, s)
        learn_from_scores(loss, like[2], outputs, s, targets[first:last], row_weights[first:last], tally)
        line = ((phase + t) >> shift) * size
        scalars = load_each(table, line, len(like[3]), like[0], like[3])
        descend(rule, like, scalars, x, first, last - first, s, weights, slots, gradient)
        sum_lines(like[3], s, gradient)
        scalars = load_each(free_table, line, len(like[3]), like[0], like[3])
        step(rule, like, scalars, weights, slots, features, 1, gradient, 0)


@kernel()
def advance_rows(
    rule, loss, like, outputs, x, targets, row_weights, phase, shift, table, free_table, weights, slots, tally, scores
):
    """Learn from a chunk row by row, as `advance_dense` with mini-batches of one; `scores` `(1, columns)` is workspace.

    A weight that has been stepped is multiplied with the next row at once, while it is in a register: 149 → 74 ns a row
    of 28 features.
    """
    (rows, features), columns = x.shape, weights.shape[1]
    size = len(like[0]) * len(like[3])
    score(like[3], x, 0, min(rows, 1), weights, scores)
    for r in range(rows):
        learn_from_scores(loss, like[2], outputs, scores, targets[r : r + 1], row_weights[r : r + 1], tally)
        line = ((phase + r) >> shift) * size
        scalars = load_each(table, line, len(like[3]), like[0], like[3])
        free = load_each(free_table, line, len(like[3]), like[0], like[3])
        now, after = r * features, min(r + 1, rows - 1) * features
        for column in range(0, columns, len(like[3])):
            d = load(scores, 0, column, like[3])
            total = step_vector(rule, like, free, weights, slots, features * columns + column, d)
            for f in range(features):
                g = element(x, now + f) * d
                w = step_vector(rule, like, scalars, weights, slots, f * columns + column, g)
                total = fused(spread(element(x, after + f), like[3]), w, total)
            store(scores, 0, column, total)


@kernel()
def score_rows(like, x, weights, scores):
    """Write the scores `(rows, columns)` of all rows; `like`, a tuple as long as a vector, divides the columns."""
    score(like, x, 0, len(x), weights, scores)


@kernel()
def losses_dense(loss, lanes, vector, outputs, x, targets, weights, scores, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`; as many rows at a time as `scores` has lines."""
    for first in range(0, len(x), len(scores)):
        last = min(first + len(scores), len(x))
        s = scores[: last - first]
        score(vector, x, first, last - first, weights, s)
        losses_of_scores(loss, lanes, outputs, s, targets[first:last], out[first:last])
