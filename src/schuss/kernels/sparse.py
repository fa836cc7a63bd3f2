"""Sparse rows: one chunk for all runs of a block.

The cost of a step is fetching one line of weights for each nonzero; the weights of sixteen runs fill that line. A row
is read twice: to score it, and, while its lines are still in the nearest cache, to step along its gradient. Meanwhile
the lines of the next mini-batch are already on their way (16 million features, sixteen runs: 21 → 8 ns a nonzero).

What the penalty does to weights that a row does not touch is caught up exactly, in one of two ways. Where it multiplies
all weights of a run by the same factor (`advance_scaled`), weights are kept as `scale · v` and only the scale is
stepped. Where each weight has a rate of its own (`resting`), each feature remembers how far it is up to date.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import update
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import load_at, load_each, prefetch_far, spread, store_at, store_each
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import columns_of, learn_from_scores, losses_of_scores

ZERO = np.float32(0.0)
NEAR = 1 << 17
"""Weights that fit into the second cache beside the rows: fetching them ahead costs more than it gains (K = 1, 47,000
features: 2.9 → 2.2 ns a nonzero without)."""

FAR = np.uint64(128)
"""Lines are sent for so many nonzeros ahead, or a row where that is more: with fewer they come too late (a million
features, 16 runs of SGD: rows of 75 nonzeros 6.2 → 5.0 ns a nonzero, of 25 9.1 → 4.7, of 10 15.3 → 6.8)."""

SMALLEST_SCALE, LARGEST_SHRINK = 2.0**-64, np.float32(2.0**-64)


@inlined
def far_ahead(indices, stop, least):
    """Give how many nonzeros ahead of those before `stop` lines are sent for: at least so many, while a chunk lasts.

    Found once a row, it costs nothing for each nonzero (one run, a million features −2 %).
    """
    return min(max(least, FAR), np.uint64(len(indices)) - stop)


@inlined
def score_output(like, indices, values, start, stop, weights, width, column):
    """Sum value · weight over the nonzeros from `start` to before `stop` for the runs of the output at `column`.

    Four sums, because each addition waits four cycles for the one before: K = 4 2.9 → 2.2 ns a nonzero. All places are
    unsigned, or each is looked at whether it counts from the end (one run 1.71 → 1.56). `width` is that of a line of
    weights, which the compiler may know.
    """
    a, b, c, d = spread(ZERO, like), spread(ZERO, like), spread(ZERO, like), spread(ZERO, like)
    whole = stop - (stop - start) % np.uint64(4)
    for n in range(start, whole, np.uint64(4)):
        a = fused(load_at(weights, np.uint64(indices[n]) * width + column, like), values[n], a)
        b = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(1)]) * width + column, like), values[n + np.uint64(1)], b
        )
        c = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(2)]) * width + column, like), values[n + np.uint64(2)], c
        )
        d = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(3)]) * width + column, like), values[n + np.uint64(3)], d
        )
    for n in range(whole, stop):
        a = fused(load_at(weights, np.uint64(indices[n]) * width + column, like), values[n], a)
    return (a + b) + (c + d)


@inlined
def score_rows(like, indptr, indices, values, start, stop, scales, i, weights, width, scores):
    """Write the scores of the rows from `start` to before `stop`: intercept + `scales[i]` · what the nonzeros give."""
    intercept, lanes = np.uint64(len(weights) - 1), np.uint64(len(like))
    for r in range(start, stop):
        first, end = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
        for column in range(np.uint64(0), width, lanes):
            total = score_output(like, indices, values, first, end, weights, width, column)
            bias = load(weights, intercept, column, like)
            store(scores, r - start, column, fused(total, load(scales, i, 0, like), bias))


@inlined
def sum_of_rows(like, table, rows, column):
    """Add up the lines of a table."""
    total = spread(ZERO, like)
    for r in range(rows):
        total = total + load(table, r, column, like)
    return total


@kernel()
def rescale(like, weights, scale):
    """Multiply weights by what makes every scale at least 2⁻⁶⁴ again, by powers of two: no bit of a run changes."""
    lanes = np.uint64(len(like))
    for k in range(lanes):
        shrink = np.float32(1.0)
        while scale[k] < SMALLEST_SCALE:
            scale[k] /= SMALLEST_SCALE
            shrink *= LARGEST_SHRINK
        if shrink < np.float32(1.0):
            for f in range(np.uint64(len(weights) - 1)):
                for column in range(k, np.uint64(weights.shape[1]), lanes):
                    weights[f, column] *= shrink


@kernel()
def fill_scales(shrink, move, scale, steps, scales, moves):
    """Write down the scale before each of some steps and move/scale after it; `scale` goes on to the end.

    A kernel of its own, for several steps: LLVM must know that the arrays do not overlap (K = 16 a row of ten nonzeros
    237 → 150 ns).
    """
    for i in range(np.uint64(steps)):
        for k in range(np.uint64(len(scale))):
            scales[i, k] = scale[k]
            scale[k] *= shrink[k]
            moves[i, k] = move[k] / scale[k]


@inlined
def add_row(like, indices, values, start, stop, ahead, weights, width, column, d):
    """Add d times a row to the weights of the output at `column`; send for lines at least `ahead` nonzeros on."""
    if weights.size > NEAR:
        ahead = far_ahead(indices, stop, ahead)
        for n in range(start, stop):
            prefetch_far(weights, np.uint64(indices[n + ahead]) * width + column)
            place = np.uint64(indices[n]) * width + column
            store_at(weights, place, fused(d, values[n], load_at(weights, place, like)))
    else:
        for n in range(start, stop):
            place = np.uint64(indices[n]) * width + column
            store_at(weights, place, fused(d, values[n], load_at(weights, place, like)))


@inlined
def step_rows(like, indptr, indices, values, start, stop, scores, weights, width, moves, i):
    """Add the rows, times their gradient along the scores, to the weights; send for the lines of the next rows."""
    ahead, ratio = np.uint64(indptr[stop] - indptr[start]), load(moves, i, 0, like)
    for column in range(np.uint64(0), width, np.uint64(len(like))):
        for r in range(start, stop):
            d = load(scores, r - start, column, like) * ratio
            first, end = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
            add_row(like, indices, values, first, end, ahead, weights, width, column, d)


@kernel()
def advance_scaled(
    loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, shrink, move, free_move, together,
    scale, weights, scores, scales, moves, tally,
):  # fmt: skip
    """Learn from a chunk with a linear rule: w ← shrink · w + move · g, the same numbers for all weights of a run.

    The weights are `scale · v`, so that the step of all features is one of the scale, and v ← v + move/scale · g for
    those of the row. `shrink`, `move` `(lines, lanes)` float64, `free_move` the same in float32 for the intercept; step
    t takes line (phase + t) >> shift. `scale` `(lanes,)`; `together` `(lines,)` says for how many steps of a line it
    cannot become too small. Workspace: `scores` `(batch, outputs · lanes)`, `scales`, `moves` `(steps, lanes)`.
    """
    rows, intercept, lanes = np.uint64(len(targets)), np.uint64(len(weights) - 1), np.uint64(len(like))
    columns, steps, t = columns_of(loss, like, weights), np.uint64((rows + batch - 1) // batch), np.uint64(0)
    outputs = columns // lanes
    while t < steps:
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        end = min(((line + np.uint64(1)) << np.uint64(shift)) - np.uint64(phase), t + np.uint64(together[line]), steps)
        for k in range(lanes):
            if scale[k] < SMALLEST_SCALE:
                rescale(like, weights, scale)
        fill_scales(shrink[line], move[line], scale, end - t, scales, moves)
        for i in range(end - t):
            start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
            score_rows(like, indptr, indices, values, start, stop, scales, i, weights, columns, scores)
            learn_from_scores(loss, like, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
            step_rows(like, indptr, indices, values, start, stop, scores, weights, columns, moves, i)
            for column in range(np.uint64(0), columns, lanes):
                total = sum_of_rows(like, scores, stop - start, column)
                bias = load(weights, intercept, column, like)
                store(weights, intercept, column, fused(load(free_move, line, 0, like), total, bias))
            t += np.uint64(1)


@inlined
def load_scalars(table, line, like):
    """Give the rule's scalars in a line of a table `(lines, scalars, lanes)`."""
    return load_each(table, line * table.shape[1] * table.shape[2], table.shape[2], like[0], like[2])


