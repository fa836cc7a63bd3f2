"""Which held-out rows have an identical training row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chunk import Rows, SparseRows
from .columns.hashing import mix

__all__ = ["share_of_twins"]


def share_of_twins(rows: Rows, among: Rows) -> float:
    """Give the share of the rows that are also among others, feature by feature.

    >>> share_of_twins(np.zeros((2, 1), np.float32), np.array([[0], [1]], np.float32))
    1.0
    """
    known, hashes = np.sort(_row_hashes(among)), _row_hashes(rows)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return float((known[places] == hashes).mean())


def _row_hashes(rows: Rows) -> NDArray[np.uint64]:
    """Hash each row by its features: a sum of their bits times odd constants, modulo 2^64."""
    if isinstance(rows, SparseRows):
        terms = (rows.values.view(np.uint32).astype(np.uint64) + np.uint64(1)) * _constants(rows.indices)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        return sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
    constants = _constants(np.arange(rows.shape[1]))
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), 1024):
        bits = rows[start : start + 1024].view(np.uint32).astype(np.uint64)
        hashes[start : start + 1024] = (bits * constants).sum(axis=1, dtype=np.uint64)
    return hashes


def _constants(features: NDArray[Any]) -> NDArray[np.uint64]:
    """Give each feature an odd number of its own."""
    return mix(features.astype(np.uint64) + np.uint64(1)) | np.uint64(1)
