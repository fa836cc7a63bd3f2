"""svmlight files against scikit-learn's reader and writer, and a sentence for every malformed line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from schuss.data import svmlight
from schuss.data.open import open_source
from schuss.data.source import Cursor
from schuss.errors import DataError


def problem(rows: int = 300, width: int = 40, seed: int = 0) -> tuple[sp.csr_matrix, np.ndarray]:
    matrix = sp.random(rows, width, 0.1, format="lil", random_state=seed)
    matrix[0, 0], matrix[1, width - 1] = 0.5, -2.0
    return sp.csr_matrix(matrix), np.random.default_rng(seed).normal(size=rows).round(3)


def matrix_of(tables: list[pa.RecordBatch], width: int) -> sp.csr_matrix:
    """Put the lists of index and value back together."""
    lists = pa.chunked_array([table.column("x") for table in tables]).combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    pairs = lists.flatten()
    lengths = np.asarray(lists.value_lengths())
    return sp.csr_matrix(
        (np.asarray(pairs.field("value")), np.asarray(pairs.field("index")), np.append(0, np.cumsum(lengths))),
        shape=(len(lists), width),
    )


def tables_of(source: object, cursor: Cursor = Cursor()) -> list[pa.RecordBatch]:
    return [batch.table for batch in source.batches(cursor)]


def source_of(folder: Path, text: bytes, **options: object) -> object:
    (folder / "t.svm").write_bytes(text)
    return open_source(folder / "t.svm", **options)


@pytest.mark.parametrize("zero_based", [True, False])
@pytest.mark.parametrize("comment", [None, "made by hand\nfor a test"])
@pytest.mark.parametrize("queries", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_agrees_with_scikit_learn(
    tmp_path: Path, zero_based: bool, comment: str | None, queries: bool, packed: bool
) -> None:
    matrix, labels = problem()
    path = tmp_path / "t.svm"
    query = np.arange(300) // 10 if queries else None
    dump_svmlight_file(matrix, labels, str(path), zero_based=zero_based, comment=comment, query_id=query)
    if packed:
        path = tmp_path / "t.svm.gz"
        path.write_bytes(gzip.compress((tmp_path / "t.svm").read_bytes()))
    source = open_source(path)
    expected, expected_labels = load_svmlight_file(str(path), n_features=40, zero_based=zero_based)
    tables = tables_of(source)
    assert (source.target, source.rows) == ("y", 300)
    assert source.schema.metadata == {b"schuss.svmlight_base": b"0" if zero_based else b"1", b"schuss.width": b"40"}
    assert abs(matrix_of(tables, 40) - expected.astype(np.float32)).max() == 0
    assert np.array_equal(np.concatenate([table.column("y") for table in tables]), expected_labels)


def test_many_blocks_and_cursors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svmlight, "_BLOCK_BYTES", 1000)
    matrix, labels = problem(2000)
    dump_svmlight_file(matrix, labels, str(tmp_path / "t.svm"))
    source = open_source(tmp_path / "t.svm")
    assert len(tables_of(source)) > 50
    for row in (0, 1, 777, 1999):
        tables = tables_of(source, Cursor(0, row))
        assert np.array_equal(np.concatenate([table.column("y") for table in tables]), labels[row:])
        assert abs(matrix_of(tables, 40) - matrix[row:].astype(np.float32)).max() == 0
    assert tables_of(source, Cursor(0, 2000)) == []


def test_rows_without_entries_blanks_and_order(tmp_path: Path) -> None:
    text = b"# head\n\n1 3:2 1:0.5 # note 7:1\r\n0\n\t-1\t qid:4  2:1e-3 \n2 "
    source = source_of(tmp_path, text)
    table = pa.Table.from_batches(tables_of(source))
    assert table.column("y").to_pylist() == [1, 0, -1, 2]
    assert source.schema.field("y").type == pa.int64()
    expected = [[(0, 0.5), (2, 2.0)], [], [(1, np.float32(1e-3))], []]
    assert [[(e["index"], np.float32(e["value"])) for e in row] for row in table.column("x").to_pylist()] == expected


def test_base_comes_from_the_sample_or_the_caller(tmp_path: Path) -> None:
    assert tables_of(source_of(tmp_path, b"1 1:1\n"))[0].column("x")[0].as_py()[0]["index"] == 0
    assert tables_of(source_of(tmp_path, b"1 1:1\n", svmlight_base=0))[0].column("x")[0].as_py()[0]["index"] == 1
    assert tables_of(source_of(tmp_path, b"1 1:1\n0 0:1\n"))[0].column("x")[0].as_py()[0]["index"] == 1


def test_one_base_for_all_files(tmp_path: Path) -> None:
    (tmp_path / "1.svm").write_bytes(b"1 1:1\n")
    (tmp_path / "2.svm").write_bytes(b"1 0:1 5:1\n")
    source = open_source(tmp_path)
    assert source.schema.metadata[b"schuss.width"] == b"6"
    assert tables_of(source)[0].column("x")[0].as_py()[0]["index"] == 1


def test_after_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svmlight, "SAMPLE_BYTES", 100)
    source = source_of(tmp_path, b"1 1:1\n" * 1000 + b"2.5 9:1\n")
    assert source.rows is None
    assert b"schuss.width" not in source.schema.metadata
    assert tables_of(source)[-1].column("y")[-1].as_py() == 2.5
    with pytest.raises(DataError, match=r"t\.svm, row 1,001: the index in '0:1' is below 1"):
        tables_of(source_of(tmp_path, b"1 1:1\n" * 1000 + b"2.5 0:1\n"))


def test_columns(tmp_path: Path) -> None:
    source = source_of(tmp_path, b"1 1:1\n0 2:1\n")
    (batch,) = source.batches(columns=["y"])
    assert batch.table.to_pydict() == {"y": [1, 0]}
    assert [batch.table.num_rows for batch in source.batches(columns=[])] == [2]


MALFORMED = {
    "value": ("1 1:x", "expected index:value, found '1:x'"),
    "no value": ("1 1: 5", "expected index:value, found '1:'"),
    "no index": ("1 :5", "expected index:value, found ':5'"),
    "no colon": ("1 1:2 5", "expected index:value, found '5'"),
    "two colons": ("1 1:2:3", "expected index:value, found '1:2:3'"),
    "colons that even out": ("1 1:2:3 5", "expected index:value, found '1:2:3'"),
    "fraction as an index": ("1 1.5:2", "expected index:value, found '1.5:2'"),
    "negative index": ("1 -1:2", "the index in '-1:2' is below"),
    "large index": ("1 3000000000:2", "the index in '3000000000:2' is above 2,147,483,646"),
    "a long label": ("1" * 300_000 + "x 1:1", "the label '" + "1" * 40 + "' is not a number"),
    "a long value": ("1 2:" + "1" * 300_000 + "x", "expected index:value, found '2:" + "1" * 38 + "'"),
    "a long index": (
        "1 " + "7" * 5_000 + ":1",
        "the index in '" + "7" * 40 + "' is above 2,147,483,646, the largest that fits",
    ),
    "index twice": ("1 2:1 3:1 2:1", "the index 2 comes twice"),
    "no label": ("1:2 3:4", "the label '1:2' is not a number"),
    "word for a label": ("spam 3:4", "the label 'spam' is not a number"),
    "two labels": ("1,2 3:4", "the label '1,2' is not a number"),
}


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize(("line", "fault"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, fault: str, sampled: bool) -> None:
    if not sampled:
        monkeypatch.setattr(svmlight, "SAMPLE_BYTES", 100)
    monkeypatch.setattr(svmlight, "_BLOCK_BYTES", 5000)
    lines = ["1 1:1 2:0.5"] * 1500
    lines[1233] = line
    with pytest.raises(DataError) as caught:
        tables_of(source_of(tmp_path, "\n".join(lines).encode()))
    assert str(caught.value).startswith(f"t.svm, row 1,234: {fault}")


@pytest.mark.parametrize("text", [b"\n\n", b"# nothing\n"])
def test_no_rows(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(DataError, match=r"t\.svm is empty"):
        source_of(tmp_path, text)


def test_a_byte_order_mark(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    assert tables_of(source_of(tmp_path, mark + b"1 1:1\n"))[0].column("y").to_pylist() == [1]
    with pytest.raises(DataError, match=r"row 2: expected index:value, found '1:x'"):
        source_of(tmp_path, mark + b"1 1:1\n2 1:x\n")
    with pytest.raises(DataError, match=r"row 2: the label '\\ufeff1' is not a number"):
        source_of(tmp_path, b"1 1:1\n" + mark + b"1 1:1\n")
    source = source_of(tmp_path, mark + b"1 1:1\n" + mark + b"1 1:1\n", on_bad_row="skip")
    assert tables_of(source)[0].column("y").to_pylist() == [1, None]


@pytest.mark.parametrize("label", ["inf", "-inf", "1e300", "9223372036854775808"])
def test_labels_beyond_int64_stay_what_they_are(tmp_path: Path, label: str) -> None:
    """Found by fuzzing: infinity was read as -2^63."""
    assert tables_of(source_of(tmp_path, f"1 1:1\n{label} 1:2\n".encode()))[0].column("y").to_pylist() == [
        1,
        float(label),
    ]


def test_values_beyond_float32_become_infinite(tmp_path: Path) -> None:
    (table,) = tables_of(source_of(tmp_path, b"1 1:1e300 2:nan\n"))
    first, second = table.column("x")[0].as_py()
    assert first["value"] == np.inf
    assert np.isnan(second["value"])


@pytest.mark.parametrize("text", [b"\0\n:\n::", b"qid:3\n1 1:1\nx\n", b"1 1:1\n# only words\n\x01\ny 1:1\n"])
def test_lines_of_nothing_among_bad_rows(tmp_path: Path, text: bytes) -> None:
    """Found by fuzzing: what counts as a line must not depend on who reads it."""
    (tmp_path / "t.svm").write_bytes(text)
    source = open_source(tmp_path / "t.svm", on_bad_row="skip")
    rows = [row for batch in source.batches() for row in batch.table.column("y").to_pylist()]
    assert rows.count(None) == len(source.bad.among(0, 0, 100))
