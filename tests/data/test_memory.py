"""Arrays, sparse matrices, frames and .npz files: what the batches hold, without copies, and what is refused."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from schuss.data.open import open_source
from schuss.data.source import Cursor
from schuss.errors import DataError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70_000, 3))
Y = RANDOM.integers(0, 3, 70_000)


def dense(source: object, cursor: Cursor = Cursor()) -> np.ndarray:
    tables = [batch.table for batch in source.batches(cursor)]
    return np.concatenate([np.asarray(t.column("x").flatten()).reshape(t.num_rows, -1) for t in tables])


def table(source: object) -> pa.Table:
    return pa.Table.from_batches([batch.table for batch in source.batches()], source.schema)


def sparse(source: object, width: int, cursor: Cursor = Cursor()) -> np.ndarray:
    """Write the lists of index and value into a dense array."""
    rows = []
    for batch in source.batches(cursor):
        for entries in batch.table.column("x").to_pylist():
            row = np.zeros(width, np.float32)
            indices = [entry["index"] for entry in entries]
            assert indices == sorted(set(indices))
            row[indices] = [entry["value"] for entry in entries]
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats_are_not_copied(dtype: str) -> None:
    array = X.astype(dtype)
    source = open_source((array, Y))
    batches = list(source.batches())
    assert [(batch.part, batch.row, batch.table.num_rows) for batch in batches] == [(0, 0, 65_536), (0, 65_536, 4464)]
    assert source.schema.field("x").type == pa.list_(pa.float32() if dtype == "f4" else pa.float64(), 3)
    address = batches[1].table.column("x").flatten().buffers()[1].address
    assert address == array[65_536:].ctypes.data
    assert np.array_equal(dense(source), array)
    assert (source.target, source.weight, source.rows, source.nbytes) == ("y", None, 70_000, array.nbytes)
    assert source.schema.metadata == {b"schuss.width": b"3"}
    assert source.fingerprint() == [{"path": None, "size": None, "mtime_ns": None}]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (X.astype("i1"), pa.float32()),
        (X > 0, pa.float32()),
        (X.astype("f2"), pa.float32()),
        ((X * 1e6).astype("i4"), pa.float64()),
        ((X * 1e6).astype("u8"), pa.float64()),
        (X.astype(">f8"), pa.float64()),
        (np.asfortranarray(X), pa.float64()),
        (X[::-2, ::2], pa.float64()),
    ],
)
def test_other_layouts_are_converted_a_batch_at_a_time(array: np.ndarray, kind: pa.DataType) -> None:
    source = open_source(array)
    assert source.schema.field("x").type.value_type == kind
    assert source.schema.names == ["x"]
    assert source.target is None
    assert np.array_equal(dense(source), array.astype(float))


def test_cursor_and_sample_of_an_array() -> None:
    source = open_source((X, Y))
    assert np.array_equal(dense(source, Cursor(0, 12_345)), X[12_345:])
    sample = source.sample(1000)
    assert sum(batch.table.num_rows for batch in sample) == 1000
    assert max(batch.row for batch in sample) > 60_000
    for batch in sample:
        assert batch.table.column("y").to_pylist() == Y[batch.row : batch.row + batch.table.num_rows].tolist()
    assert sum(batch.table.num_rows for batch in source.sample(10**6)) == 70_000


@pytest.mark.parametrize(
    "labels",
    [
        list("abc"),
        np.array(list("abc")),
        np.array(["a", None, "c"], object),
        np.array([[1], [2], [3]]),
        np.array([1, 2, 3], ">i8"),
        [True, False, True],
        pd.Series([1.5, 2.5, 3.5]),
        pd.DataFrame({"t": [1, 2, 3]}),
        pl.Series([1, 2, 3]),
        pa.chunked_array([[1], [2, 3]]),
    ],
)
def test_labels(labels: object) -> None:
    source = open_source((np.eye(3), labels))
    wanted = np.asarray(labels, object).ravel().tolist() if not isinstance(labels, pa.ChunkedArray) else [1, 2, 3]
    assert table(source)["y"].to_pylist() == wanted


def test_weights() -> None:
    source = open_source((np.eye(2), [0, 1], np.array([1, 3])))
    assert source.weight == "w"
    assert table(source)["w"].to_pylist() == [1.0, 3.0]


def test_lists_and_masked_arrays() -> None:
    assert np.array_equal(dense(open_source(([[1, 2], [3, 4]], [0, 1]))), [[1, 2], [3, 4]])
    masked = np.ma.masked_array([[1, 2], [3, 4]], [[True, False], [False, False]])
    assert np.array_equal(dense(open_source(masked)), [[np.nan, 2], [3, 4]], equal_nan=True)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse_matrices(index: type, make: type) -> None:
    random = sp.random(500, 20, 0.2, format="csr", random_state=1)
    matrix = make(random)
    if matrix.format == "csr":
        matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    source = open_source((matrix, Y[:500]))
    found = source.schema.field("x").type.value_type.field("index").type
    assert found == (pa.int64() if matrix.format == "csr" and index is np.int64 else pa.int32())
    assert source.schema.metadata == {b"schuss.width": b"20"}
    assert np.array_equal(sparse(source, 20), random.toarray().astype(np.float32))
    assert np.array_equal(sparse(source, 20, Cursor(0, 123)), random.toarray()[123:].astype(np.float32))


def test_duplicate_and_unsorted_entries_are_summed_in_a_copy() -> None:
    matrix = sp.csr_matrix((np.ones(4), np.array([3, 1, 1, 2]), np.array([0, 3, 4])), shape=(2, 5))
    assert sparse(open_source(matrix), 5).tolist() == [[0, 2, 0, 1, 0], [0, 0, 1, 0, 0]]
    assert matrix.indices.tolist() == [3, 1, 1, 2]


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": [1, 2, 3],
            "b": ["x", "y", None],
            "c": pd.Categorical(["p", "q", "p"]),
            "d": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
            "e": [0.5, np.nan, 2.5],
        },
        index=[7, 8, 9],
    )


FRAMES = {
    "pandas": frame,
    "polars": lambda: pl.from_pandas(frame()),
    "table": lambda: pa.Table.from_pandas(frame(), preserve_index=False),
    "batch": lambda: pa.RecordBatch.from_pandas(frame(), preserve_index=False),
    "lazy frame": lambda: pl.from_pandas(frame()).lazy().filter(pl.col("a") < 4),
    "relation": lambda: duckdb.from_arrow(pa.Table.from_pandas(frame(), preserve_index=False)).filter("a < 4"),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames(make: object) -> None:
    source = open_source(make())
    found = table(source)
    assert found.schema.names == ["a", "b", "c", "d", "e"]
    assert found["a"].to_pylist() == [1, 2, 3]
    assert found["b"].to_pylist() == ["x", "y", None]
    assert found["c"].to_pylist() == ["p", "q", "p"]
    assert found["d"][0].as_py().isoformat() == "2020-01-01T00:00:00"
    assert found["e"].to_pylist() == [0.5, None, 2.5]
    assert (source.target, source.rows, source.rereadable) == (None, 3, True)
    assert [batch.row for batch in source.batches(Cursor(0, 2), columns=["c"])] == [2]


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frame_with_labels(make: object) -> None:
    assert open_source((make(), [0, 1, 0])).target == "y"
    assert open_source((make(), [0, 1, 0]), target="late").target == "late"
    source = open_source((make(), pd.Series([0, 1, 0], name="a"), [1, 1, 2]))
    assert (source.target, source.weight) == ("a_", "w")
    assert table(source).column_names == ["a", "b", "c", "d", "e", "a_", "w"]


def test_long_frames_come_in_batches() -> None:
    source = open_source(pd.DataFrame({"a": np.arange(70_000)}))
    assert [batch.table.num_rows for batch in source.batches()] == [65_536, 4464]
    assert next(source.batches(Cursor(0, 69_999))).table["a"].to_pylist() == [69_999]


REFUSED = {
    "words": (np.array([["a", "b"]]), "X must hold numbers"),
    "objects": (np.array([[1, "a"]], object), "X must hold numbers, got the type object"),
    "one dimension": (X[0], "X must have two dimensions"),
    "ragged": ([[1, 2], [3]], "rows of different lengths"),
    "no rows": ((X[:0], Y[:0]), "X must have rows and columns, got the shape 0 x 3"),
    "labels too short": ((X, Y[:3]), "X has 70,000 rows but y has 3"),
    "weights too short": ((X, Y, [1.0]), "X has 70,000 rows but weights has 1"),
    "words as weights": ((X[:1], Y[:1], ["a"]), "weights must be numbers"),
    "two labels a row": ((X, X), "y must have one dimension, got 2"),
    "lists of labels": ((X[:2], [[1, 2], [1, 2]]), "y must hold one plain value a row"),
    "mixed labels": ((X[:2], [1, "a"]), "y must hold values of one kind"),
    "four items": ((X, Y, Y, Y), "a tuple must be"),
    "complex": (X.astype(complex), "X must hold numbers, got the type complex128"),
    "duplicate columns": (pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), "the table has two columns named 'a'"),
    "mixed column": (pd.DataFrame({"a": [1, "x"]}), "the table cannot be read: .*'x'"),
    "empty frame": (pd.DataFrame({"a": []}), "the table has no rows"),
    "failing lazy frame": (pl.LazyFrame({"a": ["x"]}).cast(pl.Int64), "the query cannot be run: conversion from `str`"),
    "failing relation": (duckdb.sql("SELECT 'x'::INT AS a"), "the query cannot be run: Conversion Error: .*'x'"),
    "relation without rows": (duckdb.sql("SELECT 1 AS a WHERE false"), "the table has no rows"),
    "dictionary": ({"a": [1]}, "a source must be a path, array, .* got dict"),
    "nothing": (None, "got NoneType"),
    "complex sparse": (sp.csr_matrix(np.eye(2) * 1j), "X must hold numbers"),
}


@pytest.mark.parametrize(("data", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(data: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        open_source(data)


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=X[:10], y=np.array(list("abcdefghij")), sample_weight=np.arange(10))
    source = open_source(tmp_path / "t.npz")
    assert (source.name, list(source.parts), source.target, source.weight) == ("t", ["t.npz"], "y", "w")
    assert np.array_equal(dense(source), X[:10])
    assert table(source)["y"].to_pylist() == list("abcdefghij")
    assert table(source)["w"].to_pylist() == list(range(10))
    assert source.fingerprint()[0]["size"] == (tmp_path / "t.npz").stat().st_size


def test_sparse_npz(tmp_path: Path) -> None:
    matrix = sp.random(30, 9, 0.3, format="csr", random_state=2)
    sp.save_npz(tmp_path / "s.npz", matrix)
    assert np.array_equal(sparse(open_source(tmp_path / "s.npz"), 9), matrix.toarray().astype(np.float32))
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
    np.savez(tmp_path / "y.npz", y=np.arange(30), **parts)
    assert open_source(tmp_path / "y.npz").target == "y"
    np.savez(tmp_path / "bad.npz", **(parts | {"indices": matrix.indices + 50}))
    with pytest.raises(DataError, match=r"bad\.npz holds a sparse matrix that is not valid"):
        open_source(tmp_path / "bad.npz")
    sp.save_npz(tmp_path / "csc.npz", matrix.tocsc())
    with pytest.raises(DataError, match="save it as CSR"):
        open_source(tmp_path / "csc.npz")


def test_npz_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", Z=X[:3])
    with pytest.raises(DataError, match="must hold an array 'X', but holds only 'Z'"):
        open_source(tmp_path / "z.npz")
    np.savez(tmp_path / "o.npz", X=X[:3], y=np.array([1, "a", None], object))
    with pytest.raises(DataError, match="Python objects, which cannot be loaded safely"):
        open_source(tmp_path / "o.npz")
    data = (tmp_path / "z.npz").read_bytes()
    for name, content in {"cut": data[:-40], "flipped": data[:150] + b"\xff" + data[151:], "junk": b"hello"}.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.npz is (not|damaged)"):
            open_source(tmp_path / f"{name}.npz")
