"""Sparse rows: one chunk for all runs of a block.

The cost of a step is fetching one line of weights per nonzero; the weights of sixteen runs fill that line.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dense import step_feature, step_features
from schuss.kernels.dispatch import fill, gather, gather_slots, rest, scatter_slots, stack_table
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import learn_from_scores, losses_of_scores


@kernel()
def score_row(indices, values, weights, out):
    """Add a row's scores to `out` `(outputs · lanes,)`, which holds the intercepts."""
    for n in range(len(indices)):
        line = weights[indices[n]]
        x = values[n]
        for c in range(len(out)):
            out[c] += x * line[c]


@kernel()
def step_listed(rule, like, scalars, weights, slots, gradient, features):
    """Apply the rule to the listed features; line i of `gradient` `(…, outputs · lanes)` belongs to `features[i]`."""
    lanes = np.uint64(scalars.shape[1])
    local = stack_table(like[0])
    fill(local, scalars)
    for i in range(np.uint64(len(features))):
        f = np.uint64(features[i])
        step_feature(rule, like, local, lanes, weights, slots, f, gradient[i])


@kernel()
def rest_features(rule, like, scalars, totals, weights, slots, features):
    """Catch the listed features up over steps that did not touch them; `totals` `(…, lanes)` sums their rates."""
    lanes = np.uint64(scalars.shape[1])
    columns = np.uint64(weights.shape[1])
    local = stack_table(like[0])
    fill(local, scalars)
    for i in range(np.uint64(len(features))):
        f = np.uint64(features[i])
        total = totals[i]
        for offset in range(np.uint64(0), columns, lanes):
            for k in range(lanes):
                c = offset + k
                memory = gather_slots(slots, f, c, like[1])
                w, after = rest(rule, gather(local, k, like[0]), total[k], weights[f, c], memory)
                weights[f, c] = w
                scatter_slots(slots, f, c, after)


@inlined
def gather_gradients(indptr, indices, values, start, stop, scores, place, features, gradient):
    """Add up the gradients of the features of a mini-batch, each in a line of its own; give their number.

    place : `(all features,)`, the line of each feature, -1 for those without one; features : the feature of each line.
    """
    count = 0
    for r in range(start, stop):
        d = scores[r - start]
        for n in range(indptr[r], indptr[r + 1]):
            f = indices[n]
            if place[f] < 0:
                place[f] = count
                features[count] = f
                gradient[count] = np.float32(0.0)
                count += 1
            line = gradient[place[f]]
            x = values[n]
            for c in range(np.uint64(len(d))):
                line[c] += x * d[c]
    return count


@inlined
def most_entries(indptr, rows, batch):
    """Count the nonzeros of the fullest mini-batch."""
    most = 0
    for start in range(0, rows, batch):
        most = max(most, indptr[min(start + batch, rows)] - indptr[start])
    return most


@kernel()
def advance_lazily(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, table, free_table, sums, before, seen,
    chunk, weights, slots, tally,
):  # fmt: skip
    """Learn from a chunk in time proportional to its nonzeros; every feature it touched ends up to date.

    `sums` `(steps + 1, lanes)`: the rates of this chunk's steps, summed up to each; `before` `(chunk + 1, lanes)`: the
    rates of all earlier steps, summed up to the start of each chunk; `seen` `(features,)`: the chunk up to whose start
    a feature is up to date. With these two tables, what a feature missed is a difference of sums, however long ago it
    was touched.
    """
    rows, features, columns = len(targets), len(weights) - 1, weights.shape[1]
    lanes = np.uint64(table.shape[2])
    most = max(min(features, most_entries(indptr, rows, batch)), 1)
    scores, gradient = np.empty((batch, columns), np.float32), np.empty((most, columns), np.float32)
    touched, touched_count = np.empty(min(features, len(indices)), np.int64), 0
    last = np.zeros(features, np.int32)  # the step of this chunk up to whose start a touched feature is up to date
    place = np.full(features, -1, np.int32)
    listed, missed = np.empty(most, np.int64), np.empty((most, lanes), np.float32)
    intercept, intercept_gradient = np.array([features]), np.empty((1, columns), np.float32)
    for step in range((rows + batch - 1) // batch):
        start, stop = step * batch, min(step * batch + batch, rows)
        late = 0
        for n in range(indptr[start], indptr[stop]):
            f = indices[n]
            if seen[f] <= chunk:  # touched for the first time in this chunk
                for k in range(lanes):
                    missed[late, k] = np.float32(before[chunk, k] - before[seen[f], k]) + sums[step, k]
                seen[f] = chunk + 1
                touched[touched_count] = f
                touched_count += 1
            elif last[f] < step:
                for k in range(lanes):
                    missed[late, k] = sums[step, k] - sums[last[f], k]
            else:
                continue
            last[f] = step
            listed[late] = f
            late += 1
        rest_features(rule, like, table[step], missed, weights, slots, listed[:late])
        s = scores[: stop - start]
        for r in range(start, stop):
            s[r - start] = weights[features]
            score_row(indices[indptr[r] : indptr[r + 1]], values[indptr[r] : indptr[r + 1]], weights, s[r - start])
        learn_from_scores(loss, s, targets[start:stop], row_weights[start:stop], lanes, tally)
        count = gather_gradients(indptr, indices, values, start, stop, s, place, listed, gradient)
        step_listed(rule, like, table[step], weights, slots, gradient, listed[:count])
        for f in listed[:count]:
            last[f] = step + 1
            place[f] = -1
        intercept_gradient[0] = s.sum(axis=0)
        step_listed(rule, like, free_table[step], weights, slots, intercept_gradient, intercept)
    steps = len(sums) - 1
    final = np.empty((touched_count, lanes), np.float32)
    for i in range(touched_count):
        for k in range(lanes):
            final[i, k] = sums[steps, k] - sums[last[touched[i]], k]
    rest_features(rule, like, table[steps - 1], final, weights, slots, touched[:touched_count])


@kernel()
def catch_up(rule, like, scalars, before, seen, chunk, weights, slots):
    """Bring every feature up to date at the start of a chunk: before weights are read as a whole."""
    lanes = np.uint64(scalars.shape[1])
    missed = np.empty((1, lanes), np.float32)
    feature = np.empty(1, np.int64)
    for f in range(len(seen)):
        if seen[f] < chunk:
            for k in range(lanes):
                missed[0, k] = np.float32(before[chunk, k] - before[seen[f], k])
            feature[0] = f
            rest_features(rule, like, scalars, missed, weights, slots, feature)
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
