"""Dense rows: one chunk for all runs of a block.

Both passes over a mini-batch are matrix products `(rows, features) × (features, outputs · lanes)`; BLAS does them at
80–100 GFLOP/s a core down to 28 features and 16 columns (loops of our own: 13–45).
"""

from __future__ import annotations

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  (what `np.dot` calls, loaded so that its threads can be limited)

from schuss.kernels.dispatch import fill, gather, gather_slots, scatter_slots, stack_table, update
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import learn_from_scores, losses_of_scores


@inlined
def step_feature(rule, like, scalars, lanes, weights, slots, f, gradient):
    """Apply the rule to the weights of feature `f`; `gradient` `(outputs · lanes,)`, `scalars` on the stack."""
    for offset in range(np.uint64(0), np.uint64(weights.shape[1]), lanes):
        for k in range(lanes):
            c = offset + k
            memory = gather_slots(slots, f, c, like[1])
            w, after = update(rule, gather(scalars, k, like[0]), weights[f, c], gradient[c], memory)
            weights[f, c] = w
            scatter_slots(slots, f, c, after)


@kernel()
def step_features(rule, like, scalars, weights, slots, gradient, first, last):
    """Apply the rule to the features from `first` to before `last`; `gradient` `(features, outputs · lanes)`.

    A kernel of its own: within a larger one LLVM does not find out that the arrays do not overlap.
    """
    lanes = np.uint64(scalars.shape[1])
    local = stack_table(like[0])
    fill(local, scalars)
    for f in range(np.uint64(first), np.uint64(last)):
        step_feature(rule, like, local, lanes, weights, slots, f, gradient[f])


@kernel()
def advance_dense(rule, loss, like, x, targets, row_weights, batch, table, free_table, weights, slots, tally):
    """Learn from a chunk, a mini-batch at a time; `weights` `(features + 1, outputs · lanes)`, the intercept last.

    `table` and `free_table` `(steps, scalars, lanes)` hold the rule's scalars with and without the penalty.
    """
    rows, features = x.shape
    columns = weights.shape[1]
    lanes = table.shape[2]
    scores = np.empty((batch, columns), np.float32)
    gradient = np.empty((features + 1, columns), np.float32)
    for step in range((rows + batch - 1) // batch):
        start = step * batch
        stop = min(start + batch, rows)
        s = scores[: stop - start]
        np.dot(x[start:stop], weights[:features], s)
        s += weights[features]
        learn_from_scores(loss, s, targets[start:stop], row_weights[start:stop], lanes, tally)
        np.dot(x[start:stop].T, s, gradient[:features])
        gradient[features] = s.sum(axis=0)
        step_features(rule, like, table[step], weights, slots, gradient, 0, features)
        step_features(rule, like, free_table[step], weights, slots, gradient, features, features + 1)


@kernel()
def losses_dense(loss, x, targets, weights, lanes, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`, without learning."""
    features = x.shape[1]
    for start in range(0, len(x), 256):
        rows = x[start : start + 256]
        scores = np.dot(rows, weights[:features])
        scores += weights[features]
        losses_of_scores(loss, scores, targets[start : start + 256], lanes, out[start : start + 256])
