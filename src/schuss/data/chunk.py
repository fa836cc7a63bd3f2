"""The unit of everything outside the kernels: some thousand encoded rows in training order, mostly 8,192."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 8192

LONG_CHUNK_BYTES = 10 << 20
LONGEST_CHUNK = 8
LONG_CHUNKS = 16
"""Long chunks of narrow rows have so many bytes, eight times 8,192 rows and a sixteenth of an epoch at most.

Of 8,192 rows of 28 columns the kernel of sixteen runs takes 0.3 ms, Python 0.045 ms, and a second thread begins 0.08 ms
after the first: eight times as many rows take 11 to 22 % less of the processors (75 nonzeros: twice as many, 10 %). An
epoch of sixteen chunks still gives a race all the looks at its runs that it asks for in a leg.
"""


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
    targets: NDArray[np.int32 | np.float32]
    weights: NDArray[np.float32]


def row_count(rows: Rows) -> int:
    """Count the rows of either layout."""
    return len(rows.indptr) - 1 if isinstance(rows, SparseRows) else len(rows)


def feature_count(rows: Rows) -> int:
    """Count the features of either layout."""
    return rows.width if isinstance(rows, SparseRows) else rows.shape[1]


def take_rows(rows: Rows, index: NDArray[np.integer]) -> Rows:
    """Copy the rows at `index`, in that order; those of a module may be several arrays, as a tuple or a dict."""
    if isinstance(rows, dict):
        return {name: one[index] for name, one in rows.items()}  # pyright: ignore[reportReturnType]
    if not isinstance(rows, SparseRows):
        return tuple(one[index] for one in rows) if isinstance(rows, tuple) else rows[index]  # pyright: ignore
    lengths = np.diff(rows.indptr)[index]
    indptr = np.zeros(len(index) + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    # Position of every copied entry: its place within its row plus where that row began.
    places = np.arange(indptr[-1]) + np.repeat(rows.indptr[:-1][index] - indptr[:-1], lengths)
    return SparseRows(indptr, rows.indices[places], rows.values[places], rows.width)


def row_of_entries(rows: SparseRows) -> NDArray[np.int64]:
    """Say of every entry in which row it is."""
    return np.repeat(np.arange(row_count(rows)), np.diff(rows.indptr))


def concatenate_rows(pieces: list[Rows]) -> Rows:
    """Put pieces of the same layout one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    sparse = [piece for piece in pieces if isinstance(piece, SparseRows)]
    if not sparse:
        return np.concatenate([piece for piece in pieces if not isinstance(piece, SparseRows)])
    offsets = np.cumsum([0] + [piece.indptr[-1] for piece in sparse])
    indptr = np.concatenate([np.zeros(1, np.int64)] + [p.indptr[1:] + o for p, o in zip(sparse, offsets, strict=False)])
    return SparseRows(
        indptr,
        np.concatenate([piece.indices for piece in sparse]),
        np.concatenate([piece.values for piece in sparse]),
        sparse[0].width,
    )


def as_matrix(rows: Rows) -> Any:
    """Give rows as what multiplies with `@`: dense rows as they are, sparse ones as a SciPy matrix."""
    if not isinstance(rows, SparseRows):
        return rows
    from scipy.sparse import csr_array

    # Given the arrays, SciPy copies those of a block of rows, and indices of another type than the pointers, at every
    # look at the rows, which takes as long as the product with them.
    matrix = csr_array((row_count(rows), rows.width), dtype=rows.values.dtype)
    fits = len(rows.indices) <= np.iinfo(rows.indices.dtype).max
    indptr = rows.indptr.astype(rows.indices.dtype) if fits else rows.indptr
    indices = rows.indices if fits else rows.indices.astype(indptr.dtype)
    matrix.data, matrix.indices, matrix.indptr = rows.values, indices, indptr
    return matrix


def transposed(matrix: Any) -> Any:
    """Give the transpose of what `as_matrix` gives; SciPy's own copies the arrays of a block of rows once more."""
    if isinstance(matrix, np.ndarray):
        return matrix.T
    from scipy.sparse import csc_array

    turned = csc_array(matrix.shape[::-1], dtype=matrix.dtype)
    turned.data, turned.indices, turned.indptr = matrix.data, matrix.indices, matrix.indptr
    return turned


def take(chunk: Chunk, which: NDArray[Any]) -> Chunk:
    """Take rows by a mask or by places; a mask that takes all copies nothing."""
    if which.dtype == np.bool_:
        if which.all():
            return chunk
        which = np.flatnonzero(which)
    return Chunk(take_rows(chunk.rows, which), chunk.targets[which], chunk.weights[which])


def join(chunks: list[Chunk]) -> Chunk:
    """Put chunks one after the other."""
    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        concatenate_rows([chunk.rows for chunk in chunks]),
        np.concatenate([chunk.targets for chunk in chunks]),
        np.concatenate([chunk.weights for chunk in chunks]),
    )


def nothing_like(chunk: Chunk) -> Chunk:
    """Give no rows, of the same layout, width and types; unlike a view it holds nothing of the chunk."""
    return take(chunk, np.empty(0, np.int64))


def long_chunk(rows: int, size: int) -> int:
    """Give the rows of a long chunk, a multiple of 8,192, of so many rows which together take `size` bytes.

    >>> long_chunk(1_000_000, 120_000_000), long_chunk(1_000_000, 3_000_000_000), long_chunk(100_000, 12_000_000)
    (57344, 8192, 8192)
    """
    most = min(LONG_CHUNK_BYTES * rows // max(size, 1), rows // LONG_CHUNKS)
    return whole_units(most, CHUNK_ROWS, LONGEST_CHUNK)


def whole_units(most: int, unit: int, longest: int) -> int:
    """Give the largest multiple of `unit` rows within `most`: one unit at least, `longest` of them at most.

    >>> [whole_units(most, 8192, 4) for most in (100, 20_000, 1_000_000)]
    [8192, 16384, 32768]
    """
    return unit * min(max(most // unit, 1), longest)


def cut(chunk: Chunk, first: int = 0, length: int | None = None) -> Iterator[Chunk]:
    """Cut rows that are in training order, from `first` on, into views of at most `length` (8,192) rows."""
    length = CHUNK_ROWS if length is None else length
    for start in range(first, len(chunk.targets), length):
        yield between(chunk, start, start + length)


def between(chunk: Chunk, start: int, stop: int) -> Chunk:
    """View the rows from `start` to before `stop`, or to the last one."""
    return Chunk(_between(chunk.rows, start, stop), chunk.targets[start:stop], chunk.weights[start:stop])


def _between(rows: Rows, start: int, stop: int) -> Rows:
    if not isinstance(rows, SparseRows):
        return rows[start:stop]
    indptr = rows.indptr[start : stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return SparseRows(indptr - indptr[0], rows.indices[entries], rows.values[entries], rows.width)


def size_of(chunk: Chunk) -> int:
    """Give the bytes of a chunk."""
    rows = chunk.rows
    size = rows.indices.nbytes + rows.values.nbytes if isinstance(rows, SparseRows) else rows.nbytes
    return size + chunk.targets.nbytes + chunk.weights.nbytes
