"""Text into counted terms: tokens and pairs of neighbouring tokens, hashed, row by row."""

from __future__ import annotations

import numpy as np

import schuss.kernels.elementary  # noqa: F401 — makes `sqrt` known to numba
from schuss.descent.ops import sqrt
from schuss.kernels.encode import mixed
from schuss.kernels.options import inlined, kernel

BASE = np.uint64(0x9E3779B97F4A7C15)
PAIR = np.uint64(0xD6E8FEB86659FD93)
BLANK, LONE = np.uint8(0), np.uint8(3)


@inlined
def _kind(codes, kinds, at):
    """Look up what a character is to its neighbours; all beyond the table are as its last."""
    return kinds[min(np.int64(codes[at]), len(kinds) - 1)]


@kernel()
def terms(codes, bounds, kinds, shift, buckets, counts):
    """Give the terms of each row as they come, `counts` of them, each a bucket; a pair follows its second token.

    codes : characters of all rows; bounds : where each row begins, and where the last ends; kinds : of characters, a
    table; shift : hashes lose so many bits; buckets : room for two terms a character and one a row.
    """
    drop, filled = np.uint64(shift), 0
    for row in range(len(counts)):
        begin, i, stop = filled, bounds[row], bounds[row + 1]
        before = np.uint64(0)
        while i < stop:
            kind = _kind(codes, kinds, i)
            if kind == BLANK:
                i += 1
            else:
                total, power, first, within = np.uint64(0), np.uint64(1), i, True
                while within:
                    total += (np.uint64(codes[i]) + np.uint64(1)) * power
                    power *= BASE
                    i += 1
                    within = i < stop and kind != LONE and _kind(codes, kinds, i) == kind
                token = mixed(total + np.uint64(i - first))
                if filled > begin:
                    buckets[filled] = np.int64(mixed(before * PAIR + token) >> drop)
                    filled += 1
                buckets[filled] = np.int64(token >> drop)
                filled += 1
                before = token
        if filled == begin:  # a row without characters has one token of none
            buckets[filled] = np.int64(mixed(np.uint64(0)) >> drop)
            filled += 1
        counts[row] = filled - begin


@inlined
def _factor(begin, end, buckets, times, growth, idf, norm):
    """Give what brings the terms of a row to their norm."""
    square = 0.0
    for i in range(begin, end):
        weight = growth[np.uint64(times[i])] * idf[np.uint64(buckets[i])]
        square += weight * weight
    return norm / sqrt(square)


@kernel()
def weigh(starts, buckets, times, growth, idf, norm, values):
    """Weigh terms by `growth[times] · idf[bucket]`, and bring each row to the same norm; every row has a term.

    starts : where the terms of each row begin, and where the last ones end; the first is 0. Row by row this takes 40 ns
    for fifteen terms, array by array in NumPy 100.
    """
    for row in range(np.uint64(len(starts) - 1)):
        begin, end = np.uint64(starts[row]), np.uint64(starts[row + np.uint64(1)])
        factor = _factor(begin, end, buckets, times, growth, idf, norm)
        for i in range(begin, end):
            values[i] = growth[np.uint64(times[i])] * idf[np.uint64(buckets[i])] * factor


@kernel()
def add_scores(starts, buckets, times, growth, idf, norm, weights, scores):
    """Add what the terms of rows, weighed as `weigh` does, add to their scores, see `kernels.entries`."""
    for row in range(np.uint64(len(starts) - 1)):
        begin, end = np.uint64(starts[row]), np.uint64(starts[row + np.uint64(1)])
        factor = _factor(begin, end, buckets, times, growth, idf, norm)
        for j in range(np.uint64(weights.shape[1])):
            total = scores[row, j]
            for i in range(begin, end):
                bucket = np.uint64(buckets[i])
                value = np.float32(growth[np.uint64(times[i])] * idf[bucket] * factor)
                total += np.float64(value) * np.float64(weights[bucket, j])
            scores[row, j] = total
