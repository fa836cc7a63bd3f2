"""Text into counted terms: tokens and pairs of neighbouring tokens, hashed, row by row."""

from __future__ import annotations

import numpy as np

from schuss.kernels.encode import mixed
from schuss.kernels.options import inlined, kernel

BASE = np.uint64(0x9E3779B97F4A7C15)
PAIR = np.uint64(0xD6E8FEB86659FD93)
BLANK, LONE = np.uint8(0), np.uint8(3)
LAST_KIND = np.int64(0xFFFF)


@inlined
def _kind(codes, kinds, at):
    """Look up what a character is to its neighbours; all beyond the table are as its last."""
    return kinds[min(np.int64(codes[at]), LAST_KIND)]


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
    kept = begin
    for i in range(begin, end):
        if i > begin and buckets[i] == buckets[kept - 1]:
            times[kept - 1] += 1
        else:
            buckets[kept], times[kept] = buckets[i], 1
            kept += 1
    return kept


@kernel()
def terms(codes, bounds, kinds, shift, buckets, times, counts):
    """Count the terms of each row: `counts` of them, each a bucket, ascending, and how often it comes.

    codes : characters of all rows; bounds : where each row begins, and where the last ends; kinds : of characters, a
    table; shift : hashes lose so many bits; buckets, times : room for two terms a character and one a row.
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
        _sort(buckets, begin, filled)
        filled = _count(buckets, times, begin, filled)
        counts[row] = filled - begin