@inlined
def load_slots(slots, weights, place, like):
    """Give the slots of the weights at a place, from `(slots, features + 1, outputs · lanes)`."""
    return load_each(slots, place, weights.size, like[1], like[2])


@kernel()
def advance_fully(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, table, free_table, weights,
    slots, scores, ones, gradient, tally,
):  # fmt: skip
    """Learn from a chunk with a rule that moves every weight at every step: exact, in time features × steps.

    `gradient` `(features + 1, outputs · lanes)` comes and leaves full of zeros.
    """
    rows, features, width = np.uint64(len(targets)), np.uint64(len(weights) - 1), like[2]
    lanes, columns = np.uint64(len(width)), columns_of(loss, like[2], weights)
    outputs = columns // lanes
    for t in range(np.uint64((rows + batch - 1) // batch)):
        start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        score_rows(width, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        learn_from_scores(loss, width, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
        scalars, free = load_scalars(table, line, like), load_scalars(free_table, line, like)
        for column in range(np.uint64(0), columns, lanes):
            add_slopes(width, indptr, indices, values, start, stop, scores, column, gradient)
            for f in range(features):
                place = f * columns + column
                update_weights(rule, like, scalars, weights, slots, place, load_at(gradient, place, width))
                store(gradient, f, column, spread(ZERO, width))
            total = sum_of_rows(width, scores, stop - start, column)
            update_weights(rule, like, free, weights, slots, features * columns + column, total)


@inlined
def add_slopes(width, indptr, indices, values, start, stop, slopes, column, gradient):
    """Add each row times its slopes, those of the runs from a column on, to the gradient of its features."""
    for r in range(start, stop):
        d = load(slopes, r - start, column, width)
        for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + 1])):
            f = np.uint64(indices[n])
            store(gradient, f, column, fused(d, values[n], load(gradient, f, column, width)))


@inlined
def update_weights(rule, like, scalars, weights, slots, place, gradient):
    """Apply the rule, penalty and all, to the weights at a place."""
    memory = load_slots(slots, weights, place, like)
    w, after = update(rule, scalars, load_at(weights, place, like[2]), gradient, memory)
    store_each(slots, place, weights.size, after)
    store_at(weights, place, w)


@kernel()
def losses_sparse(loss, like, indptr, indices, values, targets, weights, scores, ones, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`, without learning; `scores` is workspace."""
    rows, most, columns = np.uint64(len(targets)), np.uint64(len(scores)), columns_of(loss, like, weights)
    for start in range(np.uint64(0), rows, most):
        stop = min(start + most, rows)
        score_rows(like, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        outputs = columns // np.uint64(len(like))
        losses_of_scores(loss, like, outputs, scores, targets[start:stop], out[start:stop])


@kernel()
def scores(indptr, indices, values, weights, out):
    """Write the scores of rows `(rows, outputs)`, float64, for weights `(features + 1, outputs)`, intercepts last."""
    last = np.uint64(len(weights) - 1)
    for i in range(np.uint64(len(out))):
        begin, end = np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])
        for j in range(np.uint64(weights.shape[1])):
            total = np.float64(weights[last, j])
            for n in range(begin, end):
                total += np.float64(values[n]) * np.float64(weights[np.uint64(indices[n]), j])
            out[i, j] = total
