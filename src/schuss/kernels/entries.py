"""The entries of columns, which are not zero, side by side in sparse rows, or spread out in dense ones."""

from __future__ import annotations

import numpy as np

from schuss.kernels.lanes import prefetch
from schuss.kernels.options import kernel

AHEAD = 16
"""Entries ahead of which the line of a feature's sums is sent for."""

# Scores are float64, `(rows, outputs)`, weights `(features, outputs)` those of the features that are added. Column by
# column the terms are added in the order in which they come in a row: to the same bits as from rows in CSR.


@kernel()
def nonzeros(dense, counts, indices, values, total):
    """Collect what is not zero in dense rows, row after row; `total[0]` is how many there are."""
    filled = np.uint64(0)
    for i in range(np.uint64(dense.shape[0])):
        begin = filled
        for j in range(np.uint64(dense.shape[1])):
            # Written in any case, which is cheaper than to jump over it: the next one takes its place.
            indices[filled], values[filled] = j, dense[i, j]
            filled += np.uint64(dense[i, j] != 0)
        counts[i] = filled - begin
    total[0] = filled


@kernel()
def place(counts, indices, values, first, free, out_indices, out_values):
    """Copy the entries of a column to the free places of their rows, which move on.

    counts : of each row; first : the column's first feature; free : `(rows,)`, the next free place of each row.
    """
    at = np.uint64(0)
    for i in range(np.uint64(len(counts))):
        to, count = np.uint64(free[i]), np.uint64(counts[i])
        for n in range(count):
            out_indices[to + n] = indices[at + n] + np.int32(first)
        for n in range(count):
            out_values[to + n] = values[at + n]
        at += count
        free[i] = to + count


@kernel()
def add_scores(counts, indices, values, weights, scores):
    """Add what the entries of a column add to the scores of their rows; counts : of each row."""
    begin = np.uint64(0)
    for i in range(np.uint64(len(counts))):
        end = begin + np.uint64(counts[i])
        for j in range(np.uint64(weights.shape[1])):
            total = scores[i, j]
            for n in range(begin, end):
                total += np.float64(values[n]) * np.float64(weights[np.uint64(indices[n]), j])
            scores[i, j] = total
        begin = end


@kernel()
def add_dense_scores(dense, weights, first, scores):
    """Add what dense rows add to the scores from row `first` on."""
    for i in range(np.uint64(dense.shape[0])):
        row = np.uint64(first) + i
        for j in range(np.uint64(weights.shape[1])):
            total = scores[row, j]
            for k in range(np.uint64(dense.shape[1])):
                total += np.float64(dense[i, k]) * np.float64(weights[k, j])
            scores[row, j] = total


@kernel()
def add_indicator_scores(features, factors, weights, scores):
    """Add what the one feature of each row adds to its scores; factors : the values of the features."""
    for i in range(np.uint64(len(features))):
        feature = np.uint64(features[i])
        for j in range(np.uint64(weights.shape[1])):
            scores[i, j] += np.float64(factors[feature]) * np.float64(weights[feature, j])


@kernel()
def add_powers(indices, values, sums):
    """Add every entry, its square and its cube to the sums `(features, 3)` of its feature."""
    last = np.uint64(max(len(indices) - 1, 0))
    for n in range(np.uint64(len(indices))):
        prefetch(sums, np.uint64(indices[min(n + np.uint64(AHEAD), last)]), np.uint64(0))
        feature, value = np.uint64(indices[n]), np.float64(values[n])
        sums[feature, 0] += value
        sums[feature, 1] += value * value
        sums[feature, 2] += value * value * value


@kernel()
def add_weighed(starts, indices, values, weights, sums):
    """Add every entry, its square, and it times each weight of its row, to the sums `(features, 2 + weights)`.

    starts : where the entries of each row begin, and where the last ones end; weights : `(rows, weights)`, float64.
    """
    last = np.uint64(max(len(indices) - 1, 0))
    for i in range(np.uint64(len(weights))):
        for n in range(np.uint64(starts[i]), np.uint64(starts[i + np.uint64(1)])):
            prefetch(sums, np.uint64(indices[min(n + np.uint64(AHEAD), last)]), np.uint64(0))
            feature, value = np.uint64(indices[n]), np.float64(values[n])
            sums[feature, 0] += value
            sums[feature, 1] += value * value
            for j in range(np.uint64(weights.shape[1])):
                sums[feature, np.uint64(2) + j] += value * weights[i, j]


@kernel()
def spread(starts, indices, values, bounds, centre, factor, empty, out):
    """Write entries into dense rows: `(value - centre) · factor` of each one's feature, `empty` where there is none.

    starts : where the entries of each row begin, and where the last ones end; the first is 0; values : kept within
    plus and minus `bounds` of their features. A row of 28 takes 48 ns so, array by array in NumPy 465.
    """
    for i in range(np.uint64(out.shape[0])):
        for j in range(np.uint64(out.shape[1])):
            out[i, j] = empty[j]
        for n in range(np.uint64(starts[i]), np.uint64(starts[i + np.uint64(1)])):
            j = np.uint64(indices[n])
            value = min(max(values[n], -bounds[j]), bounds[j])
            out[i, j] = np.float32((value - centre[j]) * factor[j])
