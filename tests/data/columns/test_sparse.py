"""Lists of pairs against SciPy's matrices."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from schuss.data.columns.place import Place
from schuss.data.columns.sparse import SparseColumn
from schuss.errors import DataError

PLACE = Place("t", 0, "x")
RNG = np.random.default_rng(0)


def pairs(matrix: scipy.sparse.csr_array, index: pa.DataType | None = None) -> pa.Array:
    index = index or pa.int64()
    struct = pa.StructArray.from_arrays(
        [pa.array(matrix.indices).cast(index), pa.array(matrix.data, pa.float32())],
        fields=[pa.field("index", index), pa.field("value", pa.float32())],
    )
    return pa.ListArray.from_arrays(pa.array(matrix.indptr, pa.int32()), struct)


def random(rows: int = 200, width: int = 50, density: float = 0.1) -> scipy.sparse.csr_array:
    matrix = scipy.sparse.random_array((rows, width), density=density, rng=RNG, format="csr", dtype=np.float32)
    matrix.sort_indices()
    return matrix


def whole(column: SparseColumn, values: pa.Array) -> np.ndarray:
    counts, indices, numbers = column.entries(column.prepare(values, PLACE), slice(0, len(values)))
    shape = (len(values), len(column.unit))
    return scipy.sparse.csr_array((numbers, indices, np.append(0, np.cumsum(counts))), shape=shape).toarray()


@pytest.mark.parametrize("index", [pa.int32(), pa.int64()], ids=str)
def test_sparse_rows_are_scaled_by_one_size(index: pa.DataType) -> None:
    matrix = random()
    values = pairs(matrix, index)
    column = SparseColumn.fit(values, PLACE, 60).laid_out(sparse=True)
    expected = np.zeros((200, 60))
    expected[:, :50] = matrix.toarray() / np.median(matrix.data)
    np.testing.assert_allclose(whole(column, values), expected, rtol=1e-5)
    np.testing.assert_allclose(whole(column, values.slice(50, 20)), expected[50:70], rtol=1e-5)


def test_features_of_another_size_are_evened_out() -> None:
    matrix = random()
    scaled = matrix @ scipy.sparse.diags_array(np.where(np.arange(50) == 3, 1e4, 1.0)).tocsr()
    values = pairs(scipy.sparse.csr_array(scaled))
    rows = whole(SparseColumn.fit(values, PLACE, None).laid_out(sparse=True), values)
    size = np.sqrt((rows**2).sum(axis=0) / (rows != 0).sum(axis=0))
    assert size[3] == pytest.approx(1, rel=1e-5)
    assert ((size > 0.3) & (size < 3)).all()


def test_dense_rows_are_centred_and_scaled() -> None:
    matrix = random(density=0.3)
    values = pairs(matrix)
    column = SparseColumn.fit(values, PLACE, None)
    out = np.empty((100, 50), np.float32)
    column.write(column.prepare(values, PLACE), slice(50, 150), out)
    dense = matrix.toarray().astype(float)
    size = np.sqrt((dense**2).sum(axis=0) / (dense != 0).sum(axis=0))
    np.testing.assert_allclose(out, ((dense - dense.mean(axis=0)) / size)[50:150], atol=1e-5)


def test_statistics_of_many_blocks_of_pairs_take_little_memory() -> None:
    matrix = random(40_000, 30, 0.5)
    matrix.data -= np.float32(0.25)
    matrix.data[-1] = -30.0  # the farthest is the very last
    values, dense = pairs(matrix), matrix.toarray().astype(float)
    tracemalloc.start()
    column = SparseColumn.fit(values, PLACE, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    there = dense != 0
    np.testing.assert_array_equal(column.shares, there.mean(axis=0))
    np.testing.assert_allclose(column.mean, dense.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(column.deviation, np.sqrt((dense**2).sum(axis=0) / there.sum(axis=0)), rtol=1e-9)
    size = np.median(np.abs(dense[there]))
    assert column.reach == pytest.approx(2 * 30.0 / size, rel=1e-12)
    assert peak < 30 * there.sum(), "bytes a pair; sums by whole arrays took 34"


def test_indices_beyond_the_width_are_left_out_and_counted() -> None:
    column = SparseColumn.fit(pairs(random()), PLACE, 50).laid_out(sparse=True)
    later = pa.array([[{"index": 49, "value": 1.0}, {"index": 50, "value": 1.0}], [{"index": 999, "value": 1.0}], []])
    prepared = column.prepare(later, PLACE)
    assert column.unseen(prepared) == 2
    assert column.entries(prepared, slice(0, 3)).counts.tolist() == [1, 0, 0]
    assert column.entries(prepared, slice(0, 1)).indices.tolist() == [49]


def test_wild_values_are_clipped() -> None:
    column = SparseColumn.fit(pairs(random()), PLACE, 50).laid_out(sparse=True)
    later = pa.array([[{"index": 1, "value": 3e38}], [{"index": 1, "value": -3e38}], None], pairs(random()).type)
    assert whole(column, later)[:, 1].tolist() == [10.0, -10.0, 0.0]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("index", [pa.int32(), pa.int64()])
def test_wild_values_are_clipped_in_dense_rows_too(kind: type, index: pa.DataType) -> None:
    column = SparseColumn.fit(pairs(random()), PLACE, 50)
    values = [[(1, 30_000), (7, 2)], [], [(1, -30_000)], [(7, 1)]]
    later = pa.array(values, pa.list_(pa.struct([("index", index), ("value", pa.from_numpy_dtype(kind))])))
    out = np.full((3, 50), np.nan, np.float32)
    column.write(column.prepare(later, PLACE), slice(1, 4), out)
    raw = np.zeros((3, 50))
    raw[1, 1], raw[2, 7] = -column.reach * column.unit[1], 1
    np.testing.assert_array_equal(out, ((raw - column.mean) / column.deviation).astype(np.float32))


def test_names_count_as_the_file_does() -> None:
    column = SparseColumn.fit(pairs(random()), PLACE, 50, first=1)
    assert column.feature(0) == ("x[1]", "per unit of x[1]")
    bad = pa.array([[], [{"index": 4, "value": np.inf}]], pairs(random()).type)
    with pytest.raises(DataError, match=r"^t, row 2, column 'x': the value inf of feature 5 cannot be used$"):
        column.prepare(bad, PLACE)
    bad = pa.array([[{"index": -2, "value": 1.0}]], pairs(random()).type)
    with pytest.raises(DataError, match=r"^t, row 1, column 'x': the index -1 of feature -1 cannot be used$"):
        column.prepare(bad, PLACE)
    with pytest.raises(DataError, match=r"values of type double are not lists of \(index, value\) pairs"):
        column.prepare(pa.array([1.0]), PLACE)


@pytest.mark.parametrize("size", [3e-44, 1e-39])
def test_values_too_small_for_their_reciprocals(size: float) -> None:
    """Found by fuzzing: their unit's reciprocal was infinite in float32, and zero times that is no number."""
    matrix = scipy.sparse.csr_array(np.array([[size, 0], [size, 2 * size], [0, size]], np.float32))
    matrix.data[0] = 0
    values = pairs(matrix)
    for sparse in (True, False):
        column = SparseColumn.fit(values, PLACE, None).laid_out(sparse=sparse)
        assert np.isfinite(whole(column, values)).all()
        out = np.empty((3, 2), np.float32)
        column.write(column.prepare(values, PLACE), slice(0, 3), out)
        assert np.isfinite(out).all()
