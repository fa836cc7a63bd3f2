"""Which held-out rows have an identical training row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunk import Rows, SparseRows
from .columns.hashing import mix

__all__ = ["share_of_twins"]

BITS = 22
"""Of a hash that tell whether a row may have a twin: a table of so many entries stays in the cache."""

BLOCK_ROWS = 4096


def share_of_twins(rows: Rows, among: Rows) -> float:
    """Give the share of the rows that are also among others, feature by feature.

    >>> share_of_twins(np.zeros((2, 1), np.float32), np.array([[0], [1]], np.float32))
    1.0
    """
    hashes, others = _row_hashes(rows), _row_hashes(among)
    # Sorting the hashes of four million rows takes four times as long as leaving out most of them first.
    known = np.sort(others[_beginnings(hashes)[_beginning(others)]])
    if not len(known):
        return 0.0
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return float((known[places] == hashes).mean())


def _beginnings(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mark the beginnings of hashes in a table of all that there are."""
    found = np.zeros(1 << BITS, np.bool_)
    found[_beginning(hashes)] = True
    return found


def _beginning(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return hashes >> np.uint64(64 - BITS)


def _row_hashes(rows: Rows) -> NDArray[np.uint64]:
    """Hash each row by its features: a sum of their bits times odd constants, modulo 2^64."""
    if isinstance(rows, SparseRows):
        return _sparse_hashes(rows)
    constants = _constants(np.arange(rows.shape[1] + 1))
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), BLOCK_ROWS):
        pairs = _pairs(rows[start : start + BLOCK_ROWS])
        first, second = pairs & np.uint64(0xFFFFFFFF), pairs >> np.uint64(32)
        many = pairs.shape[1]
        hashes[start : start + BLOCK_ROWS] = first @ constants[:many] + second @ constants[-many:]
    return hashes


def _sparse_hashes(rows: SparseRows) -> NDArray[np.uint64]:
    """Hash sparse rows, some at a time: all at once took 330 MB of a million rows of twenty entries."""
    count = len(rows.indptr) - 1
    known = _constants(np.arange(rows.width)) if rows.width < len(rows.values) else None
    hashes = np.empty(count, np.uint64)
    for start in range(0, count, BLOCK_ROWS):
        bounds = rows.indptr[start : start + BLOCK_ROWS + 1]
        own = slice(bounds[0], bounds[-1])
        terms = rows.values[own].view(np.uint32).astype(np.uint64) + np.uint64(1)
        terms *= _constants(rows.indices[own]) if known is None else known[rows.indices[own]]
        sums = np.append(np.uint64(0), np.cumsum(terms))
        hashes[start : start + BLOCK_ROWS] = np.diff(sums[bounds - bounds[0]])
    return hashes


def _pairs(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """See two neighbouring features as one word, which is half the work; the last of an odd number has a zero beside.

    One product for both would not do: round numbers, whose lower bits are zeros, would lose most of theirs.
    """
    if rows.shape[1] % 2:
        rows = np.concatenate([rows, np.zeros((len(rows), 1), np.float32)], axis=1)
    return np.ascontiguousarray(rows).view(np.uint64)


def _constants(features: NDArray[Any]) -> NDArray[np.uint64]:
    """Give each feature an odd number of its own."""
    return mix(features.astype(np.uint64) + np.uint64(1)) | np.uint64(1)
