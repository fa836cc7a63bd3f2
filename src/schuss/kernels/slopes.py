"""From scores to losses and slopes along the scores, for many rows of one model: lanes are rows.

Scores `(outputs, places)` hold the rows of an output one after the other; of the places after the last row nothing
counts. `like`, a tuple, tells the number of lanes.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate, evaluate_into
from schuss.kernels.lines import add_to, lines, load_part, spread, store_at
from schuss.kernels.options import kernel


@kernel()
def slopes_one(loss, like, intercept, targets, weights, scores, tally):
    """Replace the scores of one output by weight · ∂loss/∂score; add weight · loss to `tally` `(lanes,)` float64."""
    rows = len(targets)
    for r in range(0, rows, len(like)):
        weight = load_part(weights, r, rows - r, like)  # zero after the last row
        s = load_part(scores, r, rows - r, like) + spread(intercept[0], like)
        value, derivative = evaluate(loss, s, load_part(targets, r, rows - r, like))
        add_to(tally, 0, value * weight)
        store_at(scores, r, derivative * weight)


@kernel()
def slopes_many(loss, like, intercepts, targets, weights, scores, line, tally):
    """The same for several outputs; `line` `(outputs, lanes)` is workspace."""
    rows, outputs, places = len(targets), len(intercepts), scores.shape[1]
    for r in range(0, rows, len(like)):
        weight = load_part(weights, r, rows - r, like)
        here = lines(line, 0, outputs, like)
        for j in range(outputs):
            here[j] = load_part(scores, j * places + r, rows - r, like) + spread(intercepts[j], like)
        value = evaluate_into(loss, here, load_part(targets, r, rows - r, like), here)
        add_to(tally, 0, value * weight)
        for j in range(outputs):
            store_at(scores, j * places + r, here[j] * weight)


@kernel()
def scores_of_sparse(indptr, indices, values, slopes, scores):
    """Multiply sparse rows with the slopes `(features,)` of one output.

    SciPy makes a matrix of the block first: a pass in blocks of 8,192 rows of 13 numbers took half as long again.
    """
    for r in range(np.uint64(len(indptr) - 1)):
        total = np.float32(0.0)
        for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + np.uint64(1)])):
            total += values[n] * slopes[np.uint64(indices[n])]
        scores[r] = total


@kernel()
def add_sparse(indptr, indices, values, along, gradient):
    """Add sparse rows, each times its slope along the score, to the gradient `(features,)` of one output."""
    for r in range(np.uint64(len(indptr) - 1)):
        slope = along[r]
        for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + np.uint64(1)])):
            gradient[np.uint64(indices[n])] += np.float64(values[n] * slope)
