"""Rows in both layouts against NumPy and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
from tests.cases import dense_rows, to_sparse

from schuss.data.chunk import (
    Chunk,
    Rows,
    SparseRows,
    as_matrix,
    between,
    concatenate_rows,
    long_chunk,
    row_count,
    take_rows,
    transposed,
)

DENSE = dense_rows(40, 12, density=0.2)
DENSE[[0, 7, 39]] = 0


def as_dense(rows: Rows) -> np.ndarray:
    if not isinstance(rows, SparseRows):
        return rows
    assert rows.indptr[0] == 0
    assert rows.indptr[-1] == len(rows.indices) == len(rows.values)
    return scipy.sparse.csr_array((rows.values, rows.indices, rows.indptr), (row_count(rows), rows.width)).toarray()


@pytest.mark.parametrize("rows", [DENSE, to_sparse(DENSE)], ids=["dense", "sparse"])
@pytest.mark.parametrize("index", [[], [3], [0], [39, 0, 7], [5, 5, 1, 5], list(range(40))[::-1]])
def test_take(rows: Rows, index: list[int]) -> None:
    taken = take_rows(rows, np.array(index, np.int64))
    assert row_count(taken) == len(index)
    np.testing.assert_array_equal(as_dense(taken), DENSE[index])
    if isinstance(rows, SparseRows) and isinstance(taken, SparseRows):
        assert [array.dtype for array in taken[:3]] == [np.int64, np.int32, np.float32]
        assert taken.width == rows.width


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("edges", [[0, 40], [0, 13, 40], [0, 0, 1, 39, 40, 40]])
def test_concatenate(sparse: bool, edges: list[int]) -> None:
    pieces: list[Rows] = [DENSE[a:z] for a, z in itertools.pairwise(edges)]
    whole = concatenate_rows([to_sparse(piece) for piece in pieces] if sparse else pieces)  # pyright: ignore
    assert isinstance(whole, SparseRows) == sparse
    np.testing.assert_array_equal(as_dense(whole), DENSE)
    if isinstance(whole, SparseRows):
        assert [array.dtype for array in whole[:3]] == [np.int64, np.int32, np.float32]


def test_row_count() -> None:
    assert row_count(DENSE) == row_count(to_sparse(DENSE)) == 40
    assert row_count(to_sparse(DENSE[:0])) == 0


def test_matrices_of_a_few_sparse_rows_copy_nothing() -> None:
    whole = scipy.sparse.random_array(
        (100, 7), density=0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(0)
    )
    rows = SparseRows(whole.indptr.astype(np.int64), whole.indices.astype(np.int32), whole.data, 7)
    part = between(Chunk(rows, np.zeros(100, np.float32), np.ones(100, np.float32)), 10, 30).rows
    matrix = as_matrix(part)
    assert np.shares_memory(matrix.data, whole.data)
    assert np.shares_memory(matrix.indices, rows.indices)
    assert np.shares_memory(transposed(matrix).indices, rows.indices)
    np.testing.assert_array_equal(matrix.toarray(), whole[10:30].toarray())
    np.testing.assert_array_equal(transposed(matrix).toarray(), whole[10:30].toarray().T)
    np.testing.assert_allclose(transposed(matrix) @ np.ones(20), whole[10:30].toarray().sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 8192, 262_143, 262_144, 400_000, 524_288, 2**20, 10**9])
@pytest.mark.parametrize("row", [12, 120, 256, 512, 616, 3000])
def test_long_chunks_are_of_narrow_rows_and_short_beside_an_epoch(rows: int, row: int) -> None:
    found = long_chunk(rows, rows * row)
    assert found % 8192 == 0, "mini-batches of 1 to 8,192 rows in powers of two are never cut"
    assert 8192 <= found <= 8 * 8192
    if found > 8192:
        assert found * row <= 10 << 20
        assert 16 * found <= rows
    longer = found + 8192
    assert longer > 8 * 8192 or longer * row > 10 << 20 or 16 * longer > rows, "as long as may be"
