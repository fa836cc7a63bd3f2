"""Sparse rows: one chunk for all runs of a block.

The cost of a step is fetching one line of weights per nonzero; the weights of sixteen runs fill that line.
"""

from __future__ import annotations

import numpy as np

from schuss.population.kernels.dense import step_feature, step_features
from schuss.population.kernels.dispatch import fill, gather, rest, scatter, stack_table
from schuss.population.kernels.options import inlined, kernel
from schuss.population.kernels.scores import learn_from_scores, losses_of_scores


@kernel()
def score_row(indices, values, weights, out):
    """Add a row's scores to `out` `(outputs · lanes,)`, which holds the intercepts."""
    for n in range(len(indices)):
        line = weights[indices[n]]
        x = values[n]
        for c in range(len(out)):
            out[c] += x * line[c]


@inlined
def rest_feature(rule, like, scalars, totals, lanes, weights, slots):
    """Catch one feature up over steps that did not touch it; `totals` `(lanes,)` is the sum of their rates."""
    for offset in range(np.uint64(0), np.uint64(len(weights)), lanes):
        for k in range(lanes):
            c = offset + k
            w, after = rest(rule, gather(scalars, k, like[0]), totals[k], weights[c], gather(slots, c, like[1]))
            weights[c] = w
            scatter(slots, c, after)


@kernel()
def advance_lazily(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, table, free_table, sums, before, seen, chunk,
    weights, slots, tally,
):  # fmt: skip
    """Learn from a chunk in time proportional to its nonzeros; every feature it touched ends up to date.

    `sums` `(steps + 1, lanes)`: the rates of this chunk's steps, summed up to each; `before` `(chunk + 1, lanes)`: the rates of
    all earlier steps, summed up to the start of each chunk; `seen` `(features,)`: the chunk up to whose start a feature is
    up to date. With these two tables, what a feature missed is a difference of sums, however long ago it was touched.
    """
    rows = len(targets)
    features = len(weights) - 1
    columns = weights.shape[1]
    lanes = np.uint64(table.shape[2])
    scores = np.empty((batch, columns), np.float32)
    missed = np.empty(lanes, np.float32)
    touched = np.empty(min(features, len(indices)), np.int64)
    touched_count = 0
    last = np.zeros(features, np.int32)  # the step of this chunk up to whose start a touched feature is up to date
    place = np.full(features, -1, np.int32)  # where a feature's gradient is gathered, within a batch
    most = 0
    for start in range(0, rows, batch):
        most = max(most, indptr[min(start + batch, rows)] - indptr[start])
    gradient = np.empty((min(features, most) if batch > 1 else 1, columns), np.float32)
    in_batch = np.empty(len(gradient), np.int64)
    intercept_gradient = np.empty(columns, np.float32)
    local, free = stack_table(like[0]), stack_table(like[0])
    for step in range((rows + batch - 1) // batch):
        start = step * batch
        stop = min(start + batch, rows)
        s = scores[: stop - start]
        fill(local, table[step])
        fill(free, free_table[step])
        for r in range(start, stop):
            for n in range(indptr[r], indptr[r + 1]):
                f = indices[n]
                if seen[f] <= chunk:
                    for k in range(lanes):
                        missed[k] = np.float32(before[chunk, k] - before[seen[f], k]) + sums[step, k]
                    seen[f] = chunk + 1
                    touched[touched_count] = f
                    touched_count += 1
                elif last[f] < step:
                    for k in range(lanes):
                        missed[k] = sums[step, k] - sums[last[f], k]
                else:
                    continue
                last[f] = step
                rest_feature(rule, like, local, missed, lanes, weights[f], slots[:, f])
            s[r - start] = weights[features]
            score_row(indices[indptr[r] : indptr[r + 1]], values[indptr[r] : indptr[r + 1]], weights, s[r - start])
        learn_from_scores(loss, s, targets[start:stop], row_weights[start:stop], lanes, tally)
        intercept_gradient[:] = s.sum(axis=0)
        if batch == 1:
            for n in range(indptr[start], indptr[stop]):
                f = indices[n]
                gradient[0] = values[n] * s[0]
                step_feature(rule, like, local, lanes, weights[f], slots[:, f], gradient[0])
                last[f] = step + 1
        else:
            count = 0
            for r in range(start, stop):
                for n in range(indptr[r], indptr[r + 1]):
                    f = indices[n]
                    if place[f] < 0:
                        place[f] = count
                        in_batch[count] = f
                        gradient[count] = np.float32(0.0)
                        count += 1
                    line = gradient[place[f]]
                    x = values[n]
                    for c in range(columns):
                        line[c] += x * s[r - start, c]
            for i in range(count):
                f = in_batch[i]
                step_feature(rule, like, local, lanes, weights[f], slots[:, f], gradient[i])
                last[f] = step + 1
                place[f] = -1
        step_feature(rule, like, free, lanes, weights[features], slots[:, features], intercept_gradient)
    steps = len(sums) - 1
    for i in range(touched_count):
        f = touched[i]
        if last[f] < steps:
            for k in range(lanes):
                missed[k] = sums[steps, k] - sums[last[f], k]
            rest_feature(rule, like, local, missed, lanes, weights[f], slots[:, f])


@kernel()
def catch_up(rule, like, scalars, before, seen, chunk, weights, slots):
    """Bring every feature up to date at the start of a chunk: before weights are read as a whole."""
    lanes = np.uint64(scalars.shape[1])
    local = stack_table(like[0])
    fill(local, scalars)
    missed = np.empty(lanes, np.float32)
    for f in range(len(seen)):
        if seen[f] < chunk:
            for k in range(lanes):
                missed[k] = np.float32(before[chunk, k] - before[seen[f], k])
            rest_feature(rule, like, local, missed, lanes, weights[f], slots[:, f])
            seen[f] = chunk


@kernel()
def advance_fully(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, table, free_table, weights, slots, tally
):
    """Learn from a chunk with a rule that moves every weight at every step: exact, in time features × steps."""
    rows = len(targets)
    features = len(weights) - 1
    columns = weights.shape[1]
    lanes = np.uint64(table.shape[2])
    scores = np.empty((batch, columns), np.float32)
    gradient = np.zeros((features + 1, columns), np.float32)
    for step in range((rows + batch - 1) // batch):
        start = step * batch
        stop = min(start + batch, rows)
        s = scores[: stop - start]
        for r in range(start, stop):
            s[r - start] = weights[features]
            score_row(indices[indptr[r] : indptr[r + 1]], values[indptr[r] : indptr[r + 1]], weights, s[r - start])
        learn_from_scores(loss, s, targets[start:stop], row_weights[start:stop], lanes, tally)
        gradient[:] = np.float32(0.0)
        for r in range(start, stop):
            for n in range(indptr[r], indptr[r + 1]):
                line = gradient[indices[n]]
                x = values[n]
                for c in range(columns):
                    line[c] += x * s[r - start, c]
        gradient[features] = s.sum(axis=0)
        step_features(rule, like, table[step], weights, slots, gradient, 0, features)
        step_features(rule, like, free_table[step], weights, slots, gradient, features, features + 1)


@kernel()
def losses_sparse(loss, indptr, indices, values, targets, weights, lanes, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`, without learning."""
    features = len(weights) - 1
    scores = np.empty((1, weights.shape[1]), np.float32)
    for r in range(len(targets)):
        scores[0] = weights[features]
        score_row(indices[indptr[r] : indptr[r + 1]], values[indptr[r] : indptr[r + 1]], weights, scores[0])
        losses_of_scores(loss, scores, targets[r : r + 1], lanes, out[r : r + 1])
