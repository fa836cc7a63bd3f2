"""The unit of everything outside the kernels: up to 8,192 encoded rows in training order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 8192


class SparseRows(NamedTuple):
    """Rows in compressed form (CSR), with sorted and unique indices in each row.

    Row i holds `values[indptr[i]:indptr[i + 1]]` at the features `indices[indptr[i]:indptr[i + 1]]`.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    width: int


Rows = NDArray[np.float32] | SparseRows


class Chunk(NamedTuple):
    """Encoded rows with what they are to be learned to give.

    rows : dense `(n, features)` float32, C-contiguous, or SparseRows.
    targets : `(n,)`; int32 class indices for classification, float32 for regression.
    weights : `(n,)` float32, one where the user gave none.
    """

    rows: Rows
    targets: NDArray[np.int32] | NDArray[np.float32]
    weights: NDArray[np.float32]


def row_count(rows: Rows) -> int:
    """Count the rows of either layout."""
    return len(rows.indptr) - 1 if isinstance(rows, SparseRows) else len(rows)


def take_rows(rows: Rows, index: NDArray[np.integer]) -> Rows:
    """Copy the rows at `index`, in that order."""
    if not isinstance(rows, SparseRows):
        return rows[index]
    lengths = np.diff(rows.indptr)[index]
    indptr = np.zeros(len(index) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    # Position of every copied entry: its place within its row plus where that row began.
    places = np.arange(indptr[-1]) + np.repeat(rows.indptr[:-1][index] - indptr[:-1], lengths)
    return SparseRows(indptr, rows.indices[places], rows.values[places], rows.width)


def concatenate_rows(pieces: list[Rows]) -> Rows:
    """Put pieces of the same layout one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    sparse = [piece for piece in pieces if isinstance(piece, SparseRows)]
    if not sparse:
        return np.concatenate(pieces)
    offsets = np.cumsum([0] + [piece.indptr[-1] for piece in sparse])
    indptr = np.concatenate([np.zeros(1, np.int64)] + [p.indptr[1:] + o for p, o in zip(sparse, offsets, strict=False)])
    return SparseRows(
        indptr,
        np.concatenate([piece.indices for piece in sparse]),
        np.concatenate([piece.values for piece in sparse]),
        sparse[0].width,
    )
