"""Sparse rows one by one, one output, and a linear rule: what `sparse.advance_scaled` does, without mini-batches.

Where lines are near, what limits this loop is that the processor reads or writes three numbers a cycle, and one run has
nine for a nonzero: index, value and weight to score it; both, the weight twice and, to send for a line, another index
and the line to step. A block of one run therefore has four nonzeros looked at together, and its weights kept where they
lie side by side until the step: 5.5 in place of 9. One run, a million features 2.2 → 1.9 ns a nonzero.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import add_to, load_at, prefetch_far, spread, store_at, sum_of
from schuss.kernels.options import compiled_form_of, inlined, kernel
from schuss.kernels.sparse import NEAR, SMALLEST_SCALE, ZERO, add_row, far_ahead, fill_scales, rescale, score_output
from schuss.kernels.together import apart, features_at, gather, not_unrolled, scatter, send_for_each

FOUR = (None,) * 4
"""So many nonzeros of one run are looked at together: as many as a score has sums, so that these are one vector."""

ALONE, FIRST = np.uint64(1), np.uint64(0)
"""Width of a line of weights of one run, and the place of its weight there."""


def score_each(like, indices, values, start, stop, weights, kept):
    """Score a row for several runs, nonzero by nonzero."""
    return score_output(like, indices, values, start, stop, weights, np.uint64(len(like)), FIRST)


def step_each(like, indices, values, start, stop, weights, kept, d):
    """Step along a row for several runs, nonzero by nonzero."""
    add_row(like, indices, values, start, stop, stop - start, weights, np.uint64(len(like)), FIRST, d)


def score_together(like, indices, values, start, stop, weights, kept):
    """Score a row for one run, four nonzeros at a time, and keep their weights."""
    total, whole = spread(ZERO, FOUR), stop - (stop - start) % np.uint64(4)
    for n in range(start, whole, np.uint64(4)):
        not_unrolled()
        w = gather(weights, features_at(indices, n, FOUR), ALONE, FIRST)
        store_at(kept, n - start, w)
        total = fused(w, load_at(values, n, FOUR), total)
    a, b, c, d = apart(total)
    for n in range(whole, stop):
        w = load_at(weights, np.uint64(indices[n]), like)
        store_at(kept, n - start, w)
        a = fused(w, values[n], a)
    return (a + b) + (c + d)


@inlined
def step_four(indices, values, n, start, weights, kept, d):
    """Write the weights of four nonzeros, stepped from those that were kept."""
    w = fused(d, load_at(values, n, FOUR), load_at(kept, n - start, FOUR))
    scatter(weights, features_at(indices, n, FOUR), ALONE, FIRST, w)


def step_together(like, indices, values, start, stop, weights, kept, d):
    """Step along a row for one run, four nonzeros at a time, from the weights that were kept: a row has none twice."""
    whole, far, of_four = stop - (stop - start) % np.uint64(4), weights.size > NEAR, sum_of(d)
    ahead = far_ahead(indices, stop, stop - start)
    if far:
        for n in range(start, whole, np.uint64(4)):
            not_unrolled()
            send_for_each(weights, features_at(indices, n + ahead, FOUR), ALONE, FIRST)
            step_four(indices, values, n, start, weights, kept, of_four)
    else:
        for n in range(start, whole, np.uint64(4)):
            not_unrolled()
            step_four(indices, values, n, start, weights, kept, of_four)
    for n in range(whole, stop):
        if far:
            prefetch_far(weights, np.uint64(indices[n + ahead]))
        store_at(weights, np.uint64(indices[n]), fused(d, values[n], load_at(kept, n - start, like)))


def score_row(like, indices, values, start, stop, weights, kept):
    """Sum value · weight over a row for all runs, see `score_output`; of one run its weights are left in `kept`."""
    score = score_together if len(like) == 1 else score_each
    return score(like, indices, values, start, stop, weights, kept)


def step_row(like, indices, values, start, stop, weights, kept, d):
    """Add d times a row to its weights, those in `kept` for one run; send for lines of later rows."""
    step = step_together if len(like) == 1 else step_each
    step(like, indices, values, start, stop, weights, kept, d)


@compiled_form_of(score_row)
def _score_row(like, indices, values, start, stop, weights, kept):
    return score_together if like.count == 1 else score_each


@compiled_form_of(step_row)
def _step_row(like, indices, values, start, stop, weights, kept, d):
    return step_together if like.count == 1 else step_each


@kernel()
def advance_rows(
    loss, like, indptr, indices, values, targets, row_weights, phase, shift, shrink, move, free_move, together, scale,
    weights, scales, moves, kept, tally,
):  # fmt: skip
    """Learn from a chunk row by row, as `advance_scaled` with one output and mini-batches of one: the same bits.

    Score, gradient and intercept stay in registers, and the width of a line is known: K = 1 1.78 → 1.54 ns a nonzero.
    `kept`: see `score_row`.
    """
    rows, intercept, first = np.uint64(len(targets)), np.uint64(len(weights) - 1), np.uint64(0)
    width, t = np.uint64(len(like)), np.uint64(0)
    bias = load(weights, intercept, first, like)
    while t < rows:
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        end = min(((line + np.uint64(1)) << np.uint64(shift)) - np.uint64(phase), t + np.uint64(together[line]), rows)
        for k in range(width):
            if scale[k] < SMALLEST_SCALE:
                rescale(like, weights, scale)
        fill_scales(shrink[line], move[line], scale, end - t, scales, moves)
        free = load(free_move, line, first, like)
        for i in range(end - t):
            start, stop = np.uint64(indptr[t]), np.uint64(indptr[t + np.uint64(1)])
            total = score_row(like, indices, values, start, stop, weights, kept)
            score = fused(total, load(scales, i, first, like), bias)
            value, derivative = evaluate(loss, score, np.float32(targets[t]))
            add_to(tally, first, value * row_weights[t])
            d = derivative * row_weights[t]
            step_row(like, indices, values, start, stop, weights, kept, d * load(moves, i, first, like))
            bias = fused(free, d, bias)
            t += np.uint64(1)
    store(weights, intercept, first, bias)
