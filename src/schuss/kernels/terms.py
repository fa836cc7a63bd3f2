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
LAST_KIND = np.int64(0xFFFF)
FEW = 64
"""Terms of a row that are sorted by their ranks, which takes time with the square of their number."""


@inlined
def _kind(codes, kinds, at):
    """Look up what a character is to its neighbours; all beyond the table are as its last."""
    return kinds[min(np.int64(codes[at]), LAST_KIND)]


@inlined
def _sort_few(numbers, begin, end, keys):
    """Sort few numbers in place: each goes to where its rank is, which is counted without a jump.

    keys : `(2 · FEW,)`, room. Fifteen take 95 ns, of which Shell's method, whose jumps nobody can predict, took 240.
    """
    count = np.uint64(end - begin)
    for i in range(count):
        keys[i] = np.int64(numbers[np.uint64(begin) + i]) * FEW + np.int64(i)
    for i in range(count):
        rank = np.int64(0)
        for j in range(count):
            rank += np.int64(keys[j] < keys[i])
        keys[np.uint64(FEW + rank)] = keys[i]
    for i in range(count):
        numbers[np.uint64(begin) + i] = keys[np.uint64(FEW) + i] // FEW


@inlined
def _sort(numbers, begin, end):
    """Sort some numbers in place (Shell's method: no memory, no worst case)."""
    gap = (end - begin) // 2
    while gap > 0:
        for i in range(begin + gap, end):
            number, j = numbers[i], i
            while j >= begin + gap and numbers[j - gap] > number:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = number
        gap //= 2


@inlined
def _count(buckets, times, begin, end):
    """Keep each of some sorted buckets once, with its number of times; give where they end."""
    kept, last = begin - 1, np.int64(-1)
    for i in range(begin, end):
        bucket = np.int64(buckets[i])
        kept += bucket != last
        times[kept] = 1 if bucket != last else times[kept] + 1
        buckets[kept] = last = bucket
    return kept + 1


@kernel()
def terms(codes, bounds, kinds, shift, keys, buckets, times, counts):
    """Count the terms of each row: `counts` of them, each a bucket, ascending, and how often it comes.

    codes : characters of all rows; bounds : where each row begins, and where the last ends; kinds : of characters, a
    table; shift : hashes lose so many bits; keys : `(2 · FEW,)`, room to sort in; buckets, times : room for two terms a
    character and one a row.
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
        if filled - begin <= FEW:
            _sort_few(buckets, begin, filled, keys)
        else:
            _sort(buckets, begin, filled)
        filled = _count(buckets, times, begin, filled)
        counts[row] = filled - begin


@kernel()
def weigh(starts, buckets, times, growth, idf, norm, values):
    """Weigh terms by `growth[times] · idf[bucket]`, and bring each row to the same norm; every row has a term.

    starts : where the terms of each row begin, and where the last ones end; the first is 0. Row by row this takes 40 ns
    for fifteen terms, array by array in NumPy 100.
    """
    for row in range(np.uint64(len(starts) - 1)):
        begin, end = np.uint64(starts[row]), np.uint64(starts[row + np.uint64(1)])
        square = 0.0
        for i in range(begin, end):
            weight = growth[np.uint64(times[i])] * idf[np.uint64(buckets[i])]
            square += weight * weight
        factor = norm / sqrt(square)
        for i in range(begin, end):
            values[i] = growth[np.uint64(times[i])] * idf[np.uint64(buckets[i])] * factor
