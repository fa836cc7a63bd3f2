"""Rows learned one by one by all runs of a block, each scored before by the average of the runs, weighted by standing.

A run's standing S is the sum of its losses on the rows so far, which count less as more rows follow. With every row

    pₖ ∝ exp(−η (Sₖ − min S));  answer = Σ pₖ scoreₖ;  Sₖ ← γ Sₖ + weight · min(lossₖ, LARGEST)

and then every run takes its own step. Runs whose score is not finite have no share.
"""

from __future__ import annotations

import numpy as np

from schuss.descent.ops import exp
from schuss.kernels import elementary  # noqa: F401  (it registers the formula)
from schuss.kernels.dense import score, step_vector
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import element, load_each, spread
from schuss.kernels.options import inlined, kernel
from schuss.kernels.resting import rest_row, step_intercept, step_row
from schuss.kernels.scores import columns_of, learn_from_scores
from schuss.kernels.sparse import load_scalars, score_rows

LARGEST = 50.0
"""A loss counts as this at most: a run that was lost once would need thousands of rows to be heard again."""


@inlined
def weigh(like, standing, sharpness, shares):
    """Write the shares of the runs, the best one's 1, into the first line of `shares`."""
    best = standing[0]
    for k in range(len(like)):
        best = min(best, standing[k])
    for k in range(len(like)):
        shares[0, k] = np.float32(sharpness * (best - standing[k]))
    store(shares, 0, 0, exp(load(shares, 0, 0, like)))


@inlined
def answer(like, outputs, scores, shares, answers, r):
    """Write the weighted average of the scores of row `r`."""
    total = 0.0
    for k in range(len(like)):
        for j in range(outputs):
            s = scores[0, j * len(like) + k]
            if s - s != 0:
                shares[0, k] = np.float32(0.0)
        total += shares[0, k]
    for j in range(outputs):
        s = 0.0
        for k in range(len(like)):
            if shares[0, k] > 0:
                s += np.float64(shares[0, k]) * scores[0, j * len(like) + k]
        answers[r, j] = s / total


@inlined
def remember(like, tally, weight, fade, standing):
    """Add the losses of a row, weighted in `tally`, which is cleared, to the standings."""
    largest = LARGEST * weight
    for k in range(len(like)):
        standing[k] = fade * standing[k] + (tally[k] if tally[k] < largest else largest)
        tally[k] = 0.0


@kernel()
def learn_dense(
    rule, loss, like, outputs, x, targets, row_weights, table, free_table, weights, slots, sharpness, fade, standing,
    answers, scores, shares, tally,
):  # fmt: skip
    """Answer and learn dense rows; arrays as for `dense.advance_rows`, tables of one line.

    `standing` `(lanes,)` float64; `answers` `(rows, outputs)` float64; workspace: `scores` `(1, columns)`, `shares`
    `(1, lanes)`, `tally` `(lanes,)` of zeros.
    """
    (rows, features), columns = x.shape, weights.shape[1]
    scalars = load_each(table, 0, len(like[3]), like[0], like[3])
    free = load_each(free_table, 0, len(like[3]), like[0], like[3])
    score(like[3], x, 0, min(rows, 1), weights, scores)
    for r in range(rows):
        weigh(like[2], standing, sharpness, shares)
        answer(like[2], outputs, scores, shares, answers, r)
        learn_from_scores(loss, like[2], outputs, scores, targets[r : r + 1], row_weights[r : r + 1], tally)
        remember(like[2], tally, row_weights[r], fade, standing)
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
def learn_sparse(
    rule, loss, like, indptr, indices, values, targets, row_weights, table, free_table, base, now, since,
    weights, slots, sharpness, fade, standing, answers, scores, shares, tally, ones,
):  # fmt: skip
    """Answer and learn sparse rows; arrays as for `resting.advance_resting` and `learn_dense`."""
    rows, width, columns = np.uint64(len(targets)), like[2], columns_of(loss, like[2], weights)
    outputs = columns // np.uint64(len(width))
    scalars, free = load_scalars(table, 0, like), load_scalars(free_table, 0, like)
    for r in range(rows):
        first, end = np.uint64(indptr[r]), np.uint64(indptr[r + np.uint64(1)])
        rest_row(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns)
        score_rows(width, indptr, indices, values, r, r + np.uint64(1), ones, 0, weights, columns, scores)
        weigh(width, standing, sharpness, shares)
        answer(width, outputs, scores, shares, answers, r)
        learn_from_scores(loss, width, outputs, scores, targets[r : r + 1], row_weights[r : r + 1], tally)
        remember(width, tally, row_weights[r], fade, standing)
        step_row(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, 1)
        step_intercept(rule, like, free, 1, scores, weights, slots, columns)
        now[0] += 1.0
