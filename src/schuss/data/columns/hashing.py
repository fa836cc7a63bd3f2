"""A fixed 64-bit hash of strings, computed for many at once; the same on every machine and in every version."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Odd, with well mixed bits (the golden ratio of 64-bit words).
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))


def hash_strings(strings: pa.Array) -> NDArray[np.uint64]:
    """Hash each string (of type string, without nulls) by its UTF-8 bytes.

    >>> a, b, c = hash_strings(pa.array(["left", "right", "left"])).tolist()
    >>> a == c, a == b
    (True, False)
    """
    if len(strings) == 0:
        return np.empty(0, np.uint64)
    codes, bounds = string_buffers(strings)
    return hash_runs(codes[bounds[0] : bounds[-1]], bounds[:-1] - bounds[0], np.diff(bounds))


def string_buffers(strings: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """See the bytes that strings (of type string) lie in, and where each begins there and the last one ends."""
    _, offsets, data = strings.buffers()
    if not len(strings):
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    bounds = np.frombuffer(offsets, np.int32, len(strings) + 1, strings.offset * 4)
    return np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8), bounds


def hash_runs(
    codes: NDArray[np.integer], starts: NDArray[np.integer], lengths: NDArray[np.integer]
) -> NDArray[np.uint64]:
    """Hash runs of codes: the polynomial `sum((code + 1) * base ** place)` modulo 2^64, its bits then mixed.

    The runs follow one another; what lies between them is skipped.
    """
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    terms = codes[np.repeat(starts, lengths) + place].astype(np.uint64) + np.uint64(1)
    terms *= _powers(int(lengths.max(initial=0)))[place]
    sums = np.zeros(len(lengths), np.uint64)
    filled = lengths > 0
    if filled.any():
        sums[filled] = np.add.reduceat(terms, (np.cumsum(lengths) - lengths)[filled])
    return mix(sums + lengths.astype(np.uint64))


def _powers(count: int) -> NDArray[np.uint64]:
    powers = np.full(max(count, 1), _BASE)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the information of all bits to all bits (the finaliser of MurmurHash3)."""
    words = words ^ (words >> np.uint64(33))
    for factor in _MIX:
        words *= factor
        words ^= words >> np.uint64(33)
    return words


def expected_later(counts: NDArray[np.integer], rows: int, rows_expected: int | None) -> float:
    """Estimate how many values come after a sample: the share seen once is the share of the unseen (Good and Turing).

    >>> expected_later(np.array([1, 1, 8]), 10, 100)
    18.0
    """
    return float((counts == 1).sum() / max(rows, 1) * max((rows_expected or rows) - rows, 0))
