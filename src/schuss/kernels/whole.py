"""Rules that look at all weights of a run: sums over the weights of a step decide about the next.

All features are stepped after the gradient of a mini-batch is complete, on sparse rows too. Columns are the lanes of
all outputs, one output after the other. `like` holds tuples of which only the length counts: scalars, slots, lanes, the
numbers of a run that go from step to step, the sums.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels import dense, sparse
from schuss.kernels.dispatch import measure, settle, update
from schuss.kernels.lanes import load, store
from schuss.kernels.lines import add_each_to, load_each, spread, store_each
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import columns_of, learn_from_scores

ZERO = np.float32(0.0)


@inlined
def step_feature(rule, like, scalars, weights, slots, gradient, f, sums):
    """Step the weights of a feature, add what they have to say to the sums, and clear their gradient."""
    width, columns = like[2], weights.shape[1]
    for column in range(0, columns, len(width)):
        w, g = load(weights, f, column, width), load(gradient, f, column, width)
        memory = load_each(slots, f * columns + column, weights.size, like[1], width)
        after, memory = update(rule, scalars, w, g, memory)
        store(weights, f, column, after)
        store_each(slots, f * columns + column, weights.size, memory)
        store(gradient, f, column, spread(ZERO, width))
        add_each_to(sums, measure(rule, w, g, memory))


@inlined
def step_all(rule, like, table, free_table, line, weights, slots, gradient, numbers, sums, totals):
    """Step all weights, the last ones without the penalty, and settle the numbers for the next step."""
    width = like[2]
    place, lanes = line * len(like[0]) * len(width), len(width)
    own = load_each(numbers, 0, lanes, like[3], width)
    scalars = load_each(table, place, lanes, like[0], width) + own
    free = load_each(free_table, place, lanes, like[0], width) + own
    for f in range(len(weights) - 1):
        step_feature(rule, like, scalars, weights, slots, gradient, f, sums)
    step_feature(rule, like, free, weights, slots, gradient, len(weights) - 1, sums)
    for i in range(len(sums)):
        for k in range(lanes):
            totals[i, k], sums[i, k] = sums[i, k], 0.0
    store_each(numbers, 0, lanes, settle(rule, scalars, load_each(totals, 0, lanes, like[4], width)))


@kernel()
def advance_dense(
    rule, loss, like, x, targets, row_weights, batch, phase, shift, table, free_table, weights, slots, numbers, sums,
    totals, scores, gradient, tally,
):  # fmt: skip
    """Learn from a chunk of dense rows, a mini-batch at a time.

    `numbers` `(numbers, lanes)` go on to the end; workspace: `sums` `(sums, lanes)` float64, full of zeros, `totals`
    the same in float32, `scores` `(batch, columns)`, `gradient` like the weights, full of zeros.
    """
    (rows, features), width = x.shape, like[2]
    for t in range((rows + batch - 1) // batch):
        first, last = t * batch, min(t * batch + batch, rows)
        s = scores[: last - first]
        dense.score(width, x, first, last - first, weights, s)
        learn_from_scores(
            loss, width, weights.shape[1] // len(width), s, targets[first:last], row_weights[first:last], tally
        )
        for f in range(0, features, 8):
            whole = max(min(f, features - 8), 0)  # the last eight features, of which some are done
            for column in range(0, weights.shape[1], len(width)):
                dense.multiply(
                    width, x, first * features + whole, 1, features, min(features, 8), last - first, s, column,
                    spread(ZERO, width), gradient[whole : whole + 8],
                )  # fmt: skip
        dense.sum_lines(width, s, gradient[features:])
        step_all(rule, like, table, free_table, (phase + t) >> shift, weights, slots, gradient, numbers, sums, totals)


@kernel()
def advance_sparse(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, table, free_table, weights,
    slots, numbers, sums, totals, scores, gradient, ones, tally,
):  # fmt: skip
    """Learn from a chunk of sparse rows; as `advance_dense`, `ones` `(1, lanes)` holds ones."""
    rows, width, columns = np.uint64(len(targets)), like[2], columns_of(loss, like[2], weights)
    outputs = columns // np.uint64(len(width))
    for t in range(np.uint64((rows + batch - 1) // batch)):
        start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
        sparse.score_rows(width, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        learn_from_scores(loss, width, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
        for column in range(np.uint64(0), columns, np.uint64(len(width))):
            sparse.add_slopes(width, indptr, indices, values, start, stop, scores, column, gradient)
            total = sparse.sum_of_rows(width, scores, stop - start, column)
            store(gradient, np.uint64(len(weights) - 1), column, total)
        line = (np.int64(phase) + np.int64(t)) >> np.int64(shift)
        step_all(rule, like, table, free_table, line, weights, slots, gradient, numbers, sums, totals)
